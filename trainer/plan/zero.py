"""What each process holds under ZeRO and FSDP, counted from the size of every parameter by the rules for dividing them.

Stages 1 and 2 lay the trained parameters of each of the optimizer's groups end to end, pad them to a multiple of twice the number of
processes, and give each process an equal piece to update. Stage 3 divides every parameter, frozen ones too; small ones also stay whole.
FSDP divides every parameter.

Gradients, weights and optimizer states are counted so. Buffers are not: they are as large as the configuration allows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

from .result import ConstantMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .simulate import Weights

STATE_BYTES = 4 + 8
"""Of a trained weight in 32 bit: the weight that AdamW updates, and its two moments."""


@dataclass(frozen=True)
class ZeroOptions:
    """What is used here of DeepSpeed's ``zero_optimization``. The defaults are DeepSpeed's; sizes are numbers of elements."""

    stage: int = 0
    reduce_bucket: int = 500_000_000
    reduce_buckets: int = 1
    """Two where the exchange of one overlaps with the filling of the other."""

    prefetch_bucket: int = 50_000_000
    max_live: int = 1_000_000_000
    """How many gathered elements ZeRO-3 keeps at most."""

    persistence: int = 100_000
    """Up to this size ZeRO-3 keeps a parameter whole."""

    states_in_ram: bool = False
    weights_in_ram: bool = False

    @classmethod
    def read(cls, choice: str, *, hidden_size: int) -> ZeroOptions:
        """The options of a value of ``memory.deepspeed``. ``hidden_size``: the language model's, from which transformers makes ``auto``.

        Raises:
            NumProError: the file cannot be read, or is no configuration with ``zero_optimization``.
        """
        if choice == "none":
            return cls()
        file = files("numpro_plugin.trainer") / "deepspeed" / f"{choice}.json" if choice in ("zero2", "zero3") else Path(choice)
        try:
            values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["zero_optimization"]
            return cls._of(values, hidden_size)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NumProError(
                f"memory.deepspeed={choice}: not a DeepSpeed configuration with zero_optimization ({error}); it is zero2, zero3, none or "
                "the path of a JSON file"
            ) from None

    @classmethod
    def _of(cls, values: dict[str, Any], hidden_size: int) -> ZeroOptions:
        def size(key: str, default: int, auto: float) -> int:
            value = values.get(key, default)
            return int(auto if value == "auto" else value)

        def in_ram(key: str) -> bool:
            return (values.get(key) or {}).get("device", "none") != "none"

        stage = int(values.get("stage", 0))
        doubled = stage < 3 and values.get("overlap_comm", False)  # ZeRO-3 has one bucket in any case
        whole = values.get("contiguous_gradients", True)
        return cls(
            stage=stage,
            reduce_bucket=size("reduce_bucket_size", cls.reduce_bucket, hidden_size**2),
            reduce_buckets=(2 if doubled else 1) if whole else 0,
            prefetch_bucket=size("stage3_prefetch_bucket_size", cls.prefetch_bucket, 0.9 * hidden_size**2),
            max_live=size("stage3_max_live_parameters", cls.max_live, cls.max_live),
            persistence=size("stage3_param_persistence_threshold", cls.persistence, 10 * hidden_size),
            states_in_ram=in_ram("offload_optimizer"),
            weights_in_ram=stage == 3 and in_ram("offload_param"),
        )


@dataclass(frozen=True)
class Share:
    """Bytes that one process holds between two steps; without those in ``ram`` they are on its GPU."""

    weights: float
    """Of frozen and trained parameters: what ZeRO-3 keeps whole is counted whole, in addition to its piece."""

    gradients: float
    states: float
    """AdamW's weights in 32 bit and their moments."""

    buffers: float
    """For gradients on their way, and a second set of them while those of further micro-batches are added."""

    gathered: float = 0.0
    """Weights that ZeRO-3 has gathered at once, at most."""

    ram: float = 0.0
    """What is kept in the machine's memory instead."""

    @property
    def constant(self) -> ConstantMemory:
        """The same in the parts of a plan."""
        return ConstantMemory(self.weights, self.gradients + self.states, self.buffers + self.gathered)


def shares(weights: Weights, zero: ZeroOptions, *, processes: int, value_bytes: int, accumulates: bool) -> list[Share]:
    """What each process holds.

    Args:
        weights: the sizes of all parameters.
        zero: the options.
        processes: how many there are.
        value_bytes: bytes of a trained weight while it is used: 2 in bfloat16.
        accumulates: whether the gradients of several micro-batches are added up before a step.
    """
    if zero.stage == 0:
        trained = weights.trained
        return [Share(weights.frozen_bytes + trained * 4, trained * 4, trained * 8, trained * 4)] * processes  # DDP copies gradients
    if zero.stage == 3:
        return [_everything_divided(weights, zero, processes, value_bytes)] * processes
    return [_states_divided(weights, zero, rank, processes, value_bytes, accumulates=accumulates) for rank in range(processes)]


def fsdp_share(weights: Weights, *, processes: int, value_bytes: int) -> Share:
    """What each process holds under FSDP2. ``value_bytes``: bytes of a gathered weight.

    Weights are in 32 bit where they are trained, and the whole gradients of a module are summed in 32 bit before they are divided.
    """
    return Share(
        weights=(weights.frozen_bytes + weights.trained * 4) / processes,
        gradients=weights.trained * 4 / processes,
        states=weights.trained * 8 / processes,
        buffers=weights.whole_trained * (value_bytes + 4),
        gathered=weights.whole * value_bytes,
    )


def _states_divided(weights: Weights, zero: ZeroOptions, rank: int, processes: int, value_bytes: int, *, accumulates: bool) -> Share:
    """Stages 1 and 2."""
    pieces = [-(-sum(group) // (2 * processes)) * 2 for group in weights.trained_groups]
    piece = sum(pieces)
    touched = sum(_touched(group, size, rank) for group, size in zip(weights.trained_groups, pieces, strict=True))
    held = touched if zero.stage == 2 else weights.trained
    second = touched if zero.stage == 1 or accumulates else 0  # stage 1 copies the gradients of its piece when it reduces them
    share = Share(
        weights=weights.frozen_bytes + piece * processes * value_bytes,
        gradients=held * value_bytes,
        states=piece * STATE_BYTES,
        buffers=(zero.reduce_bucket * zero.reduce_buckets + second) * value_bytes,
    )
    if not zero.states_in_ram:
        return share
    largest = max(chain(*weights.trained_groups), default=0) * value_bytes
    ram = piece * (STATE_BYTES + 4 + value_bytes) + touched * value_bytes + largest  # the gradients in 32 bit, too
    return replace(share, gradients=largest, states=0, buffers=zero.reduce_bucket * zero.reduce_buckets * value_bytes, ram=ram)


def _touched(group: Sequence[int], piece: int, rank: int) -> int:
    """Elements of all parameters of which a part is in a process's piece: their gradients are kept whole."""
    first, found = 0, 0
    for size in group:
        if first < piece * (rank + 1) and first + size > piece * rank:
            found += size
        first += size
    return found


def _everything_divided(weights: Weights, zero: ZeroOptions, processes: int, value_bytes: int) -> Share:
    """Stage 3, where all processes hold the same."""
    sizes = [*chain(*weights.trained_groups), *weights.frozen_sizes]
    own = sum(-(-size // processes) for size in chain(*weights.trained_groups))
    pieces = own + sum(-(-size // processes) for size in weights.frozen_sizes)
    whole = sum(size for size in sizes if size <= zero.persistence)
    live = min(sum(sizes) - whole, max(zero.max_live, max(sizes, default=0) + zero.prefetch_bucket))
    on_gpu = whole if zero.weights_in_ram else whole + pieces
    ram = pieces * value_bytes if zero.weights_in_ram else 0
    share = Share(
        weights=on_gpu * value_bytes,
        gradients=own * value_bytes,
        states=own * STATE_BYTES,
        buffers=zero.reduce_bucket * zero.reduce_buckets * value_bytes,
        gathered=live * value_bytes,
        ram=ram,
    )
    if not zero.states_in_ram:
        return share
    return replace(share, gradients=0, states=0, ram=ram + own * (STATE_BYTES + 4 + value_bytes))
