"""One training step without weights: memory and FLOPs counted on tensors that have shapes but no values.

The model is built and prepared exactly as for training (``make_trainable``, ``answer_loss``), its parameters become fake tensors, and a
forward and a backward pass run while every new storage and its end are noted.

Two things keep this fast. All layers of a language model are alike, so each phase's memory and FLOPs grow along a straight line with the
number of layers: two small models are simulated and the line is followed to the real depth. And the frozen vision tower treats frames
one by one and keeps nothing for backward, so a few frames show what many need. Both are exact, not estimates.

GPUs add to this: flash attention's working memory in backward is counted by its kernels' rule; the allocator's rounding and CUDA's own
context are not counted here (see ``plan``).
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from numpro_plugin.families import base_model_of, family_of
from numpro_plugin.internals.of_torch import FakeTensorMode

from ..run.loss import answer_loss
from ..run.model import weights_dtype
from .meta_model import fill_with_fakes, meta_model
from .tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..recipe.record import Recipe


@dataclass(frozen=True)
class Weights:
    """Parameters, by what training does with them."""

    frozen: int
    """How many are not trained."""

    trained: int
    """How many are trained (kept in 32 bit)."""

    linear: int
    """How many of the frozen ones are in the language model's linear layers, which 4-bit quantizing makes smaller."""

    largest_linear: int
    """Parameters of the largest of these layers."""

    frozen_bytes: int
    """Bytes of the frozen ones in the type that they are kept in."""


@dataclass(frozen=True)
class Step:
    """Forward and backward pass of one micro-batch."""

    frames: int
    tokens: int
    """Per sample."""

    above: dict[str, float]
    """Peak memory of each phase in bytes, above weights, gradients and optimizer states."""

    flops: float
    """Of forward and backward pass, recomputation included; a multiplication and an addition are two."""

    @property
    def peak(self) -> float:
        """Bytes above weights, gradients and optimizer states."""
        return max(self.above.values())


class Simulation:
    """Steps of one recipe on one model; see the module's docstring."""

    def __init__(self, config: Any, recipe: Recipe, *, text_tokens: int = 150, answer_tokens: int = 20) -> None:
        """``config``: from ``known_models.model_config``. ``text_tokens``, ``answer_tokens``: of a sample, beside the video's."""
        self.config = config
        self.recipe = recipe
        self.text_tokens = text_tokens
        self.answer_tokens = answer_tokens
        self._steps: dict[Any, Step] = {}
        self._tower: list[tuple[float, float]] = []

    def changed(self, **changes: Any) -> Simulation:
        """The same simulation with changes of the recipe, as ``Recipe.replace`` takes them."""
        other = Simulation(self.config, self.recipe.replace(**changes), text_tokens=self.text_tokens, answer_tokens=self.answer_tokens)
        if not any(key.startswith(("tuning", "optimizer", "numpro", "lora")) for key in changes):
            other._tower = self._tower  # a frozen tower does not depend on what saves memory after it
        return other

    @cached_property
    def weights(self) -> Weights:
        """The parameters of the whole model."""
        named = list(meta_model(self.config, self.recipe).named_parameters())
        frozen = [p for _, p in named if not p.requires_grad]
        linear = [p.numel() for name, p in named if ".language_model.layers." in name and p.ndim == 2 and not p.requires_grad]
        return Weights(
            frozen=sum(p.numel() for p in frozen),
            trained=sum(p.numel() for _, p in named if p.requires_grad),
            linear=sum(linear),
            largest_linear=max(linear, default=0),
            frozen_bytes=sum(p.numel() * p.element_size() for p in frozen),
        )

    def tokens(self, frames: int) -> int:
        """Length of a sample with ``frames`` frames."""
        return family_of(self.config).video_tokens(frames) + self.text_tokens + self.answer_tokens

    def step(self, frames: int, *, layers: tuple[int, int] | None = (1, 2)) -> Step:
        """The step of a sample of ``frames`` frames. ``layers``: the depths that are simulated; None: the real depth."""
        if (frames, layers) not in self._steps:
            self._steps[frames, layers] = self._simulated(frames, layers)
        return self._steps[frames, layers]

    def _simulated(self, frames: int, layers: tuple[int, int] | None) -> Step:
        depth = self.config.text_config.num_hidden_layers
        counts = layers if layers is not None and max(layers) < depth else (depth,)
        with_tower = self.recipe.tuning == "full"  # the tower then has an autograd graph
        sizes = (frames, self.tokens(frames), self.answer_tokens)
        runs = [_run(self.config, self.recipe, *sizes, n, with_tower=with_tower) for n in counts]
        above, flops = ({phase: _line(counts, [run[k][phase] for run in runs], depth) for phase in runs[0][k]} for k in (0, 1))
        if not with_tower:
            few = (16, 20)  # enough frames that pixels outweigh what does not depend on them
            self._tower = self._tower or [_run_tower(self.config, self.recipe, n) for n in few]
            above["vision"], flops["vision"] = (_line(few, [tower[k] for tower in self._tower], frames) for k in (0, 1))
        return Step(frames, sizes[1], above, sum(flops.values()))


def _line(at: tuple[int, ...], values: list[float], wanted: int) -> float:
    """The straight line through one or two points."""
    if len(at) == 1:
        return values[0]
    return values[0] + (values[1] - values[0]) * (wanted - at[0]) / (at[1] - at[0])


def _run(
    config: Any, recipe: Recipe, frames: int, length: int, answer: int, layers: int, *, with_tower: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Memory above the parameters and gradients, and FLOPs, by phase; ``with_tower=False`` leaves the tower out."""
    model = meta_model(config if with_tower else family_of(config).with_shallow_tower(), recipe, layers=layers)
    family, rows = family_of(model), recipe.optimizer.micro_batch_size
    with FakeTensorMode(allow_non_fake_inputs=True), Tracker() as tracker:
        fill_with_fakes(model)
        for parameter in model.parameters():  # gradients exist from a step's second micro-batch on
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        held = tracker.now
        _follow(model, tracker)
        tracker.phase = "vision"
        with _autocast(recipe):
            # As the model's own forward, which cannot be used: it looks at the ids' values, and fake tensors have none.
            pixels = family.empty_pixels(rows * frames, getattr(torch, weights_dtype(recipe)))
            ids = torch.zeros(rows, length, dtype=torch.long)
            features = family.video_features(model, pixels)
            embeds = base_model_of(model).get_input_embeddings()(ids)
            embeds = embeds.masked_scatter((ids == 0).unsqueeze(-1), features.to(embeds.dtype))
            inputs = {"inputs_embeds": embeds, "labels": ids, **family.given_positions(rows, length)}
            kept_alive = [pixels, features] if family.keeps_features else [pixels]
            del features
            if rows > 1:  # most likely of unequal length; a single row needs no mask (see ``meta_model``)
                inputs["attention_mask"] = torch.ones(rows, length, dtype=torch.long)
            loss = answer_loss(model, inputs, num_items=1.0, positions=torch.arange(length - answer - 1, length - 1))
        del inputs, pixels, ids, embeds, kept_alive
        tracker.phase = "backward"
        loss.backward()
    phases = [phase for phase in tracker.peaks if phase != "setup" and (with_tower or phase != "vision")]
    return {phase: tracker.peaks[phase] - held for phase in phases}, {phase: tracker.flops(phase) for phase in phases}


def _run_tower(config: Any, recipe: Recipe, frames: int) -> tuple[float, float]:
    """Memory above the parameters, and FLOPs, of the frozen tower."""
    model = meta_model(config, recipe, layers=1)
    family, rows = family_of(model), recipe.optimizer.micro_batch_size
    with FakeTensorMode(allow_non_fake_inputs=True), Tracker() as tracker:
        fill_with_fakes(model)
        held = tracker.now
        _follow(model, tracker)
        tracker.phase = "vision"
        with _autocast(recipe), torch.no_grad():
            family.video_features(model, family.empty_pixels(rows * frames, getattr(torch, weights_dtype(recipe))))
    return tracker.peaks["vision"] - held, tracker.flops("vision")


def _follow(model: Any, tracker: Tracker) -> None:
    """Tell the tracker when projector, language model and head begin, in forward and backward pass."""
    base = base_model_of(model)

    def to(phase: str) -> Any:
        return lambda *_: setattr(tracker, "phase", phase)

    def language_model(_module: Any, args: Any, kwargs: Any) -> None:
        embeds = kwargs.get("inputs_embeds", args[0] if args else None)
        if embeds is not None and embeds.requires_grad:
            embeds.register_hook(to("projector backward"))
        tracker.phase = "forward"

    base.model.language_model.register_forward_pre_hook(language_model, with_kwargs=True)
    base.model.language_model.register_forward_hook(to("head"))
    for name in family_of(base).projector_modules(base):
        base.get_submodule(name).register_forward_pre_hook(to("projector"))
        base.get_submodule(name).register_forward_hook(to("vision"))


@contextlib.contextmanager
def _autocast(recipe: Recipe) -> Iterator[None]:
    """The context in which Trainer runs the forward pass."""
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.memory.dtype == "bfloat16"):
        yield
