"""The small study of the tests, and a folder in which Snakemake runs it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from tokengeometry.operations.studies import folder_of

REPOSITORY = Path(__file__).parents[1]
# The environment of a process that has no network; see tests/offline.
OFFLINE = {"PYTHONPATH": str(REPOSITORY / "tests" / "offline")}
# Python that prints a process's peak memory in bytes. Not getrusage's: a process inherits that of its parent.
PRINT_PEAK = """
with open("/proc/self/status") as status:
    print(next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:")))
"""

SMALL = {
    "seed": 3,
    "samples": 24,
    "samples_per_part": 16,
    "concatenated_samples": 24,
    "models": {
        "tiny": {
            "architecture": "vit_tiny_patch16_224",
            "image_size": 64,
            "layers": [0, 1, 2],
            "weights": {"source": "random", "seed": 0},
        }
    },
    "datasets": {
        "pictures": {
            "class": "ImageFolder",
            "splits": {"test": {"arguments": {"root": "pictures"}}},
        }
    },
    "images": {"crop": "center", "resize": "uint8"},
    "forward": {"precision": "float32"},
    "activations": {"store": True, "dtype": "float32", "keep": True},
    "moments": {"keep": True},
    "fit": {"ranks": [2, 15], "min_ranks": 8, "weights": "inverse_rank"},
    "uncertainty": {"folds": 2, "images": 16, "margin": 0.05},
    "statistics": ["power_law", "rankme", "token_norm"],
    "clusters": {"count": 2, "neighbors": 5, "min_dist": 0.1, "seed": 0},
    "figures": {"eigenspectrum": {"layer": 1, "token": "cls"}},
    "explorer": {"thumbnails": 6},
    "compute": {"device": "cpu", "batch_size": 8, "threads": 2},
}


def write_pictures(folder, count=30):
    """An ImageFolder of `count` pictures whose first patch of 16 × 16 (at 64 px) is black."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        picture = np.array(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))
        picture[:24, :24] = 0
        path = folder / f"class_{index % 2}" / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


class Workflow:
    """A working directory in which Snakemake runs this repository's workflow."""

    PACKAGE = REPOSITORY / "workflow"

    def __init__(self, directory, config, repository=REPOSITORY):
        self.directory = directory
        self.repository = repository
        self.configure(config)

    def configure(self, config):
        self.folder = folder_of(config)
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def command(self, *arguments, cores=2):
        command = [sys.executable, "-m", "snakemake", "--snakefile", self.repository / "Snakefile"]
        command += ["--cores", cores, "--workflow-profile", self.repository / "profiles" / "default", *arguments]
        return [str(part) for part in command]

    def run(self, *arguments, check=True, environment=None, cores=2, user=None):
        """Call snakemake; returns the finished process with its output as text.

        `user` are the arguments of subprocess.run that say as whom to run it.
        """
        process = subprocess.run(
            self.command(*arguments, cores=cores),
            cwd=self.directory,
            env=os.environ | (environment or {}),
            **(user or {}),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if check and process.returncode:
            raise AssertionError(process.stdout)
        return process

    def planned(self, *arguments):
        """What a dry run would run: a set of (rule, {wildcard: value, …} as sorted pairs)."""
        output = self.run("--dry-run", *arguments).stdout
        jobs = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", output, re.MULTILINE)
        found = {(rule, _wildcards(lines)) for rule, lines in jobs}
        total = re.search(r"^total +(\d+)$", output, re.MULTILINE)
        assert len(jobs) == (int(total[1]) if total else 0), output
        assert jobs or "Nothing to be done" in output
        return {job for job in found if job[0] != "all"}

    def copy(self, directory):
        """A copy of the working directory, with the times of its files and Snakemake's records; its path."""
        shutil.copytree(self.directory, directory, symlinks=True)
        return directory

    def path(self, *parts):
        return self.directory.joinpath(self.folder, *parts)

    @property
    def branch(self):
        return self.path("tiny", "pictures", "test")


def _wildcards(lines):
    listed = re.search(r"^    wildcards: (.*)$", lines, re.MULTILINE)
    return tuple(sorted(tuple(pair.split("=")) for pair in listed[1].split(", "))) if listed else ()
