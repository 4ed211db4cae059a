"""What each rule's job costs before it runs: bytes of memory, bytes of its stores, floating-point operations.

One function a rule takes the sizes of a job; `of_job` finds them in a study. Plain arithmetic on shapes. Disk is exact
for the arrays of a store (chunks are padded to their full size), without coordinates and metadata, which are some
kilobytes. Memory is an estimate of a job's peak, fitted to what jobs of several sizes have used. A multiplication and
an addition are two operations.
"""

import math
from dataclasses import dataclass

import numpy as np

from tokengeometry.explorer import backdrop
from tokengeometry.geometry import triangles
from tokengeometry.geometry.uncertainty.bands import rank_bands
from tokengeometry.geometry.uncertainty.similarity import CKA_IMAGES, FOLDS, KINDS, MEASURES
from tokengeometry.reduction.runs import images_of
from tokengeometry.reduction.schedules import RATES
from tokengeometry.storage.chunk_sizes import (
    BATCH_BYTES,
    BLOCK_BYTES,
    CHUNK_BYTES,
    PIECE_LENGTH,
    PROJECTED_BYTES,
    PROJECTED_RANKS,
    SLABS_BYTES,
    TOKENS_BYTES,
    batch_rows,
    chunk_length,
)

CHECKSUM_BYTES = 4
# Python with torch, timm and zarr.
PROCESS_BYTES = 3 * 2**28
# Python with numpy, pandas, zarr and matplotlib, but without torch.
LIGHT_PROCESS_BYTES = 5 * 2**25
# Python with numpy and zarr.
NUMPY_PROCESS_BYTES = 3 * 2**25
# That of figures, with umap, which compiles when it runs first.
CLUSTERS_BYTES = 31 * 2**24
# How often claims go through UMAP and k-means; and the products that take as long as that does, for each token.
CLUSTERINGS = 102
CLUSTERING_FLOPS = 10**7
# Tokens whose images' scores a page's job has in memory at a time.
EXPLORED_TOKENS = 64
# Of an image that a thread decodes: five megapixels and their copy.
IMAGE_BYTES = 2**25


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    Attributes
    ----------
    memory : int
        Peak bytes; 0 where the default of every rule is enough.
    stores : tuple of int
        Bytes of what it makes, in the order of the rule's outputs, as far as it is worth counting.
    flops : int
    """

    memory: int = 0
    stores: tuple = ()
    flops: int = 0

    @property
    def disk(self):
        """Bytes of all stores."""
        return sum(self.stores)


def of_job(rule, study, model, job, threads=1, gpu=False):
    """The cost of a rule's job.

    Parameters
    ----------
    rule : str
        Its name; "direct" for all of direct mode. A rule that has no formula costs nothing to speak of.
    study : tokengeometry.study.Study
    model : dict
        What `tokengeometry.model.token_chain.describe` says of the job's model; not looked at for a rule without.
    job : mapping
        The wildcards: model, dataset, split, layer and part, as far as the rule has them. Of direct mode's jobs the
        one for the first part, which makes the concatenated spectra too, has no part.
    threads : int
        Those that it gets.
    gpu : bool
        Whether it has a GPU.

    Returns
    -------
    Cost
    """
    match rule:
        case "model":
            # The weights as read, in timm's form, and as written.
            weights = 4 * model["parameters"]
            return Cost(PROCESS_BYTES + 3 * weights, (weights,))
        case "dataset":
            return Cost(PROCESS_BYTES)
        case "cluster_table":
            return Cost(CLUSTERS_BYTES)
        case "claims_table":
            return claims(model, *claimed(study, job, job["split"]), threads)
        case "claims_of_splits":
            return splits(model, *(claimed(study, job, split) for split in ("train", "test")))
        case "correlation_table" | "figures" if "split" in job:
            return matrices(len(study.layers(job["model"])), layer_shape(model, 1)[0])
        case "statistic_table":
            samples = study.samples(job["dataset"], job["split"]) if study.of_moments(job["statistic"]) else 0
            return norms(samples, layer_shape(model, 1)[0])
        case "explorer_page":
            return explored(study, model, job)
        case "alpha_table" | "alpha_means_table":
            return errors(study.fold_samples(job["dataset"], job["split"]), *layer_shape(model, 1))
        case _ if rule.startswith("reduction_"):
            return reduction(rule, model, study, job, gpu)
        case _ if "layer" not in job and rule not in ("pixels", "direct"):
            return Cost()
    split = job["dataset"], job["split"]
    samples, joint, measured = samples_of(study, job), study.concatenated(*split), study.measured(*split)
    folded = study.fold_samples(*split), study.folds
    compute, activations = study.config["compute"], study.config["activations"]
    layer = int(job.get("layer", 0))
    shape, dtype = layer_shape(model, layer), activations["dtype"]
    at_work = compute["batch_size"], threads, not gpu and compute["device"] != "mps"
    measured_here = measured if layer else 0
    match rule:
        case "pixels":
            return pixels(model, samples, compute["batch_size"], dtype, threads)
        case "layer":
            return link(model, layer, samples, dtype, *at_work)
        case "noise":
            return noise(model, layer, measured, *at_work)
        case "direct":
            besides = (0, 0) if "part" in job else (joint, measured)
            folded = (0, 0) if "part" in job else folded
            return direct(
                model, study.layers(job["model"]), compute["batch_size"], samples, *besides, *at_work[1:], *folded
            )
        case "moments":
            return moments(samples, *shape)
        case "merged_moments":
            return merged_moments((int(job["last"]) - int(job["first"]) + 1) * study.config["samples_per_part"], *shape)
        case "concatenated":
            return concatenated(joint, *shape, dtype, threads, measured_here, study.folds)
        case "uncertainty":
            return uncertainty(*folded, *shape, threads)
        case "spectra":
            return spectra(study.samples(*split), joint, *shape, threads, measured_here)
        case "correlation_matrix":
            return correlation_matrix(*shape)


def samples_of(study, job):
    """Samples of a job's part, or of the first."""
    start, stop = study.parts(job["dataset"], job["split"])[int(job.get("part", 0))]
    return stop - start


def layer_shape(model, layer):
    """How many tokens and features a layer has.

    Parameters
    ----------
    model : dict
        The content of `model.json`; of it only grid, prefix_tokens, in_chans, patch_size and embed_dim.
    layer : int
        0 is the pixel patches.

    Returns
    -------
    tokens, features : int
    """
    spatial = math.prod(model["grid"])
    if layer == 0:
        return spatial, model["in_chans"] * math.prod(model["patch_size"])
    return spatial + len(model["prefix_tokens"]), model["embed_dim"]


# Bytes of stores


def array_bytes(shape, dtype, length=None):
    """Bytes of an array's chunks in a store, of so many entries of the first axis each."""
    if not shape:
        return np.dtype(dtype).itemsize + CHECKSUM_BYTES
    length = length or chunk_length(shape, dtype)
    chunk = length * math.prod(shape[1:]) * np.dtype(dtype).itemsize + CHECKSUM_BYTES
    return -(-shape[0] // length) * chunk


def activation_disk(samples, tokens, features, dtype="float32"):
    """Bytes of the activation store of one part of a layer."""
    return array_bytes((samples, tokens, features), dtype)


def noise_disk(samples, tokens, features, arrays):
    """Bytes of the store of one layer's measured noise, of so many arrays."""
    return arrays * array_bytes((samples, tokens, features), "float32")


# Forward pass


def samples_at_work(batch_size, threads, tokens, features, on_cpu=True):
    """Samples that a job's forward pass has at work at most: a batch, or on the CPU what its threads share.

    See `tokengeometry.operations.worker_threads.share`, and `forward_workers` of `tokengeometry.operations.devices` for
    twice the threads.
    """
    if not on_cpu:
        return batch_size
    return min(batch_size, 2 * threads * batch_rows(tokens, features, batch_bytes=TOKENS_BYTES))


def link_flops(model, samples, layer):
    """Operations of the forward pass from the layer before to this one; the patch embedding belongs to layer 1."""
    tokens, features = layer_shape(model, layer)
    flops = samples * (2 * tokens * model["matrix_entries"][layer - 1] + 4 * tokens**2 * features)
    return flops + (2 * samples * math.prod(layer_shape(model, 0)) * features if layer == 1 else 0)


def _loading_bytes(batch_size, image_values, workers, taken):
    """Of images that threads preprocess: a batch each, two that wait, and so many copies of the one that is taken."""
    return (workers + 2 + taken) * 4 * batch_size * image_values + workers * IMAGE_BYTES


def _block_bytes(samples, tokens, features):
    """Of samples at work in a block of a transformer: about sixteen copies of their tokens.

    The two sides of the MLP's activation function, four times as wide, are half of them.
    """
    return 4 * 16 * samples * tokens * features


def _link_memory(samples, tokens, features):
    """Of a job that has so many samples at work in a block: with its weights, and chunks read and written."""
    return PROCESS_BYTES + 6 * CHUNK_BYTES + _block_bytes(samples, tokens, features) + 4 * 2 * 12 * features**2


def pixels(model, samples, batch_size, dtype, threads):
    """Of layer 0 of a part; `threads` preprocess images."""
    batch = min(batch_size, samples), model["in_chans"] * math.prod(model["image_size"])
    # What is cut into patches and into chunks is copied on the way, and chunks are written.
    memory = PROCESS_BYTES + 6 * CHUNK_BYTES + _loading_bytes(*batch, threads, 6)
    return Cost(memory, (activation_disk(samples, *layer_shape(model, 0), dtype),))


def link(model, layer, samples, dtype, batch_size, threads, on_cpu=True):
    """Of a layer ≥ 1 of a part."""
    shape = layer_shape(model, layer)
    memory = _link_memory(samples_at_work(min(batch_size, samples), threads, *shape, on_cpu), *shape)
    return Cost(memory, (activation_disk(samples, *shape, dtype),), link_flops(model, samples, layer))


def noise(model, layer, measured, batch_size, threads, on_cpu=True):
    """Of the noise of a layer, measured on so many samples; its store has them in float32 too."""
    shape = layer_shape(model, layer)
    memory = _link_memory(samples_at_work(min(batch_size, measured), threads, *shape, on_cpu), *shape)
    memory += 4 * 4 * measured * math.prod(shape)
    return Cost(memory, (noise_disk(measured, *shape, 2),), link_flops(model, measured, layer))


# Sums and spectra


def _written_bytes(scatter):
    """Of a chunk of a layer's scatter: packed, and on its way into the store."""
    return int(min(1.25 * scatter, 2 * CHUNK_BYTES))


def moment_disk(samples, tokens, features):
    """Bytes of a moment store, which has one triangle of each scatter matrix."""
    block = chunk_length((tokens, features, features), "float64")
    scatter = array_bytes((tokens, triangles.length(features)), "float64", block)
    shapes = (tokens, features), (tokens, tokens), (features, features)
    return scatter + sum(array_bytes(shape, "float64") for shape in shapes) + array_bytes((samples, tokens), "float32")


def moments(samples, tokens, features):
    """Of the moments of one part of a layer: the scatter of every token and the Gram matrix of the tokens.

    Beside them in memory a batch and what is made of it, or a chunk that is on its way into the store; and gaps of the
    heap.
    """
    batch = min(4 * samples * tokens * features, max(BATCH_BYTES, 2 * CHUNK_BYTES))
    scatter = 8 * tokens * features**2
    memory = PROCESS_BYTES + int(1.15 * scatter) + 8 * tokens**2 + max(3 * batch, _written_bytes(scatter))
    flops = 2 * samples * (tokens * features**2 + tokens**2 * features)
    return Cost(memory, (moment_disk(samples, tokens, features),), flops)


def merged_moments(samples, tokens, features):
    """Of the moments of two ranges of parts as those of one, of so many samples together.

    Block by block of tokens: a chunk of each of the two, one on its way, and the norms of one.
    """
    arrays = 8 * (6 * tokens**2 + 8 * tokens * features + 4 * features**2) + 5 * samples * tokens
    store = moment_disk(samples, tokens, features)
    memory = NUMPY_PROCESS_BYTES + 2 * CHUNK_BYTES + arrays
    return Cost(memory, (store,), 3 * tokens * triangles.length(features))


def _differences_bytes(measured, tokens, features):
    """Of measured noise: as read, and centred."""
    return 2 * 4 * measured * tokens * features


def _gram_bytes(samples, width, sample, blocks, threads):
    """Of a sample Gram matrix, of the pieces that are multiplied for it beside those blocks, of its eigenvalues."""
    gram = 8 * samples**2
    rows = min(samples, max(1, BLOCK_BYTES // sample))
    # Of each piece at work the two factors and the product; besides, the product that is added and one that waits.
    at_work = min(threads, -(-width // PIECE_LENGTH))
    pieces = at_work * 4 * rows * (2 * min(PIECE_LENGTH, width) + rows) + 2 * 4 * rows**2
    # Eigenvectors onto which noise is projected, beside one of the two blocks.
    vectors = min(PROJECTED_BYTES, 8 * width * min(samples, PROJECTED_RANKS))
    # The eigensolver, with whose copies and workspace between three and five times the matrix were measured.
    return max(gram + blocks + pieces, gram + min(blocks, BLOCK_BYTES) + vectors, 5 * gram)


def concatenated(samples, tokens, features, dtype="float32", threads=1, measured=0, folds=0):
    """Of the spectrum of all tokens of a layer concatenated: half a Gram matrix of the samples, and its eigenvalues.

    With folds also eigenvectors, of the whole and of all but each fold.
    """
    width = tokens * features
    sample = width * np.dtype(dtype).itemsize
    # Two blocks of samples, and a chunk on its way.
    blocks = min(2 * BLOCK_BYTES, samples * sample) + CHUNK_BYTES
    memory = PROCESS_BYTES + _differences_bytes(measured, tokens, features)
    memory += _gram_bytes(samples, width, sample, blocks, threads)
    store = 2 * array_bytes((min(samples, width),), "float64")
    if folds:
        ranks = samples - -(-samples // folds) - 1
        store += _folded_bytes((), samples, ranks)
    return Cost(memory, (store,), samples**2 * width + (4 + 6 * folds) * samples**3 // 3)


def _folded_bytes(leading, samples, ranks):
    """Of held-out variances and scores in a store."""
    bands = len(rank_bands(ranks)) - 1
    scores = array_bytes((*leading, samples, bands), "float16")
    return array_bytes((*leading, ranks), "float64") + scores + (0 if leading else array_bytes((bands,), "float64"))


def _folding_bytes(samples, tokens, features, threads):
    """Of samples that are dealt into folds: those of some tokens, and a batch on its way there; and each thread's."""
    whole = 4 * samples * tokens * features
    batch = min(BATCH_BYTES, whole)
    # Of a token at work: its samples in float64, its scores, scatters of folds, eigenvectors. Fewer samples than
    # features are solved in their own space; scatters remain, and what all tokens are solved with.
    size = min(samples, features)
    token = (threads + 1) * (32 * samples * features + 10 * 8 * size**2)
    if size < features:
        token += (3 * threads + 10) * 8 * features**2
    scores = min(whole, BLOCK_BYTES) + batch + token
    images = min(samples, CKA_IMAGES)
    # The layer, if it fits into memory, else a block of tokens and one more batch. Gram matrices of folds and of the
    # images, of those half; and sums of both.
    block = whole if whole <= BLOCK_BYTES else min(4 * images * tokens * features, BLOCK_BYTES // 2) + batch
    return max(scores, block + batch + 2 * tokens * images**2 + 4 * FOLDS * 8 * tokens**2)


def uncertainty(samples, folds, tokens, features, threads=1):
    """Of the scores and held-out variances of a layer's spectra, from folds of so many images."""
    store = _folded_bytes((tokens,), samples, features) + array_bytes((tokens, features), "float64")
    store += 2 * (_folded_bytes((), samples, features) + array_bytes((features,), "float64"))
    store += array_bytes((len(MEASURES), len(KINDS), 2 + FOLDS), "float64")
    memory = NUMPY_PROCESS_BYTES + _folding_bytes(samples, tokens, features, threads) + store
    products = 6 * samples * features**2 + (12 + 14 * folds) * features**3
    return Cost(memory, (store,), (tokens + 1) * products)


def spectra(samples, joint, tokens, features, threads=1, measured=0):
    """Of the eigenvalues and eigenvectors of every token's covariance and of the pooled one, of a layer.

    The store takes over the concatenated spectrum of so many joint samples, and the norms of all.
    """
    matrix = 8 * features**2
    block = chunk_length((tokens, features, features), "float64") * matrix
    arrays = 3 * 2 * 8 * tokens * features + 2 * 4 * samples * tokens + _differences_bytes(measured, tokens, features)
    memory = PROCESS_BYTES + 5 * block + 2 * threads * matrix + 3 * matrix + arrays
    of_covariances = array_bytes((tokens, features), "float64") + 2 * array_bytes((features,), "float64")
    of_moments = array_bytes((tokens, features), "float64") + array_bytes((samples, tokens), "float32")
    store = of_moments + 2 * of_covariances + concatenated(joint, tokens, features).disk
    return Cost(memory, (store,), (tokens + 1) * 9 * features**3)


def correlation_matrix(tokens, features):
    """Of the correlation matrix of a layer."""
    memory = LIGHT_PROCESS_BYTES + 8 * (6 * tokens**2 + 4 * tokens * features)
    return Cost(memory, (array_bytes((tokens, tokens), "float64"),), 2 * tokens**2 * features)


# Tables and figures, as far as they grow


def matrices(layers, tokens):
    """Of a table or a figure of the correlation matrices of so many layers."""
    return Cost(LIGHT_PROCESS_BYTES + 4 * 8 * layers * tokens**2)


def norms(samples, tokens):
    """Of a table of the norms of so many samples: of the parts and merged, in float64, sorted for quantiles."""
    return Cost(LIGHT_PROCESS_BYTES + 7 * 4 * samples * tokens)


def errors(samples, tokens, features):
    """Of a table of α with errors, from the scores of so many images: of a layer, as stored and twice in float32."""
    scores = samples * tokens * (len(rank_bands(features)) - 1)
    return Cost(LIGHT_PROCESS_BYTES + 12 * scores + 24 * samples * tokens)


def explored(study, model, job):
    """Of a branch's page: its images, a few at a time; then what goes into it, as arrays and as text.

    With thumbnails, the images' scores of some tokens besides.
    """
    values = model["in_chans"] * math.prod(model["image_size"])
    # A batch in float64 twice; the sums, and what is made of them.
    reading = _loading_bytes(backdrop.BATCH, values, 1, 4) + 6 * 8 * values
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


def claims(model, layers, images, threads=1):
    """Of the table of claims of a branch: most of it goes to UMAP, which each process has for itself."""
    memory = threads * CLUSTERS_BYTES + _influences_bytes(model, layers, images)
    return Cost(memory, (), CLUSTERINGS * CLUSTERING_FLOPS * layer_shape(model, 1)[0])


def splits(model, *of_splits):
    """Of the table of claims of two splits: the influences of both, and together."""
    read = sum(_influences_bytes(model, layers, images) for layers, images in of_splits)
    together = sum(3 * 4 * layers * images for layers, images in of_splits) * layer_shape(model, 1)[0]
    return Cost(LIGHT_PROCESS_BYTES + read + together)


# Fewer tokens


def reduction(rule, model, study, job, gpu=False):
    """Of a rule of `reduction.smk`; those that only read tables and stores take next to nothing but memory."""
    config, on_cpu = study.config, not gpu
    section, samples = config["reduction"], images_of(study, job["dataset"], job["split"])
    shape = layer_shape(model, 1)
    image = sum(link_flops(model, 1, layer) for layer in range(1, model["depth"] + 1))
    batch = min(config["compute"]["batch_size"], samples)
    share = int(job.get("budget", 100)) / 100
    at_work = min(batch, max(1, batch_rows(*shape, batch_bytes=TOKENS_BYTES))) if on_cpu else batch
    memory = _link_memory(at_work, *shape) + 4 * model["parameters"]
    memory += _loading_bytes(batch, model["in_chans"] * math.prod(model["image_size"]), 1, 2)
    whole = array_bytes((samples, *shape), "float32", max(1, batch_rows(*shape, batch_bytes=TOKENS_BYTES)))
    match rule:
        case "reduction_whole":
            return Cost(memory, (whole,), samples * image)
        case "reduction_tokens":
            return Cost(memory, (2 * array_bytes((samples, shape[1]), "float32"),), int(samples * share * image))
        case "reduction_speed":
            batch = section["speed"]["batch_size"]
            passes = 2 * section["speed"]["repeats"] + 2
            both = sum(1 + budget for budget in section["budgets"])
            return Cost(_link_memory(batch, *shape), (), int(passes * both * batch * image))
        case "reduction_schedule":
            tuning = section["tuning"]
            tuned = {"searched": tuning["steps"] + 2 + len(RATES), "exponential": len(RATES)}
            evaluations = tuned.get(job["policy"].partition("-")[2], 0)
            flops = int(tuning["images"] * image * (1 + share * evaluations)) if evaluations else 0
            return Cost(memory + 4 * tuning["images"] * math.prod(shape), (), flops)
        case "reduction_scores":
            return Cost(CLUSTERS_BYTES + 8 * 8 * samples * shape[1] + 4 * 8 * samples**2)
    return Cost(LIGHT_PROCESS_BYTES)


# Direct mode


def direct(model, layers, batch_size, samples, joint, measured=0, threads=1, on_cpu=True, folded=0, folds=0):
    """Of a part in direct mode, of which so many samples are folded; the others are those of `direct_memory`."""
    size = model, layers, batch_size, samples, max(joint, folded), measured
    memory = direct_memory(*size, threads, on_cpu)
    shapes = [layer_shape(model, layer) for layer in layers]
    sums = [moments(samples, *shape) for shape in shapes]
    sums += [concatenated(joint, *shape, folds=folds) for shape in shapes] if joint else []
    stores = [its.disk for its in sums]
    # Without the layer in float32 from which the next one would follow.
    stores += [noise_disk(measured, *layer_shape(model, layer), 1) for layer in layers if layer and measured]
    errors = [uncertainty(folded, folds, *shape, threads) for shape in shapes] if folded else []
    stores += [its.disk for its in errors]
    _, group = direct_size(memory, *size, threads, on_cpu)
    passes = -(-len(layers) // group)
    forward = sum(link_flops(model, samples + measured, layer) for layer in range(1, max(layers) + 1))
    return Cost(memory, tuple(stores), passes * forward + sum(its.flops for its in sums + errors))


def direct_memory(model, layers, batch_size, samples, joint, measured=0, threads=1, on_cpu=True):
    """Peak bytes of the job that goes through a part without storing activations.

    That of the whole part in one slab, where it is at most `SLABS_BYTES` more than the least.

    Parameters
    ----------
    model : dict
        As of `layer_shape`.
    layers : list of int
        Those analysed.
    batch_size, samples : int
    joint : int
        Samples of the concatenated spectrum that this part makes, or 0.
    measured : int
        Samples that go through the model in float32 too.
    threads : int
        And threads that load images.
    on_cpu : bool
        Whether the forward pass is; see `samples_at_work`.
    """
    fixed, sample, sums = _direct_bytes(model, layers, batch_size, joint, measured, threads, on_cpu)
    least = fixed + sums + _smallest_slab(model, layers, samples, joint) * sample
    return min(fixed + sums + samples * sample, least + SLABS_BYTES)


def direct_size(memory, model, layers, batch_size, samples, joint, measured=0, threads=1, on_cpu=True):
    """Samples in a slab and layers in a group, for a part that is gone through in so many bytes of memory.

    The parameters are those of `direct_memory`, which is the memory where the whole part is to be one slab.

    Returns
    -------
    slab, group : int
        The whole part and one layer after the other, where it fits; else a small slab, and as many layers as have
        their sums in memory, one at least.
    """
    fixed, sample, sums = _direct_bytes(model, layers, batch_size, joint, measured, threads, on_cpu)
    if fixed + sums + samples * sample <= memory:
        return samples, len(layers)
    slab = _smallest_slab(model, layers, samples, joint)
    return slab, max(1, min(len(layers), int((memory - fixed - slab * sample) // sums)))


def _direct_bytes(model, layers, batch_size, joint, measured, threads, on_cpu):
    """Of everything but samples and sums; of a sample; of a layer's sums."""
    values, (tokens, features) = math.prod(layer_shape(model, 0)), layer_shape(model, 1)
    shapes = [layer_shape(model, layer) for layer in layers]
    scatter = max(8 * t * d**2 for t, d in shapes)
    sums = scatter + max(8 * (t**2 + 2 * t * d) for t, d in shapes)
    weights = 4 * max(layers) * 12 * features**2
    # The reference's weights, two of its layers, and its differences.
    reference = bool(measured) * weights + 3 * _differences_bytes(measured, *max(shapes, key=math.prod))
    at_work = samples_at_work(batch_size, threads, tokens, features, on_cpu)
    # What is there beside those, one after the other: images that are loaded; samples in the model and the
    # chunks of the layer before that are being written; a batch and what is made of it; the sample Gram matrix.
    # Besides, gaps of the heap that one of them leaves and the next can't use.
    work = 4 * CHUNK_BYTES + max(
        _loading_bytes(batch_size, values, threads, 2),
        _block_bytes(at_work, tokens, features) + _written_bytes(scatter),
        3 * BATCH_BYTES,
        max(_gram_bytes(joint, t * d, 4 * t * d, 0, threads) for t, d in shapes),
        max(_folding_bytes(joint, t, d, threads) for t, d in shapes),
    )
    return PROCESS_BYTES + weights + reference + work, 4 * max(values, tokens * features), sums


def _smallest_slab(model, layers, samples, joint):
    return min(samples, max(joint, *(batch_rows(*layer_shape(model, layer)) for layer in layers)))
