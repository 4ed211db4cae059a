"""The last words of a run that went well: the time of each stage, and what to open."""

import os
from types import SimpleNamespace

from tokengeometry.operations.run_summary import summarise

STAGES = {
    "results/benchmarks/model/tiny.tsv": [1.5],
    "results/benchmarks/model/of_another_study.tsv": [100],
    "results/benchmarks/dataset/pictures.test.tsv": [2],
    "results/pilot/benchmarks/moments/00.tsv": [3],
    "results/pilot/benchmarks/moments/01.tsv": [4, 0.5],
}


def test_seconds_add_up_by_stage_in_the_order_of_the_run_and_files_to_open_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    branch = SimpleNamespace(model="tiny", dataset="pictures", split="test")
    study = SimpleNamespace(folder="results/pilot", branches=[branch])
    assert summarise(study, "results") == ""
    for time, (name, seconds) in enumerate(STAGES.items()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("s\th:m:s\n" + "".join(f"{s}\t0:00:00\n" for s in seconds))
        os.utime(tmp_path / name, (time, time))
    opened = tmp_path / "results/pilot/tiny/pictures/test/alpha.csv"
    opened.parent.mkdir(parents=True)
    opened.touch()
    assert "Open first" not in summarise(study, "results")
    for figures in ("tiny/pictures/test/figures", "figures"):
        (tmp_path / "results/pilot" / figures).mkdir()
    lines = [line.split() for line in summarise(study, "results").splitlines()]
    stages = [["model", "1", "1.5"], ["dataset", "1", "2.0"], ["moments", "3", "7.5"], ["all", "5", "11.0"]]
    assert lines[2:6] == stages
    assert lines[-3:] == [
        ["results/pilot/tiny/pictures/test/alpha.csv"],
        [],
        ["Open", "first:", "results/pilot/tiny/pictures/test/figures/"],
    ]
    study.branches.append(SimpleNamespace(model="tiny", dataset="pictures", split="train"))
    assert summarise(study, "results").splitlines()[-1] == "Open first: results/pilot/figures/"
    explorer = tmp_path / "results/pilot/explorer/index.html"
    explorer.parent.mkdir()
    explorer.touch()
    assert summarise(study, "results").splitlines()[-1] == "Open first: results/pilot/explorer/index.html"
