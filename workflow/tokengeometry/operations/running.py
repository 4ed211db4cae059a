"""What other runs in this working directory are making, by Snakemake's locks."""

from pathlib import Path

LOCKS = Path(".snakemake", "locks")


def being_made(folders, locks=LOCKS):
    """The files in these folders that a run, this one or another, is making.

    Parameters
    ----------
    folders : iterable of path
    locks : path
        Where Snakemake keeps its locks; each run lists the files that it makes in one.

    Returns
    -------
    list of str
    """
    folders = list(folders)
    made = {name for lock in Path(locks).glob("*.output.lock") for name in _lines(lock)}
    return sorted(name for name in made if any(Path(name).is_relative_to(folder) for folder in folders))


def _lines(lock):
    try:
        return lock.read_text().split("\n")
    except FileNotFoundError:
        # That run has just ended.
        return []


def folders_of(study, shared):
    """The folders that a run of a study makes files in, or waits for.

    Parameters
    ----------
    study : tokengeometry.study.Study
    shared : path
        The folder where all studies have their models and data.
    """
    config = study.config
    return [
        *(Path(study.folder, model) for model in config["models"]),
        *(Path(shared, "models", model) for model in config["models"]),
        *(Path(shared, "data", dataset) for dataset in config["datasets"]),
    ]
