"""What tables, figures and pages cost, as far as they grow."""

import math

from tokengeometry.explorer import backdrop
from tokengeometry.geometry.uncertainty.bands import rank_bands
from tokengeometry.operations.cost.forward import loading_bytes
from tokengeometry.operations.cost.sizes import CLUSTERS_BYTES, LIGHT_PROCESS_BYTES, PROCESS_BYTES, Cost, layer_shape

# Tokens whose images' scores a page's job has in memory at a time.
EXPLORED_TOKENS = 64


def matrices(layers, tokens):
    """Of a table or a figure of the correlation matrices of so many layers."""
    return Cost(LIGHT_PROCESS_BYTES + 4 * 8 * layers * tokens**2)


def norms(samples, tokens):
    """Of a table of the norms of so many samples: of the parts and merged, in float64, sorted for quantiles."""
    return Cost(LIGHT_PROCESS_BYTES + 7 * 4 * samples * tokens)


def errors(samples, tokens, features):
    """Of a table of α with errors, from the scores of so many images: of a layer, as stored and twice in float32.

    Or of its means, which have no copies of the scores, but a few of the coefficients, and all of their sums by band.
    """
    bands = len(rank_bands(features)) - 1
    scores = samples * tokens * bands
    return Cost(LIGHT_PROCESS_BYTES + 12 * scores + 24 * samples * tokens + 8 * tokens * (12 * features + 60 * bands))


def explored(study, model, job):
    """Of a branch's page: its images, a few at a time; then what goes into it, as arrays and as text.

    With thumbnails, the images' scores of some tokens besides.
    """
    values = model["in_chans"] * math.prod(model["image_size"])
    # A batch in float64 twice; the sums, and what is made of them.
    reading = loading_bytes(backdrop.BATCH, values, 1, 4) + 6 * 8 * values
    layers, images = claimed(study, job, job["split"])
    tokens, features = layer_shape(model, 1)
    features = max(features, layer_shape(model, 0)[1])
    numbers = layers * (2.2 * tokens * features + tokens**2 / 2)
    layer = 8 * (8 * tokens * features + 4 * tokens**2)
    shown = study.config["explorer"]["thumbnails"] > 0
    scores = EXPLORED_TOKENS * images * 10 * len(rank_bands(features)) if shown else 0
    return Cost(PROCESS_BYTES + max(reading, int(4 * numbers + layer + scores)))


def claimed(study, job, split):
    """Analysed layers, and images in folds, of a split."""
    return len(study.layers(job["model"])), study.fold_samples(job["dataset"], split)


def _influences_bytes(model, layers, images):
    """Of every image's influence on every token's α, and of the scores of a layer that is at work."""
    tokens, features = layer_shape(model, 1)
    bands = len(rank_bands(max(features, layer_shape(model, 0)[1]))) - 1
    return tokens * images * (4 * layers + 6 * bands + 16)


def claims(model, layers, images):
    """Of the table of claims of a branch."""
    return Cost(CLUSTERS_BYTES + _influences_bytes(model, layers, images))


def splits(model, *of_splits):
    """Of the table of claims of two splits: the influences of both, and together."""
    read = sum(_influences_bytes(model, layers, images) for layers, images in of_splits)
    together = sum(3 * 4 * layers * images for layers, images in of_splits) * layer_shape(model, 1)[0]
    return Cost(LIGHT_PROCESS_BYTES + read + together)
