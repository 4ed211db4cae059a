"""A configuration is understood, or refused with one line that names the key."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from tokengeometry.errors import StudyError
from tokengeometry.study import Branch, Study, check_dataset, check_known, check_model

DEFAULT = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
MODEL = {
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
    assert study.concatenated("fashion_mnist", "test") == (2000, 1)


def test_a_split_may_set_its_samples():
    study = Study(changed("datasets.fashion_mnist.splits.test.samples", 4500))
    assert study.parts("fashion_mnist", "test") == [(0, 2000), (2000, 4000), (4000, 4500)]
    assert study.concatenated("fashion_mnist", "test") == (2000, 1)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sampels", 10, "'sampels' was unexpected"),
        ("seed", -1, "seed: -1 is less than the minimum of 0"),
        ("samples", "many", "samples: 'many' is not of type 'integer'"),
        ("samples", ..., "'samples' is a required property"),
        ("fit.ranks", [10], r"fit.ranks: \[10\] is too short"),
        ("fit.ranks", [100, 10], "fit.ranks: the first rank, 100, must be below the last, 10"),
        ("fit.ranks", [0, 10], "fit.ranks.0: 0 is less than the minimum of 1"),
        ("fit.ranks", [10, 2000], "fit.ranks: 2000 is beyond the rank 1999 of 2000 centred samples"),
        ("fit.min_ranks", 92, "fit.min_ranks: 92 is more than the 91 ranks of fit.ranks"),
        ("fit.weights", "none", "fit.weights: 'none' is not one of"),
        ("concatenated_samples", 50, "beyond the rank 49 of 50 centred samples .concatenated_samples of"),
        ("samples_per_part", 1, "samples_per_part: 1 is less than the minimum of 2"),
        ("samples", 2_000_001, "samples_per_part: 2000 cuts fashion_mnist/test into 1001 parts"),
        ("models", {}, "models: {} should be non-empty"),
        ("models.data", DEFAULT["models"]["dinov2_vits14"], "models.data: this name is taken"),
        ("models.dinov2_vits14.layers", [], "models.dinov2_vits14.layers: .. should be non-empty"),
        ("models.dinov2_vits14.layers", [1, 1], "layers: .1, 1. has non-unique elements"),
        ("models.dinov2_vits14.layers", [1, 2], "figures.eigenspectrum.layer: 6 is not among"),
        ("models.dinov2_vits14.weights", {"source": "hub"}, "weights.source: 'hub' is not one of"),
        ("models.dinov2_vits14.weights", {"source": "file"}, "weights: 'path' is a required property"),
        ("datasets.fashion_mnist.class", "FashionMnist", "datasets.fashion_mnist.class: .*FashionMNIST"),
        ("datasets.fashion_mnist.splits", {}, "datasets.fashion_mnist.splits: {} should be non-empty"),
        ("figures.eigenspectrum.token", "CLS", "figures.eigenspectrum.token: 'CLS' does not match"),
        ("compute.device", "tpu", "compute.device: 'tpu' is not one of"),
        ("clusters.count", 1, "clusters.count: 1 is less than the minimum of 2"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_key(key, value, message):
    with pytest.raises(StudyError, match=message) as caught:
        Study(changed(key, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "", ".hidden", "-x"])
@pytest.mark.parametrize("place", ["models", "datasets"])
def test_a_name_cannot_leave_the_results(place, name):
    only = next(iter(DEFAULT[place].values()))
    with pytest.raises(StudyError, match=f"{place}: '.*' does not match"):
        Study(changed(place, {name: only}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("models.dinov2_vits14.layers", [0, 6, 13], "layers: 13 is beyond the last layer of the model, 12"),
        ("fit.ranks", [10, 385], "fit.ranks: 385 is beyond the rank .* 384 features; .* at most 384"),
        ("figures.eigenspectrum.token", "16,0", "token: '16,0' is outside .* 16 rows and 16 columns"),
        ("figures.eigenspectrum.token", "reg_1", "has no token 'reg_1'; its prefix tokens: cls"),
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
    (tmp_path / "models/dinov2_vits14/model.json").write_text(json.dumps(MODEL | {"depth": 11}))
    with pytest.raises(StudyError, match="12 is beyond the last layer of the model, 11"):
        check_known(DEFAULT, tmp_path)
