"""What other runs in this working directory are making, by Snakemake's locks."""

import contextlib
from pathlib import Path

LOCKS = Path(".snakemake", "locks")


def being_made(folders, locks=LOCKS):
    """The files in these folders that a run, this one or another, is making: each run lists its own in a lock."""
    folders = list(folders)
    made = set()
    for lock in Path(locks).glob("*.output.lock"):
        # That run may have just ended.
        with contextlib.suppress(FileNotFoundError):
            made.update(lock.read_text().split("\n"))
    return sorted(name for name in made if any(Path(name).is_relative_to(folder) for folder in folders))


def folders_of(study, shared):
    """The folders that a run of a study makes files in, or waits for; all studies have models and data in `shared`."""
    config = study.config
    return [
        *(Path(study.folder, model) for model in config["models"]),
        *(Path(shared, "models", model) for model in config["models"]),
        *(Path(shared, "data", dataset) for dataset in config["datasets"]),
    ]
