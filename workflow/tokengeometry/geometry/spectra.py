"""Eigenspectra of covariances: of every token, of the averaged token, and of all tokens pooled.

The covariance is centred and divided by N (Joseph et al. 2023). Eigenvalues come in descending order, each with a
floor below which it is noise, not data.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tokengeometry.geometry.moments import products_of, read_averaged, read_merged, token_blocks
from tokengeometry.geometry.noise import Noise
from tokengeometry.geometry.noise_floor import eigenvalue_floor, noise_below, solver_floor
from tokengeometry.operations.worker_threads import in_order
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import BLOCKS_ON_GPU


def eigensystem(scatter, count, *, device="cpu", threads=1):
    """Eigenvalues and eigenvectors of covariances.

    Parameters
    ----------
    scatter : array, (matrix, feature, feature), float64
        Sums of the centred outer products.
    count : int
        N, the number of samples in those sums.
    device : torch.device or str
        A CUDA device solves them one after the other, in the calling thread's stream.
    threads : int
        On the CPU, so many matrices are solved side by side, each by one thread: LAPACK's own threads
        gain little at these sizes, and lose much beside other processes.

    Returns
    -------
    eigenvalues : array, (matrix, rank), float64, descending
    eigenvectors : array, (matrix, feature, rank), float64
    """
    if str(device) != "cpu":
        import torch

        values, vectors = (found.cpu().numpy() for found in torch.linalg.eigh(torch.from_numpy(scatter).to(device)))
    else:
        values, vectors = np.empty(scatter.shape[:2]), np.empty(scatter.shape)

        def solve(index):
            values[index], vectors[index] = np.linalg.eigh(scatter[index])

        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(solve, range(len(scatter))):
                pass
    return values[:, ::-1] / count, vectors[:, :, ::-1]


class PooledScatter:
    """The scatter of all tokens' samples taken as one set of N·T samples in D dimensions."""

    def __init__(self):
        self.count = 0

    def add(self, moments):
        """Take in the moments of a block of tokens.

        Parameters
        ----------
        moments : tokengeometry.geometry.moments.Moments
        """
        tokens = len(moments.mean)
        total = moments.count * tokens
        mean = moments.mean.mean(axis=0)
        offset = moments.mean - mean
        scatter = moments.scatter.sum(axis=0) + moments.count * (offset.T @ offset)
        if self.count == 0:
            self.scatter, self.mean = scatter, mean
        else:
            step = mean - self.mean
            weight = self.count * total / (self.count + total)
            self.scatter = self.scatter + scatter + weight * np.outer(step, step)
            self.mean = self.mean + step * (total / (self.count + total))
        self.count += total


def write_spectra(path, parts, concatenated_spectrum, differences=None, /, *, device="cpu", threads=1, **attributes):
    """Write all spectra of a layer.

    Parameters
    ----------
    path : path
        The store to make: `mean` (token, feature) and `norms` (sample, token) of the moments, `eigenvalues` and `floor`
        (token, rank), `averaged` and `averaged_floor` (rank,), `pooled` and `pooled_floor` (rank,), `concatenated` and
        `concatenated_floor` (concatenated_rank,). Ranks count from 1.
    parts : sequence of open moment stores
        Of samples that follow one another.
    concatenated_spectrum : open store
        As of `tokengeometry.geometry.concatenated.write`.
    differences : open store, optional
        The measured noise; see `tokengeometry.activations.measured_noise`.
    device, threads
        Of the eigensolver; see `eigensystem`. A CUDA device solves several blocks of tokens side by side, each fed by a
        thread of its own, whatever `threads` is.
    **attributes
        Kept with the store.
    """
    dtypes = parts[0].attributes["dtypes"]
    noise = Noise.of(parts, dtypes, differences)
    tokens, features = parts[0]["mean"].shape
    means, values, floor = (np.empty((tokens, features)) for _ in range(3))
    pooled, squares = PooledScatter(), np.zeros(features)
    progress = tqdm(total=tokens, desc="eigenvalues", unit="token", mininterval=5)
    count = sum(part.attributes["samples"] for part in parts)
    solve = partial(_solved, parts, noise, device=device, threads=threads)
    for block, merged, *found in _side_by_side(solve, token_blocks(parts[0]["scatter"]), device):
        means[block] = merged.mean
        values[block], floor[block], mean_square = found
        squares += mean_square
        pooled.add(merged)
        progress.update(len(merged.mean))
        # Before the next tokens are read.
        del merged, found
    progress.close()
    averaged, averaged_vectors = eigensystem(read_averaged(parts).scatter, count, device=device)
    together, vectors = (found[0] for found in eigensystem(pooled.scatter[None], pooled.count, device=device))
    ranks = zarr_store.from_one(rank=features, concatenated_rank=len(concatenated_spectrum["eigenvalues"]))
    labels = parts[0].labels | ranks
    if "sample" in labels:
        labels["sample"] = (("sample",), np.concatenate([part["sample"][:] for part in parts]))
    with zarr_store.create(
        path,
        labels,
        **attributes,
        samples=count,
        tokens=tokens,
        concatenated_samples=concatenated_spectrum.attributes["samples"],
        dtypes=dtypes,
        scatter_products=products_of(parts, "scatter_products"),
        concatenated_products=concatenated_spectrum.attributes["gram_products"],
    ) as store:
        # What statistics of moments need, so that moments can go.
        store.write("mean", means, ("token", "feature"))
        store.write("norms", np.concatenate([part["norms"][:] for part in parts]), ("sample", "token"))
        store.write("eigenvalues", values, ("token", "rank"))
        store.write("floor", floor, ("token", "rank"))
        store.write("averaged", averaged[0], ("rank",))
        along = noise.along_averaged(averaged_vectors[0], squares / tokens, tokens)
        store.write("averaged_floor", _floor(averaged[0], along, count), ("rank",))
        store.write("pooled", together, ("rank",))
        along = noise.along_pooled(vectors, squares / tokens)
        store.write("pooled_floor", _floor(together, along, pooled.count), ("rank",))
        store.write("concatenated", concatenated_spectrum["eigenvalues"][:], ("concatenated_rank",))
        store.write("concatenated_floor", concatenated_spectrum["floor"][:], ("concatenated_rank",))


def _solved(parts, noise, block, **how):
    """Of a block of tokens: itself, its moments, eigenvalues and floors, and the sum of the tokens' mean squares."""
    merged = read_merged(parts, block)
    values, vectors = eigensystem(merged.scatter, merged.count, **how)
    mean_square = merged.mean**2 + np.einsum("tff->tf", merged.scatter) / merged.count
    floor = _floor(values, noise.along(vectors, mean_square, block), merged.count)
    return block, merged, values, floor, mean_square.sum(axis=0)


def _side_by_side(solve, blocks, device):
    """What is found of blocks of tokens, in order; a GPU solves several, for one leaves most of it idle."""
    if str(device) == "cpu":
        return in_order(solve, blocks, 1)
    import torch

    # torch loads its solvers at the first call, which must be one thread's.
    torch.linalg.eigh(torch.eye(2, dtype=torch.float64, device=device))

    def in_own_stream():
        torch.cuda.set_stream(torch.cuda.Stream(device))

    return in_order(solve, blocks, BLOCKS_ON_GPU, initializer=in_own_stream)


def _floor(values, noise, samples):
    """Of eigenvalues of D×D covariances, from the noise along their eigenvectors, (..., rank) both."""
    solver = solver_floor(values[..., :1], values.shape[-1])
    return np.maximum(eigenvalue_floor(noise, noise_below(noise, samples)), solver)
