"""What moments, spectra and their uncertainty cost."""

import numpy as np

from tokengeometry.geometry import triangles
from tokengeometry.geometry.uncertainty.bands import rank_bands
from tokengeometry.geometry.uncertainty.similarity import CKA_IMAGES, FOLDS, KINDS, MEASURES
from tokengeometry.operations.cost.sizes import (
    LIGHT_PROCESS_BYTES,
    NUMPY_PROCESS_BYTES,
    PROCESS_BYTES,
    Cost,
    array_bytes,
)
from tokengeometry.storage.chunk_sizes import (
    BATCH_BYTES,
    BLOCK_BYTES,
    BLOCKS_ON_GPU,
    CHUNK_BYTES,
    PIECE_LENGTH,
    PROJECTED_BYTES,
    PROJECTED_RANKS,
    chunk_length,
)


def written_bytes(scatter):
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
    memory = PROCESS_BYTES + int(1.15 * scatter) + 8 * tokens**2 + max(3 * batch, written_bytes(scatter))
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


def differences_bytes(measured, tokens, features):
    """Of measured noise: as read, and centred."""
    return 2 * 4 * measured * tokens * features


def gram_bytes(samples, width, sample, blocks, threads):
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
    memory = PROCESS_BYTES + differences_bytes(measured, tokens, features)
    memory += gram_bytes(samples, width, sample, blocks, threads)
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


def folding_bytes(samples, tokens, features, threads, folds=2):
    """Of samples that are dealt into folds: those of some tokens, and a batch on its way there; and each thread's."""
    whole = 4 * samples * tokens * features
    batch = min(BATCH_BYTES, whole)
    # Of a token at work: its samples in float64, its scores, scatters of folds, eigenvectors. Fewer samples than
    # features are solved in their own space; scatters remain, and what all tokens are solved with.
    size = min(samples, features)
    token = (threads + 1) * (32 * samples * features + 10 * 8 * size**2)
    if size < features:
        token += ((folds + 1) * threads + folds + 8) * 8 * features**2
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
    memory = NUMPY_PROCESS_BYTES + folding_bytes(samples, tokens, features, threads, folds) + store
    products = 6 * samples * features**2 + (12 + 14 * folds) * features**3
    return Cost(memory, (store,), (tokens + 1) * products)


def spectra(samples, joint, tokens, features, threads=1, measured=0, on_cpu=True):
    """Of the eigenvalues and eigenvectors of every token's covariance and of the pooled one, of a layer.

    The store takes over the concatenated spectrum of so many joint samples, and the norms of all. A GPU solves several
    blocks of tokens side by side.
    """
    matrix = 8 * features**2
    block = chunk_length((tokens, features, features), "float64") * matrix
    arrays = 3 * 2 * 8 * tokens * features + 2 * 4 * samples * tokens + differences_bytes(measured, tokens, features)
    memory = PROCESS_BYTES + 5 * block * (1 if on_cpu else BLOCKS_ON_GPU) + 2 * threads * matrix + 3 * matrix + arrays
    of_covariances = array_bytes((tokens, features), "float64") + 2 * array_bytes((features,), "float64")
    of_moments = array_bytes((tokens, features), "float64") + array_bytes((samples, tokens), "float32")
    store = of_moments + 2 * of_covariances + concatenated(joint, tokens, features).disk
    return Cost(memory, (store,), (tokens + 1) * 9 * features**3)


def correlation_matrix(tokens, features):
    """Of the correlation matrix of a layer."""
    memory = LIGHT_PROCESS_BYTES + 8 * (6 * tokens**2 + 4 * tokens * features)
    return Cost(memory, (array_bytes((tokens, tokens), "float64"),), 2 * tokens**2 * features)
