"""A data set with a train and a test split has them compared, by numbers and by figures; through the workflow too."""

import pickle
import tarfile
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import SMALL, Workflow
from tokengeometry.study import Pair, Study
from tokengeometry.tables import read, token_pairs, train_test_table

# The md5 sums that torchvision has for CIFAR-10 and STL-10 are of their own files, not of these.
ANY_CHECKSUM = """
import importlib.abc, importlib.util, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torchvision.datasets.utils":
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            execute = spec.loader.exec_module
            def exec_module(module):
                execute(module)
                module.check_integrity = lambda path, md5=None: module.os.path.isfile(path)
            spec.loader.exec_module = exec_module
            return spec

sys.meta_path.insert(0, Finder())
"""


def table(rows):
    """An α table of rows (layer, token, name, kind, alpha)."""
    frame = pd.DataFrame(rows, columns=["layer", "token", "name", "kind", "alpha"])
    return frame.astype({"layer": "Int64", "token": "Int64"}).assign(alpha_corrected=np.nan, se=np.nan)


TRAIN = table(
    [
        (0, 1, "0,0", "spatial", np.nan),
        (0, 2, "0,1", "spatial", 1.5),
        (0, None, "pooled", "pooled", 2.0),
        (0, None, "concatenated", "concatenated", np.nan),
        (1, 0, "cls", "prefix", 1.0),
        (1, 1, "0,0", "spatial", 1.5),
        (1, 2, "0,1", "spatial", 1.1),
        (1, None, "averaged", "averaged", 1.5),
        (1, None, "pooled", "pooled", 1.0),
        (1, None, "concatenated", "concatenated", 1.25),
    ]
)
TEST = TRAIN.assign(alpha=[1.7, 1.25, 2.5, 1.0, 1.125, 1.0, 1.1, 2.0, 0.75, 1.0])


def test_each_layer_has_its_mean_and_largest_difference_and_where_it_is():
    found = train_test_table(TRAIN, TEST).set_index("layer")
    assert found.tokens.tolist() == [1, 3]
    assert found.undefined_tokens.tolist() == [1, 0]
    np.testing.assert_allclose(found.mean_difference, [0.25, (0.125 + 0.5 + 0) / 3])
    np.testing.assert_allclose(found.largest_difference, [0.25, 0.5])
    assert found.token.tolist() == [2, 1]
    assert found.name.tolist() == ["0,1", "0,0"]
    np.testing.assert_allclose(found.averaged_difference, [np.nan, 0.5])
    np.testing.assert_allclose(found.pooled_difference, [0.5, 0.25])
    np.testing.assert_allclose(found.concatenated_difference, [np.nan, 0.25])


def test_a_layer_without_a_pair_of_alphas_is_there_and_empty():
    found = train_test_table(TRAIN.assign(alpha=TRAIN.alpha.where(TRAIN.layer == 1)), TEST).set_index("layer")
    assert (found.tokens[0], found.undefined_tokens[0]) == (0, 2)
    assert found.loc[0, ["mean_difference", "largest_difference", "token", "name"]].isna().all()
    assert found.tokens[1] == 3


def test_splits_without_any_alpha_make_an_empty_row_a_layer():
    found = train_test_table(TRAIN.assign(alpha=np.nan), TEST)
    assert found.layer.tolist() == [0, 1]
    assert found.largest_difference.isna().all()


def test_the_difference_with_the_most_standard_errors_is_named_with_its_p_among_all():
    corrected = TRAIN.assign(alpha_corrected=TRAIN.alpha, se=0.1)
    # Token 1 of layer 1 differs most; token 0 differs by more standard errors.
    other = TEST.assign(alpha_corrected=TEST.alpha, se=[0.1] * 4 + [0.01, 2.0] + [0.1] * 4)
    found = train_test_table(corrected, other).set_index("layer")
    np.testing.assert_allclose(found.mean_corrected_difference, found.mean_difference)
    np.testing.assert_allclose(found.corrected_difference, [0.25, -0.125])
    assert found.corrected_name.tolist() == ["0,1", "cls"]
    z = np.array([0.25 / np.hypot(0.1, 0.1), -0.125 / np.hypot(0.1, 0.01)])
    np.testing.assert_allclose(found.z, z)
    # Four tokens of both layers.
    np.testing.assert_allclose(found.p, [min(1, 4 * 2 * (1 - NormalDist().cdf(abs(one)))) for one in z])


def test_pairs_know_which_split_is_which():
    pairs = token_pairs(TRAIN, TEST).set_index(["layer", "token"])
    assert pairs.difference[1, 0] == -0.125
    assert (pairs.alpha_train[1, 1], pairs.alpha_test[1, 1]) == (1.5, 1.0)


def test_only_data_sets_with_a_train_and_a_test_split_are_compared():
    splits = {"train": {"arguments": {}}, "test": {"arguments": {}}, "extra": {"arguments": {}}}
    datasets = {
        "both": {"class": "ImageFolder", "splits": splits},
        "one": {"class": "ImageFolder", "splits": {"test": {"arguments": {}}}},
    }
    assert Study(SMALL | {"datasets": datasets}).pairs == [Pair("tiny", "both")]


def _pictures(rng, count, size):
    """Smooth random pictures, (count, size, size, 3) uint8."""
    coarse = rng.integers(0, 256, size=(count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.array(Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC)) for c in coarse])


def _write_cifar10(folder, rng):
    """Five training batches of 8 pictures and a test batch of 30, as in cifar-10-python.tar.gz."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name, count in {**{f"data_batch_{i}": 8 for i in range(1, 6)}, "test_batch": 30}.items():
        values = _pictures(rng, count, 32).transpose(0, 3, 1, 2).reshape(count, -1)
        (batches / name).write_bytes(pickle.dumps({"data": values, "labels": [0] * count}))
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": ["thing"]}))
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(batches, "cifar-10-batches-py")


def _write_stl10(folder, rng):
    """Thirty pictures a split, column by column as in stl10_binary.tar.gz."""
    binary = folder / "stl10_binary"
    binary.mkdir(parents=True)
    for split in ("train", "test"):
        (binary / f"{split}_X.bin").write_bytes(_pictures(rng, 30, 96).transpose(0, 3, 2, 1).tobytes())
        (binary / f"{split}_y.bin").write_bytes(bytes([1] * 30))
    (binary / "unlabeled_X.bin").write_bytes(_pictures(rng, 1, 96).transpose(0, 3, 2, 1).tobytes())
    (binary / "class_names.txt").write_text("thing\n")
    (binary / "fold_indices.txt").write_text("0\n")


@pytest.fixture(scope="module")
def both_splits(tmp_path_factory):
    """A study like the paper's: CIFAR-10 and STL-10, train and test, nothing large kept. Run once."""
    directory = tmp_path_factory.mktemp("paper")
    rng = np.random.default_rng(7)
    _write_cifar10(directory / "results/data/cifar10", rng)
    _write_stl10(directory / "results/data/stl10", rng)
    hook = directory / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(ANY_CHECKSUM)
    config = SMALL | {
        "samples": 30,
        "samples_per_part": 30,
        "models": {"tiny": SMALL["models"]["tiny"] | {"layers": [1, 2]}},
        "activations": {"store": True, "dtype": "float32", "keep": False},
        "moments": {"keep": False},
        "datasets": {
            "cifar10": {
                "class": "CIFAR10",
                "splits": {
                    "train": {"arguments": {"train": True}, "samples": 40},
                    "test": {"arguments": {"train": False}},
                },
            },
            "stl10": {
                "class": "STL10",
                "splits": {"train": {"arguments": {"split": "train"}}, "test": {"arguments": {"split": "test"}}},
            },
        },
    }
    workflow = Workflow(directory, config)
    figures = [
        workflow.path("tiny", dataset, "figures", f"{name}.png")
        for dataset in config["datasets"]
        for name in ("train_test", "alpha_summary_trajectories")
    ]
    targets = ["summaries", *(figure.relative_to(directory) for figure in figures)]
    workflow.log = workflow.run(*targets, environment={"PYTHONPATH": str(hook)}, cores=1).stdout
    return workflow


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["cifar10", "stl10"])
def test_summary_holds_the_differences_of_the_two_alpha_tables(both_splits, dataset):
    folder = both_splits.path("tiny", dataset)
    summary = pd.read_csv(folder / "summary.csv").set_index("layer")
    train, test = (pd.read_csv(folder / split / "alpha.csv") for split in ("train", "test"))
    assert summary.index.tolist() == [1, 2]
    for layer, row in summary.iterrows():
        a, b = (alpha[(alpha.layer == layer) & alpha.token.notna()].set_index("token").alpha for alpha in (train, test))
        distance = (a - b).abs()
        assert row.tokens == len(distance) == 17
        assert row.mean_difference == pytest.approx(distance.mean())
        assert row.largest_difference == pytest.approx(distance.max())
        assert row.largest_difference > row.mean_difference > 0
        assert row.token == distance.idxmax()
        assert row["name"] == train[(train.layer == layer) & (train.token == row.token)].name.item()
        for kind in ("pooled", "concatenated"):
            a, b = (alpha[(alpha.layer == layer) & (alpha.kind == kind)].alpha.item() for alpha in (train, test))
            assert row[f"{kind}_difference"] == pytest.approx(abs(a - b))


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["cifar10", "stl10"])
def test_figures_compare_the_splits(both_splits, dataset):
    figures = both_splits.path("tiny", dataset, "figures")
    assert {file.name for file in figures.iterdir()} == {
        f"{name}.{kind}" for name in ("train_test", "alpha_summary_trajectories") for kind in ("png", "svg")
    }
    for file in figures.glob("*.png"):
        Image.open(file).verify()
        assert str(file.relative_to(both_splits.directory)) in both_splits.log
    assert f"results/tiny/{dataset}/summary.csv" in both_splits.log


@pytest.mark.slow
def test_every_split_has_its_table_and_nothing_large_is_left(both_splits):
    for dataset in ("cifar10", "stl10"):
        for split in ("train", "test"):
            branch = both_splits.path("tiny", dataset, split)
            assert read(branch / "alpha.csv").alpha.notna().all()
            assert list(branch.rglob("part_*.zarr")) == []


@pytest.mark.slow
def test_a_chain_goes_to_its_end_before_the_next_one_begins(both_splits):
    folder = both_splits.path("benchmarks")
    begun = {file.name: file.stat().st_mtime_ns for file in (folder / "pixels").glob("*.tsv")}
    ends = {file.name: file.stat().st_mtime_ns for file in (folder / "layer").glob("*layer_02*.tsv")}
    assert len(begun) == len(ends) == 5
    events = sorted([(time, "begin") for time in begun.values()] + [(time, "end") for time in ends.values()])
    assert [what for _, what in events] == ["begin", "end"] * 5
