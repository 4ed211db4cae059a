"""A timm vision transformer that reduces its tokens block by block, without a change of its weights."""

import contextlib
import json
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer

from tokengeometry.errors import StudyError
from tokengeometry.reduction import groups, policies
from tokengeometry.reduction.layer import Geometry, Layer

SUPPORTED = "timm's VisionTransformer with plain blocks (Block, Attention) that pools by its class token or by the mean"


@dataclass
class Reduction:
    """What a reduced model did with the tokens of its last batch.

    Attributes
    ----------
    schedule : tuple of int
        How many tokens are to go at each block.
    policy : str
    sizes : torch.Tensor, (sample, token), float32, or None
        How many of the model's own tokens each of its last ones stands for. None where nothing was reduced: all are 1.
    places : torch.Tensor, (sample, place), int64
        Which of the last tokens holds each spatial token of the input, prefix tokens counted; −1 where it is gone.
    trace : list of torch.Tensor, (sample, place), int64
        The same after every block, where `traced`.
    traced : bool
    """

    schedule: tuple
    policy: str
    sizes: torch.Tensor | None = None
    places: torch.Tensor | None = None
    trace: list = field(default_factory=list)
    traced: bool = False


@contextlib.contextmanager
def reduce(model, schedule, *, budget=None, named=None, policy="tome", geometry=None, seed=0, traced=False):
    """Within the block, a model's every forward pass reduces its tokens; after it, the model is as before.

    Tokens are reduced between attention and MLP. Attention is proportional: a token that stands for s tokens gets log s
    more before the softmax. Where nothing has been merged yet, a block is timm's own.

    Parameters
    ----------
    model : timm.models.VisionTransformer
        Its weights are not touched, and may be trained.
    schedule : sequence of int, or path
        How many tokens go at each block; at most half of the spatial tokens that there are. Or a `schedule.json`.
    budget : float, optional
        With a path: which of its budgets, such as 0.5; it may be left out where there is one.
    named : str, optional
        With a path: which of its schedules, such as "tome-exponential". By default the file's own choice.
    policy : str
        A module of `tokengeometry.reduction.policies`.
    geometry : tokengeometry.reduction.layer.Geometry, optional
        For policies that take α or correlations.
    seed : int
        For policies that draw numbers.
    traced : bool
        Whether the places after every block are kept.

    Yields
    ------
    Reduction

    Raises
    ------
    StudyError
        For a model that is not supported, or a schedule that does not fit it.

    Examples
    --------
    >>> with tokengeometry.reduce(model, [16] * 12):  # doctest: +SKIP
    ...     features = model.forward_features(images)
    """
    check_supported(model)
    if isinstance(schedule, str | Path):
        schedule = read_schedule(schedule, budget, named)
    schedule = _checked(schedule, len(model.blocks))
    state = Reduction(schedule, policy, traced=traced)
    reducer = _Reducer(model, state, policies.load(policy), geometry or Geometry(), seed)
    undo = contextlib.ExitStack()
    with undo:
        for index, block in enumerate(model.blocks):
            if "forward" in vars(block):
                raise StudyError("the model is reduced already: leave that `with` block first")
            undo.callback(vars(block).pop, "forward")
            block.forward = types.MethodType(reducer.forward_of(index), block)
        if model.global_pool == "avg" and "pool" not in vars(model):
            undo.callback(vars(model).pop, "pool")
            model.pool = reducer.pool
        yield state


def check_supported(model):
    """Whether a model's blocks can be reduced.

    Parameters
    ----------
    model : torch.nn.Module

    Raises
    ------
    StudyError
        Names what of the model is not supported.
    """
    found = None
    if not isinstance(model, VisionTransformer):
        found = type(model).__name__
    elif model.grad_checkpointing:
        found = "gradient checkpointing"
    elif other := {type(block).__name__ for block in model.blocks if type(block) is not Block}:
        found = f"blocks of type {', '.join(sorted(other))}"
    elif other := {type(block.attn).__name__ for block in model.blocks if type(block.attn) is not Attention}:
        found = f"attention of type {', '.join(sorted(other))}"
    elif model.attn_pool is not None or model.global_pool not in ("token", "avg", ""):
        found = f"global_pool '{model.global_pool}'"
    if found:
        raise StudyError(f"reduction: {found} is not supported; it must be {SUPPORTED}")


def read_schedule(path, budget=None, named=None):
    """The schedule of a budget from a `schedule.json`.

    Parameters
    ----------
    path : path
    budget : float, optional
        A share of the unreduced model's operations; it may be left out where there is one.
    named : str, optional
        A policy's name with its schedule's; by default the file's own choice.

    Returns
    -------
    list of int

    Raises
    ------
    StudyError
        There is no such budget, or no such schedule.
    """
    its = json.loads(Path(path).read_text())
    if named is not None and named not in its["others"]:
        raise StudyError(f"{path} has no schedule {named}; it has {', '.join(sorted(its['others']))}")
    there = {float(share): r for share, r in (its["r"] if named is None else its["others"][named]).items()}
    if budget is None and len(there) == 1:
        budget = next(iter(there))
    if budget not in there:
        raise StudyError(f"{path} has no budget {budget}; it has {', '.join(map(str, sorted(there)))}")
    return there[budget]


def _checked(schedule, depth):
    schedule = tuple(schedule)
    if len(schedule) != depth or not all(isinstance(r, int | np.integer) and r >= 0 for r in schedule):
        raise StudyError(f"schedule: it must be {depth} whole numbers from 0 on, one for each block; it is {schedule}")
    return tuple(map(int, schedule))


class _Reducer:
    """The blocks' new forward functions, and what they pass on from one to the next."""

    def __init__(self, model, state, policy, geometry, seed):
        self._model, self._state, self._policy = model, state, policy
        self._geometry, self._seed = geometry, seed
        self._merges = getattr(policy, "MERGES", True)
        self._fixed, self._checked = {}, set()

    def forward_of(self, index):
        """The forward function of a block, as a method of it."""
        remove = self._state.schedule[index]

        def forward(block, tokens, attn_mask=None, is_causal=False):
            if attn_mask is not None or is_causal:
                raise StudyError("reduction: attention masks are not supported")
            if index == 0:
                self._begin(tokens)
            sizes, places = self._state.sizes, self._state.places
            few = min(remove, (tokens.shape[1] - self._model.num_prefix_tokens) // 2)
            keys = []
            if few:
                handle = block.attn.k_norm.register_forward_hook(lambda *its: keys.append(its[-1]))
            bias = sizes.log().to(tokens.dtype)[:, None, None] if self._merges and sizes is not None else None
            attended = block.attn(block.norm1(tokens), attn_mask=bias)
            if few:
                handle.remove()
            tokens = tokens + block.drop_path1(block.ls1(attended))
            if few:
                tokens = self._reduced(index, tokens, keys[0], sizes, places, few)
            if self._state.traced:
                self._state.trace.append(self._state.places)
            return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))

        return forward

    def _begin(self, tokens):
        prefix = self._model.num_prefix_tokens
        samples, count, _ = tokens.shape
        places = torch.arange(prefix, count, device=tokens.device)
        # No sizes: they are all 1, and attention needs no bias.
        self._state.sizes, self._state.places, self._state.trace = None, places.expand(samples, -1), []

    def _reduced(self, index, tokens, keys, sizes, places, few):
        if sizes is None:
            sizes = torch.ones(tokens.shape[:2], device=tokens.device)
        count = tokens.shape[1] - few
        into = self._groups(index, tokens, keys, sizes, places, few, count)
        tokens, sizes = groups.merged(tokens, sizes, into, count)
        self._state.sizes, self._state.places = sizes, groups.moved(places, into)
        return tokens

    def _groups(self, index, tokens, keys, sizes, places, few, count):
        # Places are the same in every image as long as the groups are, whatever the images' number.
        key = index, tokens.shape[1]
        fixed = getattr(self._policy, "FIXED", False)
        if key in self._fixed:
            return self._fixed[key].to(tokens.device).expand(len(tokens), -1)
        grid, prefix = self._model.patch_embed.grid_size, self._model.num_prefix_tokens
        layer = self._geometry.at(Layer(index + 1, few, prefix, grid, places, seed=self._seed))
        of = slice(0, 1) if fixed else slice(None)
        found = torch.as_tensor(self._policy.group(tokens[of], keys[of], sizes[of], layer)).to(tokens.device)
        found = found.reshape(-1, tokens.shape[1])
        if key not in self._checked and not found.is_meta:
            groups.check(found, count, prefix, self._state.policy)
            self._checked.add(key)
        if fixed:
            self._fixed[key] = found
        return found.expand(len(tokens), -1)

    def pool(self, tokens, pool_type=None):
        """As timm's, but the mean is over the tokens of the input."""
        if (pool_type or self._model.global_pool) != "avg" or self._state.sizes is None:
            return type(self._model).pool(self._model, tokens, pool_type)
        first = 0 if self._model.pool_include_prefix else self._model.num_prefix_tokens
        sizes = self._state.sizes[:, first:, None].to(tokens.dtype)
        return (tokens[:, first:] * sizes).sum(dim=1) / sizes.sum(dim=1)
