"""What numba compiles of UMAP is kept beside a study, and is not trusted where it is damaged."""

import os
import shutil
import subprocess
import sys

import pytest

CLUSTER = """
import numpy as np
from tokengeometry.clusters import cluster_trajectories
from tokengeometry.errors import StudyError
trajectories = np.random.default_rng(0).normal(size=(20, 3)) + np.repeat([0, 9], 10)[:, None]
try:
    print(cluster_trajectories(trajectories, 2, neighbors=5).label)
except StudyError as error:
    print(f"error: {error}")
"""


@pytest.mark.slow
def test_what_numba_compiles_is_kept_and_damage_to_it_is_one_line(finished, tmp_path):
    (kept,) = (finished.directory / ".snakemake" / "numba").iterdir()
    shutil.copytree(kept, tmp_path / "kept")
    before = sorted((tmp_path / "kept").rglob("*.nbc"))
    assert any("smooth_knn_dist" in path.name for path in before)

    def cluster():
        environment = os.environ | {
            "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
            "PYTHONPATH": str(finished.PACKAGE),
        }
        command = [sys.executable, "-c", CLUSTER]
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout

    labels = cluster()
    assert "error" not in labels
    assert sorted((tmp_path / "kept").rglob("*.nbc")) == before
    for index in (tmp_path / "kept").rglob("*.nbi"):
        index.write_bytes(b"")
    assert cluster() == f"error: what numba keeps in {tmp_path / 'kept'} is damaged; delete it and run again\n"
    shutil.rmtree(tmp_path / "kept")
    assert cluster() == labels
