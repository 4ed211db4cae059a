# What an earlier run left: locks, if it was killed; results, perhaps without their records.
import fcntl


def clear_stale_locks(folder):
    """Remove the locks that a killed run left in Snakemake's folder.

    Every run holds a file there for as long as it lives; the system lets go of it however the run ends.
    Without it, or where the file system knows no locks, Snakemake's own locks decide.

    Returns
    -------
    file or None
        To be kept open until the end of the run.
    """
    try:
        folder.mkdir(exist_ok=True)
        running = (folder / "running").open("w")
        try:
            fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(running, fcntl.LOCK_SH)
            return running
        stale = list((folder / "locks").glob("*.lock"))
        for lock in stale:
            lock.unlink()
        fcntl.flock(running, fcntl.LOCK_SH)
    except OSError:
        return None
    if stale:
        logger.warning(
            "The last run here was killed: its locks are removed, and what it left unfinished is made again."
        )
    return running


if Path("results/models").exists() and not Path(".snakemake/metadata").exists():
    logger.warning(
        "There are results/ here but no .snakemake/, which records what made them: they are taken "
        "as made by this configuration and this code. Put it beside them, or delete them."
    )

if workflow.is_main_process and not workflow.dryrun:
    RUNNING = clear_stale_locks(Path(".snakemake"))
