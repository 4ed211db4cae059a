"""What the workflow takes on a GPU, beside the bare forward pass there.

    PYTHONPATH=REPOSITORY:REPOSITORY/workflow python -m bench.gpu FOLDER --samples 10000

needs no study, no network and no Snakemake: random weights, and images of noise in the size of MNIST's. FOLDER is for
the stores. Each line that it prints is JSON: what was done, and its seconds, or how fast it was. The bare pass has its
images preprocessed in memory, on the host; direct mode loads its own and writes its stores, so its time is that of its
job but for the start of the process.
"""

import argparse
import json
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tokengeometry.activations.direct import Stores, write_part
from tokengeometry.data import splits
from tokengeometry.errors import StudyError
from tokengeometry.geometry import concatenated, moments, spectra
from tokengeometry.geometry.uncertainty import layers as layers_of_images
from tokengeometry.model.token_chain import load_chain
from tokengeometry.model.weights import prepare
from tokengeometry.operations import devices, product_rates
from tokengeometry.reduction import speed
from tokengeometry.storage import zarr_store

from bench.forward import schedule_of

IMAGES = {"crop": "center", "resize": "uint8"}
# Matrices for one solver after the other.
MATRICES = 64
# Images of the concatenated spectrum, and of the folds.
JOINT = 2000


class Clock:
    """Times what is done on a device, and says so."""

    def __init__(self, device):
        self.device = device

    def __call__(self, what, function, **facts):
        self._wait()
        start = time.perf_counter()
        found = function()
        self._wait()
        seconds = time.perf_counter() - start
        print(json.dumps({"what": what, "seconds": round(seconds, 3), **facts}), flush=True)
        return found

    def _wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure(options):
    """Measure all, in the order in which a study does it."""
    threads = options.threads
    device = devices.prepare(options.device, threads)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(json.dumps({"device": name, "torch": torch.__version__, "threads": threads, **_asked(options)}), flush=True)
    clock, folder = Clock(device), options.folder
    weights = folder / "weights.safetensors"
    source = {"source": "random", "seed": 0}
    model = prepare(options.architecture, options.image_size, source, weights, folder / "model.json", scratch=folder)
    write_noise(folder / "MNIST/raw", options.samples)
    split = splits.open_split("MNIST", {"train": False}, folder)
    samples = np.arange(options.samples)
    how = dict(batch_size=options.batch_size, workers=threads, **IMAGES)
    batches = clock("images preprocessed", lambda: list(splits.batches(split, samples, model, **how)))
    layers = list(range(model["depth"] + 1))
    for precision in options.precisions:
        dtype = getattr(torch, precision)
        chain = load_chain(model, weights, layers=layers[1:], dtype=dtype, device=device)
        bare(clock, chain.model, batches, dtype, precision)
        for budget in options.budgets:
            merged(chain.model, batches[0].to(device, dtype), budget, precision)
        del chain
    del batches
    sums_device = device if device.type == "cuda" else "cpu"
    clock("products chosen", lambda: product_rates.chosen(sums_device))
    stores, joint = _stores(folder, len(layers), options.folds), min(JOINT, options.samples)
    how = dict(layers=layers, images=IMAGES, precision="float32", joint=joint, folds=options.folds, measured=0)
    how |= dict(device=device, batch_size=options.batch_size, memory=options.memory, threads=threads)
    how |= dict(fold_samples=joint if options.folds else 0)
    clock("direct mode, float32", lambda: write_part(stores, split, samples, model, weights, **how))
    parts, joint_spectrum = (zarr_store.open_store(getattr(stores, kind)[-1]) for kind in ("moments", "concatenated"))
    where = product_rates.for_eigenvalues(sums_device)
    spectra_path = folder / "spectra.zarr"
    clock(
        "spectra of a layer, from its stores",
        lambda: spectra.write_spectra(spectra_path, [parts], joint_spectrum, device=where, threads=threads),
    )
    of_a_layer(clock, model, min(JOINT, options.samples), sums_device, threads)


def write_noise(folder, count, side=28):
    """MNIST's files, of noise: images that threads read side by side."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    # The class opens its test split only where the other is there too.
    for name, images in (("t10k", count), ("train", 1)):
        for kind, shape, largest in (("images-idx3", (images, side, side), 255), ("labels-idx1", (images,), 9)):
            header = struct.pack(f">{len(shape) + 1}i", 0x0800 + len(shape), *shape)
            values = random.integers(largest, size=shape, dtype=np.uint8, endpoint=True)
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + values.tobytes())


def bare(clock, network, batches, dtype, precision):
    """The forward pass alone, a batch after the other from the host's memory."""

    def run():
        with torch.inference_mode():
            for batch in batches:
                found = network.forward_features(batch.to(clock.device, dtype))
        return found

    # What is prepared once for all batches.
    with torch.inference_mode():
        network.forward_features(batches[0].to(clock.device, dtype))
    clock("bare forward pass", run, precision=precision)


def merged(network, images, budget, precision):
    """A batch with tokens merged to a share of the operations (ToMe), by turns with the whole model."""
    found = speed.compare(network, images, schedule_of(network, budget), repeats=5, policy="tome")
    about = {"what": "tokens merged", "precision": precision, "images": len(images), "budget": budget}
    print(json.dumps(about | {name: float(f"{its:.4g}") for name, its in found.items()}), flush=True)


def of_a_layer(clock, model, samples, device, threads):
    """One layer's sums and eigenvalues, where they are in memory."""
    tokens, features = len(model["prefix_tokens"]) + int(np.prod(model["grid"])), model["embed_dim"]
    values = torch.randn(samples, tokens, features, device=clock.device)
    values *= torch.arange(1, features + 1, device=clock.device) ** -0.5
    held = values if clock.device.type == "cuda" else values.numpy()
    products = product_rates.chosen(device)
    rows = moments.batch_rows(tokens, features)

    def add_up():
        sums = moments.Accumulator(device, threads, products.scatter)
        for start in range(0, samples, rows):
            sums.add(held[start : start + rows])
        return sums.moments()

    its = clock("moments of a layer", add_up, samples=samples)
    clock(
        "concatenated spectrum of a layer",
        lambda: concatenated.spectrum(held, device=device, threads=threads, products=products.gram),
        samples=samples,
    )
    scatter = its.scatter[:MATRICES].copy()
    del its
    for place in dict.fromkeys([device, "cpu"]):
        clock(
            "eigensystems",
            lambda place=place: spectra.eigensystem(scatter, samples, device=place, threads=threads),
            matrices=len(scatter),
            features=features,
            on=str(place),
        )
    host = values.cpu().numpy()
    clock(
        "scores and folds of a layer",
        lambda: layers_of_images.of_layer(
            host, 2, model["prefix_tokens"], dtypes=["float32", "float32"], threads=threads
        ),
        samples=samples,
    )


def _stores(folder, layers, folds):
    def paths(kind):
        return [folder / kind / f"layer_{layer:02d}.zarr" for layer in range(layers)]

    names = {"model": "bench", "dataset": "noise", "split": "all"}
    return Stores(paths("moments"), paths("concatenated"), [], paths("uncertainty") if folds else [], names, "000")


def _asked(options):
    return {name: its for name, its in vars(options).items() if name not in ("folder", "device", "threads", "memory")}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="new; for the stores")
    parser.add_argument("--architecture", default="vit_base_patch8_224")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--samples", type=int, default=10000)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], help="of the bare pass")
    parser.add_argument("--budgets", nargs="*", type=float, default=[0.5, 0.35, 0.25], help="with tokens merged")
    parser.add_argument("--folds", type=int, default=0, help="of direct mode; the CPU makes them")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--memory", type=float, default=32e9, help="bytes for direct mode on a CPU")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args(arguments)
    try:
        options.folder.mkdir(parents=True)
        measure(options)
    except (StudyError, FileExistsError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
