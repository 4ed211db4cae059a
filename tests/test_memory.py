"""The memory of a job follows from the model and the chunk, never from the number of samples."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import REPOSITORY
from tokengeometry import stores

FEW, MANY = 4500, 9000
TOKENS, FEATURES = 256, 64
REPORT = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
SAMPLE_BYTES = TOKENS * FEATURES * 4

JOBS = {
    "layer": """
        import torch
        from timm.models.vision_transformer import VisionTransformer
        from tokengeometry.activations import write_layer
        from tokengeometry.models import TokenChain
        model = VisionTransformer(img_size=64, patch_size=4, embed_dim=64, depth=2, num_heads=1,
                                  class_token=False, global_pool="avg", num_classes=0).eval()
        write_layer(out, source, TokenChain(model), 2, batch_size=64, device=torch.device("cpu"))
    """,
    "moments": """
        from tokengeometry import moments, stores
        moments.write(out, moments.accumulate(moments.batches(stores.open_store(source), "cpu")), dtypes=[])
    """,
    "concatenated": """
        from tokengeometry import spectra, stores
        spectra.write_concatenated(out, [stores.open_store(source)], 500, device="cpu")
    """,
    "verify": """
        from tokengeometry import stores
        stores.verify(source)
    """,
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Activation stores of two sizes."""
    folder = tmp_path_factory.mktemp("sources")
    chunk = np.random.default_rng(0).normal(size=(500, TOKENS, FEATURES)).astype(np.float32)
    for samples in (FEW, MANY):
        with stores.create(folder / f"{samples}.zarr", compute_dtype="float32") as store:
            shape = (samples, TOKENS, FEATURES)
            array = store.create("activations", shape, np.float32, ("sample", "token", "feature"))
            for start in range(0, samples, 500):
                array[start : start + 500] = chunk
            store.write("sample", np.arange(samples), ("sample",))
    return folder


def peak(job, source, out):
    """Peak resident memory of a process that does this job, in bytes."""
    code = f"source, out = {str(source)!r}, {str(out)!r}\n{textwrap.dedent(JOBS[job])}\n{REPORT}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return 1024 * int(process.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_peak_memory_does_not_grow_with_the_samples(job, sources, tmp_path):
    few = peak(job, sources / f"{FEW}.zarr", tmp_path / "few.zarr")
    many = peak(job, sources / f"{MANY}.zarr", tmp_path / "many.zarr")
    growth = (many - few) / ((MANY - FEW) * SAMPLE_BYTES)
    assert growth < 0.15
