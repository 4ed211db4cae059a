"""Disk and operations are those of real stores and of torch's own count; the paper's size fits into 8 GiB."""

import math

import pytest
import torch
from tokengeometry.model.token_chain import TokenChain, create_model, describe
from tokengeometry.operations.cost import forward, sizes, sums
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import CHUNK_BYTES
from torch.utils.flop_counter import FlopCounterMode

GIB = 2**30


@pytest.mark.parametrize("shape", [(10, 4, 3), (5,), (), (40, 1000, 1000)])
def test_disk_of_an_array_is_that_of_its_chunks(tmp_path, shape):
    with zarr_store.create(tmp_path / "a.zarr") as store:
        store.write("a", torch.ones(shape), tuple("xyz"[: len(shape)]))
    files = [file for file in (tmp_path / "a.zarr" / "a").rglob("*") if file.is_file() and file.suffix != ".json"]
    assert sum(file.stat().st_size for file in files) == sizes.array_bytes(shape, "float32")
    # The long one has more than one chunk, and the last of them is not full.
    assert (sizes.array_bytes(shape, "float32") > 4 * math.prod(shape) + 4) == (math.prod(shape) > CHUNK_BYTES // 4)


def counted_flops(function, *arguments):
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        function(*arguments)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("architecture", "image_size"),
    [("vit_tiny_patch16_224", 64), ("vit_base_patch8_224", 224), ("eva02_tiny_patch14_224", 56)],
)
def test_operations_of_the_forward_pass_are_those_that_torch_counts(architecture, image_size):
    network = create_model(architecture, image_size, device="meta")
    model, chain = describe(network, architecture), TokenChain(network)
    for layer in (1, 2):
        tokens = torch.empty(3, *sizes.layer_shape(model, layer - 1), device="meta")
        assert forward.link_flops(model, 3, layer) == counted_flops(chain.link, layer, tokens)


def test_operations_of_the_moments_are_those_that_torch_counts():
    def products(tokens):
        return tokens.mT @ tokens, tokens.flatten(1) @ tokens.flatten(1).T

    assert sums.moments(50, 7, 12).flops == counted_flops(products, torch.randn(7, 50, 12))


def test_no_rule_needs_more_than_8_gib_at_the_papers_size():
    model = describe(create_model("vit_base_patch8_224", device="meta"), "vit_base_patch8_224")
    shape = sizes.layer_shape(model, 1)
    assert shape == (785, 768)
    needed = [
        forward.pixels(model, 10_000, 128, "float32", 8),
        # As on a GPU: the whole batch at once.
        forward.link(model, 1, 10_000, "float32", 128, 8, on_cpu=False),
        sums.moments(10_000, *shape),
        sums.merged_moments(50_000, *shape),
        sums.concatenated(10_000, *shape, folds=2),
        sums.uncertainty(2000, 2, *shape, threads=8),
        sums.spectra(10_000, 10_000, *shape, threads=8),
        sums.correlation_matrix(*shape),
    ]
    assert max(its.memory for its in needed) < 8 * GIB


def test_threads_cost_memory_as_far_as_there_are_pieces_for_them():
    one, three, many = (sums.concatenated(2000, 10, 1000, threads=threads).memory for threads in (1, 3, 64))
    assert one < three == many
