"""The notebooks run as they are, on a study's results and without one, and are kept without outputs."""

import os

import nbformat
import pytest
from nbclient import NotebookClient
from small_study import REPOSITORY

NOTEBOOKS = REPOSITORY / "docs" / "notebooks"
FIGURE, MODEL = (NOTEBOOKS / f"{name}.ipynb" for name in ("figure_from_results", "your_own_model"))

# By numpy alone, from activations held whole: the largest differences of a spectrum and of α at the last layer.
WITNESS = """
with torch.inference_mode():
    tokens = torch.cat([model.cls.expand(len(patches), -1, -1), model.embed(patches)], dim=1) + model.position
    for block in model.blocks:
        tokens = block(tokens)
ranks, errors = np.arange(3, 41), []
for token in range(17):
    values = np.linalg.svd(tokens[:, token].double() - tokens[:, token].double().mean(0), compute_uv=False) ** 2 / 1797
    slope = np.polyfit(np.log(ranks), np.log(values[2:40]), 1, w=ranks**-0.5)[0]
    errors.append((np.abs(spectra[-1][token][:40] / values[:40] - 1).max(), abs(alpha[-1, token] + slope)))
tuple(float(error) for error in np.max(errors, axis=0))
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Jupyter's files of a run go away with it."""
    for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))


def execute(path, folder, last):
    """Run a notebook in a folder; the value of an expression after its last cell, and how many figures it drew."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = sum("image/png" in output.get("data", {}) for output in outputs)
    return outputs[-1]["data"]["text/plain"], figures


def test_every_notebook_is_run_here_and_has_no_outputs():
    assert sorted(NOTEBOOKS.glob("*.ipynb")) == [FIGURE, MODEL]
    for path in (FIGURE, MODEL):
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
def test_a_figure_is_drawn_from_results(finished, tmp_path):
    folder = tmp_path / "docs" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "results").symlink_to(finished.path())
    (tmp_path / "workflow").symlink_to(REPOSITORY / "workflow")
    rings, figures = execute(FIGURE, folder, "[int(value) for value in by_ring.ring]")
    # 4 × 4 tokens: a border and a body.
    assert (rings, figures) == ("[0, 1]", 2)


@pytest.mark.slow
def test_a_model_of_ones_own_needs_no_workflow():
    value, figures = execute(MODEL, NOTEBOOKS, WITNESS)
    assert figures == 1
    eigenvalues, exponents = (float(number) for number in value.strip("()").split(","))
    assert eigenvalues < 1e-4
    assert exponents < 1e-3
