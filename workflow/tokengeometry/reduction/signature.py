"""A model's geometry, layer by layer, from the tables and stores of a study."""

import numpy as np

from tokengeometry import tables
from tokengeometry.errors import StudyError
from tokengeometry.reduction import schedules
from tokengeometry.reduction.layer import Geometry
from tokengeometry.storage import zarr_store


def alphas(path, depth):
    """α of the spatial tokens of every block's layer.

    Parameters
    ----------
    path : path
        `alpha.csv`.
    depth : int
        How many blocks there are.

    Returns
    -------
    dict of int to array, (place,), float64

    Raises
    ------
    StudyError
        A layer is missing, or has no α.
    """
    return _by_layer(tables.read(path), "alpha", depth, path)


def ranks(path, depth):
    """RankMe of the spatial tokens of every block's layer, from `rankme.csv`; otherwise as `alphas`.

    Parameters
    ----------
    path : path
    depth : int

    Returns
    -------
    dict of int to array, (place,), float64
    """
    return _by_layer(tables.read(path), "rankme", depth, path)


def _by_layer(table, column, depth, path):
    spatial = table[table.kind == "spatial"].sort_values(["layer", "token"])
    found = {int(layer): rows[column].to_numpy(float) for layer, rows in spatial.groupby("layer") if layer > 0}
    for layer in range(1, depth + 1):
        if layer not in found or np.isnan(found[layer]).all():
            raise StudyError(f"{path} has no {column} at layer {layer}; a reduction needs all layers from 1 to {depth}")
    return found


def correlations(paths, prefix, depth):
    """Correlations between the spatial tokens of every block's layer.

    Parameters
    ----------
    paths : sequence of path
        `correlations/layer_….zarr`.
    prefix : int
        How many prefix tokens there are.
    depth : int

    Returns
    -------
    dict of int to array, (place, place), float64

    Raises
    ------
    StudyError
        A layer is missing.
    """
    stores = zarr_store.open_layers(paths)
    for layer in range(1, depth + 1):
        if layer not in stores:
            raise StudyError(f"models.NAME.layers: layer {layer} is missing; a reduction needs all from 1 to {depth}")
    return {layer: stores[layer]["correlation"][:][prefix:, prefix:] for layer in range(1, depth + 1)}


def read(model, *, alpha=None, correlation=()):
    """The geometry that policies take.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    alpha : path, optional
        As of `alphas`.
    correlation : sequence of path, optional
        As of `correlations`.

    Returns
    -------
    tokengeometry.reduction.layer.Geometry
    """
    depth, prefix = model["depth"], len(model["prefix_tokens"])
    return Geometry(
        alphas(alpha, depth) if alpha else {}, correlations(correlation, prefix, depth) if correlation else {}
    )


def shape_of(schedule, model, *, alpha=None, correlation=(), rank=None):
    """The shape of a schedule that is not tuned.

    Parameters
    ----------
    schedule : str
        Such as "constant" or "alpha".
    model : dict
        The content of `model.json`.
    alpha, correlation, rank : path, sequence of path, path, optional
        As of `alphas`, `correlations`, `ranks`; what the schedule is made from.

    Returns
    -------
    array, (block,), float64
    """
    depth, prefix = model["depth"], len(model["prefix_tokens"])
    match schedule:
        case "alpha":
            return schedules.of_alpha(_means(alphas(alpha, depth), depth))
        case "rank":
            return schedules.of_rank(_means(ranks(rank, depth), depth))
        case "correlation" | "share":
            matrices = correlations(correlation, prefix, depth)
            of = schedules.of_share if schedule == "share" else schedules.of_correlation
            return of([matrices[layer] for layer in range(1, depth + 1)])
    return schedules.FIXED[schedule](depth)


def _means(by_layer, depth):
    return np.array([np.nanmean(by_layer[layer]) for layer in range(1, depth + 1)])
