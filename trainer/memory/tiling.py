"""Long sequences in less memory: token-wise modules of the language model run in tiles that are recomputed in the backward pass.

Gradient checkpointing keeps each layer's input and recomputes the layer in the backward pass. The memory for that one layer limits the
length of a video: for Qwen2-7B and 34,600 tokens, its MLP alone keeps more than 10 GiB. But an MLP, a projection or a norm processes every
token independently, so it can run tile by tile along the sequence and keep nothing but its input::

    x (B, L, D) -> x[:, :a] -> module -> y[:, :a] \\
                   x[:, a:] -> module -> y[:, a:]  > y (B, L, D)      each arrow recomputed for its gradient

Loss and gradients stay the same up to the order of sums; the recomputation uses the same dropout. Evaluation and generation are unchanged.

Why not simply one ``checkpoint`` per tile: the recomputation of a layer ends as soon as it has all the tensors that it must keep. Tiles
that keep their inputs one by one make it compute every tile but the last. Here the whole input is kept before the first tile, so for the
MLP, which comes last in a layer, nothing is computed twice: tiling it costs no time.

Why not DeepSpeed's ``TiledMLP``: under checkpointing it computes the MLP a second time (1.6 times the FLOPs and 1.5 times the CPU time,
for the same memory), its recomputation uses another dropout than the forward pass, and it tiles only MLPs. Measured by
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

from ..recipe.sections import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_MODULES = {"mlp": r"layers\.\d+\.mlp", "all": r"norm|layers\.\d+\.(mlp|self_attn\.[qkvo]_proj|\w+norm)"}


def tile_language_model(model: nn.Module, tiling: Tiling = "all", *, tokens: int = 4096) -> list[str]:
    """Change ``model`` so that in training these modules run in tiles of at most ``tokens`` tokens (over the whole batch).

    ``model``: of any supported family, with its adapter already added. ``tiling``: nothing, the MLPs, or also the attention's projections
    and the norms. Returns the names of the changed modules; they are not tiled on shorter inputs, in eval mode, and without gradients.

    Raises:
        NumProError: ``tiling`` or ``tokens`` out of range, or a model without such modules.
    """
    if tiling not in get_args(Tiling):
        raise NumProError(f"tiling={tiling!r} is unknown; allowed: {', '.join(get_args(Tiling))}")
    if tokens < 1:
        raise NumProError(f"tile_tokens={tokens} must be 1 or more; 4096 is a good size, smaller tiles save little more memory")
    if tiling == "none":
        return []
    pattern = re.compile(rf"(^|\.)language_model\.({_MODULES[tiling]})$")
    modules = {name: module for name, module in model.named_modules() if pattern.search(name)}
    if not modules:
        raise NumProError(f"{type(model).__name__} has no language_model.layers that tiling={tiling} applies to: use tiling=none")
    for module in modules.values():
        module.forward = partial(_tiled_forward, module, module.forward, tokens)
    return list(modules)


def recompute(module: nn.Module) -> None:
    """Change ``module`` so that in training it keeps nothing but its inputs and is recomputed in the backward pass.

    Used for the projector: its activations for a video are larger than the video's tokens and would stay until the backward pass ends.
    """
    module.forward = partial(_recomputed_forward, module, module.forward)


def tiled(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *, tiles: int) -> torch.Tensor:
    """``function(x)`` in tiles along the sequence, for a function that processes every token independently.

    ``x``: (B, L, D). ``tiles``: the maximum number; all but the last are equally long. In the backward pass each tile is recomputed with
    the random numbers of the forward pass.
    """
    source = _Input(x, -(-x.shape[1] // tiles))

    def compute(k: int, _device: list[torch.Tensor]) -> torch.Tensor:
        return function(source.tile(k))

    # The tensor tells checkpoint() which device's random state to keep. Inside a list it is not kept with the layer's saved tensors.
    device = [x.new_empty(0)]
    return torch.cat([checkpoint(compute, k, device, use_reentrant=False) for k in range(source.count)], 1)


class _Keep(torch.autograd.Function):
    """A node of the graph that keeps ``x``. If the layer is recomputed, ``x`` comes from the recomputation."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return anchor.clone()  # requires gradients as the anchor does, so that there is a node for the saved tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise AssertionError("no loss depends on this node")


class _Input:
    """The input of all tiles, kept once."""

    def __init__(self, x: torch.Tensor, length: int) -> None:
        self.kept: Any = _Keep.apply(torch.empty(0, device=x.device, requires_grad=True), x).grad_fn
        self.requires_grad = x.requires_grad
        self.length = length
        # A single split: its gradient is assembled once, while the gradient of each slice would be as long as the input and mostly zero.
        self.first: dict[int, torch.Tensor] = dict(enumerate(x.split(length, 1)))
        self.count = len(self.first)
        self.recomputed: dict[int, torch.Tensor] = {}

    def tile(self, k: int) -> torch.Tensor:
        """The k-th tile: part of the graph in the forward pass, a new leaf in the recomputation."""
        if k in self.first:
            return self.first.pop(k)
        # The saved tensors of a recomputed layer can be read only once, so they are held until every tile has been used.
        if k not in self.recomputed:
            self.recomputed = dict(enumerate(self.kept.saved_tensors[0].detach().split(self.length, 1)))
        return self.recomputed.pop(k).detach().requires_grad_(self.requires_grad)


def _tiled_forward(module: nn.Module, forward: Callable[..., Any], tokens: int, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    tiles = min(-(-x.shape[0] * x.shape[1] // tokens), x.shape[1])
    # Further arguments (PEFT's adapter names) are passed in inference only.
    if tiles < 2 or not module.training or not torch.is_grad_enabled() or args or kwargs:
        return forward(x, *args, **kwargs)
    return tiled(forward, x, tiles=tiles)


def _recomputed_forward(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not module.training or not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
