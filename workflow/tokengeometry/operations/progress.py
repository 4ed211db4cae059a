"""What a person at a terminal sees of a run: a bar for each stage, what runs now, and how long it will take.

Snakemake's own handler of its log writes twelve lines a job to the terminal. `StageBars` takes its place there. What
the run itself has to say stands above the bars: warnings, failures in full, the last words. The file in
`.snakemake/log` has every line, as ever.
"""

import atexit
import logging
import re
import time
from dataclasses import dataclass, field
from statistics import fmean

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# The events of Snakemake's log that the bars show, or that a person at the bars has no use for.
DRAWN = {
    "run_info", "workflow_started", "resources_info", "job_info", "job_started", "job_finished", "group_info",
    "progress", "shellcmd",
}  # fmt: skip
# What it says between jobs without calling it an event.
PASSING = re.compile(
    r"Assuming unrestricted|Building DAG|Using shell|Conda environments: ignored|Group jobs: inactive|"
    r"Select jobs to execute|Execute \d+ jobs|Removing temporary output|Job \d+ has been submitted"
)
BAR = 30  # columns
# The target of all that is made: no stage.
TARGET = "all"


@dataclass
class Stage:
    """The jobs of a rule: how many, what runs now, and what those that are done took.

    Attributes
    ----------
    total, done : int
    running : dict of int to (dict of str to str, float)
        By the job's number: its wildcards, and when it began.
    seconds : list of float
    failed : set of int
        Jobs that have failed and did not begin again.
    """

    total: int
    done: int = 0
    running: dict = field(default_factory=dict)
    seconds: list = field(default_factory=list)
    failed: set = field(default_factory=set)


class Progress:
    """How far a run is.

    Parameters
    ----------
    totals : dict of str to int
        How many jobs each rule has.
    now : float
        Seconds, from any beginning.
    """

    def __init__(self, totals, now):
        self.stages = {rule: Stage(total) for rule, total in totals.items()}
        self.began = now
        self._rules = {}

    @property
    def done(self):
        """How many jobs are done."""
        return sum(stage.done for stage in self.stages.values())

    @property
    def total(self):
        """How many jobs there are."""
        return sum(stage.total for stage in self.stages.values())

    def begin(self, job, rule, wildcards, now):
        """A job begins, perhaps not for the first time.

        All jobs of a group begin at once and end at once: each takes the group's time, and all run side by side.
        """
        self._rules[job] = rule
        stage = self.stages.setdefault(rule, Stage(1))
        stage.running[job] = (wildcards, now)
        stage.failed.discard(job)

    def end(self, job, now):
        """A job is done."""
        stage = self._stage(job)
        _, began = stage.running.pop(job, (None, now))
        stage.seconds.append(now - began)
        stage.done += 1

    def fail(self, job):
        """A job has failed; it may begin again."""
        stage = self._stage(job)
        stage.running.pop(job, None)
        stage.failed.add(job)

    def _stage(self, job):
        # Of a job that was never said to begin, nothing is known.
        return self.stages.get(self._rules.get(job), Stage(0))

    def expected(self, now):
        """Seconds to the end, if jobs go on as they did: each takes what those of its rule took, as many side by side.

        A rule of which no job is done yet is taken for one like the others; the target takes no time.

        Returns
        -------
        float or None
            None before the first job is done.
        """
        took = [seconds for stage in list(self.stages.values()) for seconds in stage.seconds]
        if not took:
            return None
        left, spent = 0.0, sum(took)
        for rule, stage in list(self.stages.items()):
            each = 0.0 if rule == TARGET else fmean(stage.seconds or took)
            runs = [now - began for _, began in list(stage.running.values())]
            left += (stage.total - stage.done) * each - sum(min(seconds, each) for seconds in runs)
            spent += sum(runs)
        return left / max(spent / max(now - self.began, 1e-9), 1.0)


class StageBars(logging.Handler):
    """A handler of Snakemake's log that draws a run's progress where its own would write it.

    Parameters
    ----------
    own : logging.StreamHandler
        Snakemake's, of a terminal. Its filters hold, and its words for what is written.
    no_color : bool
    """

    def __init__(self, own, no_color=False):
        super().__init__()
        self.own = own
        self.filters = list(own.filters)
        self.console = Console(file=own.stream, no_color=no_color or None, highlight=False)
        self.progress = None
        self._live = None
        # Of each wildcard. Those that are the same in all jobs tell nothing.
        self._values = {}
        atexit.register(self.close)

    def emit(self, record):
        """Draw a record of the log, or write it above what is drawn."""
        try:
            event = getattr(record, "event", None)
            self._follow(event, record)
            if event in DRAWN and not (event == "run_info" and self._live is None):
                return
            text = self.own.format(record)
            if text and text != "None" and not (record.levelno < logging.WARNING and PASSING.match(text)):
                style = "red" if record.levelno >= logging.ERROR else "yellow" * (record.levelno >= logging.WARNING)
                self.console.print(Text(text, style=style), soft_wrap=True)
        except Exception:
            self.handleError(record)

    def close(self):
        """Take the bars away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        super().close()

    def _follow(self, event, record):
        now = time.monotonic()
        if event == "run_info":
            totals = {rule: count for rule, count in record.stats.items() if rule != "total"}
            self.progress = Progress(totals, now)
            # What is asked for alone, as the plan, writes to the terminal itself.
            if self.progress.total > 1:
                self._live = Live(get_renderable=self.drawn, console=self.console, refresh_per_second=4, transient=True)
                self._live.start()
        elif self.progress is None:
            return
        elif event == "job_info":
            for name, value in record.wildcards.items():
                self._values.setdefault(name, set()).add(value)
            self.progress.begin(record.jobid, record.rule_name, record.wildcards, now)
        elif event == "job_finished":
            self.progress.end(record.job_id, now)
            if self.progress.done == self.progress.total:
                self.close()
        elif event == "job_error":
            self.progress.fail(record.jobid)

    def drawn(self):
        """The bars as they are now: as many stages as the terminal has lines for, what runs now before all.

        Returns
        -------
        rich.table.Table
        """
        progress, now = self.progress, time.monotonic()
        stages = {rule: stage for rule, stage in list(progress.stages.items()) if rule != TARGET}
        lines = max(self.console.height - 2, 1)
        # What is drawn first in a low terminal: what runs or has failed, what waits, what is done.
        ranks = {rule: not (stage.running or stage.failed) for rule, stage in stages.items()}
        ranks = {rule: rank + (stages[rule].done == stages[rule].total) for rule, rank in ranks.items()}
        chosen = set(sorted(stages, key=ranks.get)[:lines])
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, width=BAR)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.expand = True
        for rule, stage in stages.items():
            if rule in chosen:
                self._add(table, rule, stage.done, stage.total, self._running(stage), self._style(stage))
        left = progress.expected(now)
        words = f"{_clock(now - progress.began)} so far" + (f", about {_clock(left)} to go" if left is not None else "")
        self._add(table, "all jobs", progress.done, progress.total, words, "bold")
        return table

    def _add(self, table, name, done, total, words, style):
        bar = ProgressBar(total=total, completed=done, width=BAR)
        table.add_row(Text(name, style), Text(f"{done} of {total}", style), bar, Text(words, style))

    def _style(self, stage):
        if stage.failed:
            return "red"
        return "bold" if stage.running else "dim"

    def _running(self, stage):
        told = [
            " ".join(f"{name} {value}" for name, value in wildcards.items() if len(self._values[name]) > 1)
            for wildcards, _ in list(stage.running.values())
        ]
        words = ", ".join(filter(None, told)) or "runs" * bool(told)
        return f"{words}{', ' * bool(words)}failed" if stage.failed else words


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
