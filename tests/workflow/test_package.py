"""The package by itself, as `pip install .` gives it: without Snakemake, timm or torch."""

import shutil
import subprocess
import sys
import zipfile

import pytest
from small_study import REPOSITORY

# What a user of the mathematics need not have.
ALONE = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"snakemake", "timm", "torch", "torchvision", "jsonschema"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Finder())
import numpy as np
import tokengeometry

assert tokengeometry.__file__.startswith(sys.argv[1]), tokengeometry.__file__
# What takes a timm model needs timm.
for name in set(tokengeometry.__all__) - {"reduce"}:
    assert callable(getattr(tokengeometry, name)), name
random = np.random.default_rng(0)
activations = random.normal(size=(500, 3, 20)) * np.arange(1, 21) ** -0.75
moments = tokengeometry.accumulate([activations])
values, vectors = tokengeometry.eigensystem(moments.scatter, moments.count)
law = tokengeometry.fit_power_law(values, (1, 20), samples=500)
assert np.abs(law.alpha - 1.5).max() < 0.15, law.alpha
correlation = tokengeometry.pearson(moments.mean, moments.gram, moments.count)
flat = activations.transpose(1, 0, 2).reshape(3, -1)
assert np.allclose(correlation, np.corrcoef(flat), atol=1e-6)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package as pip unpacks it, built without network."""
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    # setuptools builds in the folder that it is given.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(REPOSITORY / "workflow/tokengeometry", source / "workflow/tokengeometry")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*pip, folder, source], check=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_package_works_without_snakemake_and_torch(wheel):
    process = subprocess.run(
        [sys.executable, "-c", ALONE, str(wheel)],
        env={"PYTHONPATH": str(wheel), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr


def test_the_wheel_has_every_module(wheel):
    source = REPOSITORY / "workflow"
    modules = {str(path.relative_to(source)) for path in (source / "tokengeometry").rglob("*.py")}
    assert modules == {str(path.relative_to(wheel)) for path in (wheel / "tokengeometry").rglob("*.py")}
