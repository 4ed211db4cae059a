"""Images through a model that reduces its tokens, beside the same model with all of them."""

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from tokengeometry.activations.on_disk import check_finite
from tokengeometry.model.token_chain import load_chain
from tokengeometry.reduction.patching import check_supported, reduce
from tokengeometry.storage import zarr_store
from tokengeometry.storage.chunk_sizes import TOKENS_BYTES, batch_rows

# Of an image, beside the model with all its tokens.
LIKENESS = ("cosine_cls", "error_cls", "cosine_tokens", "error_tokens")


def load_network(model, weights, *, device="cpu", dtype=torch.float32):
    """The whole timm model of a study, if its tokens can be reduced.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    weights : path
        `weights.safetensors`.
    device, dtype
        Where, and in which precision, it computes.

    Returns
    -------
    timm.models.VisionTransformer

    Raises
    ------
    StudyError
        It is not supported; see `tokengeometry.reduction.patching.check_supported`.
    """
    network = load_chain(model, weights, layers=range(1, model["depth"] + 1), device=device, dtype=dtype).model
    check_supported(network)
    return network


def pieces(batches, network):
    """Batches on the model's device, in its precision; on the CPU a few images at a time, which is faster there.

    Parameters
    ----------
    batches : iterable of torch.Tensor, (sample, channel, height, width)
    network : timm.models.VisionTransformer

    Yields
    ------
    torch.Tensor, (sample, channel, height, width)
    """
    first = next(network.parameters())
    tokens = network.patch_embed.num_patches + network.num_prefix_tokens
    rows = batch_rows(tokens, network.embed_dim, batch_bytes=TOKENS_BYTES)
    for batch in batches:
        for piece in batch.split(rows if first.device.type == "cpu" else len(batch)):
            yield piece.to(first.device, first.dtype)


def write_whole(path, network, batches, samples, labels, **attributes):
    """Write the final tokens of the model that keeps them all, after its last norm.

    Parameters
    ----------
    path : path
        The store to make: `tokens` (sample, token, feature), float32.
    network : timm.models.VisionTransformer
    batches : iterable of torch.Tensor, (sample, channel, height, width)
    samples : array of int, (sample,)
        Their indices in the split.
    labels : dict
        Coordinates.
    **attributes
        Kept with the store.
    """
    shape = len(samples), network.patch_embed.num_patches + network.num_prefix_tokens, network.embed_dim
    coordinates = labels | {"sample": (("sample",), samples)}
    with zarr_store.create(path, coordinates, **attributes) as store, torch.inference_mode():
        length = max(1, batch_rows(*shape[1:], batch_bytes=TOKENS_BYTES))
        array = store.create("tokens", shape, "float32", ("sample", "token", "feature"), chunks=(length, *shape[1:]))
        start = 0
        for piece in tqdm(pieces(batches, network), mininterval=5):
            tokens = network.forward_features(piece).float().cpu().numpy()
            check_finite(tokens, len(network.blocks), samples[start:])
            array[start : start + len(tokens)] = tokens
            start += len(tokens)


def likeness(tokens, places, whole, prefix):
    """How like the final tokens are to those of the model that keeps them all.

    A place is compared with the token that holds it; one that is gone, with nothing: its cosine is 0 and its error its
    whole length.

    Parameters
    ----------
    tokens : torch.Tensor, (sample, token, feature)
    places : torch.Tensor, (sample, place), int64
        As of `tokengeometry.reduction.patching.Reduction`.
    whole : torch.Tensor, (sample, prefix + place, feature)
    prefix : int

    Returns
    -------
    dict of str to torch.Tensor, (sample,)
        `LIKENESS`: the cosine and the relative error of the first token, and over the spatial tokens the mean cosine
        and the relative error of all together.
    """
    held = tokens.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, tokens.shape[-1]))
    held = torch.where((places >= 0)[..., None], held, 0)
    spatial = whole[:, prefix:]
    found = {
        "cosine_tokens": torch.cosine_similarity(held, spatial, dim=-1).mean(dim=1),
        "error_tokens": (held - spatial).flatten(1).norm(dim=1) / spatial.flatten(1).norm(dim=1),
    }
    if prefix:
        found["cosine_cls"] = torch.cosine_similarity(tokens[:, 0], whole[:, 0], dim=-1)
        found["error_cls"] = (tokens[:, 0] - whole[:, 0]).norm(dim=-1) / whole[:, 0].norm(dim=-1)
    return found


def spatial_mean(tokens, sizes, prefix):
    """The mean over the places that are held: spatial tokens weighted by their sizes.

    Parameters
    ----------
    tokens : torch.Tensor, (sample, token, feature)
    sizes : torch.Tensor, (sample, token), or None
        None where all are 1.
    prefix : int

    Returns
    -------
    torch.Tensor, (sample, feature)
    """
    spatial = tokens[:, prefix:]
    if sizes is None:
        return spatial.mean(dim=1)
    weight = sizes[:, prefix:, None].to(tokens.dtype)
    return (spatial * weight).sum(dim=1) / weight.sum(dim=1)


def operations(network, schedule, **reduction):
    """Operations of the forward pass of one image, as torch counts them.

    Parameters
    ----------
    network : timm.models.VisionTransformer
    schedule : sequence of int
    **reduction
        Of `tokengeometry.reduction.patching.reduce`.

    Returns
    -------
    int
    """
    first, counter = next(network.parameters()), FlopCounterMode(display=False)
    image = torch.zeros(1, network.in_chans, *network.patch_embed.img_size, device=first.device, dtype=first.dtype)
    # torch does not count its fused attention on the CPU.
    with torch.inference_mode(), reduce(network, schedule, **reduction), sdpa_kernel(SDPBackend.MATH):
        # What is made once for all images is not an image's.
        network.forward_features(image)
        with counter:
            network.forward_features(image)
    return counter.get_total_flops()


def group_sizes(places):
    """How many places the token holds that holds a place.

    Parameters
    ----------
    places : torch.Tensor, (sample, place), int64

    Returns
    -------
    torch.Tensor, (sample, place), int64
        0 of a place that is gone.
    """
    here = places >= 0
    into = places.clamp(min=0)
    counts = places.new_zeros(len(places), int(places.max()) + 2).scatter_add_(1, into, here.long())
    return torch.where(here, counts.gather(1, into), 0)


def write_reduced(path, network, batches, whole, schedule, labels, *, policy, geometry, seed, **attributes):
    """Write what a reduced model makes of images.

    Parameters
    ----------
    path : path
        The store to make: `mean` and, with prefix tokens, `cls` (sample, feature); of `LIKENESS` what there is
        (sample,); `size` (block, place), the mean over images of how many places are held together with each; `places`
        (block, place), which token holds each in the first image, −1 where it is gone.
    network : timm.models.VisionTransformer
    batches : iterable of torch.Tensor, (sample, channel, height, width)
    whole : open store
        As of `write_whole`, of the same images.
    schedule : sequence of int
    labels : dict
        Coordinates.
    policy, geometry, seed
        Of `tokengeometry.reduction.patching.reduce`.
    **attributes
        Kept with the store, beside `flops` of an image.
    """
    prefix, device = network.num_prefix_tokens, next(network.parameters()).device
    options = dict(policy=policy, geometry=geometry, seed=seed)
    found, size, example, start = {}, 0, None, 0
    with torch.inference_mode(), reduce(network, schedule, traced=True, **options) as reduction:
        for piece in tqdm(pieces(batches, network), mininterval=5):
            tokens = network.forward_features(piece).float()
            reference = torch.from_numpy(whole["tokens"][start : start + len(piece)]).to(device)
            its = likeness(tokens, reduction.places, reference, prefix)
            its["mean"] = spatial_mean(tokens, reduction.sizes, prefix)
            if prefix:
                its["cls"] = tokens[:, 0]
            for name, values in its.items():
                found.setdefault(name, []).append(values.cpu().numpy())
            size = size + np.stack([group_sizes(places).sum(dim=0).cpu().numpy() for places in reduction.trace])
            if example is None:
                example = np.stack([places[0].cpu().numpy() for places in reduction.trace])
            start += len(piece)
    flops = operations(network, schedule, **options)
    with zarr_store.create(path, labels, flops=flops, schedule=list(schedule), **attributes) as store:
        for name, values in found.items():
            values = np.concatenate(values)
            store.write(name, values, ("sample", "feature")[: values.ndim])
        store.write("size", size / start, ("block", "place"))
        store.write("places", example, ("block", "place"))


def mean_cosine(network, images, whole):
    """What schedules are chosen by: a function from a schedule to how like the final tokens stay.

    Parameters
    ----------
    network : timm.models.VisionTransformer
    images : sequence of torch.Tensor, (sample, channel, height, width)
        Pieces.
    whole : sequence of torch.Tensor, (sample, token, feature)
        Their final tokens, all kept.

    Returns
    -------
    callable
        The mean over the images of the cosine of the first token, or, without prefix tokens, of the spatial ones.
    """
    prefix = network.num_prefix_tokens

    def score(schedule):
        values = []
        with torch.inference_mode(), reduce(network, schedule) as reduction:
            for piece, its in zip(images, whole, strict=True):
                tokens = network.forward_features(piece).float()
                found = likeness(tokens, reduction.places, its, prefix)
                values.append(found["cosine_cls" if prefix else "cosine_tokens"])
        return float(torch.cat(values).mean())

    return score
