"""What a job's process imports before it starts its work, and that it does so without the collector of cycles."""

import gc
import subprocess
import sys

import pytest
from small_study import REPOSITORY
from tokengeometry.operations.quick_imports import quick_imports

HEAVY = {"matplotlib", "pandas", "scipy", "sklearn", "timm", "torch", "torchvision", "umap", "zarr"}
SUMS = {"zarr"}
TABLES = {"zarr", "pandas"}
FIGURES = {"pandas", "matplotlib"}
FORWARD = {"timm", "torch", "torchvision", "zarr"}
# What the Snakefile imports at every start, and in every job of a cluster.
PARSING = """
import tokengeometry.study
from tokengeometry.geometry import statistics
for name in statistics.names():
    statistics.load(name)
from tokengeometry.reduction import policies
for name in policies.names():
    policies.load(name)
"""


@pytest.fixture
def collector():
    """Python's collector as it was, and what the test has frozen for it to look at again."""
    enabled = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if enabled else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_waits_and_goes_on_as_it_was(collector, enabled):
    (gc.enable if enabled else gc.disable)()
    gc.unfreeze()
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled() == enabled
    assert gc.get_freeze_count() > 0


def test_the_collector_goes_on_after_an_import_that_fails(collector):
    gc.enable()
    with pytest.raises(ImportError), quick_imports():
        import tokengeometry.nothing  # noqa: F401
    assert gc.isenabled()


def imported(code):
    """Which of the heavy packages a new process has imported after this code."""
    code += f"\nimport sys; print(*sorted({HEAVY} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(REPOSITORY / "workflow")}
    return set(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).split())


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("moments", SUMS),
        ("concatenated", {"scipy", "zarr"}),
        ("spectra", SUMS),
        ("correlation_matrix", SUMS),
        ("statistic_table", TABLES),
        ("correlation_table", TABLES),
        ("train_test_table", {"pandas"}),
        ("statistic_figures", FIGURES),
        ("mean_correlation", FIGURES),
        ("alpha_figures", FIGURES),
        ("cluster_figures", FIGURES),
        ("claims_figure", FIGURES),
        ("train_test_figures", FIGURES),
        ("explorer_page", {"matplotlib", "pandas", "scipy", "torch", "torchvision", "zarr"}),
        ("explorer_index", FIGURES),
        ("dataset", {"torch", "torchvision"}),
        ("layer", FORWARD),
    ],
)
def test_a_script_imports_what_it_needs_and_no_more(script, packages):
    code = (REPOSITORY / "workflow" / "scripts" / f"{script}.py").read_text()
    assert imported(code[: code.index("with log_to(")]) == packages


def test_reading_the_configuration_and_the_statistics_imports_nothing_heavy():
    assert imported(PARSING) == set()
