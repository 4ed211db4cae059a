"""What a run made, and how long each of its stages took."""

import csv
from pathlib import Path


def summarise(study, shared):
    """How long each stage took, and what to open.

    Parameters
    ----------
    study : tokengeometry.study.Study
    shared : path
        The folder where all studies have their models and data, and the times of those.

    Returns
    -------
    str
        Several lines; none before any stage has run.
    """
    stages = {}
    for file in sorted(_benchmarks(study, shared), key=lambda file: file.stat().st_mtime):
        with file.open() as rows:
            seconds = [float(row["s"]) for row in csv.DictReader(rows, delimiter="\t")]
        stages.setdefault(file.parent.name, []).extend(seconds)
    if not stages:
        return ""
    stages["all"] = [seconds for its in stages.values() for seconds in its]
    lines = ["", f"{'stage':<28}{'jobs':>6}{'seconds':>10}   (each job's latest run)"]
    lines += [f"{stage:<28}{len(its):>6}{sum(its):>10.1f}" for stage, its in stages.items()]
    folders = [Path(study.folder, branch.model, branch.dataset, branch.split) for branch in study.branches]
    folders = list(dict.fromkeys(folder for branch in folders for folder in (branch.parent, branch)))
    opened = [file for folder in folders for file in sorted(folder.glob("[!.]*.csv"))]
    opened += [
        file
        for folder in [*(folder / "figures" for folder in folders), Path(study.folder, "figures")]
        for file in sorted(folder.glob("[!.]*.png"))
    ]
    lines += ["", "Tables and figures (each figure also as .svg):", *(f"  {file}" for file in opened)]
    if (index := Path(study.folder, "explorer", "index.html")).exists():
        lines += ["", f"To open in a browser: {index}"]
    return "\n".join(lines)


def _benchmarks(study, shared):
    """A study's benchmark files, each in a folder with its stage's name; those of its models and data among them."""
    fetched = {f"model/{branch.model}.tsv" for branch in study.branches}
    fetched |= {f"dataset/{branch.dataset}.{branch.split}.tsv" for branch in study.branches}
    own = Path(study.folder, "benchmarks").glob("*/[!.]*.tsv")
    files = [Path(shared, "benchmarks", name) for name in fetched]
    files += [file for file in own if file.parent.name not in ("model", "dataset")]
    return [file for file in files if file.exists()]
