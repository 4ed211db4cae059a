"""The information geometry of a vision transformer's tokens.

Public names, each imported when it is first asked for:

`Accumulator`, `accumulate`
    Moments of a stream of activations.
`eigensystem`
    Eigenvalues and eigenvectors of covariances.
`fit_power_law`
    α of spectra.
`pearson`
    Correlations of tokens.
`cluster_trajectories`
    UMAP and k-means of α trajectories.
`reduce`
    A timm vision transformer that merges or drops tokens at every block, within a `with`.
`open_results`
    All tables and stores of a study as one tree of labelled arrays, an `xarray.DataTree`.
`open_store`
    A store of a study, with every checksum verified as it is read.
`unpack_scatter`
    The scatter matrices of a moment store, which has one triangle of each.

The statistics are public modules: `from tokengeometry.geometry.statistics import rankme`, then
`rankme.of_spectrum(eigenvalues, floor, samples)`; `tokengeometry.geometry.statistics` says what each of them has.
"""

import importlib

_PLACES = {
    "Accumulator": "tokengeometry.geometry.moments",
    "accumulate": "tokengeometry.geometry.moments",
    "eigensystem": "tokengeometry.geometry.spectra",
    "fit_power_law": "tokengeometry.geometry.statistics.power_law",
    "pearson": "tokengeometry.geometry.correlation",
    "cluster_trajectories": "tokengeometry.geometry.clusters",
    "reduce": "tokengeometry.reduction.patching",
    "open_results": "tokengeometry.results",
    "open_store": "tokengeometry.storage.zarr_store",
    "unpack_scatter": "tokengeometry.geometry.triangles",
}

__all__ = list(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
