"""The bars of a run: what they count, when they expect the end, and what stands above them."""

import io
import logging
import re

import pytest
from rich.console import Console
from tokengeometry.operations import progress
from tokengeometry.operations.progress import Progress, StageBars


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time, in a list."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def bars(monkeypatch, clock):
    for name, value in (("TERM", "xterm"), ("COLUMNS", "100"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    handler = StageBars(logging.StreamHandler(Terminal()))
    yield handler
    handler.close()


def say(handler, message="", level=logging.INFO, **event):
    record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    record.__dict__.update(event)
    handler.handle(record)


def begin(handler, job, rule, **wildcards):
    say(handler, f"rule {rule}", event="job_info", jobid=job, rule_name=rule, wildcards=wildcards)


def lines(handler):
    """What is drawn, a line each."""
    console = Console(file=io.StringIO(), width=100)
    console.print(handler.drawn())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_equal_jobs_are_expected_to_end_when_they_do(workers):
    """Twelve jobs of four seconds; asked while half of the next ones is done."""
    run = Progress({"layer": 12}, 50)
    for first in range(0, 2 * workers, workers):
        for job in range(first, first + workers):
            run.begin(job, "layer", {}, 50 + 4 * first / workers)
        for job in range(first, first + workers):
            run.end(job, 54 + 4 * first / workers)
    for job in range(2 * workers, 3 * workers):
        run.begin(job, "layer", {}, 58)
    assert run.expected(60) == pytest.approx(50 + 4 * 12 / workers - 60)


def test_a_rule_counts_by_its_own_jobs_and_one_that_has_not_begun_by_the_others():
    run = Progress({"layer": 3, "spectra": 2, "claims": 1}, 0)
    assert run.expected(5) is None
    for job, (rule, seconds) in enumerate([("layer", 2), ("spectra", 10)]):
        start = 2 * job
        run.begin(job, rule, {}, start)
        run.end(job, start + seconds)
    # Two layers of 2 s, a spectrum of 10 s, claims of (2 + 10) / 2 s.
    assert run.expected(12) == pytest.approx(2 * 2 + 10 + 6)


def test_a_line_a_stage_says_how_many_of_how_many_and_what_runs_now(bars, clock):
    say(bars, "Job stats: …", event="run_info", stats={"layer": 3, "spectra": 2, "all": 1, "total": 6})
    begin(bars, 0, "layer", model="tiny", layer="01")
    clock[0] += 60
    say(bars, event="job_finished", job_id=0)
    begin(bars, 1, "layer", model="tiny", layer="02")
    begin(bars, 2, "spectra", model="tiny", layer="01")
    clock[0] += 10
    layer, spectra, every = lines(bars)
    # The model is the same in all jobs.
    assert re.fullmatch(r"layer +1 of 3  ━━━━━━━━━━ +layer 02", layer)
    assert re.fullmatch(r"spectra +0 of 2 +layer 01", spectra)
    assert re.fullmatch(r"all jobs +1 of 6  ━━━━━ +.*", every)
    # 4 jobs of 60 s less twice 10 s, and 80 s of work were done in 70; the target takes no time.
    assert every.endswith("0:01:10 so far, about 0:03:12 to go")


def test_groups_of_jobs_count_job_by_job_and_what_was_repeated_has_not_failed(bars, clock):
    """What Snakemake's log says of two chains of a part, a job of Slurm each; one is killed and repeated."""
    chains = [{1: "pixels", 5: "layer", 7: "layer"}, {4: "pixels", 6: "layer", 8: "layer"}]
    say(bars, event="run_info", stats={"pixels": 4, "layer": 8, "activations": 1, "total": 13})

    def submit(chain):
        say(bars, "Group job chain (jobs in lexicogr. order):", event="group_info", group_id="chain", jobs=frozenset())
        for job in sorted(chain, key=chain.get):
            begin(bars, job, chain[job], part=str(min(chain)))

    def shown():
        found = [re.match(r"(\S+(?: jobs)?) +(\d+) of (\d+)", line).groups() for line in lines(bars)]
        return {name: (int(done), int(total)) for name, done, total in found}

    say(bars, "Execute 2 jobs...", event="job_started", jobs=["6f1677d5", "4221a592"])
    for chain in chains:
        submit(chain)
    assert shown() == {"pixels": (0, 4), "layer": (0, 8), "activations": (0, 1), "all jobs": (0, 13)}
    clock[0] += 10
    say(
        bars,
        "Error in group chain",
        logging.ERROR,
        event="group_error",
        groupid="chain",
        aux_logs=[],
        job_error_info=[],
    )
    for job in (7, 5, 1):
        say(bars, "Error in rule", logging.ERROR, event="job_error", jobid=job)
    assert [line.endswith("failed") for line in lines(bars)] == [True, True, False, False]
    submit(chains[0])
    clock[0] += 50
    for job in chains[1]:
        say(bars, event="job_finished", job_id=job)
    assert not any(line.endswith("failed") for line in lines(bars))
    for job in chains[0]:
        say(bars, event="job_finished", job_id=job)
    assert shown() == {"pixels": (2, 4), "layer": (4, 8), "activations": (0, 1), "all jobs": (6, 13)}
    # Half of the links are done after a minute; two chains go on side by side, of 60 and 50 seconds.
    assert bars.progress.expected(clock[0]) == pytest.approx(60, rel=0.2)


def test_a_low_terminal_shows_what_runs_and_has_failed_before_all(bars, monkeypatch):
    bars.console = Console(file=bars.own.stream, height=5)
    rules = [f"rule_{number}" for number in range(9)]
    say(bars, event="run_info", stats=dict.fromkeys(rules, 1) | {"total": 9})
    for job in (1, 2, 7, 8):
        begin(bars, job, rules[job])
    say(bars, event="job_finished", job_id=1)
    say(bars, "Error in rule", logging.ERROR, event="job_error", jobid=2)
    drawn = [line.split()[0] for line in lines(bars)]
    assert drawn == ["rule_2", "rule_7", "rule_8", "all"]


def test_what_the_run_has_to_say_stands_above_and_what_passes_does_not(bars):
    say(bars, "Building DAG of jobs...")
    say(bars, "SNAKEMAKE\n=====", event="workflow_started")
    say(bars, event="run_info", stats={"layer": 2, "all": 1, "total": 3})
    say(bars, "Select jobs to execute...")
    begin(bars, 0, "layer", layer="01")
    say(bars, "Error in rule layer:\n    log: there [0]", logging.ERROR, event="job_error", jobid=0)
    say(bars, "Jobs ask for a GPU", logging.WARNING)
    say(bars, "Trying to restart job 0.")
    bars.close()
    written = bars.own.stream.getvalue()
    for words in ("Error in rule layer:", "    log: there [0]", "Jobs ask for a GPU", "Trying to restart job 0."):
        assert written.count(words) == 1
    for words in ("Building DAG", "SNAKEMAKE", "Select jobs", "rule layer\n"):
        assert words not in written


def test_when_all_is_done_the_bars_are_gone_and_the_last_words_stay(bars):
    say(bars, event="run_info", stats={"layer": 1, "all": 1, "total": 2})
    for job, rule in enumerate(("layer", "all")):
        begin(bars, job, rule)
        say(bars, event="job_finished", job_id=job)
    drawn = len(bars.own.stream.getvalue())
    say(bars, "Open first: results/figures/")
    assert bars.own.stream.getvalue()[drawn:] == "Open first: results/figures/\n"


def test_one_job_that_was_asked_for_has_no_bars(bars):
    say(bars, "Job stats: plan 1", event="run_info", stats={"plan": 1, "total": 1})
    begin(bars, 0, "plan")
    say(bars, event="job_finished", job_id=0)
    assert bars.own.stream.getvalue() == "Job stats: plan 1\n"
