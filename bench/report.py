"""From what was measured to Markdown and a figure."""

from dataclasses import asdict, dataclass
from statistics import median

from matplotlib.ticker import FuncFormatter, NullLocator
from tokengeometry.figures.style import DOUBLE_COLUMN, applied, new_figure

# By what is measured: its words in the table, and what of the naive way does the same.
ROWS = {
    "forward": ("bare forward pass (the loop alone)", None),
    "forward_allocator": ("the same, with the workflow's settings of the allocator", None),
    "forward_reduced": ("forward pass with tokens merged to half of the operations (`tome`)", None),
    "naive_forward": ("naive: forward pass with hooks", None),
    "naive_pca": ("naive: PCA of every token", None),
    "naive_corrcoef": ("naive: correlations", None),
    "naive": ("**naive: whole**", None),
    "analysis": ("workflow: moments, spectra, correlations alone", ("naive_pca", "naive_corrcoef")),
    "uncertainty": ("workflow: scores and folds alone (`uncertainty`)", None),
    "rest": ("workflow: tables, clusters, figures alone", None),
    "stored": ("**workflow: whole, with stores**", ("naive",)),
    "direct": ("**workflow: whole, direct mode**", ("naive",)),
    "fit": ("workflow: again after a change of `fit.ranks`", None),
}
# What grows: its words, colour (Paul Tol's "bright" scheme) and marker.
CURVES = {
    "forward": ("bare forward pass", "#000000", "o"),
    "naive": ("naive", "#EE6677", "s"),
    "stored": ("workflow, stores", "#4477AA", "^"),
    "direct": ("workflow, direct mode", "#228833", "D"),
}
LARGEST_DIFFERENCE = 1e-2  # of α between the naive way and the workflow


@dataclass(frozen=True)
class Measurement:
    """One run, or one stage of a run.

    Attributes
    ----------
    what : str
        A key of `ROWS`.
    samples, image_size, tokens : int
        Images, pixels, tokens of the last layer.
    seconds, cpu_seconds : float
    peak_bytes : int or None
        Memory of the process tree; None for a stage that shares its process with others.
    disk_bytes : int or None
        By which results/ grew.
    """

    what: str
    samples: int
    image_size: int
    tokens: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True)
class Target:
    """A bound on a number; `measured` is None where what it needs was not measured."""

    name: str
    measured: float | None
    bound: float
    most: bool
    unit: str

    @property
    def met(self):
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.most else self.measured >= self.bound


class Measurements:
    """Measurements of one size, by what was measured; repeated ones by their median."""

    def __init__(self, measurements, samples, image_size):
        self._runs = {}
        for run in measurements:
            if (run.samples, run.image_size) == (samples, image_size):
                self._runs.setdefault(run.what, []).append(run)

    def __contains__(self, what):
        return what in self._runs

    def values(self, what, quantity):
        values = [getattr(run, quantity) for run in self._runs.get(what, [])]
        return [value for value in values if value is not None]

    def median(self, what, quantity="seconds"):
        """None where it was not measured."""
        values = self.values(what, quantity)
        return median(values) if values else None

    def over(self, dividend, divisor, quantity="seconds"):
        """Ratio of sums of medians, of several names each; None where one was not measured."""
        sums = []
        for names in (dividend, divisor):
            values = [self.median(name, quantity) for name in names]
            sums.append(None if None in values else sum(values))
        return None if None in sums or not sums[1] else sums[0] / sums[1]

    @property
    def tokens(self):
        return next(iter(self._runs.values()))[0].tokens


def targets(found):
    """The targets that the workflow is held to, from the `Measurements` of one size."""
    analysis = ("naive_pca", "naive_corrcoef")
    return [
        Target("moments, spectra, correlations ÷ bare forward", found.over(["analysis"], ["forward"]), 0.4, True, "×"),
        Target("scores and folds ÷ bare forward", found.over(["uncertainty"], ["forward"]), 0.45, True, "×"),
        Target("whole study with stores ÷ bare forward", found.over(["stored"], ["forward"]), 1.45, True, "×"),
        Target("whole study in direct mode ÷ bare forward", found.over(["direct"], ["forward"]), 1.15, True, "×"),
        Target("again after a change of `fit.ranks`", found.median("fit"), 20, True, " s"),
        Target("naive analysis ÷ the workflow's", found.over(analysis, ["analysis"]), 2, False, "×"),
        Target(
            "naive peak memory ÷ the workflow's with stores",
            found.over(["naive"], ["stored"], "peak_bytes"),
            5,
            False,
            "×",
        ),
    ]


def main_table(found):
    """Markdown: everything measured at one size, with its ratios to the bare forward pass and to the naive way."""
    rows = []
    for what, (words, naive) in ROWS.items():
        if what in found:
            rows.append(
                (
                    words,
                    _spread(found.values(what, "seconds"), "s"),
                    _spread(found.values(what, "cpu_seconds"), "s"),
                    _memory(found.median(what, "peak_bytes")),
                    _disk(found.median(what, "disk_bytes")),
                    _ratio(found.over([what], ["forward"])),
                    _ratio(naive and found.over(naive, [what])),
                )
            )
    return _table(("", "wall", "CPU", "peak memory", "disk", "÷ bare forward", "naive ÷ it"), rows)


def target_table(found):
    verdicts = {True: "met", False: "**missed**", None: "not measured"}
    rows = []
    for target in targets(found):
        bound = f"{'≤' if target.most else '≥'} {target.bound:g}{target.unit}"
        measured = "–" if target.measured is None else f"{target.measured:.2f}{target.unit}"
        rows.append((target.name, bound, measured, verdicts[target.met]))
    return _table(("target", "bound", "measured", ""), rows)


def rule_table(rules):
    """Markdown of `bench.workflow.rule_costs`."""
    rows = [
        (
            f"`{rule['rule']}`",
            str(rule["jobs"]),
            _seconds(rule["seconds"]),
            _seconds(rule["cpu_seconds"]),
            _memory(rule["peak_bytes"]),
        )
        for rule in rules
    ]
    return _table(("rule", "jobs", "seconds of all jobs", "their CPU", "largest job's memory"), rows)


def growth_table(sizes, heading):
    """Markdown: wall time and peak memory of each way at several sizes, a dict of size to `Measurements`."""
    rows = [
        (str(size), *(f"{_seconds(found.median(way))}, {_memory(found.median(way, 'peak_bytes'))}" for way in CURVES))
        for size, found in sizes.items()
    ]
    return _table((heading, *(words for words, _, _ in CURVES.values())), rows)


@applied
def growth_figure(by_samples, by_tokens):
    """Wall time of each way against images and against tokens, dicts of size to `Measurements`."""
    figure = new_figure(DOUBLE_COLUMN, 2.6)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, sizes, label in zip(panels, (by_samples, by_tokens), ("Images", "Tokens"), strict=True):
        for way, (words, colour, marker) in CURVES.items():
            seconds = [found.median(way) for found in sizes.values()]
            if None not in seconds:
                axes.plot(list(sizes), seconds, color=colour, marker=marker, label=words)
        axes.set(xscale="log", yscale="log", xlabel=label)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(list(sizes))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panels[0].set_ylabel("Wall time (s)")
    panels[0].legend()
    return figure


def report(results):
    """The whole report.

    Parameters
    ----------
    results : dict
        As in `bench.json`: command, date, machine, versions, study, measurements (of `Measurement`'s fields), rules,
        stored_bytes, agreement.

    Returns
    -------
    str, Markdown
    """
    study = results["study"]
    found = largest(results)
    by_samples, by_tokens = growth(results)
    stored = results["stored_bytes"]["stored"]
    lines = [
        "# Benchmark",
        f"`{results['command']}`, {results['date']}",
        f"{results['machine']['cpu']}, {results['machine']['cores']} cores, "
        f"{results['machine']['memory_bytes'] / 2**30:.0f} GiB of memory; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + ".",
        f"{study['architecture']} on {study['samples']} images of {study['image_size']} pixels "
        f"({study['dataset']} {study['split']}), {found.tokens} tokens, {study['layers']} layers, "
        f"{study['precision']}, batches of {study['batch_size']}, on the CPU.",
        main_table(found),
        "The bare forward pass is timm's model in `inference_mode` over images that are preprocessed before and all "
        "in memory; its time is the loop's alone, after a first batch, its memory the whole process's. The naive "
        "way keeps every activation in memory in float32, then takes scikit-learn's `PCA()` of every token, "
        "`np.corrcoef` of every layer and `np.polyfit`; it makes no pooled or concatenated spectra, no clusters and "
        "no figures, so the comparison favours it. Of the naive way and the workflow, every time but those of the "
        "naive stages has the start of the processes in it, but what numba compiles once for an environment (40 s) was "
        "compiled before. Peak memory is that of all processes together; disk is "
        "what results/ grew by. Where something was measured several times, it is the median, with the least and "
        "the most in brackets.",
        f"With stores, results/ holds {_disk(stored['all'])}, of which activations {_disk(stored['activations'])} and "
        f"moments {_disk(stored['moments'])}.",
        *_agreement(results["agreement"]),
        "## Targets",
        target_table(found),
    ]
    for mode, words in (("stored", "with stores"), ("direct", "in direct mode")):
        lines += [f"## Rules, {words}", rule_table(results["rules"][mode])]
    lines += [
        "## Growth",
        f"Wall time and peak memory with the number of images, at {found.tokens} tokens:",
        growth_table(by_samples, "images"),
        f"With the number of tokens, at {study['image_size_samples']} images:",
        growth_table(by_tokens, "tokens"),
        "![wall time against images and tokens](bench.png)",
    ]
    return "\n\n".join(lines) + "\n"


def _agreement(agreement):
    """How far α of the naive way is from the workflow's; nothing where there is no naive way."""
    if agreement:
        yield (
            "The workflow's α and the naive way's differ by at most "
            f"{max(its['largest'] for its in agreement):.1e} over {sum(its['tokens'] for its in agreement)} tokens of "
            f"{len(agreement)} runs, of all tokens to which the workflow gives an α from all ranks."
        )


def largest(results):
    """The `Measurements` of the size that was measured in full."""
    study = results["study"]
    return Measurements(_runs(results), study["samples"], study["image_size"])


def growth(results):
    """`Measurements` by number of images, and by number of tokens."""
    study = results["study"]
    runs = _runs(results)
    by_samples = {samples: Measurements(runs, samples, study["image_size"]) for samples in sorted(study["all_samples"])}
    at_sizes = [Measurements(runs, study["image_size_samples"], size) for size in sorted(study["image_sizes"])]
    return by_samples, {its.tokens: its for its in at_sizes}


def as_rows(measurements):
    """As they are kept in JSON."""
    return [asdict(run) for run in measurements]


def _runs(results):
    return [Measurement(**fields) for fields in results["measurements"]]


def _table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _seconds(value):
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def _spread(values, unit):
    if not values:
        return "–"
    words = _seconds(median(values))
    if len(values) == 1:
        return words
    ends = (_seconds(end).removesuffix(f" {unit}") for end in (min(values), max(values)))
    return f"{words} ({'–'.join(ends)})"


def _memory(value):
    return "–" if value is None else f"{value / 2**30:.1f} GiB"


def _disk(value):
    # A run that replaces files may leave some bytes less.
    return "–" if value is None else f"{max(0, value) / 1e9:.1f} GB"


def _ratio(value):
    return "–" if value is None else f"{value:.2f}"
