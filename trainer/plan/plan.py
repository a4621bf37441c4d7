"""`numpro-train plan`: what a recipe needs, before a GPU is rented.

Peak memory is what is held throughout (weights, gradients, AdamW's states: counted) plus what a step adds (see ``simulate``). The latter
grows with the number of frames along straight lines that bend where a tile is full. It is simulated at the bends and interpolated in
between: never too low, and too high by less than a tile's working memory.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.tables import aligned
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
"""The part of a card's memory that a plan may fill; the rest is for CUDA itself and for gaps between tensors."""

_NF4_BYTES = 0.5 + 0.127 / 8  # a 4-bit weight, and its share of a block's quantized scale
_LIVE_PARAMETERS = 1e9  # DeepSpeed's stage3_max_live_parameters: the most that ZeRO-3 keeps gathered


@dataclass(frozen=True)
class Held:
    """Bytes that a GPU holds throughout a step."""

    weights: float
    trained: float
    """Trained weights, their gradients and AdamW's states."""

    buffers: float = 0.0
    """For exchanging gradients and weights with other GPUs, or one layer's weights restored from 4 bits."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.trained + self.buffers


@dataclass(frozen=True)
class Option:
    """The longest sample's peak after one change of the recipe."""

    change: str
    peak: float
    """Bytes."""


@dataclass(frozen=True)
class Plan:
    """The result of ``plan``; its ``str`` is the table."""

    recipe: Recipe
    weights: Weights
    held: Held
    longest: Step
    mean: Step
    mean_is: str
    gpus: int
    options: tuple[Option, ...]
    largest: dict[str, dict[int, int]] = field(default_factory=dict)
    """Largest ``max_frames`` by setup and card in GiB; 0: not even one frame."""

    def peak(self, step: Step) -> float:
        """Bytes on one GPU."""
        return self.held.total + step.peak

    def __str__(self) -> str:
        return "\n".join([*_heading(self), "", *_samples(self), "", *_options(self), "", *_cards(self)])


def plan(recipe: Recipe, *, gpus: int = 8) -> Plan:
    """Simulate a recipe; ``gpus``: the number of GPUs for which ZeRO is compared.

    Raises:
        NumProError: a model that cannot be found, shards or a DeepSpeed file that cannot be read.
    """
    if gpus < 2:
        raise NumProError(f"gpus={gpus} must be at least 2: one GPU is always part of the plan")
    if not recipe.model:
        raise NumProError("model is missing: set it in the recipe or pass model=...")
    simulation = Simulation(model_config(recipe.model), recipe)
    weights, memory = simulation.weights, recipe.memory
    mean_frames, mean_is = _mean(recipe)
    longest, mean = simulation.step(recipe.numpro.max_frames), simulation.step(mean_frames)
    setups = {"1 GPU": held(weights, recipe)}
    if recipe.tuning == "lora" and memory.quantize == "none":
        setups["1 GPU, 4bit"] = held(weights, recipe.replace(memory__quantize="4bit"))
    for stage in ("zero2", "zero3") if memory.quantize == "none" else ("zero2",):
        setups[f"{gpus} GPUs, {stage}"] = held(weights, recipe.replace(memory__deepspeed=stage), gpus=gpus)
    curve = Curve(simulation)
    return Plan(
        recipe=recipe,
        weights=weights,
        held=setups["1 GPU"],
        longest=longest,
        mean=mean,
        mean_is=mean_is,
        gpus=gpus,
        options=tuple(_changes(simulation, setups)),
        largest={name: {card: curve.largest(card * GIB * USABLE - one.total) for card in CARDS_GIB} for name, one in setups.items()},
    )


def held(weights: Weights, recipe: Recipe, *, gpus: int = 1) -> Held:
    """What each of ``gpus`` GPUs holds throughout; ``memory.deepspeed`` applies if there are several."""
    memory, trained = recipe.memory, weights.trained
    base, buffers = float(weights.frozen_bytes), 0.0
    if memory.quantize == "4bit":
        of_linear = weights.frozen_bytes / max(1, weights.frozen) * weights.linear
        base += weights.linear * _NF4_BYTES - of_linear
        buffers += weights.largest_linear * 2
    if gpus == 1:
        return Held(base, trained * 16.0, buffers)  # in 32 bit: weight, gradient and AdamW's two moments
    config = _zero(memory.deepspeed)
    stage, each = config.get("stage", 0), 2 if memory.dtype == "bfloat16" else 4
    if stage == 0:
        return Held(base, trained * 16.0, buffers + trained * 4)  # DDP copies gradients into buckets
    masters = trained * (4 + 8) / gpus  # weight in 32 bit and two moments
    bucket = config.get("reduce_bucket_size", "auto")
    buffers += (0.0 if bucket == "auto" else float(bucket)) * each * (2 if config.get("overlap_comm") else 1)
    if stage < 3:
        return Held(base, trained * (each + (each / gpus if stage == 2 else each)) + masters, buffers)
    live = min(weights.frozen + trained, _LIVE_PARAMETERS) * each
    return Held(base / gpus, trained * 2 * each / gpus + masters, buffers + live)


class Curve:
    """Memory that a step adds, interpolated for any number of frames."""

    def __init__(self, simulation: Simulation) -> None:
        memory, rows = simulation.recipe.memory, simulation.recipe.optimizer.micro_batch_size
        # Where the first tile is full, the second (the first length in several tiles), and beyond the last bend.
        tile = memory.tile_tokens / rows
        frames = [_frames_of(simulation, tiles * tile) for tiles in (1, 2, 3, 8)] if memory.tiling != "none" else [16, 64]
        self.frames = sorted({max(1, n) for n in frames})
        if len(self.frames) == 1:
            self.frames.append(self.frames[0] + 8)
        self.steps = [simulation.step(n) for n in self.frames]

    def above(self, frames: int) -> float:
        """Bytes above what is held throughout."""
        k = min(max(1, sum(n < frames for n in self.frames)), len(self.frames) - 1)
        (x0, x1), (low, high) = self.frames[k - 1 : k + 1], self.steps[k - 1 : k + 1]
        part = (frames - x0) / (x1 - x0)
        return max(low.above[phase] + part * (high.above[phase] - low.above[phase]) for phase in low.above)

    def largest(self, room: float) -> int:
        """The most frames whose step fits into ``room`` bytes; 0 if not even one does."""
        low, high = 0, 1
        while self.above(high) <= room and high < 1 << 20:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.above(middle) <= room else (low, middle)
        return low


def _frames_of(simulation: Simulation, tokens: float) -> int:
    """The most frames of a sample of at most ``tokens`` tokens."""
    each = (simulation.tokens(200) - simulation.tokens(100)) / 100
    return int((tokens - simulation.tokens(1)) // each) + 1


def _changes(simulation: Simulation, setups: dict[str, Held]) -> list[Option]:
    """The longest sample under other memory settings, one change at a time."""
    recipe, frames = simulation.recipe, simulation.recipe.numpro.max_frames
    memory, one = recipe.memory, setups["1 GPU"].total
    here = simulation.step(frames)
    options = []
    for tiling in ("all", "mlp", "none"):
        if tiling != memory.tiling:
            options.append(Option(f"memory.tiling={tiling}", one + simulation.changed(memory__tiling=tiling).step(frames).peak))
    other = not memory.gradient_checkpointing
    without = simulation.changed(memory__gradient_checkpointing=other).step(frames)
    options.append(Option(f"memory.gradient_checkpointing={str(other).lower()}", one + without.peak))
    names = {"1 GPU, 4bit": "memory.quantize=4bit"}
    options += [Option(names.get(name, name), value.total + here.peak) for name, value in setups.items() if name != "1 GPU"]
    return options


def _mean(recipe: Recipe) -> tuple[int, str]:
    """Frames of the mean sample, and where that comes from."""
    most = recipe.numpro.max_frames
    if recipe.data.shards:
        from ..shards.index import ShardIndex

        index = ShardIndex.read(recipe.data.shards, recipe.numpro)
        return max(1, min(most, round(float(index.sample_frames.mean())))), "mean of the shards"
    return min(most, max(1, math.ceil(60 * recipe.numpro.fps))), "a minute (no data.shards)"


def _zero(choice: str) -> dict[str, Any]:
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


def _heading(found: Plan) -> list[str]:
    recipe, weights = found.recipe, found.weights
    what = (
        f"LoRA of rank {recipe.lora.rank}" + (", projector in full" if recipe.lora.projector else "") if recipe.tuning == "lora" else "all"
    )
    memory = recipe.memory
    saving = f"tiling={memory.tiling}, gradient_checkpointing={str(memory.gradient_checkpointing).lower()}, quantize={memory.quantize}"
    return [
        f"{recipe.model}: {_in_words(weights.frozen + weights.trained)} parameters, {_in_words(weights.trained)} trained ({what})",
        f"{memory.dtype}, {saving}, {recipe.optimizer.micro_batch_size} sample(s) at a time",
    ]


def _samples(found: Plan) -> list[str]:
    rows = [["one GPU, GiB", "frames", "tokens", "weights", "training", "step", "PEAK", "TFLOPs"]]
    for name, step in (("longest (max_frames)", found.longest), (found.mean_is, found.mean)):
        parts = [found.held.weights + found.held.buffers, found.held.trained, step.peak, found.peak(step)]
        rows.append(
            [name, str(step.frames), f"{step.tokens:,}", *map(_gib, parts), f"{step.flops / 1e12:,.{0 if step.flops > 1e14 else 2}f}"]
        )
    batch, micro = found.recipe.optimizer.batch_size, found.recipe.optimizer.micro_batch_size
    total = found.mean.flops / micro * batch / 1e15
    return [
        *_table(rows),
        "training: trained weights, their gradients and AdamW's states in 32 bit; TFLOPs: forward and backward, recomputation included;",
        f"a step of {batch} such samples as the last line's: {total:,.1f} PFLOPs",
    ]


def _options(found: Plan) -> list[str]:
    here = found.peak(found.longest)
    rows = [[f"peak at {found.longest.frames} frames, GiB", "each GPU", "instead of"]]
    rows += [[option.change, _gib(option.peak), _gib(here)] for option in found.options]
    return _table(rows)


def _cards(found: Plan) -> list[str]:
    setups = list(found.largest)
    rows = [["largest max_frames", *setups]]
    for card in CARDS_GIB:
        rows.append([f"{card} GB", *[f"{found.largest[name][card]:,}" if found.largest[name][card] else "-" for name in setups]])
    limit = found.recipe.data.max_tokens
    return [
        *_table(rows),
        f"with {1 - USABLE:.0%} of the card left for CUDA and gaps between tensors; data.max_tokens={limit:,} limits samples as well",
    ]


def _in_words(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} billion" if parameters > 1e9 else f"{parameters / 1e6:,.{0 if parameters > 1e7 else 2}f} million"


def _gib(size: float) -> str:
    return f"{size / GIB:.{1 if size > GIB or not size else 3}f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns with a line under the heading, which is the first row."""
    heading, *lines = aligned(rows)
    return [heading, "-" * len(heading), *lines]
