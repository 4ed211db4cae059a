# What other runs left here, or have here: locks and records; and results, perhaps without their records.
import atexit
import errno
import pwd

from tokengeometry.operations import runs


def require_shared(folder):
    """Stop where another user's run keeps Snakemake's records to itself; Snakemake would end in a traceback."""
    for path in [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]:
        if not path.exists() or os.access(path, os.R_OK | os.W_OK | os.X_OK):
            continue
        if not os.statvfs(path).f_flag & os.ST_RDONLY:
            sys.exit(
                f"error: {path} is for {name_of(path.stat().st_uid)} alone to write; "
                "run as that user, or in a folder of your own"
            )


def name_of(user):
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def enter_folder(folder):
    """Write down that this run is at work, and remove the locks that killed runs left in Snakemake's folder.

    Returns
    -------
    path or None
        This run's record; None on a read-only disk, where there are no locks either.
    """
    require_shared(folder)
    here = runs.this_run()
    try:
        record = runs.enter(folder, here)
        atexit.register(record.unlink, missing_ok=True)
        cleared, suspects = runs.clear(folder, record, here)
    except OSError as error:
        if error.errno == errno.EROFS:
            return None
        sys.exit(f"error: {explain(error) or error}")
    if cleared:
        logger.warning(
            "The last run here was killed: its locks are removed, and what it left unfinished is made again."
        )
    for run in suspects:
        logger.warning(
            f"Locks are left here by {run or 'a run of which nothing is known'}, and it may still live. "
            "Once you know that it has ended, remove them: snakemake --unlock"
        )
    return record


def claim_locks():
    """Write down which of Snakemake's locks are this run's, and what its jobs are called in a cluster's queue."""
    if RECORD:
        runs.add(
            RECORD,
            locks=runs.locks_of(map(Path, workflow.persistence._lockfile.values())),
            jobs=getattr(workflow.scheduler._executor, "run_uuid", None),
        )


if Path("results/models").exists() and not Path(".snakemake/metadata").exists():
    logger.warning(
        "There are results/ here but no .snakemake/, which records what made them: they are taken "
        "as made by this configuration and this code. Put it beside them, or delete them."
    )

RECORD = enter_folder(Path(".snakemake")) if workflow.is_main_process else None
