# How a run begins and ends.
import atexit
import errno
import shlex

from tokengeometry.operations.failures import failures
from tokengeometry.operations.running import being_made, folders_of
from tokengeometry.operations.space import in_words, not_kept, sizes
from tokengeometry.operations.studies import record
from tokengeometry.operations.run_summary import summarise


# The report's head knows the configuration alone.
report: "../../report/workflow.rst"


if workflow.is_main_process:
    config["versions"] = captions.versions()

# They make nothing that is the study's.
ON_REQUEST = {"plan", "verify", "free"}
# Once the run has failed: a line for each job that did.
FAILURES = []


def begin():
    """Stop before the first job where nothing can be written, and note whose folder it is."""
    jobs = {job.rule.name for job in workflow.dag.needrun_jobs()} - ON_REQUEST
    try:
        require_writable(RESULTS)
        require_writable(study.folder)
        if jobs and workflow.is_main_process:
            record(study.folder, CONFIGURATION, config, CONTENTS)
    except OSError as error:
        sys.exit(f"error: {explain(error) or error}")


def require_writable(folder):
    """Stop before the first job on a read-only disk; Snakemake itself would end in a traceback."""
    if os.path.exists(folder) and os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), folder)


def print_summary():
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    if {job.rule.name for job in jobs} - ON_REQUEST:
        logger.info(summarise(study, RESULTS))


def note_failures():
    failed = [
        [(job.rule.name, job.wildcards_dict, job.log[0]) for job in members_of(job)]
        for job in workflow.scheduler.failed
    ]
    FAILURES.extend(failures(failed))


def members_of(job):
    return job.jobs if job.is_group() else [job]


def command(*arguments):
    """The command for a target of the study that this run has."""
    words = ["snakemake", *arguments]
    if workflow.overwrite_configfiles:
        words += ["--configfile", *map(os.path.relpath, workflow.overwrite_configfiles)]
    if workflow.config_settings.config:
        words += ["--config", *workflow.config_settings.config_args]
    return words


def last_words():
    """What is said below all that Snakemake says, and where it calls none of the hooks: lines."""
    made = being_made(folders_of(study, RESULTS))
    if made and workflow.scheduler is None:
        yield f"Another run here is making {made[0]}, which this one needs: wait for its end and run again."
    elif not (made or workflow.storage_settings.notemp):
        if unkept := not_kept(study):
            yield (
                f"{study.folder}/ has {in_words(sizes(unkept))} that the configuration does not keep; "
                f"`{shlex.join(command('free', '--cores', '1'))}` deletes them."
            )
    yield from FAILURES


def print_last_words():
    for line in last_words():
        print(line, file=sys.stderr)


if workflow.is_main_process and not workflow.dryrun:
    atexit.register(print_last_words)
