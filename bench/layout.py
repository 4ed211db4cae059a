"""How fast an activation store is written and read in several layouts, and how large it is.

    PYTHONPATH=workflow python -m bench.layout STORE

takes the activations of a store and prints a Markdown table. The page cache is warm: what is timed is the codecs.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import chunk_length
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

CHECKSUM = Crc32cCodec()
LAYOUTS = {
    "float32, 8 MiB": ("float32", 2**23, [CHECKSUM], 0),
    "float32, 32 MiB": ("float32", 2**25, [CHECKSUM], 0),
    "float32, 128 MiB": ("float32", 2**27, [CHECKSUM], 0),
    "float32, 1 MiB in shards of 32 MiB": ("float32", 2**20, [CHECKSUM], 32),
    "float32, 32 MiB, zstd 1": ("float32", 2**25, [ZstdCodec(level=1), CHECKSUM], 0),
    "float32, 32 MiB, blosc lz4": (
        "float32",
        2**25,
        [BloscCodec(cname="lz4", typesize=4, shuffle="shuffle"), CHECKSUM],
        0,
    ),
    "float16, 32 MiB": ("float16", 2**25, [CHECKSUM], 0),
}
REPEATS = 3


def measure(values, folder, dtype, chunk_bytes, compressors, shards):
    """The least seconds to write and to read an array, and its bytes on disk."""
    values = values.astype(dtype)
    rows = chunk_length(values.shape, dtype, chunk_bytes)
    write, read = [], []
    for _ in range(REPEATS):
        shutil.rmtree(folder, ignore_errors=True)
        array = zarr.create_array(
            folder,
            shape=values.shape,
            dtype=dtype,
            chunks=(rows, *values.shape[1:]),
            shards=(rows * shards, *values.shape[1:]) if shards else None,
            compressors=compressors,
        )
        start = time.perf_counter()
        # As the layers are written and the moments read: whole chunks, or whole shards, one after the other.
        step = rows * max(1, shards)
        for first in range(0, len(values), step):
            array[first : first + step] = values[first : first + step]
        write.append(time.perf_counter() - start)
        start = time.perf_counter()
        for first in range(0, len(values), step):
            array[first : first + step]
        read.append(time.perf_counter() - start)
    return min(write), min(read), sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def main(store):
    values = zarr_store.open_store(store)["activations"][:]
    print(f"{values.shape[0]} × {values.shape[1]} × {values.shape[2]}, {values.nbytes / 1e6:.0f} MB in float32\n")
    print("| chunks | write | read | on disk |\n|---|---|---|---|")
    for name, layout in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as place:
            write, read, size = measure(np.asarray(values), Path(place) / "array", *layout)
        print(f"| {name} | {write:.2f} s | {read:.2f} s | {size / 1e6:.0f} MB |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
