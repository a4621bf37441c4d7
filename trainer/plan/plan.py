"""`numpro-train plan`: the memory and FLOPs that a recipe needs, before a GPU is rented.

Peak memory is constant memory (weights, gradients, AdamW's states: counted, under ZeRO in ``zero``) plus the memory of a step (see
``simulate``). The latter is piecewise linear in the number of frames, with bends where a tile is full. It is simulated at the bends and
interpolated between them: never too low, and too high by less than a tile's working memory.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

from ..run.loader import mixture_of
from .known_models import model_config
from .result import CARDS_GIB, GIB, MOST_FRAMES, USABLE, ConstantMemory, Hours, Option, Plan
from .simulate import Simulation
from .zero import ZeroOptions, fsdp_share, shares

if TYPE_CHECKING:
    from ..recipe.record import Recipe
    from ..shards.index import ShardIndex
    from ..shards.mixture import Mixture
    from .simulate import Weights
    from .zero import Share

_NF4_BYTES = 0.5 + 0.127 / 8  # a 4-bit weight, and its share of a block's quantized scale


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
    divided = shares_of_gpus(weights, recipe, gpus=gpus, hidden_size=simulation.config.text_config.hidden_size)
    setups = _on_one_gpu(weights, recipe) | {name: share.constant for name, share in divided.items()}
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
        shares=divided,
        options=tuple(_options_of(simulation, setups, longest_frames)),
        hours=Hours(samples, mean.flops / recipe.optimizer.micro_batch_size * samples, utilisation) if utilisation is not None else None,
        largest={
            name: {card: curve.max_frames(card * GIB * USABLE - constant.total) for card in CARDS_GIB} for name, constant in setups.items()
        },
    )


def constant_memory(weights: Weights, recipe: Recipe) -> ConstantMemory:
    """The constant memory of a single GPU."""
    base, buffers = _base(weights, recipe)
    return ConstantMemory(base, weights.trained * 16.0, buffers)  # in 32 bit: weight, gradient and AdamW's two moments


def _base(weights: Weights, recipe: Recipe) -> tuple[float, float]:
    """Bytes of the frozen weights, and of the buffer that 4-bit weights need."""
    if recipe.memory.quantize != "4bit":
        return float(weights.frozen_bytes), 0.0
    linear_bytes = weights.frozen_bytes / max(1, weights.frozen) * weights.linear
    return weights.frozen_bytes + weights.linear * _NF4_BYTES - linear_bytes, weights.largest_linear * 2.0


def _on_one_gpu(weights: Weights, recipe: Recipe) -> dict[str, ConstantMemory]:
    setups = {"1 GPU": constant_memory(weights, recipe)}
    if recipe.tuning == "lora" and recipe.memory.quantize == "none":
        setups["1 GPU, 4bit"] = constant_memory(weights, recipe.replace(memory__deepspeed="none", memory__quantize="4bit"))
    return setups


def shares_of_gpus(weights: Weights, recipe: Recipe, *, gpus: int, hidden_size: int) -> dict[str, Share]:
    """The largest share of ``gpus`` GPUs under ZeRO-2 and ZeRO-3, the recipe's own configuration if it is another, and FSDP.

    What the recipe excludes is left out. ``hidden_size``: the language model's.
    """
    value_bytes = 2 if recipe.memory.dtype == "bfloat16" else 4
    accumulates = recipe.optimizer.batch_size > recipe.optimizer.micro_batch_size * gpus
    base, buffers = _base(weights, recipe)
    stages = ["zero2"] if recipe.memory.quantize == "4bit" or recipe.adapter else ["zero2", "zero3"]
    own = recipe.memory.deepspeed
    found = {}
    for choice in stages if own in ("none", "zero2", "zero3") else [*stages, own]:
        zero = ZeroOptions.read(choice, hidden_size=hidden_size)
        held = shares(weights, zero, processes=gpus, value_bytes=value_bytes, accumulates=accumulates)
        largest = max(held, key=lambda share: share.constant.total)
        name = f"{gpus} GPUs, {Path(choice).stem}"
        found[name] = replace(largest, weights=largest.weights + base - weights.frozen_bytes, buffers=largest.buffers + buffers)
    if recipe.memory.quantize == "none":
        found[f"{gpus} GPUs, fsdp"] = fsdp_share(weights, processes=gpus, value_bytes=value_bytes)
    return found


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

    ZeroOptions.read(recipe.memory.deepspeed, hidden_size=0)
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
