"""Stores that the configuration says not to keep, though they are there: a run that did keep them has made them."""

import os
import shutil
from pathlib import Path

from tokengeometry.errors import naming


def not_kept(study):
    """The stores of finished branches that the configuration doesn't keep: a dict of "activations" and "moments".

    In a branch that isn't finished they may be needed; the run that finishes it deletes them.
    """
    config = study.config
    # Merged moments are kept by none.
    names = {"activations": [], "moments": ["parts_*.zarr"]}
    if not (config["activations"]["store"] and config["activations"]["keep"]):
        names["activations"].append("part_*.zarr")
    if not config["moments"]["keep"]:
        names["moments"].append("part_*.zarr")
    found = {kind: [] for kind in names}
    for branch in study.branches:
        folder = Path(study.folder, branch.model, branch.dataset, branch.split)
        if not _is_finished(folder, study.layers(branch.model)):
            continue
        for kind, patterns in names.items():
            found[kind] += sorted(store for name in patterns for store in folder.glob(f"{kind}/layer_*/{name}"))
    return {kind: stores for kind, stores in found.items() if stores}


def _is_finished(folder, layers):
    """Whether all is there that is made from a branch's activations and moments."""
    made = [folder / name for name in ("alpha.csv", "correlation.csv")]
    for layer in layers:
        name = f"layer_{layer:02d}"
        made += [folder / f"moments/{name}/concatenated.zarr"]
        made += [folder / f"{kind}/{name}.zarr" for kind in ("spectra", "correlations")]
    return all(path.exists() for path in made)


def sizes(stores):
    """How many stores of each kind there are, and the bytes of their files: a dict of kind to (int, int)."""
    return {kind: (len(its), sum(map(_bytes_of, its))) for kind, its in stores.items()}


def _bytes_of(store):
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


def free(study):
    """Delete the stores that the configuration doesn't keep; returns their `sizes`."""
    unkept = not_kept(study)
    freed = sizes(unkept)
    for store in (store for stores in unkept.values() for store in stores):
        # What has its name is whole, also when this is interrupted.
        partial = store.with_name(store.name + ".partial")
        with naming(store):
            os.replace(store, partial)
            shutil.rmtree(partial)
    for folder in {store.parent for stores in unkept.values() for store in stores}:
        if not any(folder.iterdir()):
            folder.rmdir()
    return freed


def in_words(sizes):
    """As `free` returns them, for people: "9 activations (1.2 GB) and 3 moments (0.4 GB)"."""
    return " and ".join(f"{count} {kind} ({_size(size)})" for kind, (count, size) in sizes.items())


def _size(size):
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
