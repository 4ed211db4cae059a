"""Numbers of a page in few bytes: spectra in steps of log λ, correlations in 8 bits.

What is written here is read by `spectrum.js` and `correlation.js`; docs/explorer.md has the formats.
"""

import numpy as np

# Of log λ. A rank is off by half a step at most, and α by less than 10⁻³; `DEEPEST` is 14 decades.
STEP = 1 / 2048
# Of the logarithm of a floor, which is drawn and never fitted.
FLOOR_STEP = 0.25
FLOOR_RANKS = 48
DEEPEST = 2**16 - 1
# Of a correlation.
CORRELATION_STEPS = 127
UNDEFINED = 255


def floor_ranks(count):
    """The ranks at which a floor is kept: the first, the last and some between, evenly in log rank.

    Parameters
    ----------
    count : int
        How many ranks there are.

    Returns
    -------
    array of int, (kept,)
        From 1, ascending.
    """
    return np.unique(np.rint(np.geomspace(1, count, FLOOR_RANKS)).astype(int))


def encode_spectra(eigenvalues, floor, resolved):
    """Spectra in a few bits a rank.

    Parameters
    ----------
    eigenvalues : array, (row, rank), float64
        In descending order.
    floor : array, broadcast to `eigenvalues`
    resolved : array of bool, (row, rank)
        Those that may be fitted; none is that lies at `DEEPEST`.

    Returns
    -------
    dict of str to array
        `top` (row,), float32: log λ₁. `low`, `high` (row, rank), uint8: the bytes of how many steps each rank is below
        the one before; `DEEPEST` below the first is as far as they go. `resolved` (row, ⌈rank/8⌉), uint8: bits, the
        first rank in the highest. `floor` (row, kept), uint8: how many `FLOOR_STEP` it is below log λ₁, at
        `floor_ranks`.
    """
    positive = np.maximum(eigenvalues, np.finfo(float).tiny)
    logs = np.log(positive)
    top = logs[:, :1]
    depth = np.clip(np.rint((top - logs) / STEP), 0, DEEPEST)
    # Rounding may leave neighbours out of order.
    depth = np.maximum.accumulate(depth, axis=1).astype(np.int64)
    resolved = resolved & (depth < DEEPEST)
    steps = np.diff(depth, axis=1, prepend=0)
    kept = floor_ranks(eigenvalues.shape[1]) - 1
    floors = np.log(np.maximum(np.broadcast_to(floor, eigenvalues.shape)[:, kept], np.finfo(float).tiny))
    return {
        "top": top[:, 0].astype(np.float32),
        "low": (steps & 255).astype(np.uint8),
        "high": (steps >> 8).astype(np.uint8),
        "resolved": np.packbits(resolved, axis=1),
        "floor": np.clip(np.rint((top - floors) / FLOOR_STEP), 0, 255).astype(np.uint8),
    }


def decode_spectra(encoded):
    """What a page reads of `encode_spectra`.

    Parameters
    ----------
    encoded : dict of str to array

    Returns
    -------
    logs : array, (row, rank), float64
        log λ.
    resolved : array of bool, (row, rank)
    """
    depth = np.cumsum(encoded["low"].astype(np.int64) + 256 * encoded["high"].astype(np.int64), axis=1)
    resolved = np.unpackbits(encoded["resolved"], axis=1, count=depth.shape[1]).astype(bool)
    return encoded["top"][:, None].astype(np.float64) - STEP * depth, resolved


def encode_correlation(correlation):
    """A correlation matrix in 8 bits a pair.

    Parameters
    ----------
    correlation : array, (token, token)
        Symmetric; NaN where undefined.

    Returns
    -------
    array of uint8, (pair,)
        Of the pairs of the strict upper triangle, row by row: r in steps of 1/127 from −1, `UNDEFINED` for none; each
        less the one before it, modulo 256.
    """
    upper = correlation[np.triu_indices(len(correlation), 1)]
    defined = ~np.isnan(upper)
    steps = np.full(len(upper), UNDEFINED, np.uint8)
    steps[defined] = np.rint((np.clip(upper[defined], -1, 1) + 1) * CORRELATION_STEPS)
    return np.diff(steps, prepend=np.uint8(0))


def decode_correlation(encoded, tokens):
    """What a page reads of `encode_correlation`.

    Parameters
    ----------
    encoded : array of uint8, (pair,)
    tokens : int

    Returns
    -------
    array, (token, token), float64
        1 on the diagonal, NaN where undefined.
    """
    steps = np.cumsum(encoded, dtype=np.uint8).astype(np.float64)
    upper = np.where(steps == UNDEFINED, np.nan, steps / CORRELATION_STEPS - 1)
    found = np.eye(tokens)
    found[np.triu_indices(tokens, 1)] = upper
    return np.triu(found) + np.triu(found, 1).T
