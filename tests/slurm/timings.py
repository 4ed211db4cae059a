"""How long the small study's chains take: locally, on Slurm job by job, on Slurm chain by chain.

    PYTHONPATH=workflow python tests/slurm/timings.py [LINKS]

prints a Markdown table. The Slurm is one of this machine's (see cluster.py), so all three have the same cores.
"""

import copy
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from small_study import REPOSITORY, SMALL, Workflow, write_pictures

from slurm.cluster import Cluster

WAYS = {
    "local": ["--cores", os.cpu_count()],
    "Slurm, a job each": ["--profile", REPOSITORY / "slurm"],
    "Slurm, a job a chain": ["--profile", REPOSITORY / "slurm", "--groups", "pixels=chain", "layer=chain"],
}


def run(directory, environment, *arguments):
    """Seconds of a run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile"]
    command += ["--workflow-profile", REPOSITORY / "profiles" / "default", *arguments]
    start = time.monotonic()
    process = subprocess.run(
        [str(word) for word in command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode:
        sys.exit(f"{process.stdout}{process.stderr}snakemake ended with {process.returncode}")
    return time.monotonic() - start


def main(links):
    config = copy.deepcopy(SMALL)
    config["models"]["tiny"]["layers"] = [links]
    config["figures"]["eigenspectrum"]["layer"] = links
    print(f"| 2 chains of {links} links | jobs in the queue | time |\n|---|---|---|")
    for way, arguments in WAYS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            with Cluster(folder / "slurm", cpus=os.cpu_count()) as cluster:
                write_pictures(folder / "pictures")
                Workflow(folder, config)
                environment = cluster.environment | {"OMP_NUM_THREADS": "1"}
                run(folder, environment, "--cores", 1, "fetch")
                seconds = run(folder, environment, *arguments, "--", "activations")
                jobs = len(cluster.jobs())
        print(f"| {way} | {jobs} | {seconds:.0f} s |", flush=True)
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
