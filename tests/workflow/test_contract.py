"""What a change costs: the exact jobs that a dry run after a finished study would run, kind by kind of change.

The table is in docs/reliability.md. Nothing more reruns, and nothing less.
"""

import contextlib
import copy
import hashlib
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from small_study import REPOSITORY, SMALL, Workflow
from tokengeometry.model.token_chain import create_model
from tokengeometry.storage import zarr_store

# Files of the package.
CLUSTERS = "tokengeometry/geometry/clusters.py"
MOMENTS = "tokengeometry/geometry/moments.py"
POWER_LAW = "tokengeometry/geometry/statistics/power_law.py"
TOKEN_CHAIN = "tokengeometry/model/token_chain.py"
SPECTRA_ERRORS = "tokengeometry/geometry/uncertainty/spectra.py"
ZARR_STORE = "tokengeometry/storage/zarr_store.py"
BRANCH = {"model": "tiny", "dataset": "pictures", "split": "test"}
LAYERS, PARTS = ["00", "01", "02"], ["000", "001"]
FIGURES = ["alpha", "claims", "clusters", "correlation", "eigenspectrum"]
ACROSS = {("draw_all_branches", ())}
INDEX = {("explorer_index", ())}
BESIDE = {("explorer_compare", ())}


def job(rule, **wildcards):
    return rule, tuple(sorted(wildcards.items()))


def of(branch, *rules):
    """The jobs of rules that run once for a branch."""
    return {job(rule, **branch) for rule in rules}


def drawn(branch, *figures):
    return of(branch, *(f"draw_{figure}" for figure in figures))


def chain(branch, layers, parts):
    """The jobs that make activations."""
    jobs = {job("layer", **branch, layer=layer, part=part) for layer in layers if layer != "00" for part in parts}
    return jobs | {job("pixels", **branch, part=part) for part in parts if "00" in layers}


def moments(branch, layers, parts):
    return {job("moments", **branch, layer=layer, part=part) for layer in layers for part in parts}


def merged(branch, layers, *, concatenated=True):
    """The jobs of one layer over all parts."""
    rules = ["spectra", "correlation_matrix"] + ["concatenated"] * concatenated
    return {job(rule, **branch, layer=layer) for layer in layers for rule in rules}


def folded(branch, layers):
    return {job("uncertainty", **branch, layer=layer) for layer in layers}


def statistics(branch, layers, parts):
    # The folds are of the first part's images.
    errors = folded(branch, layers) if "000" in parts else set()
    return moments(branch, layers, parts) | merged(branch, layers) | errors


def of_statistic(branch, table):
    """The jobs of a statistic other than α: its table and its figures."""
    return {job(rule, **branch, statistic=table) for rule in ("statistic_table", "draw_statistic")}


# The bands of all trajectories are the clusters'.
DRAWN_BY_CLUSTER = {job("draw_statistic", **BRANCH, statistic=table) for table in ("rankme", "token_norm")}
PAGE = of(BRANCH, "explorer_page")
CLAIMS = of(BRANCH, "claims_table") | drawn(BRANCH, "claims") | PAGE | INDEX
CLUSTERED = (
    of(BRANCH, "cluster_table", "alpha_means_table") | DRAWN_BY_CLUSTER | drawn(BRANCH, "alpha", "clusters") | CLAIMS
)
OTHERS = of_statistic(BRANCH, "rankme") | of_statistic(BRANCH, "token_norm") | PAGE
FITTED = of(BRANCH, "alpha_table") | CLUSTERED
CORRELATED = of(BRANCH, "correlation_table") | drawn(BRANCH, "correlation") | ACROSS | CLAIMS
SUMMARIES = FITTED | OTHERS | CORRELATED
CONCATENATED = {job(rule, **BRANCH, layer=layer) for rule in ("concatenated", "spectra") for layer in LAYERS}
LATER = SUMMARIES | drawn(BRANCH, "eigenspectrum")


def summaries(branch):
    """All tables and figures of a branch, and the figures across branches."""
    tables = of(branch, "alpha_table", "alpha_means_table", "correlation_table", "cluster_table", "claims_table")
    others = of_statistic(branch, "rankme") | of_statistic(branch, "token_norm")
    return tables | others | drawn(branch, *FIGURES) | ACROSS | of(branch, "explorer_page") | INDEX


def whole(branch, layers=LAYERS, parts=PARTS):
    """Everything of a branch from the pixels on."""
    return chain(branch, layers, parts) | statistics(branch, layers, parts) | summaries(branch)


def changed(changes):
    """The small study's configuration with dotted keys set to values."""
    config = copy.deepcopy(SMALL)
    for key, value in changes.items():
        *parents, last = key.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


@contextlib.contextmanager
def configured(workflow, config):
    try:
        yield Workflow(workflow.directory, config, workflow.repository)
    finally:
        workflow.configure(SMALL)


TRAIN = BRANCH | {"split": "train"}
COMPARED = BESIDE | {
    job(rule, model="tiny", dataset="pictures") for rule in ("train_test_table", "claims_of_splits", "draw_train_test")
}
PHOTOS = BRANCH | {"dataset": "photos"}
SECOND = BRANCH | {"model": "second"}
A_SPLIT = {"arguments": {"root": "pictures"}}
A_DATASET = {"class": "ImageFolder", "splits": {"test": A_SPLIT}}
A_MODEL = SMALL["models"]["tiny"]
RANDOM_1 = {"source": "random", "seed": 1}
# Of one part.
NOISE = {job("noise", **BRANCH, layer=layer) for layer in LAYERS[1:]}
FROM_LAYER_1 = chain(BRANCH, LAYERS[1:], PARTS) | statistics(BRANCH, LAYERS[1:], PARTS) | LATER
WITH_MODEL = {job("model", model="tiny")} | whole(BRANCH)

CHANGES = {
    "fit ranks": ({"fit.ranks": [3, 15]}, FITTED | drawn(BRANCH, "eigenspectrum")),
    "fit weights": ({"fit.weights": "uniform"}, FITTED | drawn(BRANCH, "eigenspectrum")),
    "fit min_ranks": ({"fit.min_ranks": 7}, FITTED | drawn(BRANCH, "eigenspectrum")),
    "images in folds": ({"uncertainty.images": 15}, folded(BRANCH, LAYERS) | FITTED | CORRELATED),
    "margin of claims": ({"uncertainty.margin": 0.1}, CLAIMS),
    # The Gram matrix of the samples is not kept, and the spectra take over what is made of it.
    "folds": (
        {"uncertainty.folds": 4},
        folded(BRANCH, LAYERS) | CONCATENATED | LATER,
    ),
    "no folds": (
        {"uncertainty.folds": 0},
        CONCATENATED | CORRELATED | FITTED | OTHERS | drawn(BRANCH, "eigenspectrum"),
    ),
    "clusters count": ({"clusters.count": 3}, CLUSTERED),
    "clusters seed": ({"clusters.seed": 1}, CLUSTERED),
    "clusters neighbors": ({"clusters.neighbors": 4}, CLUSTERED),
    "a statistic added": (
        {"statistics": [*SMALL["statistics"], "stable_rank"]},
        of_statistic(BRANCH, "stable_rank") | PAGE,
    ),
    "a statistic taken away": ({"statistics": ["power_law", "token_norm"]}, PAGE),
    "how many thumbnails": ({"explorer.thumbnails": 4}, PAGE),
    "no thumbnails": ({"explorer.thumbnails": 0}, PAGE),
    "a licence that forbids them": ({"datasets.pictures.thumbnails": False}, PAGE),
    "another example spectrum": ({"figures.eigenspectrum.token": "1,1"}, drawn(BRANCH, "eigenspectrum")),
    "its layer": ({"figures.eigenspectrum.layer": 2}, drawn(BRANCH, "eigenspectrum")),
    "a layer added at the end": (
        {"models.tiny.layers": [0, 1, 2, 3]},
        chain(BRANCH, ["03"], PARTS) | statistics(BRANCH, ["03"], PARTS) | SUMMARIES,
    ),
    # The chain passes through the layers between, but only the layer asked for is analysed.
    "a layer added further on": (
        {"models.tiny.layers": [0, 1, 2, 5]},
        chain(BRANCH, ["03", "04", "05"], PARTS) | statistics(BRANCH, ["05"], PARTS) | SUMMARIES,
    ),
    "a layer taken away": ({"models.tiny.layers": [1, 2]}, SUMMARIES),
    # 24 samples are parts of 16 and 8: the second was not full. The concatenated spectrum takes 24.
    "samples raised within the last part": (
        {"samples": 30},
        chain(BRANCH, LAYERS, ["001"]) | statistics(BRANCH, LAYERS, ["001"]) | LATER,
    ),
    "concatenated samples lowered to the first part": (
        {"concatenated_samples": 16},
        CONCATENATED | FITTED | OTHERS | drawn(BRANCH, "eigenspectrum"),
    ),
    "a split added": (
        {"datasets.pictures.splits.train": A_SPLIT},
        {job("dataset", dataset="pictures", split="train")} | whole(TRAIN) | COMPARED,
    ),
    "a split added before": (
        {"datasets.pictures.splits": {"train": A_SPLIT, "test": A_SPLIT}},
        # Its figure tells its place among the splits.
        {job("dataset", dataset="pictures", split="train")} | whole(TRAIN) | COMPARED | drawn(BRANCH, "correlation"),
    ),
    "a data set added": (
        {"datasets.photos": A_DATASET},
        {job("dataset", dataset="photos", split="test")} | whole(PHOTOS) | BESIDE,
    ),
    "a model added": (
        {"models.second": A_MODEL},
        {job("model", model="second")} | whole(SECOND) | BESIDE,
    ),
    "a split's own samples": (
        {"datasets.pictures.splits.test": A_SPLIT | {"samples": 30}},
        chain(BRANCH, LAYERS, ["001"]) | statistics(BRANCH, LAYERS, ["001"]) | LATER,
    ),
    "seed": ({"seed": 4}, whole(BRANCH)),
    "data set arguments": (
        {"datasets.pictures.splits.test.arguments": {"root": "./pictures"}},
        {job("dataset", dataset="pictures", split="test")} | whole(BRANCH),
    ),
    "white of a data set": (
        {"datasets.pictures.white": 255},
        {job("dataset", dataset="pictures", split="test")} | whole(BRANCH),
    ),
    "crop of the images": ({"images.crop": "none"}, whole(BRANCH)),
    "resize of the images": ({"images.resize": "float"}, whole(BRANCH)),
    "image size": ({"models.tiny.image_size": 80}, WITH_MODEL),
    "weights": ({"models.tiny.weights": RANDOM_1}, WITH_MODEL),
    "architecture": ({"models.tiny.architecture": "vit_small_patch16_224"}, WITH_MODEL),
    "precision": ({"forward.precision": "bfloat16"}, FROM_LAYER_1 | NOISE),
    "dtype of the stores": ({"activations.dtype": "float16"}, whole(BRANCH) | NOISE),
    "device": ({"compute.device": "auto"}, set()),
    "batch size": ({"compute.batch_size": 3}, set()),
    "threads": ({"compute.threads": 1}, set()),
    # Models and data are shared by all studies; the others' results stay.
    "name": ({"name": "pilot"}, whole(BRANCH)),
    "what is kept": ({"activations.keep": False, "moments.keep": False}, set()),
    "order of keys": (
        {
            "fit": dict(reversed(SMALL["fit"].items())),
            "images": dict(reversed(SMALL["images"].items())),
            "clusters": dict(reversed(SMALL["clusters"].items())),
            "models.tiny.weights": dict(reversed(SMALL["models"]["tiny"]["weights"].items())),
            "models.tiny.layers": [2, 0, 1],
        },
        set(),
    ),
}


def difference(planned, expected):
    return {"more": sorted(planned - expected), "less": sorted(expected - planned)}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_setting_reruns_exactly_what_it_touches(finished, change):
    changes, expected = CHANGES[change]
    with configured(finished, changed(changes)) as workflow:
        assert difference(workflow.planned(), expected) == {"more": [], "less": []}


@pytest.fixture(scope="module")
def from_file(finished, tmp_path_factory):
    """The small study as it is after a run with the weights of a file."""
    folder = finished.copy(tmp_path_factory.mktemp("file") / "study")
    save_file(create_model("vit_tiny_patch16_224", 64).state_dict(), folder / "vit.safetensors")
    workflow = Workflow(folder, changed({"models.tiny.weights": OF_A_FILE}))
    workflow.run("results/models/tiny/model.json")
    # All else counts as made from it.
    workflow.run("--touch")
    assert workflow.planned() == set()
    return workflow


def replaced(folder):
    """Other weights in the same place, of the same size."""
    before = (folder / "vit.safetensors").stat()
    torch.manual_seed(1)
    save_file(create_model("vit_tiny_patch16_224", 64).state_dict(), folder / "vit.safetensors")
    assert (folder / "vit.safetensors").stat().st_size == before.st_size


def sha256(folder):
    return hashlib.sha256((folder / "vit.safetensors").read_bytes()).hexdigest()


OF_A_FILE = {"source": "file", "path": "vit.safetensors"}
# What is done in the folder, and what the configuration then says of the weights beyond what it said.
FILES = {
    "touched": (lambda folder: os.utime(folder / "vit.safetensors"), {}, set()),
    "replaced": (replaced, {}, WITH_MODEL),
    "moved": (
        lambda folder: (folder / "vit.safetensors").rename(folder / "moved"),
        lambda folder: {"path": str(folder / "moved")},
        set(),
    ),
    "gone": (lambda folder: (folder / "vit.safetensors").unlink(), {}, set()),
    "checked": (lambda folder: None, lambda folder: {"sha256": sha256(folder)}, set()),
    "another key": (lambda folder: None, {"key": ""}, WITH_MODEL),
}


@pytest.mark.parametrize("change", FILES)
def test_of_a_file_of_weights_the_content_counts(from_file, tmp_path, change):
    act, beyond, expected = FILES[change]
    folder = from_file.copy(tmp_path / "study")
    beyond = beyond(folder) if callable(beyond) else beyond
    act(folder)
    workflow = Workflow(folder, changed({"models.tiny.weights": OF_A_FILE | beyond}))
    assert difference(workflow.planned(), expected) == {"more": [], "less": []}


@pytest.fixture
def repository(tmp_path):
    """A fresh clone: the same files, all of them new."""
    clone = tmp_path / "clone"
    for name in ("Snakefile", "workflow", "profiles", "envs"):
        source = REPOSITORY / name
        copy_one = shutil.copytree if source.is_dir() else shutil.copyfile
        clone.mkdir(exist_ok=True)
        copy_one(source, clone / name, **({"copy_function": shutil.copyfile} if source.is_dir() else {}))
    now = time.time()
    for path in clone.rglob("*"):
        os.utime(path, (now, now))
    return clone


def test_a_fresh_clone_beside_old_results_reruns_nothing(finished, repository):
    assert Workflow(finished.directory, SMALL, repository).planned() == set()


ALL_STATISTICS = statistics(BRANCH, LAYERS, PARTS)
EVERY_BRANCH_JOB = whole(BRANCH)
FETCHED = {job("model", model="tiny"), job("dataset", dataset="pictures", split="test")}
OF_STATISTICS = drawn(BRANCH, "alpha") | DRAWN_BY_CLUSTER

# file: text that stands there once, text to put there.
CODE = {
    "the fit": (
        {POWER_LAW: ("x_centred = x - x_mean", "x_centred = 0.0 + x - x_mean")},
        FITTED | drawn(BRANCH, "eigenspectrum"),
    ),
    "a table of the fit": (
        {POWER_LAW: ('"uniform": np.ones_like', '"uniform": lambda r: np.ones_like(r)')},
        FITTED | drawn(BRANCH, "eigenspectrum"),
    ),
    "a statistic": (
        {"tokengeometry/geometry/statistics/rankme.py": ("np.exp(entr(", "np.exp(+entr(")},
        of_statistic(BRANCH, "rankme") | PAGE,
    ),
    "the means of correlations": (
        {"tokengeometry/geometry/correlation.py": ("defined = values[~", "defined = +values[~")},
        # The jackknife takes them too.
        folded(BRANCH, LAYERS) | FITTED | CORRELATED,
    ),
    "Pearson's correlation": (
        {"tokengeometry/geometry/correlation.py": ("scale[None, :], -1, 1)", "scale[None, :], -1.0, 1.0)")},
        {job("correlation_matrix", **BRANCH, layer=layer) for layer in LAYERS}
        | folded(BRANCH, LAYERS)
        | FITTED
        | CORRELATED,
    ),
    "what a browser runs": ({"tokengeometry/explorer/spectrum.js": ("used += 1", "used += 1.0")}, PAGE | INDEX),
    "the look of a page": ({"tokengeometry/explorer/page.css": ("font-size: 20px", "font-size: 21px")}, PAGE | INDEX),
    "the clustering": ({CLUSTERS: ("n_init=10", "n_init=11")}, CLUSTERED),
    "a claim": (
        {"tokengeometry/geometry/claims/places.py": ("PERMUTATIONS = 999", "PERMUTATIONS = 998")},
        CLAIMS,
    ),
    "the moments": (
        {MOMENTS: ("offset = self.total", "offset = 1 * self.total")},
        moments(BRANCH, LAYERS, PARTS) | merged(BRANCH, LAYERS, concatenated=False) | LATER,
    ),
    "the merge of moments": (
        {MOMENTS: ("count = self.count + other.count", "count = other.count + self.count")},
        # A class counts as a whole, and the first moments are made with it. What imports its module counts a class that
        # is made of it there.
        moments(BRANCH, LAYERS, PARTS) | merged(BRANCH, LAYERS) | folded(BRANCH, LAYERS) | LATER,
    ),
    "the concatenated spectrum": (
        {"tokengeometry/geometry/concatenated.py": ("row_mean = gram.mean(0)", "row_mean = 1 * gram.mean(0)")},
        CONCATENATED
        | FITTED
        | OTHERS
        | drawn(BRANCH, "eigenspectrum"),
    ),
    "the held-out variances": (
        {SPECTRA_ERRORS: ("nan=0.0) / len(folds)", "nan=0.0) / +len(folds)")},
        folded(BRANCH, LAYERS) | FITTED | CORRELATED,
    ),
    "the standard errors": (
        {"tokengeometry/geometry/uncertainty/fits.py": ("np.sqrt(samples)", "np.sqrt(+samples)")},
        FITTED,
    ),
    "the bands of ranks": (
        {"tokengeometry/geometry/uncertainty/bands.py": ("WIDTH = 1.15", "WIDTH = 1.2")},
        folded(BRANCH, LAYERS) | CONCATENATED | LATER,
    ),
    "the rounding floor of both": (
        {"tokengeometry/geometry/noise_floor.py": ('"float16": 2.0**-10', '"float16": 2.0**-11')},
        merged(BRANCH, LAYERS) | folded(BRANCH, LAYERS) | LATER,
    ),
    "the noise along eigenvectors": (
        {"tokengeometry/geometry/noise.py": ("shared = np.square(", "shared = +np.square(")},
        CONCATENATED
        | FITTED
        | OTHERS
        | drawn(BRANCH, "eigenspectrum"),
    ),
    "which images are grey": (
        {"tokengeometry/data/eight_bit.py": ("TOLERANCE = 1e-2", "TOLERANCE = 1e-3")},
        EVERY_BRANCH_JOB,
    ),
    "the noise of a coarse chain, in a study that has none": (
        {"tokengeometry/activations/measured_noise.py": ("np.concatenate(list(", "np.concatenate(tuple(")},
        set(),
    ),
    "the forward pass": (
        {TOKEN_CHAIN: ("def link(self, layer, tokens):", "def link(self, layer, tokens, *, spare=0):")},
        FROM_LAYER_1,
    ),
    "the check of finite numbers": (
        {"tokengeometry/activations/on_disk.py": ("finite = np.isfinite(values)", "finite = np.isfinite(+values)")},
        EVERY_BRANCH_JOB,
    ),
    "the choice of samples": (
        {"tokengeometry/data/splits.py": ("permutation(size)[:samples]", "permutation(size)[:+samples]")},
        EVERY_BRANCH_JOB,
    ),
    "fetching a data set": (
        {"tokengeometry/data/download.py": ("counts[split] = len(dataset)", "counts[split] = +len(dataset)")},
        {job("dataset", dataset="pictures", split="test")} | EVERY_BRANCH_JOB,
    ),
    "writing stores": (
        {ZARR_STORE: ("os.replace(partial, path)", "os.replace(partial, path, src_dir_fd=None)")},
        EVERY_BRANCH_JOB,
    ),
    "the message of an error": (
        {"tokengeometry/operations/devices.py": ("which torch does not see here", "which is not here")},
        set(),
    ),
    "the condition of an error": (
        {"tokengeometry/operations/devices.py": ("if not available[device]:", "if not +available[device]:")},
        {job("layer", **BRANCH, layer=layer, part=part) for layer in LAYERS[1:] for part in PARTS}
        | moments(BRANCH, LAYERS, PARTS)
        | merged(BRANCH, LAYERS)
        | folded(BRANCH, LAYERS[1:])
        | LATER,
    ),
    "the weights": (
        {"tokengeometry/model/weights.py": ("torch.manual_seed(seed)", "torch.manual_seed(+seed)")},
        {job("model", model="tiny")} | EVERY_BRANCH_JOB,
    ),
    "what every script calls": (
        {"tokengeometry/operations/logs.py": ("buffering=1", "buffering=2")},
        FETCHED | EVERY_BRANCH_JOB,
    ),
    "one figure": (
        {"tokengeometry/figures/statistic_maps.py": ('figure.colorbar(', 'figure.colorbar(*(), ')},
        OF_STATISTICS,
    ),
    "the colours of clusters": (
        {"tokengeometry/figures/style.py": ('_CLUSTERS = ("#0072B2"', '_CLUSTERS = ("#0072B3"')},
        OF_STATISTICS | drawn(BRANCH, "clusters") | PAGE,
    ),
    "the style of all figures": (
        {"tokengeometry/figures/style.py": ('"font.size": 8', '"font.size": 9')},
        drawn(BRANCH, *FIGURES) | DRAWN_BY_CLUSTER | ACROSS,
    ),
    "one script": (
        {"scripts/statistic_figures.py": ("save(statistic_maps(", "save(*(), statistic_maps(")},
        DRAWN_BY_CLUSTER,
    ),
    "a name within a module": (
        {CLUSTERS: ("complete_trajectories(trajectories)", "whole_trajectories(trajectories)")},
        CLUSTERED,
    ),
    "what no rule uses": (
        {CLUSTERS: ("@dataclass(frozen=True)", "SPARE = 1\n\n\n@dataclass(frozen=True)")},
        set(),
    ),
    "a caption of the report": (
        {"report/figures/alpha_maps.rst": ("at its place on the image", "where it is on the image")},
        set(),
    ),
    "a title in the report": ({"rules/figures.smk": ('"α on the image"', '"α at its place"')}, set()),
    "what a statistic's captions say": (
        {"tokengeometry/geometry/statistics/rankme.py": ("RankMe: how many directions", "RankMe: in how many ways")},
        set(),
    ),
    "comments, docstrings and formatting": (
        {
            POWER_LAW: ('"""Fit a power law to spectra', '"""Fit power laws  to spectra'),
            MOMENTS: ("    for batch in batches:", "    # all of them\n    for batch in (batches):"),
            ZARR_STORE: ('"""Chunked, checksummed', '"""Checksummed, chunked'),
            "tokengeometry/figures/style.py": ('"font.size": 8,', "'font.size': 8,  # points"),
            "scripts/layer.py": ("int(snakemake.wildcards.layer)", "int(\n        snakemake.wildcards.layer\n    )"),
            "rules/tables.smk": ("# Tables of a branch", "# The tables of a branch"),
        },
        set(),
    ),
}  # fmt: skip


def edit(repository, edits):
    for file, (old, new) in edits.items():
        path = repository / "workflow" / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}: choose another place"
        path.write_text(text.replace(old, new))


@pytest.mark.parametrize("change", CODE)
def test_changed_code_reruns_exactly_the_rules_that_call_it(finished, repository, change):
    edits, expected = CODE[change]
    edit(repository, edits)
    if change == "a name within a module":
        edit(repository, {"tokengeometry/tables.py": ("complete_trajectories", "whole_trajectories")})
    planned = Workflow(finished.directory, SMALL, repository).planned()
    assert difference(planned, expected) == {"more": [], "less": []}


def test_a_dry_run_of_a_new_study_plans_every_job(small_workflow):
    assert difference(small_workflow.planned(), FETCHED | EVERY_BRANCH_JOB) == {"more": [], "less": []}


DROPPED_IN = '''"""The largest eigenvalue's share of the variance."""

NAME = "first share"
LABEL = "Share of the first direction"


def of_spectrum(eigenvalues, floor, samples):
    total = eigenvalues.sum(axis=-1)
    return {"first_share": eigenvalues[..., 0] / (total + (total == 0))}
'''


def test_a_statistic_is_one_file(finished, repository, tmp_path):
    (repository / "workflow/tokengeometry/geometry/statistics/first_share.py").write_text(DROPPED_IN)
    config = changed({"statistics": [*SMALL["statistics"], "first_share"]})
    workflow = Workflow(finished.copy(tmp_path / "study"), config, repository)
    assert difference(workflow.planned(), of_statistic(BRANCH, "first_share") | PAGE) == {"more": [], "less": []}
    workflow.run()
    table = pd.read_csv(workflow.branch / "first_share.csv")
    for layer in (0, 1, 2):
        store = zarr_store.open_store(workflow.branch / f"spectra/layer_{layer:02d}.zarr")
        values = store["eigenvalues"][:]
        rows = table[(table.layer == layer) & table.kind.isin(["prefix", "spatial"])]
        expected = values[:, 0] / np.maximum(values.sum(axis=1), np.finfo(float).tiny)
        np.testing.assert_allclose(rows.first_share, expected, rtol=1e-12)
    for kind in ("trajectories", "maps"):
        assert Image.open(workflow.branch / f"figures/first_share_{kind}.png").width > 100
    workflow.run("--report", "report.html")
    page = (workflow.directory / "report.html").read_text()
    for file in ("first_share.csv", "figures/first_share_trajectories.png", "figures/first_share_maps.png"):
        assert f"tiny/pictures/test/{file}" in page
    assert '"first share over the layers"' in page
    assert "largest eigenvalue's share of the variance." in page
