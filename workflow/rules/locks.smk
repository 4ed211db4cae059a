# What other runs left here, or have here: locks and records; and results, perhaps without their records.
import atexit

from tokengeometry import runs


def enter_folder(folder):
    """Write down that this run is at work, and remove the locks that killed runs left in Snakemake's folder.

    Returns
    -------
    path or None
        This run's record; None on a read-only disk, where there are no locks either.
    """
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
