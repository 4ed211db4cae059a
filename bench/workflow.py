"""The workflow as it is benchmarked: configurations, working directories, commands, and what a run left behind."""

import copy
import csv
import shutil
import sys
from pathlib import Path

import yaml
from tokengeometry.errors import StudyError
from tokengeometry.study import Study

REPOSITORY = Path(__file__).parents[1]
# What `snakemake fetch` leaves in a working directory.
FETCHED = ("results", ".snakemake")


def with_samples(config, samples):
    """A copy of a configuration with so many images of every split, in one part."""
    config = copy.deepcopy(config)
    config |= dict.fromkeys(("samples", "samples_per_part", "concatenated_samples"), samples)
    for dataset in config["datasets"].values():
        for split in dataset["splits"].values():
            split.pop("samples", None)
    return config


def settings(config, samples, image_size, *, store=True):
    """A copy of a configuration for a run of a size, on the CPU, with its stores kept or in direct mode."""
    config = with_samples(config, samples)
    for model in config["models"].values():
        model["image_size"] = image_size
    config["activations"] |= {"store": store, "keep": True}
    config["moments"]["keep"] = True
    config["compute"]["device"] = "cpu"
    return config


def with_another_fit(config):
    """A copy of a configuration whose power laws begin a rank later."""
    config = copy.deepcopy(config)
    config["fit"]["ranks"][0] += 1
    return config


def only_branch(config):
    """The study's model, data set and split.

    Raises
    ------
    StudyError
        If there are several.
    """
    branches = Study(config).branches
    if len(branches) != 1:
        raise StudyError(f"the benchmark is of one model on one split; the configuration has {len(branches)}")
    return branches[0]


def analysed_layers(config):
    return Study(config).layers(only_branch(config).model)


def configure(directory, config):
    (Path(directory) / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def command(*arguments):
    """A call of snakemake with this repository's workflow, in whatever working directory."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--cores", "all"]
    words += ["--workflow-profile", REPOSITORY / "profiles" / "default", *arguments]
    return [str(word) for word in words]


def copy_fetched(fetched, directory, config):
    """A new working directory in which all is fetched, with the times of its files and Snakemake's records."""
    for name in FETCHED:
        shutil.copytree(Path(fetched, name), Path(directory, name), symlinks=True)
    configure(directory, config)


def remove_analysis(results):
    """Remove what is made from the activations, but for tables and figures."""
    for kind in ("moments", "spectra", "correlations", "uncertainty"):
        for folder in Path(results).glob(f"*/*/*/{kind}"):
            shutil.rmtree(folder)


def rule_costs(results):
    """What the jobs of every rule took, from Snakemake's benchmark files.

    Returns
    -------
    list of dict
        rule, jobs, seconds, cpu_seconds, peak_bytes (the largest job's), in the order in which the rules ended;
        without the rules that fetch.
    """
    found = {}
    for file in sorted(Path(results, "benchmarks").glob("*/*.tsv"), key=lambda file: file.stat().st_mtime):
        if file.parent.name in ("model", "dataset"):
            continue
        rule = found.setdefault(
            file.parent.name, dict(rule=file.parent.name, jobs=0, seconds=0.0, cpu_seconds=0.0, peak_bytes=0)
        )
        with file.open() as rows:
            for row in csv.DictReader(rows, delimiter="\t"):
                rule["jobs"] += 1
                rule["seconds"] += _number(row["s"])
                rule["cpu_seconds"] += _number(row["cpu_time"])
                rule["peak_bytes"] = max(rule["peak_bytes"], int(_number(row["max_pss"]) * 2**20))
    return list(found.values())


def _number(cell):
    """Snakemake leaves out what a short job was too short for."""
    try:
        return float(cell)
    except ValueError:
        return 0.0


def stored_bytes(results):
    """Bytes of a run's results: all, those of activations and those of moments."""
    results = Path(results)
    folders = {"all": [results]}
    folders |= {kind: results.glob(f"*/*/*/{kind}") for kind in ("activations", "moments")}
    return {kind: sum(_bytes(folder) for folder in its) for kind, its in folders.items()}


def _bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
