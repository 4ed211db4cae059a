"""What a run made, and how long each of its stages took."""

import csv
from pathlib import Path


def stage_seconds(results):
    """Wall time of every stage whose jobs have left a benchmark.

    Parameters
    ----------
    results : path

    Returns
    -------
    dict of str to (int, float)
        By rule, in the order of the first file: number of jobs, and the sum of their seconds.
    """
    stages = {}
    for file in sorted(Path(results, "benchmarks").glob("*/*.tsv"), key=lambda file: file.stat().st_mtime):
        with file.open() as rows:
            for row in csv.DictReader(rows, delimiter="\t"):
                jobs, seconds = stages.get(file.parent.name, (0, 0.0))
                stages[file.parent.name] = (jobs + 1, seconds + float(row["s"]))
    return stages


def summarise(results, branches):
    """How long each stage took, and what to open.

    Parameters
    ----------
    results : path
    branches : iterable of tokengeometry.study.Branch

    Returns
    -------
    str
        Several lines; none before any stage has run.
    """
    stages = stage_seconds(results)
    if not stages:
        return ""
    lines = ["", f"{'stage':<28}{'jobs':>6}{'seconds':>10}   (each job's latest run)"]
    lines += [f"{stage:<28}{jobs:>6}{seconds:>10.1f}" for stage, (jobs, seconds) in stages.items()]
    lines += [f"{'all':<28}{sum(j for j, _ in stages.values()):>6}{sum(s for _, s in stages.values()):>10.1f}"]
    folders = [Path(results, branch.model, branch.dataset, branch.split) for branch in branches]
    folders = list(dict.fromkeys(folder for branch in folders for folder in (branch.parent, branch)))
    opened = [file for folder in folders for file in sorted(folder.glob("*.csv"))]
    opened += [
        file
        for folder in [*(folder / "figures" for folder in folders), Path(results, "figures")]
        for file in sorted(folder.glob("*.png"))
    ]
    return "\n".join([*lines, "", "Tables and figures (each figure also as .svg):", *(f"  {f}" for f in opened)])
