"""What a run ends with: the line of each job that failed, below all that Snakemake says."""

import os
import re
import sys

import pytest
from small_study import SMALL, Workflow
from tokengeometry.errors import StudyError
from tokengeometry.operations.failures import WITHOUT_A_WORD, failures
from tokengeometry.operations.logs import log_to
from tqdm import tqdm


def written(path, text, seconds=0):
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return path


TRACEBACK = 'some words\nTraceback (most recent call last):\n  File "x.py", line 1\nValueError: shapes do not fit\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words\nerror: x.zarr is damaged; delete it\n", "x.zarr is damaged; delete it"),
        ("error: an earlier one\nerror: the last\n\n", "the last"),
        (TRACEBACK, "ValueError: shapes do not fit"),
        ("error: a word on the way\n100 of 200 samples\n", WITHOUT_A_WORD),
        ("", WITHOUT_A_WORD),
    ],
)
def test_a_failed_job_is_one_line_with_its_rule_wildcards_words_and_log(tmp_path, text, said):
    log = written(tmp_path / "log", text)
    job = "layer", {"model": "tiny", "layer": "01"}, log
    assert failures([[job]]) == [f"error: layer (model=tiny, layer=01): {said}. Log: {log}"]
    assert failures([[("verify", {}, log)]]) == [f"error: verify: {said}. Log: {log}"]


def test_a_job_without_a_log_is_told_too(tmp_path):
    assert failures([[("plan", {}, tmp_path / "none")]]) == [f"error: plan: {WITHOUT_A_WORD}. Log: {tmp_path / 'none'}"]


def test_of_jobs_that_ran_as_one_the_one_that_failed_is_told(tmp_path):
    done = "pixels", {"part": "000"}, written(tmp_path / "pixels", "done\n", 1)
    ended = "layer", {"layer": "01"}, written(tmp_path / "layer_01", "at work\n", 2)
    never = "layer", {"layer": "02"}, tmp_path / "layer_02"
    assert failures([[done, ended, never]]) == [f"error: layer (layer=01): {WITHOUT_A_WORD}. Log: {ended[-1]}"]
    written(ended[-1], "error: out of memory\n")
    assert failures([[done, ended, never]]) == [f"error: layer (layer=01): out of memory. Log: {ended[-1]}"]


STORE = "results/tiny/pictures/test/activations/layer_{}/part_000.zarr"


def harm(workflow, layer):
    store = workflow.directory / STORE.format(layer)
    chunk = max((file for file in store.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = chunk.read_bytes()
    chunk.write_bytes(content[:100] + bytes([content[100] ^ 4]) + content[101:])


def test_a_run_ends_with_the_lines_of_its_own_failed_jobs(finished, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    harm(workflow, "01")
    harm(workflow, "02")
    # What failed in an earlier run isn't told again.
    log = workflow.path("logs/moments/tiny/pictures/test/layer_00.part_000.log")
    log.write_text("error: of an earlier run\n")
    targets = [f"results/tiny/pictures/test/moments/layer_{layer:02d}/part_000.zarr" for layer in range(3)]
    process = workflow.run("--forcerun", "moments", "--keep-going", "--retries", 1, "--", *targets, check=False)
    assert process.returncode != 0
    *_, said, first, second = process.stdout.splitlines()
    assert said == "At least one job did not complete successfully."
    for line, layer in ((first, "01"), (second, "02")):
        assert re.fullmatch(
            rf"error: moments \(model=tiny, dataset=pictures, split=test, layer={layer}, part=000\): "
            rf"{STORE.format(layer)} is damaged .*; delete it and run again to rebuild it\. "
            rf"Log: results/logs/moments/tiny/pictures/test/layer_{layer}\.part_000\.log",
            line,
        )
        assert process.stdout.count(line) == 1
    assert "of an earlier run" not in process.stdout


def stopped(bar):
    bar.update()
    raise StudyError("x.zarr is damaged; delete it")


def test_an_error_that_stops_a_progress_bar_has_a_line_of_its_own(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(SystemExit), log_to(log):
        stopped(tqdm(total=3, file=sys.stderr))
    assert log.read_text().endswith("\nerror: x.zarr is damaged; delete it\n")
    assert failures([[("layer", {}, log)]]) == [f"error: layer: x.zarr is damaged; delete it. Log: {log}"]
