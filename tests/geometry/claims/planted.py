"""Branches whose α is planted, with influences of a planted size."""

import numpy as np
import pandas as pd
from tokengeometry.geometry.claims.alphas import Alphas
from tokengeometry.model.tokens import token_table

GRID = (8, 8)
LAYERS = np.arange(13)
SAMPLES = 2000


def alphas(spatial, cls=None, *, error=0.01, images=400, folds=True, doubt="", grid=GRID, seed=0, samples=SAMPLES):
    """A branch of planted α.

    `spatial` is (layer,) for all tokens alike, or (token, layer); each number has the standard error `error`, of which
    tokens share a half, a half of that at all layers. `cls` is (layer,), or there is no CLS.
    """
    tokens = token_table({"grid": grid, "prefix_tokens": [] if cls is None else ["cls"]})
    spatial = np.broadcast_to(spatial, (grid[0] * grid[1], len(LAYERS))).astype(float)
    values = spatial if cls is None else np.vstack([np.asarray(cls, float), spatial])
    if cls is not None:
        values[0, 0] = np.nan
    rng = np.random.default_rng(seed)
    own, shared = rng.normal(size=(*values.shape, images)), rng.normal(size=(1, len(LAYERS), images))
    always = rng.normal(size=(1, 1, images))
    psi = (own + (shared + always) / np.sqrt(2)) / np.sqrt(2)
    psi -= psi.mean(axis=-1, keepdims=True)
    psi *= error * np.sqrt(samples)
    psi[np.isnan(values)] = np.nan
    doubts = np.full(values.shape, doubt if folds else "uncertainty.folds is 0", object)
    return Alphas(LAYERS, tokens, values, values, psi.astype(np.float32) if folds else None, samples, doubts)


def verdicts(found):
    """By claim."""
    return {its.claim: its for its in found}


def valley(bottom, depth=1.0, end=1.9, start=2.4):
    """α that falls from layer 1 to a layer and then rises to the last."""
    down = np.linspace(start, start - depth, bottom)
    up = np.linspace(start - depth, end, 12 - bottom + 1)[1:]
    return np.concatenate([[3.0], down, up])


def clusters(labels, alpha):
    """A table as `clusters.csv`, of maps (row, column)."""
    row, column = np.indices(labels.shape)
    cluster = np.where(labels > 0, labels, None).ravel()
    return pd.DataFrame(
        {
            "row": row.ravel(),
            "column": column.ravel(),
            "cluster": pd.array(cluster, dtype="Int64"),
            "mean_alpha": np.where(labels > 0, alpha, np.nan).ravel(),
        }
    )
