"""The workflow as a user runs it: by Snakemake, from images and weights to tables and figures."""

import copy
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from PIL import Image
from safetensors.torch import load_file
from sklearn.decomposition import PCA
from small_study import OFFLINE, SMALL, Workflow, write_pictures
from tokengeometry.data import splits
from tokengeometry.model.token_chain import create_model, patchify
from tokengeometry.storage import zarr_store
from tokengeometry.tables import read
from torchvision.datasets import ImageFolder

from bench.process import measure


@pytest.fixture(scope="session")
def whole(finished):
    """All activations of the small study at once, from timm itself: a list of (sample, token, feature)."""
    model = create_model("vit_tiny_patch16_224", 64)
    model.load_state_dict(load_file(finished.path("models", "tiny", "weights.safetensors")))
    folder = ImageFolder(finished.directory / "pictures")
    samples = np.random.default_rng(SMALL["seed"]).permutation(len(folder))[: SMALL["samples"]]
    transform = splits.transform(
        {"image_size": [64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
        | {"crop_pct": 0.9, "crop_mode": "center", "in_chans": 3}
    )
    images = torch.stack([transform(folder[int(sample)][0]) for sample in samples])
    with torch.inference_mode():
        layers = model.forward_intermediates(
            images, indices=[0, 1], return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
    return [patchify(images, (16, 16)), *(torch.cat([prefix, spatial], 1) for spatial, prefix in layers)]


def pca_spectrum(samples):
    """Eigenvalues of the covariance divided by N, by sklearn's full SVD in float64."""
    pca = PCA(svd_solver="full").fit(np.asarray(samples, dtype=np.float64))
    return pca.explained_variance_ * (len(samples) - 1) / len(samples)


def plain_alpha(eigenvalues, first, last):
    rank = np.arange(first, last + 1)
    return -np.polyfit(np.log(rank), np.log(eigenvalues[first - 1 : last]), 1, w=rank**-0.5)[0]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_activation_stores_hold_timms_own_activations(finished, whole, layer):
    parts = [
        zarr_store.open_store(finished.branch / f"activations/layer_{layer:02d}/part_{part:03d}.zarr")
        for part in (0, 1)
    ]
    assert [len(part["sample"]) for part in parts] == [16, 8]
    stored = np.concatenate([part["activations"][:] for part in parts])
    np.testing.assert_allclose(stored, whole[layer], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_alpha_of_every_token_equals_plain_least_squares_on_sklearn_pca(finished, whole, layer):
    table = read(finished.branch / "alpha.csv")
    rows = table[(table.layer == layer) & table.token.notna()]
    assert len(rows) == whole[layer].shape[1]
    for position, row in enumerate(rows.itertuples()):
        if row.reason == "constant":
            assert whole[layer][:, position].std(dim=0).max() == 0
        else:
            expected = plain_alpha(pca_spectrum(whole[layer][:, position]), 2, 15)
            assert row.alpha == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_alpha_of_all_tokens_together_equals_sklearn_on_the_stacked_array(finished, whole, layer):
    table = read(finished.branch / "alpha.csv")
    for kind, samples in (("pooled", whole[layer].flatten(0, 1)), ("concatenated", whole[layer].flatten(1))):
        found = table[(table.layer == layer) & (table.kind == kind)].alpha.item()
        assert found == pytest.approx(plain_alpha(pca_spectrum(samples), 2, 15), rel=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_correlation_equals_corrcoef_of_flattened_activations(finished, whole, layer):
    found = zarr_store.open_store(finished.branch / f"correlations/layer_{layer:02d}.zarr")["correlation"][:]
    expected = np.corrcoef(whole[layer].numpy().astype(np.float64).transpose(1, 0, 2).reshape(len(found), -1))
    if layer == 0:
        expected[0] = expected[:, 0] = np.nan
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    mean = read(finished.branch / "correlation.csv").set_index("layer")["mean"]
    assert mean[layer] == pytest.approx(np.nanmean(expected[np.tril_indices(len(expected), -1)]), rel=1e-4)


def test_a_constant_patch_is_empty_with_its_reason_and_said(finished):
    table = read(finished.branch / "alpha.csv")
    empty = table[table.alpha.isna()]
    assert empty[["layer", "token", "name", "reason"]].to_numpy().tolist() == [[0, 1, "0,0", "constant"]]
    assert read(finished.branch / "correlation.csv").undefined_tokens.tolist() == [1, 0, 0]
    log = finished.path("logs/alpha_table/tiny/pictures/test.log").read_text()
    assert "layer 0: no alpha for 1 rows (constant)" in log
    clusters = read(finished.branch / "clusters.csv")
    assert clusters.cluster.notna().all()
    assert "layers left out" in finished.path("logs/cluster_table/tiny/pictures/test.log").read_text()


def test_every_figure_is_there_as_png_and_svg_that_say_what_it_is_of(finished):
    names = {file.stem for file in (finished.branch / "figures").iterdir()}
    assert names == {
        "alpha_maps",
        "alpha_se_maps",
        "alpha_trajectories",
        "claims",
        "clusters_embedding",
        "clusters_map",
        "correlation_matrices",
        "dimension_trajectories",
        "eigenspectrum_fit",
        "fit_ranges",
        "mean_correlation",
        "token_similarity",
        *(f"{table}_{kind}" for table in ("rankme", "token_norm") for kind in ("maps", "trajectories")),
    }
    figures = [*(finished.branch / "figures").iterdir(), *finished.path("figures").iterdir()]
    assert len(figures) == 34
    for figure in figures:
        of = "tiny · pictures test (N = 24 images)"
        if figure.suffix == ".png":
            with Image.open(figure) as picture:
                picture.load()
                assert picture.info["Title"] == of, figure
        else:
            assert f"<dc:title>{of}</dc:title>" in figure.read_text(), figure


def test_stores_open_in_xarray_with_their_origin(finished):
    data = xarray.open_zarr(finished.branch / "activations/layer_02/part_001.zarr")
    assert dict(data.activations.sizes) == {"sample": 8, "token": 17, "feature": 192}
    assert data.attrs["architecture"] == "vit_tiny_patch16_224"
    assert (data.attrs["dataset"], data.attrs["split"], data.attrs["layer"]) == ("pictures", "test", "02")
    expected = np.random.default_rng(SMALL["seed"]).permutation(30)[16:24]
    np.testing.assert_array_equal(data.sample, expected)


def test_stores_say_in_what_their_sums_were_multiplied(finished):
    names = ("moments/layer_02/part_001", "moments/layer_02/concatenated", "spectra/layer_02")
    parts, joint, spectra = (xarray.open_zarr(finished.branch / f"{name}.zarr").attrs for name in names)
    # On the CPU.
    assert (parts["scatter_products"], parts["gram_products"]) == ("float64", "float32")
    assert joint["gram_products"] == spectra["concatenated_products"] == "float32"
    assert spectra["scatter_products"] == ["float64"]


def test_a_run_ends_with_times_and_what_to_open(finished):
    for stage in ("pixels", "layer", "moments", "spectra", "alpha_table", "figures"):
        assert re.search(rf"^{stage} +\d+ +\d+\.\d$", finished.log, re.MULTILINE)
    assert "results/tiny/pictures/test/alpha.csv" in finished.log
    assert "results/tiny/pictures/test/figures/alpha_trajectories.png" in finished.log


def test_without_network_a_run_has_what_was_fetched_and_nothing_else(finished):
    connect = "import socket; socket.create_connection(('127.0.0.1', 9))"
    process = subprocess.run(
        [sys.executable, "-c", connect], env=os.environ | OFFLINE, stderr=subprocess.PIPE, text=True, check=False
    )
    assert "there is no network here" in process.stderr
    # The fixture has run "fetch" first and all the rest in that environment.
    assert not re.search(r"^(local)?rule (model|dataset):", finished.log, re.MULTILINE)
    assert re.search(r"^(local)?rule pixels:", finished.log, re.MULTILINE)


def test_right_after_a_run_nothing_is_to_be_done(finished):
    for target in ("all", "activations", "alpha", "correlations", "clusters", "figures"):
        assert "Nothing to be done" in finished.run("--dry-run", target).stdout


def test_a_dry_run_is_fast_and_needs_neither_torch_nor_network(finished, tmp_path):
    broken = tmp_path / "site"
    broken.mkdir()
    for package in ("torch", "timm", "torchvision_c", "socket_c"):
        (broken / f"{package}.py").write_text(f"raise ImportError('{package} was imported')")
    (tmp_path / "pictures").symlink_to(finished.directory / "pictures")
    workflow = type(finished)(tmp_path, SMALL)
    # What timm has to be asked of a new model is kept.
    workflow.run("--dry-run")
    alone = measure([sys.executable, "-c", "import snakemake.cli"])
    planned = measure(workflow.command("--dry-run"), cwd=tmp_path, environment={"PYTHONPATH": str(broken)})
    assert re.search(r"^total +\d\d$", planned.output, re.MULTILINE)
    # Mostly Snakemake's own start-up and its plan of the jobs: 1.3 to 1.7 measured.
    assert planned.cpu_seconds < 3 * alone.cpu_seconds


def test_the_target_activations_is_refused_where_they_are_not_kept(small_workflow):
    config = copy.deepcopy(SMALL)
    config["activations"]["keep"] = False
    small_workflow.configure(config)
    process = small_workflow.run("--dry-run", "activations", check=False)
    assert process.returncode == 1
    *_, last = process.stdout.splitlines()
    assert last.startswith("error: activations.keep: false deletes the stores that the target activations asks for; ")
    assert "Traceback" not in process.stdout
    assert small_workflow.run("--dry-run", "--notemp", "activations").returncode == 0


def test_the_target_activations_asks_for_the_analysed_layers_alone(small_workflow):
    config = copy.deepcopy(SMALL)
    config["models"]["tiny"]["layers"] = [1, 3]
    small_workflow.configure(config)
    said = small_workflow.run("--dry-run", "activations").stdout
    (rule,) = re.findall(r"^(?:local)?rule activations:\n    input: (.*)", said, re.MULTILINE)
    assert sorted(set(re.findall(r"layer_\d\d", rule))) == ["layer_01", "layer_03"]
    assert re.search(r"^layer +6$", said, re.MULTILINE)


def test_temporary_activations_are_gone_after_the_run_and_tables_are_the_same(finished, small_workflow):
    config = copy.deepcopy(SMALL)
    config["activations"]["keep"] = config["moments"]["keep"] = False
    small_workflow.configure(config)
    small_workflow.run("alpha", "correlations")
    assert list(small_workflow.branch.rglob("part_*.zarr")) == []
    for table in ("alpha.csv", "correlation.csv"):
        pd.testing.assert_frame_equal(read(small_workflow.branch / table), read(finished.branch / table))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("datasets", "pictures", "white"), 0, "datasets.pictures.white: 0 is less than"),
        (("samples",), 31, "samples: 31 is more than the 30 images of pictures/test"),
        (("models", "tiny", "layers"), [1, 13], "models.tiny.layers: 13 is beyond the last layer of the model, 12"),
        (("fit", "ranks"), [2, 16], "nothing"),
        (("datasets", "pictures", "class"), "Imagefolder", "datasets.pictures.class: 'Imagefolder' is not"),
        (("fit", "rank"), [2, 16], "fit.rank: there is no such key; did you mean ranks?"),
        (("datasets", "a b"), SMALL["datasets"]["pictures"], "datasets: 'a b' cannot be a name"),
        (("seed",), None, "seed: None is not a whole number"),
    ],
)
def test_a_wrong_configuration_is_one_line_before_any_job(finished, key, value, message):
    config = copy.deepcopy(SMALL)
    place = config
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value
    workflow = type(finished)(finished.directory, config)
    try:
        process = workflow.run("--dry-run", check=False)
    finally:
        workflow.configure(SMALL)
    if message == "nothing":
        assert process.returncode == 0
        return
    assert process.returncode == 1
    (said,) = [line for line in process.stdout.splitlines() if not line.startswith("Using workflow specific profile")]
    assert said.startswith(f"error: {message}")


def test_names_may_hold_a_plus(tmp_path):
    config = copy.deepcopy(SMALL)
    config["models"] = {"vit+reg": config["models"]["tiny"]}
    config["datasets"] = {"a+b": config["datasets"]["pictures"]}
    write_pictures(tmp_path / "pictures", count=1)
    workflow = Workflow(tmp_path, config)
    assert (
        "pixels",
        (("dataset", "a+b"), ("model", "vit+reg"), ("part", "000"), ("split", "test")),
    ) in workflow.planned()


def test_a_key_that_stands_twice_is_one_line(tmp_path):
    workflow = Workflow(tmp_path, SMALL)
    with (tmp_path / "config.yaml").open("a") as file:
        file.write("seed: 4\n")
    process = workflow.run("--dry-run", check=False)
    assert process.returncode == 1
    assert "error: seed: it stands twice in config.yaml, in lines 1 and " in process.stdout
    assert "Traceback" not in process.stdout


def test_a_damaged_store_stops_the_run_with_its_name(small_workflow):
    small_workflow.run("results/tiny/pictures/test/activations/layer_01/part_000.zarr")
    chunk = next((small_workflow.branch / "activations/layer_01/part_000.zarr/activations/c").rglob("0"))
    while chunk.is_dir():
        chunk = next(chunk.iterdir())
    content = bytearray(chunk.read_bytes())
    content[100] ^= 4
    chunk.write_bytes(content)
    process = small_workflow.run("results/tiny/pictures/test/moments/layer_01/part_000.zarr", check=False)
    assert process.returncode != 0
    said = r"error: results/tiny/.*layer_01/part_000\.zarr is damaged .*delete it and run again"
    assert re.search(said, process.stdout)
    assert not (small_workflow.branch / "moments/layer_01/part_000.zarr").exists()
