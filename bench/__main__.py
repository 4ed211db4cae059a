"""What the workflow takes, beside the bare forward pass and beside the naive way.

    make bench                  (BENCH_ARGS="--samples 500" gives it arguments)

measures the default study at several sizes and writes `bench.md`, `bench.json` and a figure. The size with the most
images is measured in full, its analysis and what follows also alone, the other sizes as wholes. Repeats of that size
take turns, so that whatever else the machine does meets all alike; the naive way and the smaller sizes are measured
once.
"""

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import platform
import shutil
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import yaml
from tokengeometry.errors import StudyError, explain
from tokengeometry.figures.style import save
from tokengeometry.operations.cost.sizes import activation_disk, layer_shape
from tokengeometry.operations.cost.sums import moments
from tokengeometry.operations.resources import ALLOCATOR
from tokengeometry.tables import TOKENS

from bench import workflow
from bench.process import CommandError, measure
from bench.report import LARGEST_DIFFERENCE, Measurement, as_rows, growth, growth_figure, report

PACKAGES = ("torch", "timm", "numpy", "scikit-learn", "zarr", "snakemake")
# For what runs beside the workflow.
PYTHONPATH = os.pathsep.join(str(workflow.REPOSITORY / folder) for folder in ("", "workflow"))
PARTIAL = "bench.partial.json"
COMPILE = """
import numpy
from tokengeometry.geometry.clusters import cluster_trajectories
cluster_trajectories(numpy.random.default_rng(0).normal(size=(20, 3)), 2)
"""
# The share of its operations that a model with merged tokens has.
REDUCED = "0.5"
# Python, torch, and what no formula counts.
SPARE_BYTES = 2**30


class Bench:
    """Measurements of one study at several sizes.

    Parameters
    ----------
    config : dict
    place : path
        Of the working directories.
    save : callable
        Called after each run, with all that was measured so far.
    """

    def __init__(self, config, place, save):
        self.config = config
        self.save = save
        self.place = Path(place).resolve()
        self.branch = workflow.only_branch(config)
        self.models = {}  # the content of model.json by image size
        self.measurements, self.agreement, self.rules, self.stored_bytes = [], [], {}, {}

    def fetch(self, samples, image_sizes):
        """Fetch the model at every size, and the data set once; compile what an environment compiles once."""
        before = None
        for size in image_sizes:
            directory = self._fetched(size)
            directory.mkdir(parents=True)
            config = workflow.settings(self.config, samples, size)
            if before:
                workflow.copy_fetched(before, directory, config)
            else:
                workflow.configure(directory, config)
            say(f"fetch, {size} pixels …")
            measure(workflow.command("fetch"), cwd=directory)
            self.models[size] = json.loads(
                (directory / "results/models" / self.branch.model / "model.json").read_text()
            )
            before = directory
        say("compile UMAP, unless the environment has it …")
        measure([sys.executable, "-c", COMPILE], environment={"PYTHONPATH": PYTHONPATH})

    def needs(self, samples, image_size):
        """Bytes of disk and of memory that a size takes: those of the study with stores, and of the naive way."""
        model = self.models[image_size]
        shapes = [layer_shape(model, layer) for layer in workflow.analysed_layers(self.config)]
        every = [layer_shape(model, layer) for layer in range(model["depth"] + 1)]
        dtype = self.config["activations"]["dtype"]
        disk = sum(activation_disk(samples, *shape, dtype) for shape in every)
        disk += sum(2 * moments(samples, *shape).disk for shape in shapes)
        values = [samples * tokens * features for tokens, features in shapes]
        # All layers in float32; besides, of the largest, its flattened copy in float32 and in float64.
        memory = 4 * sum(values) + 12 * max(values)
        return disk + SPARE_BYTES, memory + SPARE_BYTES

    def measure(self, samples, image_size, *, full, repeats, naive=True):
        """Measure one size: in full, so many times; or the four ways as wholes. The naive way may be left out."""
        for repeat in range(repeats):
            self._forward("forward", samples, image_size)
            if full:
                self._forward("forward_allocator", samples, image_size, environment=ALLOCATOR)
                self._forward("forward_reduced", samples, image_size, REDUCED)
            alpha = self._stored(samples, image_size, full=full)
            self._direct(samples, image_size, full=full)
            if repeat == 0 and naive:
                self._naive(samples, image_size, alpha)

    def _forward(self, what, samples, image_size, *arguments, environment=None):
        cost = self._beside("bench.forward", what, samples, image_size, *arguments, environment=environment)
        its = json.loads(cost.output)
        self._add(what, samples, image_size, its["seconds"], its["cpu_seconds"], cost.peak_bytes)

    def _naive(self, samples, image_size, alpha):
        table = self.place / "naive.csv"
        cost = self._beside("bench.naive", "naive", samples, image_size, table)
        tokens, difference = agreement(alpha, pd.read_csv(table), self.config["fit"]["ranks"])
        self.agreement.append(dict(samples=samples, image_size=image_size, tokens=tokens, largest=difference))
        for stage, its in json.loads(cost.output).items():
            self._add(f"naive_{stage}", samples, image_size, its["seconds"], its["cpu_seconds"])
        self._add("naive", samples, image_size, cost.seconds, cost.cpu_seconds, cost.peak_bytes)

    def _stored(self, samples, image_size, *, full):
        """Also, in full, what its stages take again afterwards, and a change of the fit. Returns the table of α."""
        config = workflow.settings(self.config, samples, image_size)
        with self._directory(config) as directory:
            self._run("stored", samples, image_size, directory)
            branch = self.branch
            alpha = pd.read_csv(directory / "results" / branch.model / branch.dataset / branch.split / "alpha.csv")
            if full:
                self._look("stored", directory)
                workflow.remove_analysis(directory / "results")
                self._run("analysis", samples, image_size, directory, "--until", "spectra", "correlation_matrix")
                self._run("uncertainty", samples, image_size, directory, "--until", "uncertainty")
                self._run("rest", samples, image_size, directory)
                workflow.configure(directory, workflow.with_another_fit(config))
                self._run("fit", samples, image_size, directory)
            return alpha

    def _direct(self, samples, image_size, *, full):
        with self._directory(workflow.settings(self.config, samples, image_size, store=False)) as directory:
            self._run("direct", samples, image_size, directory)
            if full:
                self._look("direct", directory)

    def _look(self, mode, directory):
        """What the rules of a run took, and what it left."""
        self.rules[mode] = workflow.rule_costs(directory / "results")
        self.stored_bytes[mode] = workflow.stored_bytes(directory / "results")
        self.save(self.found())

    def _fetched(self, image_size):
        return self.place / f"fetched_{image_size}"

    @contextlib.contextmanager
    def _directory(self, config):
        """A working directory in which nothing but the fetching was done, for as long as the block."""
        (model,) = config["models"].values()
        directory = self.place / "run"
        try:
            workflow.copy_fetched(self._fetched(model["image_size"]), directory, config)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _run(self, what, samples, image_size, directory, *arguments):
        before = workflow.stored_bytes(directory / "results")["all"]
        cost = timed(what, samples, image_size, workflow.command(*arguments), cwd=directory)
        grown = workflow.stored_bytes(directory / "results")["all"] - before
        self._add(what, samples, image_size, cost.seconds, cost.cpu_seconds, cost.peak_bytes, grown)

    def _beside(self, module, what, samples, image_size, *arguments, environment=None):
        """Run a module of this package on the fetched model and images."""
        directory = self._fetched(image_size)
        workflow.configure(directory, workflow.settings(self.config, samples, image_size))
        return timed(
            what,
            samples,
            image_size,
            [sys.executable, "-m", module, *arguments],
            cwd=directory,
            environment={"PYTHONPATH": PYTHONPATH} | (environment or {}),
        )

    def _add(self, what, samples, image_size, *costs):
        model = self.models[image_size]
        tokens, _ = layer_shape(model, model["depth"])
        self.measurements.append(Measurement(what, samples, image_size, tokens, *costs))
        self.save(self.found())

    def found(self):
        """What was measured so far, as in `bench.json`."""
        return {
            "measurements": as_rows(self.measurements),
            "rules": self.rules,
            "stored_bytes": self.stored_bytes,
            "agreement": self.agreement,
        }


def agreement(exact, naive, ranks):
    """How far the naive way's α are from the workflow's.

    Parameters
    ----------
    exact : pandas.DataFrame
        The workflow's `alpha.csv`.
    naive : pandas.DataFrame
        layer, token, alpha.
    ranks : (int, int)

    Returns
    -------
    tokens : int
        Those compared: to which the workflow gives an α from all ranks.
    largest : float
        Of their |Δα|; NaN if the naive way has none for one of them.
    """
    first, last = ranks
    fitted = exact[exact.kind.isin(TOKENS) & exact.alpha.notna() & (exact.ranks == last - first + 1)]
    both = fitted.merge(naive, on=["layer", "token"], suffixes=("_exact", "_naive"), validate="1:1")
    return len(both), float((both.alpha_exact - both.alpha_naive).abs().max(skipna=False))


def timed(what, samples, image_size, command, **options):
    say(f"{what}, {samples} images of {image_size} pixels …")
    # What the run before has written is not this one's to wait for.
    os.sync()
    cost = measure(command, **options)
    say(f"{what}: {cost.seconds:.1f} s, CPU {cost.cpu_seconds:.1f} s, {cost.peak_bytes / 2**30:.2f} GiB")
    return cost


def say(line):
    print(f"bench: {line}", file=sys.stderr, flush=True)


def check_room(bench, sizes, *, naive=True):
    """Raise StudyError, in one line, unless disk, and for the naive way memory, suffice for every size."""
    disk, memory = (max(needed) for needed in zip(*(bench.needs(*size) for size in sizes), strict=True))
    for what, needed, free in (
        ("disk", disk, shutil.disk_usage(bench.place).free),
        ("memory", memory * naive, psutil.virtual_memory().available),
    ):
        if needed > free:
            raise StudyError(
                f"the largest size needs {needed / 1e9:.1f} GB of {what}, and {free / 1e9:.1f} GB are free: "
                "make room, or give fewer --samples"
            )


def machine():
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "cpu": next(names, platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
    }


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[125, 500, 2000], help="numbers of images")
    parser.add_argument(
        "--image-sizes", type=int, nargs="+", default=[112, 168, 224], help="pixels; more make more tokens"
    )
    parser.add_argument("--image-size-samples", type=int, default=125, help="images at each of the image sizes")
    parser.add_argument("--repeats", type=int, default=1, help="of the size with the most images")
    parser.add_argument("--without-naive", action="store_true", help="leave out the naive way, and its memory")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"), help="folder of the report")
    parser.add_argument("--config", type=Path, default=workflow.REPOSITORY / "config.yaml", help="another study")
    parser.add_argument("--keep", action="store_true", help="keep the working directories")
    return parser.parse_args(arguments)


def described(options):
    """The command with every setting that counts, and no path."""
    words = ["python -m bench", "--samples", *options.samples, "--image-sizes", *options.image_sizes]
    words += ["--image-size-samples", options.image_size_samples, "--repeats", options.repeats]
    words += ["--without-naive"] * options.without_naive
    if options.config.resolve() != workflow.REPOSITORY / "config.yaml":
        words += ["--config", options.config.name]
    return " ".join(map(str, words))


def run(options, place):
    """Measure all sizes; returns what `bench.report.report` takes. Until then `PARTIAL` has what there is of it."""
    config = yaml.safe_load(options.config.read_text())
    (model,) = config["models"].values()
    most, usual = max(options.samples), model["image_size"]
    about = {
        "command": described(options),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "study": {
            **vars(workflow.only_branch(config)),
            "architecture": model["architecture"],
            "layers": len(workflow.analysed_layers(config)),
            "precision": config["forward"]["precision"],
            "batch_size": config["compute"]["batch_size"],
            "samples": most,
            "image_size": usual,
            "all_samples": options.samples,
            "image_sizes": options.image_sizes,
            "image_size_samples": options.image_size_samples,
        },
    }
    bench = Bench(config, place, lambda found: write_json(about | found, options.output / PARTIAL))
    sizes = [(samples, usual) for samples in options.samples]
    sizes += [(options.image_size_samples, size) for size in options.image_sizes]
    sizes = sorted(set(sizes))
    bench.fetch(max(samples for samples, _ in sizes), sorted({size for _, size in sizes}))
    check_room(bench, sizes, naive=not options.without_naive)
    for samples, size in sizes:
        full = (samples, size) == (most, usual)
        bench.measure(samples, size, full=full, repeats=options.repeats if full else 1, naive=not options.without_naive)
    return about | bench.found()


def write_json(results, path):
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(new, path)


def write(results, folder):
    write_json(results, folder / "bench.json")
    (folder / PARTIAL).unlink(missing_ok=True)
    (folder / "bench.md").write_text(report(results))
    branch = tuple(results["study"][key] for key in ("model", "dataset", "split", "samples"))
    save(growth_figure(*growth(results)), [branch], folder / "bench.png", folder / "bench.svg")
    say(f"written: {folder / 'bench.md'}, bench.json, bench.png, bench.svg")


@contextlib.contextmanager
def working_place(output, *, keep):
    """An empty folder for the working directories, of one benchmark at a time; removed at the end unless it is kept."""
    output.mkdir(parents=True, exist_ok=True)
    lock = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StudyError(f"another benchmark is writing to {output}; wait for it, or name another --output") from error
    place = output / "work"
    try:
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        yield place
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def main(arguments=None):
    options = parse(arguments)
    # What runs is ended, and its folder removed, also then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated"))
    try:
        with working_place(options.output, keep=options.keep) as place:
            results = run(options, place)
            write(results, options.output)
    except (StudyError, CommandError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {explain(error) or error}")
    for its in results["agreement"]:
        # A comparison with NaN is false.
        if not its["largest"] <= LARGEST_DIFFERENCE:
            sys.exit(
                f"error: α of the naive way and of the workflow differ by {its['largest']:.1e} "
                f"at {its['samples']} images of {its['image_size']} pixels"
            )


if __name__ == "__main__":
    main()
