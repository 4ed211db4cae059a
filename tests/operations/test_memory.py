"""The memory of a job follows from the model and the chunk, never from the number of samples."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from small_study import PRINT_PEAK, REPOSITORY
from tokengeometry.storage import zarr_store

FEW, MANY = 4500, 9000
TOKENS, FEATURES = 256, 64
SAMPLE_BYTES = TOKENS * FEATURES * 4

JOBS = {
    "pixels": """
        from tokengeometry.data import splits
        from tokengeometry.storage import zarr_store
        from tokengeometry.activations.on_disk import write_pixels
        # Half of them, for the time that it takes to draw images.
        samples = range(len(zarr_store.open_store(source)["sample"]) // 2)
        split = splits.open_split("FakeData", {"size": len(samples), "image_size": [3, 64, 64]}, ".")
        model = {"image_size": [64, 64], "in_chans": 3, "patch_size": [4, 4], "grid": [16, 16], "mean": [0.5] * 3,
                 "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 1, "crop_mode": "center"}
        write_pixels(out, splits.batches(split, samples, model, batch_size=64, workers=2), model, samples)
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
        moments.write(out, moments.accumulate(moments.batches(zarr_store.open_store(source))), dtypes=[])
    """,
    "concatenated": """
        from tokengeometry.geometry import concatenated
        from tokengeometry.storage import zarr_store
        concatenated.write(out, [zarr_store.open_store(source)], 500)
    """,
    "verify": """
        from tokengeometry.storage import zarr_store
        zarr_store.verify(source)
    """,
}
SPECTRA = """
    from tokengeometry.geometry import spectra
    from tokengeometry.storage import zarr_store
    concatenated = zarr_store.open_store(source + "/concatenated.zarr")
    spectra.write_spectra(out, [zarr_store.open_store(source + "/moments.zarr")] * {parts}, concatenated, device="cpu")
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Activation stores of two sizes."""
    folder = tmp_path_factory.mktemp("sources")
    chunk = np.random.default_rng(0).normal(size=(500, TOKENS, FEATURES)).astype(np.float32)
    for samples in (FEW, MANY):
        with zarr_store.create(folder / f"{samples}.zarr", compute_dtype="float32") as store:
            shape = (samples, TOKENS, FEATURES)
            array = store.create("activations", shape, np.float32, ("sample", "token", "feature"))
            for start in range(0, samples, 500):
                array[start : start + 500] = chunk
            store.write("sample", np.arange(samples), ("sample",))
    return folder


def peak(job, source, out):
    """Peak resident memory of a process that does this job, in bytes."""
    code = f"source, out = {str(source)!r}, {str(out)!r}\n{textwrap.dedent(job)}\n{PRINT_PEAK}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return int(process.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_peak_memory_does_not_grow_with_the_samples(job, sources, tmp_path):
    few = peak(JOBS[job], sources / f"{FEW}.zarr", tmp_path / "few.zarr")
    many = peak(JOBS[job], sources / f"{MANY}.zarr", tmp_path / "many.zarr")
    growth = (many - few) / ((MANY - FEW) * SAMPLE_BYTES)
    assert growth < 0.15


@pytest.mark.slow
def test_peak_memory_of_spectra_does_not_grow_with_the_parts(tmp_path):
    tokens, features, few, many = 64, 384, 2, 14
    scatter = np.broadcast_to(np.diag(np.arange(1.0, features + 1)), (tokens, features, features))
    with zarr_store.create(tmp_path / "moments.zarr", samples=1000, dtypes=["float32"]) as store:
        store.write("mean", np.zeros((tokens, features)), ("token", "feature"))
        store.write("scatter", scatter, ("token", "feature", "other_feature"))
        store.write("gram", np.eye(tokens), ("token", "other_token"))
        store.write("averaged", scatter[0] / tokens, ("feature", "other_feature"))
    with zarr_store.create(tmp_path / "concatenated.zarr", samples=1000) as store:
        store.write("eigenvalues", np.arange(1000.0)[::-1], ("rank",))
        store.write("floor", np.full(1000, 1e-12), ("rank",))
    peaks = [peak(SPECTRA.format(parts=parts), tmp_path, tmp_path / f"{parts}.zarr") for parts in (few, many)]
    assert (peaks[1] - peaks[0]) / ((many - few) * scatter.nbytes) < 0.15
