"""Sums from which every statistic of a layer follows, and which add up over parts.

For tokens x_t ∈ R^D over N samples: the mean μ_t, the scatter Σ_n (x_t − μ_t)(x_t − μ_t)ᵀ of every token,
and the Gram matrix Σ_n ⟨x_s − μ_s, x_t − μ_t⟩ of the tokens. Batches are accumulated in float64 about a
provisional mean; parts are merged by the pairwise update of Chan, Golub & LeVeque (1983).
"""

from dataclasses import dataclass

from tokengeometry import stores
from tokengeometry.blocks import BATCH_BYTES


@dataclass(frozen=True)
class Moments:
    """Moments of one layer's tokens about their means; all arrays are torch tensors, or all numpy arrays.

    Attributes
    ----------
    count : int
        N, the number of samples.
    mean : array, (token, feature), float64
    scatter : array, (token, feature, feature), float64, or None where it is not needed
    gram : array, (token, token), float64
    """

    count: int
    mean: object
    scatter: object
    gram: object

    def merge(self, other):
        """The moments of both sets of samples together."""
        count = self.count + other.count
        step = other.mean - self.mean
        weight = self.count * other.count / count
        scatter = None
        if self.scatter is not None:
            scatter = self.scatter + other.scatter + (weight * step)[:, :, None] * step[:, None, :]
        return Moments(
            count,
            self.mean + step * (other.count / count),
            scatter,
            self.gram + other.gram + weight * (step @ step.T),
        )


def accumulate(batches):
    """The moments of a stream of samples.

    Parameters
    ----------
    batches : iterable of torch.Tensor, (sample, token, feature)
        At least one; of any float dtype, on one device.

    Returns
    -------
    Moments
        On the batches' device.
    """
    import torch

    count = 0
    for batch in batches:
        tokens = batch.permute(1, 0, 2).to(torch.float64, memory_format=torch.contiguous_format)
        if count == 0:
            origin = tokens.mean(dim=1)
            total = torch.zeros_like(origin)
            scatter = torch.zeros(*origin.shape, origin.shape[1], dtype=torch.float64, device=batch.device)
            gram = torch.zeros(len(origin), len(origin), dtype=torch.float64, device=batch.device)
        tokens -= origin[:, None]
        total += tokens.sum(dim=1)
        scatter.baddbmm_(tokens.transpose(1, 2), tokens)
        flat = tokens.flatten(start_dim=1)
        gram.addmm_(flat, flat.T)
        count += len(batch)
        # Before the next batch is read, not after.
        del batch, tokens, flat
    if count == 0:
        raise ValueError("no samples to accumulate")
    offset = total / count
    scatter.baddbmm_(offset[:, :, None], offset[:, None, :], alpha=-count)
    gram.addmm_(offset, offset.T, alpha=-count)
    return Moments(count, origin + offset, scatter, gram)


def batches(store, device, *, batch_bytes=BATCH_BYTES):
    """An activation store's samples in batches of whole chunks, about `batch_bytes` each in float64."""
    import torch

    activations = store["activations"]
    row = 8 * activations.shape[1] * activations.shape[2]
    chunk = activations.chunks[0]
    step = max(1, batch_bytes // (row * chunk)) * chunk
    for start in range(0, len(activations), step):
        yield torch.from_numpy(activations[start : start + step]).to(device)


def write(path, moments, /, **attributes):
    """Write moments as a store."""
    with stores.create(path, samples=moments.count, **attributes) as store:
        store.write("mean", moments.mean.cpu(), ("token", "feature"))
        store.write("scatter", moments.scatter.cpu(), ("token", "feature", "other_feature"))
        store.write("gram", moments.gram.cpu(), ("token", "other_token"))


def token_blocks(store):
    """Slices of tokens that are one chunk of the scatter."""
    scatter = store["scatter"]
    for start in range(0, len(scatter), scatter.chunks[0]):
        yield slice(start, start + scatter.chunks[0])


def read_merged(parts, tokens=slice(None), *, scatter=True):
    """The moments of a block of tokens over all parts.

    Parameters
    ----------
    parts : sequence of open moment stores
    tokens : slice
        Of the token axis; of both axes of the Gram matrix.
    scatter : bool
        Whether to read the scatter, by far the largest of them.

    Returns
    -------
    Moments
        Of numpy arrays.
    """

    def part(store):
        return Moments(
            store.attributes["samples"],
            store["mean"][tokens],
            store["scatter"][tokens] if scatter else None,
            store["gram"][tokens, tokens],
        )

    merged = part(parts[0])
    for store in parts[1:]:
        merged = merged.merge(part(store))
    return merged
