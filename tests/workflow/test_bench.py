"""The benchmark: what it measures of a process, how it reports, and the naive way that it compares with."""

import copy
import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from small_study import SMALL, write_pictures
from tokengeometry.errors import StudyError
from tokengeometry.storage import zarr_store

from bench import __main__ as bench
from bench import gpu, naive, process, report, workflow
from bench.report import Measurement, Measurements

SECONDS = {
    "forward": 100.0,
    "naive_forward": 150.0,
    "naive_pca": 160.0,
    "naive_corrcoef": 20.0,
    "naive": 340.0,
    "analysis": 45.0,
    "uncertainty": 45.0,
    "rest": 30.0,
    "stored": 190.0,
    "direct": 150.0,
    "fit": 12.0,
}
MEMORY = {"naive": 12 * 2**30, "stored": 2 * 2**30}


def planted(samples=40, image_size=64, scale=1.0, **seconds):
    return [
        Measurement(what, samples, image_size, 17, scale * took, 2 * scale * took, MEMORY.get(what, 2**30), 10**9)
        for what, took in (SECONDS | seconds).items()
    ]


def results(**changes):
    sizes = [planted(20, scale=0.5), planted(40), planted(20, 32, scale=0.25)]
    rules = [dict(rule="moments", jobs=3, seconds=12.0, cpu_seconds=10.0, peak_bytes=2**29)]
    return {
        "command": "python -m bench",
        "date": "2024-02-29",
        "machine": {"cpu": "Abacus 3000", "cores": 2, "memory_bytes": 8 * 2**30},
        "versions": {"Python": "3.11", "torch": "2"},
        "study": {
            "model": "tiny",
            "dataset": "pictures",
            "split": "test",
            "architecture": "vit_tiny_patch16_224",
            "layers": 3,
            "precision": "float32",
            "batch_size": 8,
            "samples": 40,
            "image_size": 64,
            "all_samples": [20, 40],
            "image_sizes": [32, 64],
            "image_size_samples": 20,
        },
        "measurements": report.as_rows(run for size in sizes for run in size),
        "rules": {"stored": rules, "direct": rules},
        "stored_bytes": {mode: dict(all=3e9, activations=2e9, moments=1e9) for mode in ("stored", "direct")},
        "agreement": [dict(samples=40, image_size=64, tokens=17, largest=1e-5)],
    } | changes


def row(table, start):
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_are_to_the_bare_forward_pass_and_to_what_the_naive_way_takes_for_the_same():
    table = report.main_table(Measurements(planted(), 40, 64))
    assert row(table, "workflow: moments")[-2:] == ["0.45", "4.00"]
    assert row(table, "**workflow: whole, with stores")[1:] == ["190 s", "380 s", "2.0 GiB", "1.0 GB", "1.90", "1.79"]


def test_repeats_are_reported_by_their_median_and_their_ends():
    runs = [run for seconds in (90.0, 10.0, 20.0) for run in planted(forward=seconds)]
    found = Measurements([*runs, *planted(20, forward=1.0)], 40, 64)
    assert found.median("forward") == 20
    assert row(report.main_table(found), "bare forward")[1] == "20.0 s (10.0–90.0)"


def test_a_missed_target_is_said_to_be_missed_and_a_missing_one_not_measured():
    table = report.target_table(Measurements(planted(analysis=40.0, stored=145.0, direct=116.0), 40, 64))
    assert row(table, "whole study in direct mode") == [
        "whole study in direct mode ÷ bare forward",
        "≤ 1.15×",
        "1.16×",
        "**missed**",
    ]
    assert row(table, "naive peak memory")[2:] == ["6.00×", "met"]
    assert table.count("missed") == 1
    alone = [run for run in planted() if run.what == "forward"]
    assert report.target_table(Measurements(alone, 40, 64)).count("not measured") == 7


def test_bytes_that_a_rerun_freed_are_not_less_than_nothing():
    freed = [Measurement("fit", 40, 64, 17, 12.0, 24.0, 2**30, -5000)]
    assert row(report.main_table(Measurements(freed, 40, 64)), "workflow: again")[4] == "0.0 GB"


def test_report_has_every_size_and_says_where_it_was_measured(tmp_path):
    bench.write(results(), tmp_path)
    words = (tmp_path / "bench.md").read_text()
    for said in ("Abacus 3000, 2 cores, 8 GiB", "Python 3.11, torch 2", "`python -m bench`, 2024-02-29", "1.0e-05"):
        assert said in words
    assert row(words, "20 ")[1] == "50.0 s, 1.0 GiB"
    assert json.loads((tmp_path / "bench.json").read_text()) == results()
    for name in ("bench.png", "bench.svg"):
        assert (tmp_path / name).stat().st_size > 1000


def test_a_process_is_measured_with_its_children(tmp_path, monkeypatch):
    seen, tree_bytes = tmp_path / "seen", process._tree_bytes

    def noting(pid):
        found = tree_bytes(pid)
        if found > 200 * 2**20:
            seen.touch()
        return found

    monkeypatch.setattr(process, "_tree_bytes", noting)
    # The child holds its memory until a sample has met it.
    child = (
        "import pathlib, time; block = bytearray(b'x') * (200 * 2**20); end = time.monotonic() + 60\n"
        f"while not pathlib.Path({str(seen)!r}).exists() and time.monotonic() < end: time.sleep(0.05)"
    )
    burn = "import time\nwhile time.process_time() < 1: pass"
    script = f"import subprocess, sys\nfor code in {[child, burn]!r}: subprocess.run([sys.executable, '-c', code])"
    cost = process.measure([sys.executable, "-c", f"{script}\nprint('done')"])
    assert cost.output == "done\n"
    assert 1 < cost.seconds < 60
    assert 1 < cost.cpu_seconds < 4
    assert 200 * 2**20 < cost.peak_bytes < 260 * 2**20


def test_a_failing_command_is_an_error_with_the_end_of_its_output():
    script = "import sys; print('x' * 10**5); print('said last'); sys.exit('gave up')"
    with pytest.raises(process.CommandError, match=r"failed \(1\):(?s:.*)said last\ngave up$") as error:
        process.measure([sys.executable, "-c", script])
    assert len(str(error.value)) < 10**4


def test_naive_alpha_is_the_weighted_slope_of_the_covariance_s_eigenvalues(rng):
    samples = rng.normal(size=(60, 12)) * np.arange(1, 13) ** -0.8
    eigenvalues = np.linalg.eigvalsh(np.cov(samples.T))[::-1][1:9]
    x, weight = np.log(np.arange(2, 10)), 1 / np.arange(2, 10)
    design = np.stack([x, np.ones_like(x)], axis=1)
    slope, _ = np.linalg.solve(design.T * weight @ design, design.T * weight @ np.log(eigenvalues))
    assert naive.alpha(samples, (2, 9), "inverse_rank") == pytest.approx(-slope, rel=1e-9)
    assert np.isnan(naive.alpha(np.ones((60, 12)), (2, 9), "inverse_rank"))


def test_only_tokens_fitted_over_all_ranks_are_compared():
    exact = pd.DataFrame(
        {
            "layer": [1, 1, 1, 1],
            "token": [0, 1, 2, np.nan],
            "kind": ["prefix", "spatial", "spatial", "pooled"],
            "alpha": [1.0, 2.0, np.nan, 1.0],
            "ranks": [9, 8, 0, 9],
        }
    )
    other = pd.DataFrame({"layer": [1, 1, 1], "token": [0, 1, 2], "alpha": [1.25, 9.0, 9.0]})
    assert bench.agreement(exact, other, (2, 10)) == (1, 0.25)


def test_a_configuration_of_another_size_leaves_the_given_one_alone():
    config = copy.deepcopy(SMALL)
    config["datasets"]["pictures"]["splits"]["test"]["samples"] = 5
    before = copy.deepcopy(config)
    changed = workflow.settings(config, 12, 32, store=False)
    assert config == before
    assert {changed[key] for key in ("samples", "samples_per_part", "concatenated_samples")} == {12}
    assert "samples" not in changed["datasets"]["pictures"]["splits"]["test"]
    assert changed["models"]["tiny"]["image_size"] == 32
    assert changed["activations"]["store"] is False
    assert workflow.with_another_fit(config)["fit"]["ranks"] == [3, 15]


@pytest.mark.parametrize(("kind", "free"), [("disk", (10, 10**12)), ("memory", (10**12, 10))])
def test_too_little_room_is_said_in_one_line(kind, free, tmp_path, monkeypatch):
    disk, memory = free
    monkeypatch.setattr(bench.shutil, "disk_usage", lambda _: SimpleNamespace(free=disk))
    monkeypatch.setattr(bench.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
    asking = SimpleNamespace(place=tmp_path, needs=lambda samples, size: (samples * size, samples * size))
    with pytest.raises(StudyError, match=f"needs 2.0 GB of {kind}, and 0.0 GB are free") as error:
        bench.check_room(asking, [(10**6, 10**3), (2 * 10**6, 10**3)])
    assert "\n" not in str(error.value)


def test_working_directories_go_also_when_a_command_fails(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise process.CommandError("snakemake failed")

    monkeypatch.setattr(bench, "measure", fail)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    with pytest.raises(SystemExit, match="error: snakemake failed"):
        bench.main(["--config", str(path), "--output", str(tmp_path / "out")])
    assert list((tmp_path / "out").iterdir()) == []


def test_what_was_measured_is_kept_when_a_later_command_fails(tmp_path, monkeypatch):
    def some(self, *_arguments, **_options):
        self.models = {64: {"depth": 1, "grid": [4, 4], "prefix_tokens": ["cls"], "embed_dim": 8}}
        self._add("forward", 24, 64, 1.5, 2.5)
        raise process.CommandError("naive failed")

    monkeypatch.setattr(bench.Bench, "fetch", some)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    with pytest.raises(SystemExit, match="error: naive failed"):
        bench.main(["--config", str(path), "--output", str(tmp_path / "out")])
    (run,) = json.loads((tmp_path / "out" / bench.PARTIAL).read_text())["measurements"]
    assert (run["what"], run["seconds"]) == ("forward", 1.5)


def test_a_second_benchmark_leaves_the_first_one_s_folder_alone(tmp_path):
    with bench.working_place(tmp_path, keep=False) as place:
        (place / "run").mkdir()
        with (
            pytest.raises(StudyError, match="another benchmark is writing to"),
            bench.working_place(tmp_path, keep=False),
        ):
            pass
        assert (place / "run").exists()
    assert list(tmp_path.iterdir()) == []
    # What a killed one left goes.
    (place / "run").mkdir(parents=True)
    with bench.working_place(tmp_path, keep=False) as place:
        assert list(place.iterdir()) == []


@pytest.mark.slow
def test_benchmark_of_a_tiny_study(tmp_path, monkeypatch):
    """Pixels only, and up to the table of α where the whole study would be run: that leaves seconds."""
    config = copy.deepcopy(SMALL)
    config["models"]["tiny"]["layers"] = [0]
    config["figures"]["eigenspectrum"] = {"layer": 0, "token": "1,1"}
    config["datasets"]["pictures"]["splits"]["test"]["arguments"]["root"] = str(tmp_path / "pictures")
    write_pictures(tmp_path / "pictures")
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    command = workflow.command
    monkeypatch.setattr(workflow, "command", lambda *arguments: command(*(arguments or ["alpha"])))
    folder = tmp_path / "out"
    sizes = ["--samples", "24", "--image-sizes", "64", "--image-size-samples", "24", "--repeats", "1"]
    bench.main(["--config", str(path), "--output", str(folder), *sizes])
    assert sorted(file.name for file in folder.iterdir()) == ["bench.json", "bench.md", "bench.png", "bench.svg"]
    found = json.loads((folder / "bench.json").read_text())
    assert {run["what"] for run in found["measurements"]} == set(report.ROWS)
    # The first patch is black.
    (its,) = found["agreement"]
    assert its["tokens"] == 15
    assert its["largest"] < 1e-4
    assert str(tmp_path) not in (folder / "bench.md").read_text() + json.dumps(found)


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_is_measured_on_a_cpu_too(tmp_path, capsys):
    arguments = "--architecture vit_tiny_patch16_224 --image-size 64 --samples 24 --device cpu --threads 1"
    gpu.main([str(tmp_path / "gpu"), *arguments.split(), "--precisions", "float32", "--budgets", "0.5"])
    about, *found = (json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert about["device"] == "cpu"
    assert {its["what"] for its in found} > {"bare forward pass", "direct mode, float32", "eigensystems"}
    (merged,) = (its for its in found if its["what"] == "tokens merged")
    assert merged["budget"] == 0.5
    assert merged["speed"] > 0
    assert all(its["seconds"] >= 0 for its in found if its is not merged)
    last = zarr_store.open_store(tmp_path / "gpu" / "moments" / "layer_12.zarr")
    assert last["norms"].shape == (24, 17)
    with pytest.raises(SystemExit, match="error: .*exists"):
        gpu.main([str(tmp_path / "gpu")])
