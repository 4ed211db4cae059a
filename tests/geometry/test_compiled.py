"""What numba compiles of UMAP is kept, and is not trusted where it is damaged."""

import os
import subprocess
import sys

import pytest
from small_study import Workflow

CLUSTER = """
import numpy as np
from tokengeometry.geometry.clusters import cluster_trajectories
from tokengeometry.errors import StudyError
trajectories = np.random.default_rng(0).normal(size=(20, 3)) + np.repeat([0, 9], 10)[:, None]
try:
    print(cluster_trajectories(trajectories, 2, neighbors=5).label)
except StudyError as error:
    print(f"error: {error}")
"""


NOWHERE = """
from numba.core import caching
caching.CacheImpl._locator_classes = []
"""


def cluster(folder, before=""):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(Workflow.PACKAGE)}
    command = [sys.executable, "-c", before + CLUSTER]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout


@pytest.mark.slow
def test_what_numba_compiles_is_kept_and_damage_to_it_is_one_line(tmp_path):
    labels = cluster(tmp_path / "kept")
    assert "error" not in labels
    before = sorted((tmp_path / "kept").rglob("*.nbc"))
    assert any("smooth_knn_dist" in path.name for path in before)
    assert cluster(tmp_path / "kept") == labels
    assert sorted((tmp_path / "kept").rglob("*.nbc")) == before
    for index in (tmp_path / "kept").rglob("*.nbi"):
        index.write_bytes(b"")
    assert cluster(tmp_path / "kept") == (
        f"error: what numba keeps in {tmp_path / 'kept'} is damaged; delete it and run again\n"
    )


def test_no_place_for_what_numba_compiles_is_one_line(tmp_path):
    assert cluster(tmp_path, NOWHERE) == (
        "error: numba finds no place to keep what it compiles of UMAP; "
        "set NUMBA_CACHE_DIR to a folder that can be written\n"
    )
