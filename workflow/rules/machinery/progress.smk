# At a terminal a run is drawn as bars; elsewhere, in a pipe or a file, it is written as Snakemake writes it. So are dry
# runs, and what is asked for in more words or fewer.
def terminal_handler():
    """Snakemake's own handler that writes to the terminal, if it is one; None where another logger was chosen."""
    found = [its for its in logger.handlers if its.name == "DefaultStreamHandler"]
    moves = os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return found[0] if found and found[0].is_tty and moves else None


OUTPUT = workflow.logger_manager.settings
ASKED = OUTPUT.dryrun or OUTPUT.quiet or OUTPUT.verbose or OUTPUT.printshellcmds

if workflow.is_main_process and not ASKED and (own := terminal_handler()):
    from tokengeometry.operations.progress import StageBars

    logger.removeHandler(own)
    logger.addHandler(StageBars(own, OUTPUT.nocolor))
