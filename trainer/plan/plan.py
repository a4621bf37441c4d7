"""`numpro-train plan`: the memory and FLOPs that a recipe needs, before a GPU is rented.

Peak memory is constant memory (weights, gradients, AdamW's states: counted) plus the memory of a step (see ``simulate``). The latter is
piecewise linear in the number of frames, with bends where a tile is full. It is simulated at the bends and interpolated between them:
never too low, and too high by less than a tile's working memory.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

from .known_models import model_config
from .simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..recipe.record import Recipe
    from .simulate import Step, Weights

GIB = 2**30
CARDS_GIB = (24, 40, 48, 80)
USABLE = 0.92
"""The fraction of a card's memory that a plan may fill; the rest is for CUDA itself and for gaps between tensors."""

_NF4_BYTES = 0.5 + 0.127 / 8  # a 4-bit weight, and its share of a block's quantized scale
_LIVE_PARAMETERS = 1e9  # DeepSpeed's stage3_max_live_parameters: the maximum that ZeRO-3 keeps gathered


@dataclass(frozen=True)
class ConstantMemory:
    """Bytes that a GPU holds throughout training."""

    weights: float
    trained: float
    """Trained weights, their gradients and AdamW's states."""

    buffers: float = 0.0
    """For exchanging gradients and weights with other GPUs, or for one layer's weights, dequantized from 4 bits."""

    @property
    def total(self) -> float:
        """The sum."""
        return self.weights + self.trained + self.buffers


@dataclass(frozen=True)
class Option:
    """The longest sample's peak memory after one change of the recipe."""

    change: str
    peak: float
    """Bytes."""


@dataclass(frozen=True)
class Plan:
    """The result of ``plan``; its ``str`` is the table."""

    recipe: Recipe
    weights: Weights
    constant: ConstantMemory
    longest: Step
    mean: Step
    mean_source: str
    gpus: int
    options: tuple[Option, ...]
    largest: dict[str, dict[int, int]] = field(default_factory=dict)
    """Largest ``max_frames`` by setup and card in GiB; 0: not even one frame fits."""

    def peak(self, step: Step) -> float:
        """Bytes on one GPU."""
        return self.constant.total + step.peak

    def __str__(self) -> str:
        return "\n".join([*_heading(self), "", *_samples(self), "", *_options(self), "", *_cards(self)])


def plan(recipe: Recipe, *, gpus: int = 8) -> Plan:
    """Simulate a recipe; ``gpus``: the number of GPUs for which ZeRO is compared.

    Raises:
        NumProError: the model is not found, or the shards or the DeepSpeed file cannot be read.
    """
    if gpus < 2:
        raise NumProError(f"gpus={gpus} must be at least 2: one GPU is always part of the plan")
    if not recipe.model:
        raise NumProError("model is missing: set it in the recipe or pass model=...")
    simulation = Simulation(model_config(recipe.model), recipe)
    weights, memory = simulation.weights, recipe.memory
    mean_frames, mean_source = _mean_frames(recipe)
    longest, mean = simulation.step(recipe.numpro.max_frames), simulation.step(mean_frames)
    setups = {"1 GPU": constant_memory(weights, recipe)}
    if recipe.tuning == "lora" and memory.quantize == "none":
        setups["1 GPU, 4bit"] = constant_memory(weights, recipe.replace(memory__quantize="4bit"))
    for stage in ("zero2", "zero3") if memory.quantize == "none" else ("zero2",):
        setups[f"{gpus} GPUs, {stage}"] = constant_memory(weights, recipe.replace(memory__deepspeed=stage), gpus=gpus)
    curve = Curve(simulation)
    return Plan(
        recipe=recipe,
        weights=weights,
        constant=setups["1 GPU"],
        longest=longest,
        mean=mean,
        mean_source=mean_source,
        gpus=gpus,
        options=tuple(_options_of(simulation, setups)),
        largest={
            name: {card: curve.max_frames(card * GIB * USABLE - constant.total) for card in CARDS_GIB} for name, constant in setups.items()
        },
    )


def constant_memory(weights: Weights, recipe: Recipe, *, gpus: int = 1) -> ConstantMemory:
    """The constant memory of each of ``gpus`` GPUs; ``memory.deepspeed`` applies if there are several."""
    memory, trained = recipe.memory, weights.trained
    base, buffers = float(weights.frozen_bytes), 0.0
    if memory.quantize == "4bit":
        linear_bytes = weights.frozen_bytes / max(1, weights.frozen) * weights.linear
        base += weights.linear * _NF4_BYTES - linear_bytes
        buffers += weights.largest_linear * 2
    if gpus == 1:
        return ConstantMemory(base, trained * 16.0, buffers)  # in 32 bit: weight, gradient and AdamW's two moments
    config = _zero_config(memory.deepspeed)
    stage, value_bytes = config.get("stage", 0), 2 if memory.dtype == "bfloat16" else 4
    if stage == 0:
        return ConstantMemory(base, trained * 16.0, buffers + trained * 4)  # DDP copies gradients into buckets
    master_weights = trained * (4 + 8) / gpus  # weight in 32 bit and two moments
    bucket = config.get("reduce_bucket_size", "auto")
    buffers += (0.0 if bucket == "auto" else float(bucket)) * value_bytes * (2 if config.get("overlap_comm") else 1)
    if stage < 3:
        gradient_bytes = value_bytes / gpus if stage == 2 else value_bytes
        return ConstantMemory(base, trained * (value_bytes + gradient_bytes) + master_weights, buffers)
    live = min(weights.frozen + trained, _LIVE_PARAMETERS) * value_bytes
    return ConstantMemory(base / gpus, trained * 2 * value_bytes / gpus + master_weights, buffers + live)


class Curve:
    """The memory of a step, interpolated for any number of frames."""

    def __init__(self, simulation: Simulation) -> None:
        memory, rows = simulation.recipe.memory, simulation.recipe.optimizer.micro_batch_size
        # Where the first tile is full, the second (the first length in several tiles), and beyond the last bend.
        tile = memory.tile_tokens / rows
        frames = [_max_frames_in(simulation, tiles * tile) for tiles in (1, 2, 3, 8)] if memory.tiling != "none" else [16, 64]
        self.frames = sorted({max(1, n) for n in frames})
        if len(self.frames) == 1:
            self.frames.append(self.frames[0] + 8)
        self.steps = [simulation.step(n) for n in self.frames]

    def memory(self, frames: int) -> float:
        """Bytes in addition to the constant memory."""
        k = min(max(1, sum(n < frames for n in self.frames)), len(self.frames) - 1)
        (x0, x1), (low, high) = self.frames[k - 1 : k + 1], self.steps[k - 1 : k + 1]
        fraction = (frames - x0) / (x1 - x0)
        return max(low.memory[phase] + fraction * (high.memory[phase] - low.memory[phase]) for phase in low.memory)

    def max_frames(self, available: float) -> int:
        """The most frames whose step fits into ``available`` bytes; 0 if not even one does."""
        low, high = 0, 1
        while self.memory(high) <= available and high < 1 << 20:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.memory(middle) <= available else (low, middle)
        return low


def _max_frames_in(simulation: Simulation, tokens: float) -> int:
    """The most frames of a sample of at most ``tokens`` tokens."""
    per_frame = (simulation.tokens(200) - simulation.tokens(100)) / 100
    return int((tokens - simulation.tokens(1)) // per_frame) + 1


def _options_of(simulation: Simulation, setups: dict[str, ConstantMemory]) -> list[Option]:
    """The longest sample's peak with other memory settings, one change at a time."""
    recipe, frames = simulation.recipe, simulation.recipe.numpro.max_frames
    memory, constant = recipe.memory, setups["1 GPU"].total
    step = simulation.step(frames)
    options = []
    for tiling in ("all", "mlp", "none"):
        if tiling != memory.tiling:
            options.append(Option(f"memory.tiling={tiling}", constant + simulation.changed(memory__tiling=tiling).step(frames).peak))
    flipped = not memory.gradient_checkpointing
    flipped_step = simulation.changed(memory__gradient_checkpointing=flipped).step(frames)
    options.append(Option(f"memory.gradient_checkpointing={str(flipped).lower()}", constant + flipped_step.peak))
    names = {"1 GPU, 4bit": "memory.quantize=4bit"}
    options += [Option(names.get(name, name), value.total + step.peak) for name, value in setups.items() if name != "1 GPU"]
    return options


def _mean_frames(recipe: Recipe) -> tuple[int, str]:
    """The mean number of frames of a sample, and its source."""
    limit = recipe.numpro.max_frames
    if recipe.data.shards:
        from ..shards.index import ShardIndex

        index = ShardIndex.read(recipe.data.shards, recipe.numpro)
        return max(1, min(limit, round(float(index.sample_frames.mean())))), "mean of the shards"
    return min(limit, max(1, math.ceil(60 * recipe.numpro.fps))), "a minute (no data.shards)"


def _zero_config(choice: str) -> dict[str, Any]:
    """``zero_optimization`` of DeepSpeed's configuration."""
    if choice == "none":
        return {}
    file = files("numpro_plugin.trainer") / "deepspeed" / f"{choice}.json" if choice in ("zero2", "zero3") else Path(choice)
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["zero_optimization"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NumProError(
            f"memory.deepspeed={choice}: not a DeepSpeed configuration with zero_optimization ({error}); it is zero2, zero3, none or the "
            "path of a JSON file"
        ) from None
    return config


def _heading(plan: Plan) -> list[str]:
    recipe, weights, memory = plan.recipe, plan.weights, plan.recipe.memory
    lora = f"LoRA of rank {recipe.lora.rank}" + (", projector in full" if recipe.lora.projector else "")
    trained = lora if recipe.tuning == "lora" else "all"
    saving = f"tiling={memory.tiling}, gradient_checkpointing={str(memory.gradient_checkpointing).lower()}, quantize={memory.quantize}"
    return [
        f"{recipe.model}: {_rounded(weights.frozen + weights.trained)} parameters, {_rounded(weights.trained)} trained ({trained})",
        f"{memory.dtype}, {saving}, {recipe.optimizer.micro_batch_size} sample(s) per forward pass",
    ]


def _samples(plan: Plan) -> list[str]:
    rows = [["one GPU, GiB", "frames", "tokens", "weights", "training", "step", "PEAK", "TFLOPs"]]
    for name, step in (("longest (max_frames)", plan.longest), (plan.mean_source, plan.mean)):
        memory = [plan.constant.weights + plan.constant.buffers, plan.constant.trained, step.peak, plan.peak(step)]
        rows.append(
            [name, str(step.frames), f"{step.tokens:,}", *map(_gib, memory), f"{step.flops / 1e12:,.{0 if step.flops > 1e14 else 2}f}"]
        )
    batch, micro = plan.recipe.optimizer.batch_size, plan.recipe.optimizer.micro_batch_size
    total = plan.mean.flops / micro * batch / 1e15
    return [
        *_table(rows),
        "training: trained weights, their gradients and AdamW's states in 32 bit; TFLOPs: forward and backward, recomputation included;",
        f"a step of {batch} samples like the one in the last line: {total:,.1f} PFLOPs",
    ]


def _options(plan: Plan) -> list[str]:
    peak = plan.peak(plan.longest)
    rows = [[f"peak at {plan.longest.frames} frames, GiB", "each GPU", "instead of"]]
    rows += [[option.change, _gib(option.peak), _gib(peak)] for option in plan.options]
    return _table(rows)


def _cards(plan: Plan) -> list[str]:
    setups = list(plan.largest)
    rows = [["largest max_frames", *setups]]
    for card in CARDS_GIB:
        rows.append([f"{card} GB", *[f"{plan.largest[name][card]:,}" if plan.largest[name][card] else "-" for name in setups]])
    limit = plan.recipe.data.max_tokens
    return [
        *_table(rows),
        f"with {1 - USABLE:.0%} of the card left for CUDA and gaps between tensors; data.max_tokens={limit:,} also limits samples",
    ]


def _rounded(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} billion" if parameters > 1e9 else f"{parameters / 1e6:,.{0 if parameters > 1e7 else 2}f} million"


def _gib(size: float) -> str:
    return f"{size / GIB:.{1 if size > GIB or not size else 3}f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns, the first to the left and the others to the right; the first row is the heading."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]]) for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
