"""What a run made, and how long each of its stages took."""

import csv
from pathlib import Path


def stage_seconds(files):
    """Wall time of every stage whose jobs have left a benchmark.

    Parameters
    ----------
    files : iterable of pathlib.Path
        The benchmarks, each in a folder with the stage's name.

    Returns
    -------
    dict of str to (int, float)
        By rule, in the order of the first file: number of jobs, and the sum of their seconds.
    """
    stages = {}
    for file in sorted(files, key=lambda file: file.stat().st_mtime):
        with file.open() as rows:
            for row in csv.DictReader(rows, delimiter="\t"):
                jobs, seconds = stages.get(file.parent.name, (0, 0.0))
                stages[file.parent.name] = (jobs + 1, seconds + float(row["s"]))
    return stages


def benchmarks(study, shared):
    """A study's benchmark files, those of its models and data among them.

    Parameters
    ----------
    study : tokengeometry.study.Study
    shared : path
        The folder where all studies have their models and data, and the times of those.
    """
    fetched = {f"model/{branch.model}.tsv" for branch in study.branches}
    fetched |= {f"dataset/{branch.dataset}.{branch.split}.tsv" for branch in study.branches}
    files = [Path(shared, "benchmarks", name) for name in fetched]
    files += [
        file
        for file in Path(study.folder, "benchmarks").glob("*/[!.]*.tsv")
        if file.parent.name not in ("model", "dataset")
    ]
    return [file for file in files if file.exists()]


def summarise(study, shared):
    """How long each stage took, and what to open.

    The parameters are those of `benchmarks`.

    Returns
    -------
    str
        Several lines; none before any stage has run.
    """
    stages = stage_seconds(benchmarks(study, shared))
    if not stages:
        return ""
    lines = ["", f"{'stage':<28}{'jobs':>6}{'seconds':>10}   (each job's latest run)"]
    lines += [f"{stage:<28}{jobs:>6}{seconds:>10.1f}" for stage, (jobs, seconds) in stages.items()]
    lines += [f"{'all':<28}{sum(j for j, _ in stages.values()):>6}{sum(s for _, s in stages.values()):>10.1f}"]
    folders = [Path(study.folder, branch.model, branch.dataset, branch.split) for branch in study.branches]
    folders = list(dict.fromkeys(folder for branch in folders for folder in (branch.parent, branch)))
    opened = [file for folder in folders for file in sorted(folder.glob("[!.]*.csv"))]
    opened += [
        file
        for folder in [*(folder / "figures" for folder in folders), Path(study.folder, "figures")]
        for file in sorted(folder.glob("[!.]*.png"))
    ]
    return "\n".join([*lines, "", "Tables and figures (each figure also as .svg):", *(f"  {f}" for f in opened)])
