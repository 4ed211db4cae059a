"""The same numbers as one would get them in a notebook: hooks, everything in memory, scikit-learn and np.corrcoef.

    PYTHONPATH=REPOSITORY:REPOSITORY/workflow python -m bench.naive TABLE

in the working directory of a fetched study writes a table of α and prints JSON: wall and CPU seconds of the forward
pass with hooks (with the preprocessing of the images), of the PCA of every token and of the correlations. No spectrum
of all tokens together, no clusters and no figures: less than the workflow does.
"""

import contextlib
import csv
import json
import os
import sys
import time

import numpy as np
import torch
from sklearn.decomposition import PCA
from tokengeometry.model.token_chain import patchify

from bench.inputs import image_batches, load_model, read_config, use_all_cores
from bench.workflow import analysed_layers


def collect(model, batches, patch_size, layers):
    """Activations of the layers, layer 0 the pixel patches: {layer: float32 array (sample, token, feature)}."""
    kept = {layer: [] for layer in layers}
    hooks = [
        model.blocks[layer - 1].register_forward_hook(
            lambda _block, _inputs, output, its=kept[layer]: its.append(output.float())
        )
        for layer in layers
        if layer
    ]
    dtype = next(model.parameters()).dtype
    with torch.inference_mode():
        for images in batches:
            if 0 in kept:
                kept[0].append(patchify(images, patch_size))
            model(images.to(dtype))
    # They hold the batches, which are to go layer by layer.
    for hook in hooks:
        hook.remove()
    return {layer: torch.cat(kept.pop(layer)).numpy() for layer in layers}


def alpha(samples, ranks, weights):
    """The exponent of a token's spectrum, by weighted least squares over ranks first…last.

    Parameters
    ----------
    samples : array, (sample, feature)
    ranks : (int, int)
    weights : {"inverse_rank", "uniform"}

    Returns
    -------
    float
        NaN where an eigenvalue is not positive.
    """
    first, last = ranks
    # A constant token has no variance to divide by.
    with np.errstate(invalid="ignore"):
        eigenvalues = PCA().fit(samples).explained_variance_[first - 1 : last]
    rank = np.arange(first, last + 1)
    if len(eigenvalues) < len(rank) or not (eigenvalues > 0).all():
        return np.nan
    # polyfit squares its weights.
    root = rank**-0.5 if weights == "inverse_rank" else np.ones(len(rank))
    return -np.polyfit(np.log(rank), np.log(eigenvalues), 1, w=root)[0]


def correlation(activations):
    """Pearson's correlation between the flattened tokens: (sample, token, feature) to (token, token)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(activations.transpose(1, 0, 2).reshape(activations.shape[1], -1))


class Stopwatch:
    """Wall and CPU seconds by stage."""

    def __init__(self):
        self.stages = {}

    @contextlib.contextmanager
    def stage(self, name):
        start, cpu_start = time.perf_counter(), _cpu_seconds()
        yield
        seconds = self.stages.setdefault(name, {"seconds": 0.0, "cpu_seconds": 0.0})
        seconds["seconds"] += time.perf_counter() - start
        seconds["cpu_seconds"] += _cpu_seconds() - cpu_start


def _cpu_seconds():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main(path):
    cores = use_all_cores()
    config = read_config()
    model, description = load_model(config)
    fit = config["fit"]
    stopwatch = Stopwatch()
    with stopwatch.stage("forward"):
        batches = image_batches(config, description, workers=cores)
        layers = collect(model, batches, description["patch_size"], analysed_layers(config))
    rows = []
    for layer, activations in layers.items():
        # Layer 0 has no prefix tokens.
        first = 0 if layer else len(description["prefix_tokens"])
        with stopwatch.stage("pca"):
            for token in range(activations.shape[1]):
                rows.append((layer, first + token, alpha(activations[:, token], fit["ranks"], fit["weights"])))
        with stopwatch.stage("corrcoef"):
            correlation(activations)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("layer", "token", "alpha"), *rows])
    print(json.dumps(stopwatch.stages))


if __name__ == "__main__":
    main(sys.argv[1])
