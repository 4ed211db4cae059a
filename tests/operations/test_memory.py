"""A job's memory follows from the model and the chunk, never from the number of samples; it is what was planned."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from small_study import PRINT_PEAK, REPOSITORY
from tokengeometry.geometry import triangles
from tokengeometry.operations.cost import forward, sums
from tokengeometry.operations.resources import ALLOCATOR
from tokengeometry.storage import zarr_store

FEW, MANY = 4500, 9000
TOKENS, FEATURES = 256, 64
JOBS = {
    "pixels": """
        from tokengeometry.data import splits
        from tokengeometry.activations.on_disk import pixels_of, write_pixels
        samples = range(count)
        split = splits.open_split("FakeData", {"size": count, "image_size": [3, image, image]}, ".")
        model = {"image_size": [size, size], "in_chans": 3, "patch_size": [patch, patch], "grid": [size // patch] * 2,
                 "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 1, "crop_mode": "center",
                 "prefix_tokens": []}
        images = splits.batches(split, samples, model, batch_size=batch_size, workers=workers, made=pixels_of(model))
        write_pixels(out, images, model, samples)
    """,
    "layer": """
        import torch
        from timm.models.vision_transformer import VisionTransformer
        from tokengeometry.activations.on_disk import write_layer
        from tokengeometry.model.token_chain import TokenChain
        model = VisionTransformer(img_size=64, patch_size=4, embed_dim=64, depth=2, num_heads=1,
                                  class_token=False, global_pool="avg", num_classes=0).eval()
        write_layer(out, source, TokenChain(model), 2, batch_size=64, workers=2, device=torch.device("cpu"))
    """,
    "moments": """
        from tokengeometry.geometry import moments
        from tokengeometry.storage import zarr_store
        moments.write(out, moments.accumulate(moments.batches(zarr_store.open_store(source))), dtypes=["float32"])
    """,
    "merged_moments": """
        from tokengeometry.geometry import moments
        from tokengeometry.storage import zarr_store
        moments.write_merged(out, [zarr_store.open_store(source)] * 2)
    """,
    "concatenated": """
        from tokengeometry.geometry import concatenated
        from tokengeometry.storage import zarr_store
        concatenated.write(out, [zarr_store.open_store(source)], joint)
    """,
    "verify": """
        from tokengeometry.storage import zarr_store
        zarr_store.verify(source)
    """,
    "spectra": """
        from tokengeometry.geometry import spectra
        from tokengeometry.storage import zarr_store
        concatenated = zarr_store.open_store(source + "/concatenated.zarr")
        moments = [zarr_store.open_store(source + "/moments.zarr")] * parts
        spectra.write_spectra(out, moments, concatenated, device="cpu")
    """,
}


def write_activations(path, samples, tokens, features):
    random = np.random.default_rng(0)
    with zarr_store.create(path, compute_dtype="float32") as store:
        shape = (samples, tokens, features)
        array = store.create("activations", shape, np.float32, ("sample", "token", "feature"))
        for start in range(0, samples, 100):
            array[start : start + 100] = random.standard_normal((100, tokens, features), np.float32)
        store.write("sample", np.arange(samples), ("sample",))
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Activation stores of two sizes."""
    folder = tmp_path_factory.mktemp("sources")
    for samples in (FEW, MANY):
        write_activations(folder / f"{samples}.zarr", samples, TOKENS, FEATURES)
    return folder


def peak(job, source, out, **variables):
    """Peak resident memory of a process that does this job on one thread, in bytes."""
    set_up = [f"{name} = {value!r}" for name, value in {"source": str(source), "out": str(out), **variables}.items()]
    if job != "merged_moments":
        set_up.append("import torch\ntorch.set_num_threads(1)")
    code = "\n".join([*set_up, textwrap.dedent(JOBS[job]), PRINT_PEAK])
    environment = os.environ | ALLOCATOR | {"PYTHONPATH": str(REPOSITORY / "workflow"), "OMP_NUM_THREADS": "1"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return int(process.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("job", [job for job in JOBS if job not in ("spectra", "merged_moments")])
def test_peak_memory_does_not_grow_with_the_samples(job, sources, tmp_path):
    def with_samples(samples):
        # Half of the images, for the time that it takes to draw them.
        images = dict(count=samples // 2, image=64, size=64, patch=4, batch_size=64, workers=2)
        return peak(job, sources / f"{samples}.zarr", tmp_path / f"{samples}.zarr", joint=500, **images)

    # How many batches threads have at hand at once is chance: of images 0.02 to 0.12 measured.
    shares = []
    while len(shares) < 3 and not any(share < 0.15 for share in shares):
        shares.append((with_samples(MANY) - with_samples(FEW)) / ((MANY - FEW) * 4 * TOKENS * FEATURES))
    assert min(shares) < 0.15


@pytest.mark.slow
def test_peak_memory_of_spectra_does_not_grow_with_the_parts(tmp_path):
    tokens, features, few, many = 64, 384, 2, 14
    scatter = np.broadcast_to(np.diag(np.arange(1.0, features + 1)), (tokens, features, features))
    with zarr_store.create(tmp_path / "moments.zarr", samples=1000, dtypes=["float32"]) as store:
        store.write("mean", np.zeros((tokens, features)), ("token", "feature"))
        store.write("scatter", triangles.pack_scatter(scatter), ("token", "feature_pair"))
        store.write("gram", np.eye(tokens), ("token", "other_token"))
        store.write("averaged", scatter[0] / tokens, ("feature", "other_feature"))
        store.write("norms", np.ones((1000, tokens), np.float32), ("sample", "token"))
    with zarr_store.create(tmp_path / "concatenated.zarr", samples=1000, gram_products="float32") as store:
        store.write("eigenvalues", np.arange(1000.0)[::-1], ("rank",))
        store.write("floor", np.full(1000, 1e-12), ("rank",))
    peaks = [peak("spectra", tmp_path, tmp_path / f"{parts}.zarr", parts=parts) for parts in (few, many)]
    assert (peaks[1] - peaks[0]) / ((many - few) * scatter.nbytes) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "shape"),
    [("moments", (300, 200, 512)), ("moments", (700, 300, 384)), ("concatenated", (5000, 4, 300))],
)
def test_peak_memory_of_sums_is_what_was_planned(tmp_path, rule, shape):
    source = write_activations(tmp_path / "a.zarr", *shape)
    found = peak(rule, source, tmp_path / "out.zarr", joint=shape[0])
    assert 0.5 < found / getattr(sums, rule)(*shape).memory <= 1


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1000, 257, 384), (8000, 300, 200)])
def test_peak_memory_of_a_merge_is_what_was_planned(tmp_path, shape):
    samples, tokens, features = shape
    matrix = np.eye(features)
    with zarr_store.create(tmp_path / "moments.zarr", samples=samples, dtypes=["float32"] * 2) as store:
        store.write("mean", np.ones((tokens, features)), ("token", "feature"))
        store.write("scatter", np.repeat(triangles.pack_scatter(matrix[None]), tokens, 0), ("token", "feature_pair"))
        store.write("gram", np.eye(tokens), ("token", "other_token"))
        store.write("averaged", matrix, ("feature", "other_feature"))
        store.write("norms", np.ones((samples, tokens), np.float32), ("sample", "token"))
    found = peak("merged_moments", tmp_path / "moments.zarr", tmp_path / "out.zarr")
    assert 0.5 < found / sums.merged_moments(2 * samples, tokens, features).memory <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "workers"), [(4, 1), (128, 2), (64, 8)])
def test_peak_memory_of_loading_images_is_what_was_planned(tmp_path, batch_size, workers):
    model = {"image_size": [224, 224], "in_chans": 3, "patch_size": [16, 16], "grid": [14, 14]}
    images = dict(count=6 * batch_size, image=32, size=224, patch=16, batch_size=batch_size, workers=workers)
    planned = forward.pixels(model, 6 * batch_size, batch_size, "float32", workers)
    assert 0.5 < peak("pixels", "", tmp_path / "p.zarr", **images) / planned.memory <= 1
