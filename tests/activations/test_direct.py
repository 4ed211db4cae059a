"""Direct mode: the same moments without stored activations, in the memory given."""

import copy
import csv
import os
import re
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from small_study import OFFLINE, PRINT_PEAK, SMALL, Workflow
from timm.models.vision_transformer import VisionTransformer
from tokengeometry.activations import in_memory
from tokengeometry.errors import StudyError
from tokengeometry.geometry import concatenated, moments
from tokengeometry.geometry.uncertainty.spectra import of_layer
from tokengeometry.model.token_chain import TokenChain, create_model, patchify
from tokengeometry.operations.cost import direct
from tokengeometry.operations.resources import ALLOCATOR
from tokengeometry.storage import zarr_store

LAYERS = [0, 1, 3]


def config(**changes):
    study = copy.deepcopy(SMALL) | {"concatenated_samples": 16} | changes
    study["activations"]["store"] = False
    return study


@pytest.fixture(scope="module")
def directly(finished, tmp_path_factory):
    """The small study in direct mode, with what the stored one fetched."""
    folder = tmp_path_factory.mktemp("direct") / "study"
    finished.copy(folder)
    workflow = Workflow(folder, config())
    for kept in ("tiny", "explorer", "figures", "benchmarks", "logs"):
        (folder / "results" / kept).rename(folder / kept)
    workflow.run(environment=OFFLINE)
    return workflow


def test_moments_are_those_of_the_stored_mode(finished, directly):
    for layer in ("00", "01", "02"):
        for part in ("000", "001"):
            name = f"moments/layer_{layer}/part_{part}.zarr"
            expected, found = (zarr_store.open_store(study.branch / name) for study in (finished, directly))
            assert found.attributes == expected.attributes
            assert found.labels.keys() == expected.labels.keys() > {"layer", "token", "name", "sample"}
            for label, (dims, values) in expected.labels.items():
                assert found.labels[label][0] == dims
                np.testing.assert_array_equal(found.labels[label][1], values)
            for array in ("mean", "scatter", "gram", "averaged", "norms"):
                whole = expected[array][:]
                np.testing.assert_allclose(found[array][:], whole, rtol=0, atol=1e-6 * np.abs(whole).max())
    assert not (directly.branch / "activations").exists()


def test_the_concatenated_spectrum_is_that_of_the_stored_activations(finished, directly):
    part = zarr_store.open_store(finished.branch / "activations/layer_02/part_000.zarr")
    flat = part["activations"][:].reshape(16, -1).astype(np.float64)
    singular = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)
    found = zarr_store.open_store(directly.branch / "moments/layer_02/concatenated.zarr")
    np.testing.assert_allclose(found["eigenvalues"][:15], singular[:15] ** 2 / 16, rtol=1e-6)


@pytest.mark.parametrize("layer", ["00", "02"])
def test_errors_are_those_of_the_stored_mode(finished, directly, layer):
    name = f"uncertainty/layer_{layer}.zarr"
    expected, found = (zarr_store.open_store(study.branch / name) for study in (finished, directly))
    assert found.attributes == expected.attributes
    assert set(found) == set(expected)
    for label, (_, values) in expected.labels.items():
        np.testing.assert_array_equal(found.labels[label][1], values)
    tables = [pd.read_csv(study.branch / "alpha.csv") for study in (finished, directly)]
    for column in ("alpha_corrected", "se"):
        np.testing.assert_allclose(*(table[column] for table in tables), rtol=1e-3)


def test_everything_downstream_is_there_and_nothing_is_left_to_do(finished, directly):
    def made(workflow):
        files = {str(file.relative_to(workflow.branch)) for file in workflow.branch.rglob("*") if file.is_file()}
        return {file for file in files if not file.startswith("activations/")}

    assert made(directly) == made(finished)
    assert directly.planned() == set()


def test_only_what_a_change_outdates_is_made_again(directly):
    def rules(**changes):
        try:
            directly.configure(config(**changes))
            return {rule for rule, _ in directly.planned() if not rule.startswith(("draw", "explorer"))}
        finally:
            directly.configure(config())

    later = {"spectra", "correlation_matrix", "alpha_table", "statistic_table", "correlation_table", "cluster_table"}
    later |= {"alpha_means_table", "claims_table"}
    assert rules(fit=SMALL["fit"] | {"ranks": [3, 15]}) == {
        "alpha_table",
        "alpha_means_table",
        "cluster_table",
        "claims_table",
    }
    assert rules(samples=28) == later | {"direct_next_tiny"}
    assert rules(seed=4) == later | {"direct_first_tiny", "direct_next_tiny"}
    assert rules(images=SMALL["images"] | {"crop": "none"}) == later | {"direct_first_tiny", "direct_next_tiny"}
    assert rules(compute=SMALL["compute"] | {"batch_size": 4}) == set()


def test_the_memory_asked_for_covers_the_peak(directly):
    said = directly.run("--dry-run", "--forceall").stdout
    asked = re.findall(r"benchmark: (\S+/direct/\S+)\n(?:    \w+: .*\n)*?    resources: .*?mem_mb=(\d+)", said)
    assert len(asked) == 2
    for file, megabytes in asked:
        with (directly.directory / file).open() as rows:
            peak = float(next(csv.DictReader(rows, delimiter="\t"))["max_rss"]) * 2**20
        assert peak <= int(megabytes) * 1e6


def test_the_target_activations_says_that_there_are_none(directly):
    process = directly.run("--dry-run", "activations", check=False)
    assert process.returncode != 0
    assert "error: activations.store: false" in process.stdout


@pytest.fixture(scope="module")
def chain():
    torch.manual_seed(0)
    return TokenChain(create_model("vit_tiny_patch16_224", 48))


def analyse(chain, count, **options):
    """All that direct mode finds for so many random images, and which of them it asked for."""
    images = torch.randn(count, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    asked = []

    def batches(start, stop):
        asked.append((start, stop))
        for first in range(start, stop, 4):
            yield patchify(images[first : min(first + 4, stop)], (16, 16))

    options = {"joint": 0, "device": torch.device("cpu"), "sums_device": "cpu", "threads": 1} | options
    found = in_memory.analyse(batches, chain, LAYERS, np.arange(count), **options)
    return {layer: (its(), joint, folded) for layer, its, joint, _, folded in found}, asked, images


def test_slabs_and_groups_find_what_one_forward_pass_finds(chain, monkeypatch):
    monkeypatch.setattr(moments, "batch_rows", lambda *_: 5)
    folding = dict(joint=9, folds=2, doubts=lambda layer, its: of_layer(its, 2), doubted=8)
    whole, asked, images = analyse(chain, 22, size=(22, 1), **folding)
    assert asked == [(0, 22)]
    pieces, asked, _ = analyse(chain, 22, size=(10, 2), **folding)
    assert asked == 2 * [(0, 10), (10, 20), (20, 22)]
    assert list(pieces) == list(whole) == LAYERS
    with torch.inference_mode():
        tokens = chain.model.forward_intermediates(
            images, indices=[2], return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
        )
        last = torch.cat([tokens[0][1], tokens[0][0]], dim=1).double().numpy()
    centred = last - last.mean(axis=0)
    for found in (whole, pieces):
        for layer in LAYERS:
            np.testing.assert_allclose(found[layer][0].scatter, whole[layer][0].scatter, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(found[layer][0].gram, whole[layer][0].gram, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(found[3][0].mean, last.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(
            found[3][0].scatter, np.einsum("ntd,nte->tde", centred, centred), rtol=1e-4, atol=1e-4
        )
        expected, *_ = concatenated.spectrum(last[:9])
        np.testing.assert_allclose(found[3][1][0][:8], expected[:8], rtol=1e-4)
        folded = of_layer(last[:8], 2)
        for kind, its in found[3][2].items():
            np.testing.assert_allclose(its.held_out[..., :3], folded[kind].held_out[..., :3], rtol=1e-3)
            np.testing.assert_allclose(its.scores[..., :3], folded[kind].scores[..., :3], rtol=0.01, atol=0.01)


@pytest.mark.parametrize("patch_size", [2, 16])
def test_tokens_of_either_size_take_the_place_of_pixels_that_are_done_with(patch_size):
    # 256 patches of 12 pixel values, of 64 features then; and 4 patches of 768.
    options = dict(img_size=32, patch_size=patch_size, embed_dim=64, depth=1, num_heads=2, num_classes=0)
    chain = TokenChain(VisionTransformer(**options).eval())
    patches = patchify(torch.randn(30, 3, 32, 32), (patch_size, patch_size))
    with torch.inference_mode():
        expected = chain.link(1, patches).double().numpy()
    place = {"device": torch.device("cpu"), "sums_device": "cpu", "threads": 1, "workers": 3}

    def images(start, stop):
        return patches[start:stop].split(4)

    ((_, moments_of, *_),) = in_memory.analyse(images, chain, [1], np.arange(30), size=(30, 1), **place)
    found = moments_of()
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), atol=1e-5)
    centred = expected - expected.mean(axis=0)
    np.testing.assert_allclose(found.scatter, np.einsum("ntd,nte->tde", centred, centred), atol=1e-3)


# By size of slabs and groups: the layer that is computed beside the writing of one (none beside the last of a group,
# which is followed by images), and how many layers are written when images are asked for and when something is added
# to a layer's sums.
WRITTEN = {(6, 1): ({0: 1, 1: 2}, [0], [0, 1, 2]), (4, 2): ({0: 1}, [0, 0, 2, 2], [0, 0, 0, 1, 2, 2])}


@pytest.mark.parametrize("size", WRITTEN)
def test_a_layer_is_written_while_the_next_is_computed_but_before_its_sums(chain, monkeypatch, size):
    beside, expected_asked, expected = WRITTEN[size]
    computed, written, asked, summed = {layer: threading.Event() for layer in range(4)}, [], [], []
    link, add = TokenChain.link, moments.Accumulator.add

    def computing(self, layer, tokens):
        computed[layer].set()
        return link(self, layer, tokens)

    def summing(self, batch):
        summed.append(len(written))
        add(self, batch)

    def write(layer, its_moments, joint, *_):
        assert layer not in beside or computed[beside[layer]].wait(10)
        time.sleep(0.3)  # in which the sums would begin
        written.append((layer, its_moments.count, joint is not None))

    monkeypatch.setattr(TokenChain, "link", computing)
    monkeypatch.setattr(moments.Accumulator, "add", summing)
    patches = torch.randn(6, 9, 768)

    def images(start, stop):
        asked.append(len(written))
        return [patches[start:stop]]

    options = {"device": torch.device("cpu"), "sums_device": "cpu", "threads": 1, "size": size, "joint": 4}
    place = (images, chain, LAYERS, np.arange(6))
    in_memory.analyse_writing(write, *place, **options)
    assert written == [(layer, 6, True) for layer in LAYERS]
    assert (asked, summed) == (expected_asked, expected)

    def fail(layer, *_):
        raise OSError(f"layer {layer}")

    summed.clear()
    with pytest.raises(OSError, match=f"layer {LAYERS[0]}"):
        in_memory.analyse_writing(fail, *place, **options)
    # It is seen before anything is added to another layer's sums.
    assert len(summed) == expected.index(1)


def test_of_a_layers_sums_nothing_is_left_when_the_next_are_taken(chain, monkeypatch):
    # On a GPU there is room for one layer's.
    made, when_taken, when_written = [], [], []
    add = moments.Accumulator.add

    def alive():
        return sum(its() is not None for its in made)

    def adding(self, batch):
        if not any(its() is self for its in made):
            when_taken.append(alive())
            made.append(weakref.ref(self))
        add(self, batch)

    monkeypatch.setattr(moments.Accumulator, "add", adding)
    patches = torch.randn(6, 9, 768)
    options = {"device": torch.device("cpu"), "sums_device": "cpu", "threads": 1, "size": (6, 4)}

    def write(layer, its_moments, *_):
        when_written.append((layer, its_moments.count, alive()))

    in_memory.analyse_writing(write, lambda start, stop: [patches[start:stop]], chain, LAYERS, np.arange(6), **options)
    assert when_taken == [0] * len(LAYERS)
    assert when_written == [(layer, 6, 0) for layer in LAYERS]


def test_an_activation_that_is_not_finite_is_named(chain):
    block = chain.model.blocks[1]
    forward = block.forward

    def poisoned(tokens):
        out = forward(tokens).clone()
        if len(out) == 2:  # the last batch
            out[1, 3] = torch.nan
        return out

    block.forward = poisoned
    try:
        with pytest.raises(StudyError, match="layer 2, sample 5, token 3"):
            analyse(chain, 6, size=(6, 1))
    finally:
        block.forward = forward


VIT_B_8 = {"in_chans": 3, "patch_size": [8, 8], "grid": [28, 28], "prefix_tokens": ["cls"], "embed_dim": 768}


def test_the_whole_part_is_one_slab_where_it_fits():
    job = VIT_B_8, [0, 1, 2], 64, 2000, 2000
    assert direct.direct_size(direct.direct_memory(*job), *job) == (2000, 3)


def test_less_memory_makes_small_slabs_and_groups_and_never_less_than_the_concatenated_samples():
    least = direct.direct_memory(VIT_B_8, [0, 1, 2], 64, 2000, 2000)
    part = VIT_B_8, [0, 1, 2], 64, 50_000, 2000
    assert direct.direct_size(least - 2**20, *part) == (2000, 1)
    # Of a long part, what is asked for is bounded.
    longer = VIT_B_8, [0, 1, 2], 64, 500_000, 2000
    assert direct.direct_memory(*part) == direct.direct_memory(*longer)
    assert direct.direct_size(direct.direct_memory(*part), *part) == (2000, 3)


MEASURE = """
import sys
import numpy as np, torch
from timm.models.vision_transformer import VisionTransformer
from tokengeometry.activations import in_memory
from tokengeometry.geometry import moments
from tokengeometry.operations.cost import direct
from tokengeometry.geometry.uncertainty.layers import of_layer
from tokengeometry.model.token_chain import TokenChain, describe
torch.set_num_threads(1)
samples, layers = 400, [0, 1, 2]
size = dict(img_size=224, patch_size=14, embed_dim=384, depth=2, num_heads=6, num_classes=0)
network = VisionTransformer(**size).eval()

def images(start, stop):
    for first in range(start, stop, 10):
        yield torch.randn(10, 256, 588)

def write(layer, its_moments, joint, *_):
    moments.write(f"{sys.argv[1]}/{layer}.zarr", its_moments, dtypes=["float32"])

place = dict(device=torch.device("cpu"), sums_device="cpu", threads=2, workers=2)
in_memory.analyse_writing(
    write, images, TokenChain(network), layers, np.arange(samples), size=(samples, 3), joint=samples, folds=2,
    doubts=lambda layer, its: of_layer(its, 2, [], dtypes=["float32"], threads=2), doubted=samples, **place
)
print(direct.direct_memory(describe(network, ""), layers, 64, samples, samples, 0, 2))
"""


@pytest.mark.slow
def test_memory_at_the_default_studys_size_is_what_was_planned(tmp_path):
    environment = os.environ | ALLOCATOR | {"PYTHONPATH": str(Workflow.PACKAGE)}
    command = [sys.executable, "-c", MEASURE + PRINT_PEAK, str(tmp_path)]
    said = subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout
    planned, peak = map(int, said.split())
    assert 0.5 < peak / planned <= 1
