"""Chunked, checksummed Zarr stores that are either whole or not there.

A store is a Zarr v3 group on disk. Every chunk carries a crc32c, every chunk is written, and
`manifest.json` holds the sha256 of each metadata file, so that a damaged or missing byte is an error
and never a number. A store appears under its name only once it is complete.

Coordinates are arrays too. Those that are not named as their dimension are listed in the store's attribute
`coordinates`, where xarray looks for them.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ZarrUserWarning

from tokengeometry.errors import ADVICE, StudyError, naming
from tokengeometry.storage.chunk_sizes import chunk_length

MANIFEST = "manifest.json"
COORDINATES = "coordinates"
# A chunk's file in its array's folder, by Zarr's default encoding of chunk keys.
_CHUNK = re.compile(r"c(/[0-9]+)*")


class _Writer:
    """A store under construction."""

    def __init__(self, group):
        self._group = group

    def create(self, name, shape, dtype, dims, *, chunks=None):
        """A new array to be filled.

        Parameters
        ----------
        name : str
        shape : tuple of int
        dtype : numpy dtype
        dims : tuple of str
            Dimension names, as xarray reads them.
        chunks : tuple of int, optional
            By default the whole array, cut along its first axis into chunks of about 32 MiB.

        Returns
        -------
        zarr.Array
            Assign to every part of it before the store is closed.
        """
        dtype = np.dtype(dtype)
        if chunks is None and shape:
            chunks = (chunk_length(shape, dtype), *shape[1:])
        return self._group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=tuple(max(1, length) for length in chunks) if shape else (),
            compressors=[Crc32cCodec()],
            filters=None,
            fill_value={"f": np.nan, "T": ""}.get(dtype.kind, 0),
            dimension_names=list(dims),
            config={"write_empty_chunks": True},
        )

    def write(self, name, values, dims):
        """A new array with these values.

        Parameters
        ----------
        name : str
        values : array-like
        dims : tuple of str
            Dimension names, as xarray reads them.
        """
        values = np.asarray(values)
        self.create(name, values.shape, values.dtype, dims)[...] = values

    def describe(self, **attributes):
        """Add attributes (JSON values) to the store."""
        self._group.attrs.update(attributes)

    def label(self, labels):
        """Write those of the coordinates along whose dimensions the store has arrays."""
        sizes = {
            dimension: size
            for _, array in self._group.arrays()
            for dimension, size in zip(_dims(array), array.shape, strict=True)
        }
        written = {
            name: (dims, np.asarray(values)) for name, (dims, values) in labels.items() if sizes.keys() >= {*dims}
        }
        for name, (dims, values) in written.items():
            if values.shape != tuple(sizes[dimension] for dimension in dims):
                raise ValueError(f"coordinate {name} {values.shape} does not fit {dims} of {sizes}")
            self.write(name, values, dims)
        if beside := [name for name, (dims, _) in written.items() if dims != (name,)]:
            self.describe(**{COORDINATES: " ".join(sorted(beside))})


def _dims(array):
    # Zarr has none where there is no axis.
    return tuple(array.metadata.dimension_names or ())


class _StoredArray:
    """An array of a store, for reading; any damage is an error that names the store."""

    def __init__(self, array, path):
        self._array = array
        self._path = path
        self.shape = array.shape
        self.dims = _dims(array)
        self.dtype = array.dtype
        self.chunks = array.chunks

    def __getitem__(self, selection):
        try:
            return self._array[selection]
        except (ValueError, IndexError, OSError, RuntimeError) as error:
            raise _unreadable(self._path, f"array {self._array.basename}", error) from error

    def __len__(self):
        return self.shape[0]


class _Reader:
    """A complete store, for reading: `store["name"]` is an array, `store.attributes` a dict."""

    def __init__(self, path, group):
        self._path = path
        self._group = group
        self.attributes = dict(group.attrs)

    @property
    def labels(self):
        """The store's coordinates: a dict of name to (dimensions, values)."""
        beside = self.attributes.get(COORDINATES, "").split()
        dims = {name: self[name].dims for name in self}
        return {name: (its, self[name][...]) for name, its in dims.items() if name in beside or its == (name,)}

    def __iter__(self):
        return iter(sorted(self._group))

    def __contains__(self, name):
        return name in self._group

    def __getitem__(self, name):
        return _StoredArray(self._group[name], self._path)


def _unreadable(path, what, error):
    """The error to raise for one met on reading: the same where the store itself isn't to blame."""
    if isinstance(error, OSError) and error.errno in ADVICE:
        return error
    return _damaged(path, f"{what}: {error}")


def _damaged(path, why):
    why = " ".join(str(why).split())
    return StudyError(f"{path} is damaged ({why}); delete it and run again to rebuild it")


def _files(folder):
    """All files below a folder; one that can't be looked into is an error, not an empty one."""

    def fail(error):
        raise error

    return [Path(place, name) for place, _, names in os.walk(folder, onerror=fail) for name in names]


def _metadata_digests(path):
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(_files(path))
        if file.name == "zarr.json"
    }


def open_layers(paths):
    """Stores of a branch's layers, each opened as by `open_store`.

    Parameters
    ----------
    paths : iterable of path

    Returns
    -------
    dict of int to open store
        By layer.
    """
    return {int(store.attributes["layer"]): store for store in map(open_store, paths)}


def from_one(**counts):
    """Coordinates that count from 1, as ranks do.

    Parameters
    ----------
    **counts : int
        How many there are along each dimension, by its name.

    Returns
    -------
    dict of str to (tuple of str, array)
        As `create` takes them.
    """
    return {dimension: ((dimension,), np.arange(1, count + 1)) for dimension, count in counts.items()}


@contextlib.contextmanager
def create(path, labels=None, /, **attributes):
    """Write a store; it takes its name only when the block ends without an error.

    Parameters
    ----------
    path : path
        Directory of the store, by convention `….zarr`. One that stands there is replaced.
    labels : dict of str to (tuple of str, array), optional
        Coordinates, by name their dimensions and values; only those are kept along whose dimensions the store has
        arrays.
    **attributes
        JSON values, kept with the store.

    Yields
    ------
    writer
        With `create(name, shape, dtype, dims)`, `write(name, values, dims)` and `describe(**attributes)`.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path):
            group = zarr.create_group(partial, zarr_format=3, attributes=attributes)
            writer = _Writer(group)
            yield writer
            writer.label(labels or {})
            with warnings.catch_warnings():
                # Not yet in the Zarr 3 specification, but xarray opens a store without it with a warning.
                warnings.simplefilter("ignore", ZarrUserWarning)
                zarr.consolidate_metadata(partial)
            (partial / MANIFEST).write_text(json.dumps(_metadata_digests(partial), indent=1) + "\n")
            if path.exists():
                shutil.rmtree(path)
            os.replace(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def open_store(path):
    """A complete store, for reading.

    Parameters
    ----------
    path : path

    Returns
    -------
    reader
        `reader["name"]` is an array that is read as it is sliced, `reader.attributes` a dict, and `"name" in reader`
        says whether there is one.

    Raises
    ------
    StudyError
        If it does not exist, its metadata differ from what was written, or a chunk is missing. The
        chunks themselves are verified as they are read.
    """
    path = Path(path)
    if not path.is_dir():
        raise StudyError(f"{path} does not exist; run the workflow to build it")
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(path, MANIFEST, error) from error
    if manifest != _metadata_digests(path):
        raise _damaged(path, "its metadata are not those that were written")
    group = zarr.open_group(path, mode="r")
    for name, array in group.arrays():
        expected, present = _chunk_keys(array), _chunks_present(path / name)
        if missing := expected - present:
            raise _damaged(path, f"array {name} has {len(expected) - len(missing)} of {len(expected)} chunks")
        if present - expected:
            raise _damaged(path, f"array {name} has a chunk beyond its {len(expected)}, {min(present - expected)}")
    return _Reader(path, group)


def _chunk_keys(array):
    """The files that an array's chunks are in, by their names in its folder."""
    return {array.metadata.encode_chunk_key(index) for index in np.ndindex(array.cdata_shape)}


def _chunks_present(folder):
    """The chunks' files in an array's folder. File systems put others there, which are none of the store's."""
    names = (file.relative_to(folder).as_posix() for file in _files(folder))
    return {name for name in names if _CHUNK.fullmatch(name)}


def verify(path):
    """Read every chunk of a store.

    Parameters
    ----------
    path : path

    Raises
    ------
    StudyError
        If anything in it is damaged or missing.
    """
    store = open_store(path)
    for name in store:
        array = store[name]
        step = array.chunks[0] if array.shape else 1
        for start in range(0, array.shape[0] if array.shape else 1, step):
            array[start : start + step] if array.shape else array[...]


def damaged(folder, leave_out=()):
    """Read every store below a folder.

    Parameters
    ----------
    folder : path
    leave_out : iterable of path
        Folders below it that are not looked into.

    Returns
    -------
    dict of pathlib.Path to str
        For every store in the order of their names, what is wrong with it; empty where it is whole.
    """
    found = {}
    for path in sorted(Path(folder).rglob("*.zarr")):
        # What macOS puts beside a file has its name, behind a dot.
        if path.name.startswith(".") or any(path.is_relative_to(other) for other in leave_out):
            continue
        try:
            verify(path)
            found[path] = ""
        except StudyError as error:
            found[path] = str(error)
    return found
