"""All results of a study as one tree of labelled arrays, whose values are read when they are used."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing

from tokengeometry import tables
from tokengeometry.errors import StudyError
from tokengeometry.storage.zarr_store import COORDINATES, open_store

# Stores of a branch: one a layer, with all layers in one node; and several a layer, or larger, with a node a layer.
OF_ALL_LAYERS = ("spectra", "correlations")
OF_A_LAYER = ("activations", "moments", "noise")
# Dimensions along which tokens are also found by their names.
NAMES = {"token": "name", "other_token": "other_name"}


def open_results(path="results"):
    """All tables and stores of a study.

    Parameters
    ----------
    path : path
        The study's folder: `results`, or that of its `name`.

    Returns
    -------
    xarray.DataTree
        A node `MODEL/DATASET/SPLIT` for each branch, named as its files are. Below it, as far as the study has made
        and kept them:

        `alpha`, `rankme`, … : a statistic, each column (layer, token); of all tokens together, `averaged_alpha`,
        `pooled_alpha`, … (layer,)
            Columns as in the tables: docs/tables.md.
        `correlation` : (layer,)
        `clusters` : (token,)
        `spectra` : `eigenvalues`, `floor` (layer, token, rank); `averaged`, `pooled` (layer, rank) and `concatenated`
        (layer, concatenated_rank), each with its floor; `mean` (layer, token, feature); float64;
        `norms` (layer, sample, token), float32
        `correlations` : `correlation` (layer, token, other_token), float64
        `activations/layer_LL` : `activations` (sample, token, feature), of all parts
        `moments/layer_LL` : `mean` (part, token, feature), `scatter` (part, token, feature_pair), `gram` (part, token,
        other_token), `averaged` (part, feature, other_feature), float64; `norms` (sample, token), float32
            Sums of each part; `tokengeometry.geometry.moments.Moments.merge` says how they add up, and
            `tokengeometry.unpack_scatter` makes whole matrices of the scatter.
        `noise/layer_LL` : `difference` (sample, token, feature), float32, and in the chain `reference`

        `MODEL/DATASET/summary` (layer,) compares train with test.

        Coordinates are `layer`; `token`, the number, with `name` (`cls`, `reg_1`, `0,0`), `kind` (`prefix`, `spatial`),
        `row` and `column` (NaN for prefix tokens); `other_token` with `other_name`; `rank` and `concatenated_rank`,
        from 1; `sample`, the index in the split. `sel` takes a token by `token=` or by `name=`. What a layer does not
        have is NaN: layer 0 has no prefix tokens, and as many ranks as a patch has pixel values.

    Raises
    ------
    StudyError
        If there are no results in `path`, or a store's metadata or coordinates are damaged. The tables and
        coordinates are read at once, everything else when it is used: a damaged chunk is then this error, too. Each
        names the store.

    Examples
    --------
    >>> branch = open_results("results")["dinov2_vits14/fashion_mnist/test"]
    >>> branch["alpha"].alpha.sel(name="cls").plot()
    >>> branch["spectra"].eigenvalues.sel(layer=6, name="8,8", rank=slice(11, 100))
    """
    path = Path(path)
    if not path.is_dir():
        raise StudyError(f"{path} does not exist; name the folder of a study, such as results")
    branches = [branch for branch in sorted(path.glob("*/*/*")) if _is_branch(branch)]
    if not branches:
        raise StudyError(f"{path} has no results of a study; name the folder above those of its models")
    nodes = {}
    for branch in branches:
        model, dataset, split = branch.relative_to(path).parts
        nodes[f"{model}/{dataset}/{split}"] = xarray.Dataset(attrs=dict(model=model, dataset=dataset, split=split))
        if (summary := branch.parent / "summary.csv").exists():
            nodes[f"{model}/{dataset}/summary"] = _table(summary)
        nodes |= {f"{model}/{dataset}/{split}/{name}": data for name, data in _nodes(branch)}
    return xarray.DataTree.from_dict(nodes)


def _is_branch(folder):
    return (folder / "alpha.csv").exists() or any((folder / kind).is_dir() for kind in (*OF_ALL_LAYERS, *OF_A_LAYER))


def _nodes(branch):
    for path in sorted(branch.glob("*.csv")):
        yield path.stem, _table(path)
    for kind in OF_ALL_LAYERS:
        if paths := sorted(branch.glob(f"{kind}/layer_*.zarr")):
            yield kind, _joined(paths, "layer")
    for kind in OF_A_LAYER:
        for layer in sorted(branch.glob(f"{kind}/layer_*")):
            # Noise is a store; the others are folders of a store a part.
            paths = [layer] if layer.suffix == ".zarr" else sorted(layer.glob("part_*.zarr"))
            if paths:
                yield f"{kind}/{layer.stem}", _joined(paths, "part")


def _joined(paths, axis):
    """Stores as one dataset, along a new axis; but the samples of parts follow one another.

    Parameters
    ----------
    paths : list of path
    axis : str
        The new dimension, "layer" or "part".

    Returns
    -------
    xarray.Dataset
    """
    stores = [open_store(path) for path in paths]
    labels = [_labels(store, path) for store, path in zip(stores, paths, strict=True)]
    coordinates = {}
    for its in labels:
        for name, (dims, values) in its.items():
            # The layer with the most tokens, or ranks, has those of all.
            if name not in coordinates or values.size > coordinates[name][1].size:
                coordinates[name] = dims, values
    samples = [its["sample"][1] for its in labels if "sample" in its and axis == "part"]
    starts = np.cumsum([0, *map(len, samples)])
    if samples:
        coordinates["sample"] = ("sample",), np.concatenate(samples)
    if axis == "layer":
        coordinates["layer"] = ("layer",), np.array([int(its["layer"][1]) for its in labels])
    variables = {}
    for name in stores[0]:
        if name in coordinates:
            continue
        arrays = [store[name] for store in stores]
        dims = arrays[0].dims
        corners = [[_first(dimension, its, coordinates) for dimension in dims] for its in labels]
        if dims[0] == "sample" and axis == "part":
            corners = [[start, *corner[1:]] for start, corner in zip(starts, corners, strict=False)]
        else:
            dims = axis, *dims
            corners = [[index, *corner] for index, corner in enumerate(corners)]
        variables[name] = dims, indexing.LazilyIndexedArray(_Mosaic(arrays, corners))
    attributes = [store.attributes for store in stores]
    if axis == "part" and "mean" in stores[0]:
        variables["samples"] = (axis,), np.array([its["samples"] for its in attributes])
    shared = {
        key: value
        for key, value in attributes[0].items()
        if key not in (COORDINATES, "layer", axis, *variables) and all(its.get(key) == value for its in attributes)
    }
    return _by_name(xarray.Dataset(variables, coordinates, shared))


def _labels(store, path):
    labels = store.labels
    if "layer" not in labels:
        raise StudyError(f"{path} has no coordinates: an earlier version made it; run the workflow again")
    return labels


def _first(dimension, labels, coordinates):
    """Where a store's first entry along a dimension lies among those of all; 0 where they aren't named."""
    if dimension not in labels:
        return 0
    return int(np.flatnonzero(coordinates[dimension][1] == labels[dimension][1][0])[0])


def _by_name(data):
    """Let tokens be chosen by name, too."""
    for dimension, name in NAMES.items():
        if name in data.coords and dimension in data.dims:
            data = data.set_xindex(name)
    return data


class _Mosaic(BackendArray):
    """Stored arrays as parts of a larger one, NaN where there is none; each part is read when it is asked for.

    Parameters
    ----------
    arrays : list of stored array, (…)
        Of one number of dimensions.
    corners : list of list of int
        Where each array's first entry lies; one entry longer than its shape where it is a single layer or part.
    """

    def __init__(self, arrays, corners):
        self._pieces = [
            (array, corner, (1,) * (len(corner) - len(array.shape)) + array.shape)
            for array, corner in zip(arrays, corners, strict=True)
        ]
        ends = [np.add(corner, extent) for _, corner, extent in self._pieces]
        self.shape = tuple(int(end) for end in np.max(ends, axis=0))
        self.dtype = np.result_type(*(array.dtype for array in arrays))

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key):
        wanted = [np.atleast_1d(np.arange(size)[its]) for size, its in zip(self.shape, key, strict=True)]
        found = np.full([len(its) for its in wanted], np.nan, self.dtype)
        for array, corner, extent in self._pieces:
            inside = [
                np.flatnonzero((its >= first) & (its < first + length))
                for its, first, length in zip(wanted, corner, extent, strict=True)
            ]
            if not all(map(len, inside)):
                continue
            local = [its[at] - first for its, at, first in zip(wanted, inside, corner, strict=True)]
            local = local[len(extent) - len(array.shape) :]
            # From the first to the last entry at once, for a chunk is read whole in any case.
            values = array[tuple(slice(its.min(), its.max() + 1) for its in local)]
            values = values[np.ix_(*(its - its.min() for its in local))]
            found[np.ix_(*inside)] = values.reshape([len(at) for at in inside])
        return found[tuple(0 if isinstance(its, (int, np.integer)) else slice(None) for its in key)]


def _table(path):
    """A table as a dataset, along layer and token as far as it has them."""
    table = tables.read(path)
    # Integers that may be empty are none of numpy's.
    integers = [column for column in table if isinstance(table[column].dtype, pd.Int64Dtype)]
    table = table.astype(dict.fromkeys(integers, np.float64))
    if list(table.columns[: len(tables.PLACE_COLUMNS)]) == tables.PLACE_COLUMNS:
        return _by_name(_statistic(table))
    index = next((column for column in ("layer", "token") if column in table and table[column].is_unique), None)
    return _along(table, [index]) if index else xarray.Dataset.from_dataframe(table)


def _along(table, index):
    """The rows of a table as a dataset along these of its columns, which name every row."""
    data = table.astype(dict.fromkeys(index, np.int64)).set_index(index).to_xarray()
    texts = {
        name: its.fillna("").astype(np.dtypes.StringDType())
        for name, its in data.items()
        if its.dtype.kind not in "fiub"
    }
    return data.assign(texts)


def _statistic(table):
    """A statistic's table: columns of single tokens (layer, token), of all tokens together (layer,)."""
    places = ["name", "kind", "row", "column"]
    single = table[table.kind.isin(tables.TOKENS)]
    data = _along(single.drop(columns=places), ["layer", "token"])
    data = data.assign_coords(_along(single.drop_duplicates("token")[["token", *places]], ["token"]))
    for kind in tables.TOGETHER:
        rows = table[table.kind == kind]
        together = _along(rows.drop(columns=[*places, "token"]), ["layer"])
        data = data.assign({f"{kind}_{name}": values for name, values in together.items()})
    return data
