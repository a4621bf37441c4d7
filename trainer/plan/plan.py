"""`numpro-train plan`: the memory and FLOPs that a recipe needs, before a GPU is rented.

Peak memory is constant memory (weights, gradients, AdamW's states: counted) plus the memory of a step (see ``simulate``). The latter is
piecewise linear in the number of frames, with bends where a tile is full. It is simulated at the bends and interpolated between them:
never too low, and too high by less than a tile's working memory.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import math
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

from ..run.loader import mixture_of
from .known_models import model_config
from .result import CARDS_GIB, GIB, MOST_FRAMES, USABLE, ConstantMemory, Hours, Option, Plan
from .simulate import Simulation

if TYPE_CHECKING:
    from ..recipe.record import Recipe
    from ..shards.index import ShardIndex
    from ..shards.mixture import Mixture
    from .simulate import Weights

_NF4_BYTES = 0.5 + 0.127 / 8  # a 4-bit weight, and its share of a block's quantized scale
_LIVE_PARAMETERS = 1e9  # DeepSpeed's stage3_max_live_parameters: the maximum that ZeRO-3 keeps gathered


def plan(recipe: Recipe, *, gpus: int = 8, utilisation: float | None = None) -> Plan:
    """Simulate a recipe.

    Args:
        recipe: the recipe. What a run would refuse is refused here, as far as it does not depend on the machine.
        gpus: the number of GPUs for which ZeRO and FSDP are compared.
        utilisation: if given, the plan has the hours that a run takes on cards of which this fraction of the rated FLOPs is used.

    Raises:
        NumProError: the model is not found, the model, shards, adapter and recipe do not fit, or the DeepSpeed file cannot be read.
    """
    if gpus < 2:
        raise NumProError(f"gpus={gpus} must be at least 2: one GPU is always part of the plan")
    if utilisation is not None and not 0 < utilisation <= 1:
        raise NumProError(f"utilisation={utilisation:g} must be above 0 and at most 1: 0.4 is usual")
    if not recipe.model:
        raise NumProError("model is missing: set it in the recipe or pass model=...")
    recipe = recipe.replace(memory__compile=False, memory__fsdp=False)  # the one is not counted; both exclude what is compared here
    index = _checked_index(recipe)
    mixture = mixture_of(recipe, index)[0] if index is not None else None
    samples = _samples_of_run(recipe, mixture) if utilisation is not None else 0
    simulation = Simulation(model_config(recipe.model), recipe)
    longest_frames, longest_source = _longest(simulation)
    weights = simulation.weights
    mean_frames, mean_source = _mean_frames(recipe, index, mixture, most=longest_frames)
    longest, mean = simulation.step(longest_frames), simulation.step(mean_frames)
    setups = memory_by_setup(weights, recipe, gpus=gpus)
    curve = Curve(simulation)
    return Plan(
        recipe=recipe,
        weights=weights,
        constant=setups["1 GPU"],
        longest=longest,
        longest_source=longest_source,
        mean=mean,
        mean_source=mean_source,
        gpus=gpus,
        mixture=str(mixture) if mixture is not None else "",
        options=tuple(_options_of(simulation, setups, longest_frames)),
        hours=Hours(samples, mean.flops / recipe.optimizer.micro_batch_size * samples, utilisation) if utilisation is not None else None,
        largest={
            name: {card: curve.max_frames(card * GIB * USABLE - constant.total) for card in CARDS_GIB} for name, constant in setups.items()
        },
    )


def memory_by_setup(weights: Weights, recipe: Recipe, *, gpus: int) -> dict[str, ConstantMemory]:
    """The constant memory of one GPU, also with 4-bit weights, and of each of ``gpus`` GPUs, as far as the recipe allows."""
    whole, plain = recipe.memory.quantize == "none", recipe.replace(memory__deepspeed="none")
    setups = {"1 GPU": constant_memory(weights, plain)}
    if recipe.tuning == "lora" and whole:
        setups["1 GPU, 4bit"] = constant_memory(weights, plain.replace(memory__quantize="4bit"))
    setups[f"{gpus} GPUs, zero2"] = constant_memory(weights, plain.replace(memory__deepspeed="zero2"), gpus=gpus)
    if whole and not recipe.adapter:
        setups[f"{gpus} GPUs, zero3"] = constant_memory(weights, plain.replace(memory__deepspeed="zero3"), gpus=gpus)
    if whole:
        setups[f"{gpus} GPUs, fsdp"] = constant_memory(weights, plain.replace(memory__fsdp=True), gpus=gpus)
    return setups


def constant_memory(weights: Weights, recipe: Recipe, *, gpus: int = 1) -> ConstantMemory:
    """The constant memory of each of ``gpus`` GPUs; ``memory.deepspeed`` and ``memory.fsdp`` apply if there are several."""
    memory, trained = recipe.memory, weights.trained
    base, buffers = float(weights.frozen_bytes), 0.0
    if memory.quantize == "4bit":
        linear_bytes = weights.frozen_bytes / max(1, weights.frozen) * weights.linear
        base += weights.linear * _NF4_BYTES - linear_bytes
        buffers += weights.largest_linear * 2
    if gpus == 1:
        return ConstantMemory(base, trained * 16.0, buffers)  # in 32 bit: weight, gradient and AdamW's two moments
    value_bytes = 2 if memory.dtype == "bfloat16" else 4
    if memory.fsdp:  # whole gradients are summed in 32 bit
        return ConstantMemory(base / gpus, trained * 16 / gpus, weights.whole * value_bytes + weights.whole_trained * (value_bytes + 4.0))
    config = _zero_config(memory.deepspeed)
    stage = config.get("stage", 0)
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
        while self.memory(high) <= available:
            low, high = high, high * 2
            if low >= MOST_FRAMES:
                return MOST_FRAMES
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.memory(middle) <= available else (low, middle)
        return low


def _max_frames_in(simulation: Simulation, tokens: float) -> int:
    """The most frames of a sample of at most ``tokens`` tokens."""
    per_frame = (simulation.tokens(200) - simulation.tokens(100)) / 100
    return int((tokens - simulation.tokens(1)) // per_frame) + 1


def _checked_index(recipe: Recipe) -> ShardIndex | None:
    """The index of the recipe's shards, if it names any. What else a run checks before it loads the model is checked, too."""
    from ..run.model import check_adapter
    from ..shards.evaluated import EvaluatedVideos, check_not_evaluated
    from ..shards.index import ShardIndex

    _zero_config(recipe.memory.deepspeed)
    if recipe.adapter:
        check_adapter(recipe)
    held_out = ShardIndex.read(recipe.data.held_out, recipe.numpro) if recipe.data.held_out else None
    index = ShardIndex.read(recipe.data.shards, recipe.numpro) if recipe.data.shards else None
    if index is not None and recipe.data.evaluated == "refuse":
        check_not_evaluated(index, held_out, EvaluatedVideos.of_tables())
    return index


def _samples_of_run(recipe: Recipe, mixture: Mixture | None) -> int:
    """How many samples the whole run trains on."""
    if recipe.memory.dtype != "bfloat16":
        raise NumProError(f"--hours is for memory.dtype=bfloat16, whose speed cards are rated by, not {recipe.memory.dtype}")
    if recipe.optimizer.max_steps:
        return recipe.optimizer.max_steps * recipe.optimizer.batch_size
    if mixture is None:
        raise NumProError("--hours needs the length of the run: pass data.shards=... or optimizer.max_steps=...")
    return math.ceil(mixture.samples * recipe.optimizer.epochs)


def _longest(simulation: Simulation) -> tuple[int, str]:
    """The frames of the longest sample, and the key that limits them."""
    most, fit = simulation.recipe.numpro.max_frames, _max_frames_in(simulation, simulation.recipe.data.max_tokens)
    return (most, "max_frames") if most <= fit else (max(1, fit), "max_tokens")


def _options_of(simulation: Simulation, setups: dict[str, ConstantMemory], frames: int) -> list[Option]:
    """The longest sample's peak with other memory settings, one change at a time."""
    recipe = simulation.recipe
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


def _mean_frames(recipe: Recipe, index: ShardIndex | None, mixture: Mixture | None, *, most: int) -> tuple[int, str]:
    """The mean number of frames of a sample, and its source."""
    if index is not None and mixture is not None:
        frames = index.sample_frames[mixture.epoch(0)].clip(max=most)
        return max(1, round(float(frames.mean()))), "mean of data.sources" if mixture.parts else "mean of the shards"
    return min(most, max(1, math.ceil(60 * recipe.numpro.fps))), "a minute (no data.shards)"


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
