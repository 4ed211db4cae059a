"""Where scores and held-out variances are kept: a store a layer; the concatenated tokens' with their spectrum."""

import numpy as np

from tokengeometry.geometry.uncertainty.similarity import KINDS, MEASURES
from tokengeometry.geometry.uncertainty.spectra import Folded
from tokengeometry.storage import zarr_store

# Kinds of spectra in the store, and what their arrays are called before the names of `Folded`.
PREFIXES = {"token": "", "averaged": "averaged_", "pooled": "pooled_"}


def save(path, found, labels, /, **attributes):
    """Write what `tokengeometry.geometry.uncertainty.layers.of_layer` found.

    Parameters
    ----------
    path : path
        The store to make: `eigenvalues` and `held_out` (token, rank), `scores` (token, sample, band); the same of the
        averaged token and of all pooled, (rank,) and (sample, band); `last_rank` (band,); `similarity` and
        `similarity_error` (measure, pairs), `similarity_without` (measure, pairs, fold).
    found : tokengeometry.geometry.uncertainty.layers.Layer
    labels : dict of str to (tuple of str, array)
        Coordinates of the layer and of these samples.
    **attributes
        Kept with the store.
    """
    names = {"measure": MEASURES, "pairs": KINDS}
    coordinates = zarr_store.from_one(rank=found.spectra["token"].eigenvalues.shape[-1])
    coordinates |= {name: ((name,), np.array(values, np.dtypes.StringDType())) for name, values in names.items()}
    with zarr_store.create(path, labels | coordinates, **attributes) as store:
        for kind, prefix in PREFIXES.items():
            leading = ("token",) * (kind == "token")
            store.write(f"{prefix}eigenvalues", found.spectra[kind].eigenvalues, (*leading, "rank"))
            write_folded(store, found.spectra[kind], prefix, leading, "rank")
        store.write("similarity", found.similarity.value, ("measure", "pairs"))
        store.write("similarity_error", found.similarity.error, ("measure", "pairs"))
        store.write("similarity_without", found.similarity.without, ("measure", "pairs", "fold"))


def write_folded(store, folded, prefix="", leading=(), rank="held_out_rank"):
    """Write held-out variances and scores.

    Parameters
    ----------
    store : store under construction
    folded : Folded
    prefix : str
        Of the arrays' names.
    leading : tuple of str
        The dimensions before the ranks, and before the samples.
    rank : str
        The dimension of the held-out variances.
    """
    store.write(f"{prefix}held_out", folded.held_out, (*leading, rank))
    store.write(f"{prefix}scores", folded.scores, (*leading, "sample", "band"))
    if not prefix:
        store.write("last_rank", folded.edges[1:].astype(np.float64), ("band",))


def read(store, kind):
    """Scores and held-out variances of a kind of spectrum.

    Parameters
    ----------
    store : open store
        `uncertainty/layer_….zarr`; for "concatenated", that of the concatenated spectrum.
    kind : {"token", "averaged", "pooled", "concatenated"}

    Returns
    -------
    Folded
    """
    return _read(store, PREFIXES.get(kind, ""), slice(None))


def read_tokens(store, tokens):
    """Scores and held-out variances of some tokens.

    Parameters
    ----------
    store : open store
        `uncertainty/layer_….zarr`.
    tokens : slice

    Returns
    -------
    Folded
    """
    return _read(store, "", tokens)


def _read(store, prefix, rows):
    held_out, scores = store[f"{prefix}held_out"][rows], store[f"{prefix}scores"][rows]
    edges = np.concatenate([[0], store["last_rank"][:]]).astype(int)
    return Folded(store[f"{prefix}eigenvalues"][rows][..., : edges[-1]], held_out, scores, edges)
