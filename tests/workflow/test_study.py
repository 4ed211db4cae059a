"""A configuration is understood, or refused with one line that names the key."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from tokengeometry.errors import StudyError
from tokengeometry.study import Branch, Study, check_dataset, check_keys, check_known, check_model

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
MODEL = {
    "architecture": "vit_small_patch14_dinov2.lvd142m",
    "image_size": [224, 224],
    "depth": 12,
    "embed_dim": 384,
    "grid": [16, 16],
    "in_chans": 3,
    "patch_size": [14, 14],
    "prefix_tokens": ["cls"],
}


def changed(key, value):
    """The default configuration with one key set, or removed where the value is `...`."""
    config = copy.deepcopy(DEFAULT)
    *parents, last = key.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


def test_the_default_study_is_valid():
    study = Study(DEFAULT)
    assert study.branches == [Branch("dinov2_vits14", "fashion_mnist", "test")]
    assert study.parts("fashion_mnist", "test") == [(0, 2000)]
    assert study.layers("dinov2_vits14") == list(range(13))
    assert study.concatenated("fashion_mnist", "test") == 2000


def test_a_split_may_set_its_samples():
    study = Study(changed("datasets.fashion_mnist.splits.test.samples", 4500))
    assert study.parts("fashion_mnist", "test") == [(0, 2000), (2000, 4000), (4000, 4500)]
    assert study.concatenated("fashion_mnist", "test") == 2000


MODEL_KEY = "models.dinov2_vits14"
SPLITS_KEY = "datasets.fashion_mnist.splits"
A_MODEL = DEFAULT["models"]["dinov2_vits14"]
A_DATASET = DEFAULT["datasets"]["fashion_mnist"]
A_SPLIT = {"arguments": {"train": True}}
A_WHEEL = A_MODEL["weights"]

WRONG = [
    # Keys that aren't there, and keys that aren't keys.
    ("sampels", 10, "sampels: there is no such key; did you mean samples?"),
    ("fit.rank", [10, 100], "fit.rank: there is no such key; did you mean ranks?"),
    ("clusters.k", 3, "clusters.k: there is no such key; the keys here are count, neighbors, min_dist, seed"),
    ("compute.gpus", 1, "compute.gpus: there is no such key"),
    ("activations.chunks", 1, "activations.chunks: there is no such key"),
    ("figures.eigenspectrum.tokens", "cls", "figures.eigenspectrum.tokens: there is no such key; did you mean token?"),
    (f"{MODEL_KEY}.layer", 3, f"{MODEL_KEY}.layer: there is no such key; did you mean layers?"),
    (f"{MODEL_KEY}.weights.path", "x.pth", f"{MODEL_KEY}.weights.path: there is no such key"),
    (f"{SPLITS_KEY}.test.root", "x", f"{SPLITS_KEY}.test.root: there is no such key"),
    ("samples", ..., "samples: this key is missing"),
    ("seed", ..., "seed: this key is missing"),
    ("fit", ..., "fit: this key is missing"),
    ("fit.weights", ..., "fit.weights: this key is missing"),
    (f"{MODEL_KEY}.architecture", ..., f"{MODEL_KEY}.architecture: this key is missing"),
    (f"{MODEL_KEY}.weights.version", ..., f"{MODEL_KEY}.weights.version: this key is missing"),
    ("datasets.fashion_mnist.class", ..., "datasets.fashion_mnist.class: this key is missing"),
    (f"{SPLITS_KEY}.test.arguments", ..., f"{SPLITS_KEY}.test.arguments: this key is missing"),
    # Types.
    ("samples", "many", "samples: 'many' is not a whole number"),
    ("samples", 2000.0, "samples: 2000.0 is not a whole number"),
    ("samples", True, "samples: True is not a whole number"),
    ("samples", None, "samples: None is not a whole number"),
    ("seed", "0", "seed: '0' is not a whole number"),
    ("activations.keep", "yes", "activations.keep: 'yes' is not true or false"),
    ("activations.keep", 1, "activations.keep: 1 is not true or false"),
    ("clusters.min_dist", float("nan"), "clusters.min_dist: nan is not a number"),
    ("clusters.min_dist", float("inf"), "clusters.min_dist: inf is not a number"),
    ("fit", None, "fit: None is not a section with keys"),
    ("fit", [10, 100], "fit: .10, 100. is not a section with keys"),
    ("fit.ranks", "10-100", "fit.ranks: '10-100' is not a list; the first and the last rank, such as"),
    ("fit.ranks", [10, "100"], "fit.ranks.1: '100' is not a whole number"),
    ("models", [], "models: .. is not a section with keys"),
    (MODEL_KEY, "vit", f"{MODEL_KEY}: 'vit' is not a section with keys"),
    (f"{MODEL_KEY}.layers", 6, f"{MODEL_KEY}.layers: 6 is not a list; a list of layers, such as"),
    (f"{MODEL_KEY}.layers", [0.5], f"{MODEL_KEY}.layers.0: 0.5 is not a whole number"),
    (f"{MODEL_KEY}.image_size", [224, 224], f"{MODEL_KEY}.image_size: .* is not a whole number"),
    (f"{MODEL_KEY}.weights.version", 0.1, f"{MODEL_KEY}.weights.version: 0.1 is not text; put it in quotes"),
    (f"{SPLITS_KEY}.test", None, f"{SPLITS_KEY}.test: None is not a section with keys"),
    (f"{SPLITS_KEY}.test.arguments", "train", f"{SPLITS_KEY}.test.arguments: 'train' is not a section with keys"),
    # Ranges.
    ("seed", -1, "seed: -1 is less than the minimum of 0"),
    ("seed", 2**32, "seed: 4294967296 is greater than the maximum of 4294967295"),
    ("samples", 1, "samples: 1 is less than the minimum of 2"),
    ("samples_per_part", 1, "samples_per_part: 1 is less than the minimum of 2"),
    ("concatenated_samples", 0, "concatenated_samples: 0 is less than the minimum of 2"),
    ("fit.ranks", [10], "fit.ranks: .10. is too short; the first and the last rank"),
    ("fit.ranks", [10, 50, 100], "fit.ranks: .10, 50, 100. is too long; the first and the last rank"),
    ("fit.ranks", [0, 10], "fit.ranks.0: 0 is less than the minimum of 1"),
    ("fit.min_ranks", 2, "fit.min_ranks: 2 is less than the minimum of 3"),
    ("clusters.count", 1, "clusters.count: 1 is less than the minimum of 2"),
    ("clusters.count", 9, "clusters.count: 9 is greater than the maximum of 8"),
    ("clusters.neighbors", 1, "clusters.neighbors: 1 is less than the minimum of 2"),
    ("clusters.min_dist", -0.1, "clusters.min_dist: -0.1 is less than the minimum of 0"),
    ("compute.batch_size", 0, "compute.batch_size: 0 is less than the minimum of 1"),
    ("compute.threads", 0, "compute.threads: 0 is not allowed; auto, or a number of cores"),
    ("compute.threads", "all", "compute.threads: 'all' is not allowed; auto, or a number of cores"),
    (f"{MODEL_KEY}.image_size", 0, f"{MODEL_KEY}.image_size: 0 is less than the minimum of 1"),
    (f"{MODEL_KEY}.layers", [-1], f"{MODEL_KEY}.layers.0: -1 is less than the minimum of 0"),
    (f"{SPLITS_KEY}.test.samples", 1, f"{SPLITS_KEY}.test.samples: 1 is less than the minimum of 2"),
    # Choices.
    ("fit.weights", "none", "fit.weights: 'none' is not one of"),
    ("images.crop", "middle", "images.crop: 'middle' is not one of"),
    ("images.resize", "uint16", "images.resize: 'uint16' is not one of"),
    ("forward.precision", "float64", "forward.precision: 'float64' is not one of"),
    ("activations.dtype", "bfloat16", "activations.dtype: 'bfloat16' is not one of"),
    ("compute.device", "tpu", "compute.device: 'tpu' is not one of"),
    ("figures.eigenspectrum.token", "CLS", "figures.eigenspectrum.token: 'CLS' is not allowed; cls, dist, reg_1"),
    ("figures.eigenspectrum.token", "1;2", "figures.eigenspectrum.token: '1;2' is not allowed"),
    (f"{MODEL_KEY}.weights", {}, f"{MODEL_KEY}.weights.source: this key is missing"),
    (f"{MODEL_KEY}.weights", {"source": "hub"}, f"{MODEL_KEY}.weights.source: 'hub' is not one of"),
    (f"{MODEL_KEY}.weights", {"source": "file"}, f"{MODEL_KEY}.weights.path: this key is missing"),
    (f"{MODEL_KEY}.weights", {"source": "random"}, f"{MODEL_KEY}.weights.seed: this key is missing"),
    (f"{MODEL_KEY}.weights", {"source": "timm", "path": "x"}, f"{MODEL_KEY}.weights.path: there is no such key"),
    (f"{MODEL_KEY}.weights", A_WHEEL | {"sha256": "abc"}, "weights.sha256: 'abc' is not allowed; 64 digits"),
    (f"{MODEL_KEY}.weights", A_WHEEL | {"package": "-r x"}, "weights.package: '-r x' is not allowed; the name of a"),
    (f"{MODEL_KEY}.weights", A_WHEEL | {"version": ">=1"}, "weights.version: '>=1' is not allowed; one version"),
    ("datasets.fashion_mnist.class", "FashionMnist", "datasets.fashion_mnist.class: .*FashionMNIST"),
    ("datasets.fashion_mnist.class", "os.system", "datasets.fashion_mnist.class: 'os.system' is not a data set class"),
    ("datasets.fashion_mnist.class", "LSUN", "datasets.fashion_mnist.class: .*unverified pickle"),
    # Nothing to do.
    ("models", {}, "models: {} should be non-empty"),
    ("datasets", {}, "datasets: {} should be non-empty"),
    (SPLITS_KEY, {}, f"{SPLITS_KEY}: {{}} should be non-empty"),
    (f"{MODEL_KEY}.layers", [], f"{MODEL_KEY}.layers: .. should be non-empty; a list of layers"),
    # The same twice.
    (f"{MODEL_KEY}.layers", [1, 1], "layers: .1, 1. has non-unique elements"),
    ("models", {"vit": A_MODEL, "ViT": A_MODEL}, "models.ViT: it differs from vit in case only"),
    ("datasets", {"a": A_DATASET, "A": A_DATASET}, "datasets.A: it differs from a in case only"),
    (SPLITS_KEY, {"test": A_SPLIT, "Test": A_SPLIT}, f"{SPLITS_KEY}.Test: it differs from test in case only"),
    ("models.data", A_MODEL, "models.data: this name is taken"),
    ("models.Figures", A_MODEL, "models.Figures: this name is taken"),
    # Contradictions.
    ("fit.ranks", [100, 10], "fit.ranks: the first rank, 100, must be below the last, 10"),
    ("fit.ranks", [10, 10], "fit.ranks: the first rank, 10, must be below the last, 10"),
    ("fit.ranks", [10, 2000], "fit.ranks: 2000 is beyond the rank 1999 of 2000 centred samples"),
    (f"{SPLITS_KEY}.test.samples", 100, "fit.ranks: 100 is beyond the rank 99 of 100 centred samples"),
    ("concatenated_samples", 50, "beyond the rank 49 of 50 centred samples .concatenated_samples of"),
    ("statistics", ["power_law", "rankmee"], "statistics: there is no 'rankmee'; did you mean rankme"),
    ("statistics", ["rankme"], "statistics: power_law is missing"),
    ("statistics", [], "statistics: "),
    ("fit.min_ranks", 91, "fit.min_ranks: 91 is more than the 90 ranks of fit.ranks"),
    ("samples", 2_000_001, "samples_per_part: 2000 cuts fashion_mnist/test into 1001 parts"),
    (f"{MODEL_KEY}.layers", [1, 2], "figures.eigenspectrum.layer: 6 is not among"),
    ("figures.eigenspectrum.layer", 13, "figures.eigenspectrum.layer: 13 is not among"),
    ("figures.eigenspectrum.layer", 0, "figures.eigenspectrum.token: layer 0 has only pixel patches, no 'cls'"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG)
def test_a_wrong_configuration_is_refused_by_its_key(key, value, message):
    with pytest.raises(StudyError, match=message) as caught:
        Study(changed(key, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [{}, [], None, "samples: 3"])
def test_what_is_no_configuration_is_refused(config):
    with pytest.raises(StudyError, match="^(the configuration|seed): "):
        Study(config)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a b", "", ".hidden", "-x", "..", "a\\b", "a\n", "a.b", "é", "x" * 65, 5]
)
@pytest.mark.parametrize("place", ["models", "datasets", SPLITS_KEY])
def test_a_name_cannot_leave_the_results(place, name):
    only = {"models": A_MODEL, "datasets": A_DATASET}.get(place, A_SPLIT)
    with pytest.raises(StudyError, match=f"^{place}: .* cannot be a name; at most 64 letters") as caught:
        Study(changed(place, {name: only}))
    assert "\n" not in str(caught.value)


def test_a_key_that_stands_twice_in_the_file_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("models:\n  a: {layers: [1]}\n  b: {}\n  a: {layers: [2]}\n")
    with pytest.raises(StudyError, match="^models.a: it stands twice in .*config.yaml, in lines 2 and 4; keep one"):
        check_keys(path)
    path.write_text("models:\n  a: {seed: 1}\n  b: {seed: 1}\nsamples: 3\n")
    check_keys(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("models.dinov2_vits14.layers", [0, 6, 13], "layers: 13 is beyond the last layer of the model, 12"),
        ("fit.ranks", [10, 385], "fit.ranks: 385 is beyond the rank .* 384 features; .* at most 384"),
        ("figures.eigenspectrum.token", "16,0", "token: '16,0' is outside .* 16 rows and 16 columns"),
        ("figures.eigenspectrum.token", "reg_1", "no token 'reg_1'; .*: cls; a spatial token, .* '0,0'"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(key, value, message):
    config = changed(key, value)
    Study(config)
    with pytest.raises(StudyError, match=message):
        check_model(config, "dinov2_vits14", MODEL)


def test_more_clusters_than_tokens_are_refused():
    with pytest.raises(StudyError, match="clusters.count: 3 clusters .* model dinov2_vits14 has 4 spatial tokens"):
        check_model(DEFAULT, "dinov2_vits14", MODEL | {"grid": [2, 2]})


def test_the_pixels_bound_the_fit_only_where_layer_0_is_analysed():
    config, narrow = changed("fit.ranks", [10, 200]), MODEL | {"patch_size": [8, 8]}
    with pytest.raises(StudyError, match="which has 192 pixels; the last rank must be at most 192"):
        check_model(config, "dinov2_vits14", narrow)
    config["models"]["dinov2_vits14"]["layers"] = [6]
    check_model(config, "dinov2_vits14", narrow)


def test_more_samples_than_images_are_refused():
    check_dataset(DEFAULT, "fashion_mnist", {"test": 2000})
    with pytest.raises(StudyError, match="^samples: 2000 is more than the 1999 images of fashion_mnist/test"):
        check_dataset(DEFAULT, "fashion_mnist", {"test": 1999})
    config = changed("datasets.fashion_mnist.splits.test.samples", 2001)
    with pytest.raises(StudyError, match="^datasets.fashion_mnist.splits.test.samples: 2001 is more than"):
        check_dataset(config, "fashion_mnist", {"test": 2000})


def test_what_lies_in_the_results_is_checked_before_a_run(tmp_path):
    check_known(DEFAULT, tmp_path)
    (tmp_path / "models/dinov2_vits14").mkdir(parents=True)
    description = tmp_path / "models/dinov2_vits14/model.json"
    description.write_text(json.dumps(MODEL | {"depth": 11}))
    with pytest.raises(StudyError, match="12 is beyond the last layer of the model, 11"):
        check_known(DEFAULT, tmp_path)
    for made_again in ({"architecture": "vit_tiny_patch16_224"}, {"image_size": [518, 518]}):
        description.write_text(json.dumps(MODEL | {"depth": 11} | made_again))
        check_known(DEFAULT, tmp_path)
    description.write_text('{"depth": ')
    with pytest.raises(StudyError, match="model.json cannot be read .*; delete it and run again"):
        check_known(DEFAULT, tmp_path)
    description.unlink()
    images = tmp_path / "data/fashion_mnist/splits/test.json"
    images.parent.mkdir(parents=True)
    made = {"class": "FashionMNIST", "arguments": {"train": False}, "images": 1999}
    images.write_text(json.dumps(made))
    with pytest.raises(StudyError, match="2000 is more than the 1999 images of fashion_mnist/test"):
        check_known(DEFAULT, tmp_path)
    for made_again in (made | {"class": "MNIST"}, made | {"arguments": {"train": True}}, {"test": 1999}):
        images.write_text(json.dumps(made_again))
        check_known(DEFAULT, tmp_path)
