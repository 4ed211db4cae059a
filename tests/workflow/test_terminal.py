"""What a run writes to a terminal, and what to a pipe."""

import os
import pty
import re
import signal
import subprocess
import threading
import time

import pytest
from small_study import SMALL, Workflow

# Of Snakemake's own text, twelve lines a job.
JOB = r"^(?:local)?rule \w+:$"
DRAWN = ("--forcerun", "draw_clusters", "draw_claims", "--until", "draw_clusters", "draw_claims")


def at_terminal(workflow, *arguments, until=None, cores=2):
    """What snakemake writes to a terminal of 100 columns, and its exit status.

    Where `until` is written, the run gets what Ctrl-C sends.
    """
    ours, its = pty.openpty()
    os.set_blocking(ours, True)
    process = subprocess.Popen(
        workflow.command(*arguments, cores=cores),
        cwd=workflow.directory,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        # At a terminal nobody ignores Ctrl-C; whoever runs the tests in the background may.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(its)
    written = bytearray()

    def read():
        try:
            while data := os.read(ours, 65536):
                written.extend(data)
        except OSError:
            pass  # The terminal's other end is closed.

    reader = threading.Thread(target=read)
    reader.start()
    if until:
        deadline = time.monotonic() + 60
        while until.encode() not in written and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
    status = process.wait(timeout=120)
    reader.join(timeout=10)
    os.close(ours)
    return written.decode().replace("\r\n", "\n"), status


def plain(written):
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written)


@pytest.fixture(scope="module")
def workflow(finished, tmp_path_factory):
    return Workflow(finished.copy(tmp_path_factory.mktemp("terminal") / "study"), SMALL)


def newest_log(workflow):
    return max(workflow.directory.glob(".snakemake/log/*.log")).read_text()


def test_a_person_sees_bars_and_what_to_open_and_the_log_has_every_line(workflow):
    # One job at a time: of two that end within a quarter of a second the bars show only both.
    written, status = at_terminal(workflow, *DRAWN, cores=1)
    assert status == 0
    written = plain(written)
    assert re.search(r"^draw_clusters +0 of 1", written, re.MULTILINE)
    assert re.search(r"^all jobs +1 of 2 .*\d:\d\d:\d\d so far, about \d:\d\d:\d\d to go", written, re.MULTILINE)
    assert not re.search(JOB, written, re.MULTILINE)
    *_, opened, log, _elapsed = [line for line in written.splitlines() if line]
    assert opened == "Open first: results/explorer/index.html"
    assert log.startswith("Complete log(s): ")
    assert len(re.findall(JOB, newest_log(workflow), re.MULTILINE)) == 2


@pytest.mark.parametrize("arguments", [("--dry-run",), ("--quiet", "progress")])
def test_whoever_asks_for_more_or_less_gets_snakemakes_own_text(workflow, arguments):
    written, status = at_terminal(workflow, *arguments, *DRAWN)
    assert status == 0
    written = plain(written)
    assert "all jobs" not in written
    assert len(re.findall(JOB, written, re.MULTILINE)) == 2


def test_a_pipe_gets_snakemakes_own_text(workflow):
    written = workflow.run(*DRAWN).stdout
    assert "\x1b" not in written
    assert "all jobs" not in written
    assert len(re.findall(JOB, written, re.MULTILINE)) == 2


def test_a_failed_job_is_told_in_full_and_the_run_ends_with_its_line(workflow):
    table = workflow.branch / "claims.csv"
    content, times = table.read_text(), os.stat(table)
    table.write_text("claim\n")
    os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        written, status = at_terminal(workflow, "--keep-going", *DRAWN)
    finally:
        table.write_text(content)
        os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert status != 0
    written = plain(written)
    assert "Error in rule draw_claims:" in written
    assert "Traceback (most recent call last):" in written
    assert [line for line in written.splitlines() if line][-1].startswith("error: draw_claims (model=tiny, ")
    assert not re.search(JOB, written, re.MULTILINE)


def test_ctrl_c_ends_the_bars_and_gives_the_cursor_back(workflow):
    # More jobs than run at a time, so that some have not begun when it comes, however late.
    rules = ["draw_alpha", "draw_correlation", "draw_clusters", "draw_claims"]
    for _ in range(3):
        written, status = at_terminal(workflow, "--forcerun", *rules, "--until", *rules, until="0 of 1")
        # One that comes while Snakemake writes a line of its log may be lost: its handler of logs passes over it.
        if status != 0:
            break
    assert status != 0
    assert written.rindex("\x1b[?25h") > max(written.rindex("\x1b[?25l"), written.rindex("all jobs"))
