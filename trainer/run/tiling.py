"""Long sequences in less memory: token-wise parts of the language model run in tiles that are recomputed in the backward pass.

Gradient checkpointing keeps each layer's input and computes the layer once more in the backward pass. The memory for that one layer
decides how long a video may be: for Qwen2-7B and 34,600 tokens its MLP alone keeps more than 10 GiB. But an MLP, a projection or a norm
treats every token by itself, so it can run tile by tile along the sequence and keep nothing but its input::

    x (B, L, D) -> x[:, :a] -> module -> y[:, :a] \\
                   x[:, a:] -> module -> y[:, a:]  > y (B, L, D)      each arrow recomputed for its gradient

Loss and gradients stay the same up to the order of sums; dropout draws the same numbers in the recomputation. Evaluation and generation
run as before.

Why not simply one ``checkpoint`` per tile: the layer's own recomputation ends as soon as it has everything that it must keep. Tiles that
keep their inputs one by one make it compute every tile but the last. Here the whole input is kept before the first tile, so for the MLP,
which comes last in a layer, nothing is computed twice: tiling it costs no time.

Why not DeepSpeed's ``TiledMLP``: it computes the MLP once more under checkpointing (1.6 times the FLOPs and 1.5 times the CPU time of
this, for the same memory), its recomputation draws other dropout than the forward pass, and it tiles nothing but MLPs. Measured by
``tests/benchmarks/training_memory.py tiled-mlp``.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch.utils.checkpoint import checkpoint

from numpro_plugin.errors import NumProError

from ..recipe.record import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_MODULES = {"mlp": r"layers\.\d+\.mlp", "all": r"norm|layers\.\d+\.(mlp|self_attn\.[qkvo]_proj|\w+norm)"}


def tile_language_model(model: nn.Module, parts: Tiling = "all", *, tokens: int = 4096) -> list[str]:
    """Change ``model`` so that in training these parts run in tiles of at most ``tokens`` tokens (over the whole batch).

    ``model``: of any supported family, with its adapter already added. ``parts``: nothing, the MLPs, or also the attention's projections
    and the norms. Returns the names of the changed modules; they run as before on shorter inputs, in eval mode, and when no gradients are
    recorded.

    Raises:
        NumProError: ``parts`` or ``tokens`` out of range, or a model without such modules.
    """
    if parts not in get_args(Tiling):
        raise NumProError(f"tiling={parts!r} is unknown; allowed: {', '.join(get_args(Tiling))}")
    if tokens < 1:
        raise NumProError(f"tile_tokens={tokens} must be 1 or more; 4096 is a good size, fewer save little more memory")
    if parts == "none":
        return []
    wanted = re.compile(rf"(^|\.)language_model\.({_MODULES[parts]})$")
    found = {name: module for name, module in model.named_modules() if wanted.search(name)}
    if not found:
        raise NumProError(f"{type(model).__name__} has no language_model.layers with {parts!r} to tile: use tiling=none")
    for module in found.values():
        module.forward = partial(_tiled_forward, module, module.forward, tokens)
    return list(found)


def recompute(module: nn.Module) -> None:
    """Change ``module`` so that in training it keeps nothing but its inputs and runs once more in the backward pass.

    For the projector: what it keeps of a video is larger than the video's tokens, and would stay until the end of the backward pass.
    """
    module.forward = partial(_recomputed_forward, module, module.forward)


def tiled(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *, tiles: int) -> torch.Tensor:
    """``function(x)`` for a function that treats every token by itself, in tiles along the sequence.

    ``x``: (B, L, D). ``tiles``: the most there may be; all but the last are equally long. In the backward pass each tile is computed once
    more, with the random numbers of the first time.
    """
    source = _Input(x, -(-x.shape[1] // tiles))

    def compute(k: int, _device: list[torch.Tensor]) -> torch.Tensor:
        return function(source.tile(k))

    # A tensor inside a list tells checkpoint() whose random state to keep, but is not itself kept with the layer's saved tensors.
    device = [x.new_empty(0)]
    return torch.cat([checkpoint(compute, k, device, use_reentrant=False) for k in range(source.count)], 1)


class _Keep(torch.autograd.Function):
    """A node of the graph that keeps ``x``; if the layer is recomputed, ``x`` comes from the recomputation."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return anchor.clone()  # requires gradients as the anchor does, so that there is a node to keep things in

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise AssertionError("nothing depends on this")


class _Input:
    """The input of all tiles, kept once."""

    def __init__(self, x: torch.Tensor, length: int) -> None:
        self.kept: Any = _Keep.apply(torch.empty(0, device=x.device, requires_grad=True), x).grad_fn
        self.requires_grad = x.requires_grad
        self.length = length
        # One split: its gradient is assembled once, while the gradient of every slice would be as long as the whole, mostly zeros.
        self.first: dict[int, torch.Tensor] = dict(enumerate(x.split(length, 1)))
        self.count = len(self.first)
        self.again: dict[int, torch.Tensor] = {}

    def tile(self, k: int) -> torch.Tensor:
        """The k-th tile: a part of the graph the first time, a new leaf when it is recomputed."""
        if k in self.first:
            return self.first.pop(k)
        # What a recomputed layer kept can be read once; it is held here until each tile has had its part.
        if k not in self.again:
            self.again = dict(enumerate(self.kept.saved_tensors[0].detach().split(self.length, 1)))
        return self.again.pop(k).detach().requires_grad_(self.requires_grad)


def _tiled_forward(module: nn.Module, forward: Callable[..., Any], tokens: int, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    tiles = min(-(-x.shape[0] * x.shape[1] // tokens), x.shape[1])
    # Further arguments (PEFT's adapter names) come in inference only.
    if tiles < 2 or not module.training or not torch.is_grad_enabled() or args or kwargs:
        return forward(x, *args, **kwargs)
    return tiled(forward, x, tiles=tiles)


def _recomputed_forward(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not module.training or not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
