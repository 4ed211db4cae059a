"""What numba compiles of UMAP is kept."""

import os
import subprocess
import sys

import pytest
from small_study import Workflow

CLUSTER = """
import numpy as np
from tokengeometry.geometry.clusters import cluster_trajectories
trajectories = np.random.default_rng(0).normal(size=(20, 3)) + np.repeat([0, 9], 10)[:, None]
print(cluster_trajectories(trajectories, 2, neighbors=5).label)
"""


def cluster(folder):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(Workflow.PACKAGE)}
    return subprocess.run([sys.executable, "-c", CLUSTER], env=environment, text=True, capture_output=True, check=True)


@pytest.mark.slow
def test_what_numba_compiles_is_kept(tmp_path):
    labels = cluster(tmp_path).stdout
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert any("smooth_knn_dist" in path.name for path in before)
    assert cluster(tmp_path).stdout == labels
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == before
