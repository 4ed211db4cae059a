"""How large the pieces are that arrays are stored and streamed in."""

import math

import numpy as np

# Of a chunk of a store.
CHUNK_BYTES = 32 * 2**20
# Of a batch of samples, in float32, whose moments are summed.
BATCH_BYTES = 2**28
# Of a block of samples of which two at a time make a tile of the sample Gram matrix.
BLOCK_BYTES = 3 * 2**29
# Features of a block of samples that are multiplied at a time; the products are added in float64.
PIECE_LENGTH = 4096
# Of the eigenvectors of all tokens concatenated onto which noise is projected at a time; and how many ranks at most.
PROJECTED_BYTES = 2**29
PROJECTED_RANKS = 512
# Of the tokens, in float32, that a thread of the CPU takes through a transformer's block at a time; more took longer.
TOKENS_BYTES = 2**22
# Blocks of tokens, a chunk of scatters each, whose eigensystems a GPU solves side by side.
BLOCKS_ON_GPU = 4
# Of the samples of a layer that direct mode holds, beyond those it must.
SLABS_BYTES = 2**33


def chunk_length(shape, dtype, chunk_bytes=CHUNK_BYTES):
    """How many entries of the first axis make a chunk: all chunks are about alike, so that the last has little padding.

    Parameters
    ----------
    shape : tuple of int
        Of the array, with at least one axis.
    dtype : numpy dtype
    chunk_bytes : int
        About the size of a chunk.

    Returns
    -------
    int
        At least 1.
    """
    row = math.prod(shape[1:]) * np.dtype(dtype).itemsize
    most = max(1, min(shape[0], chunk_bytes // max(1, row)))
    return -(-shape[0] // -(-shape[0] // most)) if shape[0] else 1


def batch_rows(tokens, features, *, batch_bytes=BATCH_BYTES):
    """How many samples make a batch.

    Parameters
    ----------
    tokens, features : int
        Of a sample.
    batch_bytes : int
        About the size of a batch in float32.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, batch_bytes // (4 * tokens * features))
