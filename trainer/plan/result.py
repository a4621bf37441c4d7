"""The result of a plan, and its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from numpro_plugin.cli.tables import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..recipe.record import Recipe
    from .simulate import Step, Weights
    from .zero import Share

GIB = 2**30
CARDS_GIB = (24, 40, 48, 80)
RATED_TFLOPS = {"A100": 312, "H100": 989, "H200": 989}
"""By NVIDIA's data sheets: bf16, dense, SXM."""

MOST_FRAMES = 1 << 20
"""Where the search for the largest ``max_frames`` ends."""

USABLE = 0.92
"""The fraction of a card's memory that a plan may fill; the rest is for CUDA itself and for gaps between tensors."""


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
class Hours:
    """How long the whole run takes."""

    samples: int
    flops: float
    utilisation: float
    """The fraction of a card's rated FLOPs that is used, an assumption."""

    def on(self, card: str, gpus: int) -> float:
        """Hours on ``gpus`` cards of ``RATED_TFLOPS``."""
        return self.flops / (RATED_TFLOPS[card] * 1e12 * self.utilisation * gpus) / 3600


@dataclass(frozen=True)
class Plan:
    """The result of ``plan``; its ``str`` is the table."""

    recipe: Recipe
    weights: Weights
    constant: ConstantMemory
    longest: Step
    longest_source: str
    mean: Step
    mean_source: str
    gpus: int
    options: tuple[Option, ...]
    shares: dict[str, Share] = field(default_factory=dict)
    """What each GPU holds between steps, by setup."""

    largest: dict[str, dict[int, int]] = field(default_factory=dict)
    """Largest ``max_frames`` by setup and card in GiB; 0: not even one frame fits; ``MOST_FRAMES``: this many fit, or more."""

    hours: Hours | None = None

    mixture: str = ""
    """The samples of an epoch by source, for people; empty without shards."""

    def peak(self, step: Step) -> float:
        """Bytes on one GPU."""
        return self.constant.total + step.peak

    def __str__(self) -> str:
        hours = ["", *_hours(self)] if self.hours else []
        mixture = ["", self.mixture] if self.mixture else []
        parts = [*_samples(self), "", *_options(self), "", *_shares(self), "", *_cards(self)]
        return "\n".join([*_heading(self), *mixture, "", *parts, *hours])


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
    for name, step in ((f"longest ({plan.longest_source})", plan.longest), (plan.mean_source, plan.mean)):
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


def _shares(plan: Plan) -> list[str]:
    rows = [["each GPU holds, GiB", "weights", "gradients", "AdamW", "buffers", "gathered", "in RAM"]]
    for name, share in plan.shares.items():
        sizes = (share.weights, share.gradients, share.states, share.buffers, share.gathered, share.ram)
        rows.append([name, *map(_gib, sizes)])
    return [
        *_table(rows),
        "weights, gradients, AdamW: counted, every parameter's size divided and padded as DeepSpeed or FSDP does it",
        "buffers, gathered, in RAM: a formula: the sizes in DeepSpeed's configuration, FSDP's largest layers",
        "a sample's step: simulated on one GPU",
    ]


def _cards(plan: Plan) -> list[str]:
    setups = list(plan.largest)
    rows = [["largest max_frames", *setups]]
    for card in CARDS_GIB:
        rows.append([f"{card} GB", *[_frames_text(plan.largest[name][card]) for name in setups]])
    limit = plan.recipe.data.max_tokens
    return [
        *_table(rows),
        f"with {1 - USABLE:.0%} of the card left for CUDA and gaps between tensors; data.max_tokens={limit:,} also limits samples",
    ]


def _frames_text(frames: int) -> str:
    return f"over {frames:,}" if frames >= MOST_FRAMES else f"{frames:,}" if frames else "-"


def _hours(plan: Plan) -> list[str]:
    hours = plan.hours
    assert hours is not None
    rows = [[f"hours for {hours.samples:,} samples", *RATED_TFLOPS]]
    for count in (1, plan.gpus):
        rows.append([f"{count} GPU{'s' if count > 1 else ''}", *[f"{hours.on(card, count):,.1f}" for card in RATED_TFLOPS]])
    rated = ", ".join(f"{card} {tflops}" for card, tflops in RATED_TFLOPS.items())
    return [
        *_table(rows),
        f"if {hours.utilisation:.0%} of the rated TFLOPs are used (bf16, dense: {rated}) and data never has to be waited for",
    ]


def _rounded(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} billion" if parameters > 1e9 else f"{parameters / 1e6:,.{0 if parameters > 1e7 else 2}f} million"


def _gib(size: float) -> str:
    return f"{size / GIB:.{1 if size > GIB or not size else 3}f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns with a line under the heading, which is the first row."""
    heading, *lines = aligned(rows)
    return [heading, "-" * len(heading), *lines]
