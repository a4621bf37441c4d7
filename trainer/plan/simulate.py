"""One training step without weights: memory and FLOPs counted on tensors that have shapes but no values.

The model is built and prepared exactly as for training (``make_trainable``, ``answer_loss``), its parameters are replaced with fake
tensors, and a forward and a backward pass run while the creation and the release of every storage are recorded.

Two things keep this fast. All layers of a language model are equal, so each phase's memory and FLOPs are linear in the number of layers:
two small models are simulated and extrapolated to the real depth. And the frozen vision tower processes frames independently and keeps
nothing for the backward pass, so a few frames are enough to extrapolate to many. Both are exact, not estimates.

GPUs need more: flash attention's working memory in the backward pass is counted by its kernels' rule; the allocator's rounding and CUDA's
own context are not counted here (see ``plan``).
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
from numpro_plugin.showing import picture_count

from ..memory.sharding import sharded_modules
from ..run.loss import answer_loss
from ..run.model import weights_dtype
from .meta_model import meta_model, use_fake_tensors
from .tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpro_plugin.families import Family

    from ..recipe.record import Recipe


@dataclass(frozen=True)
class Weights:
    """Numbers of parameters."""

    frozen: int
    """Parameters that are not trained."""

    trained: int
    """Trained parameters (kept in 32 bit)."""

    linear: int
    """Frozen parameters in the language model's linear layers, to which 4-bit quantization applies."""

    largest_linear: int
    """Parameters of the largest of these layers."""

    frozen_bytes: int
    """Bytes of the frozen parameters in their data type."""

    trained_groups: tuple[tuple[int, ...], ...]
    """The size of each trained parameter, in the groups and the order of the optimizer."""

    frozen_sizes: tuple[int, ...]
    """The size of each frozen parameter."""

    whole: int = 0
    """Parameters that are whole at one time under FSDP: of the two largest modules that it gathers (the next one is gathered while one
    runs), and those outside such modules."""

    whole_trained: int = 0
    """The trained ones among these."""


@dataclass(frozen=True)
class Step:
    """Forward and backward pass of one micro-batch."""

    frames: int
    tokens: int
    """Per sample."""

    memory: dict[str, float]
    """Peak memory of each phase in bytes, without weights, gradients and optimizer states."""

    flops: float
    """Of forward and backward pass, recomputation included; a multiplication and an addition are two."""

    @property
    def peak(self) -> float:
        """Bytes, without weights, gradients and optimizer states."""
        return max(self.memory.values())


class Simulation:
    """Steps of one recipe on one model; see the module's docstring."""

    def __init__(self, config: Any, recipe: Recipe, *, text_tokens: int = 150, answer_tokens: int = 20) -> None:
        """``config``: from ``known_models.model_config``. ``text_tokens``, ``answer_tokens``: tokens of a sample without its video."""
        self.config = config
        self.recipe = recipe
        self.text_tokens = text_tokens
        self.answer_tokens = answer_tokens
        self._steps: dict[Any, Step] = {}
        self._tower: list[tuple[float, float]] = []

    def changed(self, **changes: Any) -> Simulation:
        """The same simulation with changes of the recipe, in the form of ``Recipe.replace``."""
        other = Simulation(self.config, self.recipe.replace(**changes), text_tokens=self.text_tokens, answer_tokens=self.answer_tokens)
        if not any(key.startswith(("tuning", "optimizer", "numpro", "lora")) for key in changes):
            other._tower = self._tower  # memory settings of the language model do not affect a frozen tower
        return other

    @cached_property
    def weights(self) -> Weights:
        """The parameters of the whole model."""
        from transformers import Trainer

        model = meta_model(self.config, self.recipe)
        named = list(model.named_parameters())
        decayed = set(Trainer.get_decay_parameter_names(None, model))  # type: ignore[arg-type]  # it needs nothing of a Trainer
        trained = [(name in decayed, p.numel()) for name, p in named if p.requires_grad]
        groups = [tuple(size for in_group, size in trained if in_group == wanted) for wanted in (True, False)]
        frozen = [p for _, p in named if not p.requires_grad]
        whole = _whole_parameters(model)
        linear = [p.numel() for name, p in named if ".language_model.layers." in name and p.ndim == 2 and not p.requires_grad]
        return Weights(
            frozen=sum(p.numel() for p in frozen),
            trained=sum(size for _, size in trained),
            linear=sum(linear),
            largest_linear=max(linear, default=0),
            frozen_bytes=sum(p.numel() * p.element_size() for p in frozen),
            trained_groups=tuple(group for group in groups if group),
            frozen_sizes=tuple(p.numel() for p in frozen),
            whole=sum(p.numel() for p in whole),
            whole_trained=sum(p.numel() for p in whole if p.requires_grad),
        )

    def tokens(self, frames: int) -> int:
        """Number of tokens of a sample with ``frames`` frames."""
        pictures, texts = _pictures(self.recipe, frames)
        return _family(self.config, self.recipe).video_tokens(pictures, texts) + self.text_tokens + self.answer_tokens

    def step(self, frames: int, *, layers: tuple[int, int] | None = (1, 2)) -> Step:
        """The step of a sample with ``frames`` frames. ``layers``: the depths to simulate; None: the real depth."""
        if (frames, layers) not in self._steps:
            self._steps[frames, layers] = self._simulated(frames, layers)
        return self._steps[frames, layers]

    def _simulated(self, frames: int, layers: tuple[int, int] | None) -> Step:
        depth = self.config.text_config.num_hidden_layers
        depths = layers if layers is not None and max(layers) < depth else (depth,)
        with_tower = self.recipe.tuning == "full"  # the tower then has an autograd graph
        pictures, _ = _pictures(self.recipe, frames)
        sizes = (pictures, self.tokens(frames), self.answer_tokens)
        runs = [_run(self.config, self.recipe, *sizes, n, with_tower=with_tower) for n in depths]
        memory, flops = ({phase: _extrapolated(depths, [run[k][phase] for run in runs], depth) for phase in runs[0][k]} for k in (0, 1))
        if not with_tower:
            few = (16, 20)  # enough frames that pixels need more memory than everything of constant size
            self._tower = self._tower or [_run_tower(self.config, self.recipe, n) for n in few]
            memory["vision"], flops["vision"] = (_extrapolated(few, [tower[k] for tower in self._tower], pictures) for k in (0, 1))
        return Step(frames, sizes[1], memory, sum(flops.values()))


def _whole_parameters(model: Any) -> list[torch.nn.Parameter]:
    """See ``Weights.whole``."""
    modules = [list(module.parameters()) for module in sharded_modules(model)]
    inside = {id(p) for parameters in modules for p in parameters}
    largest = sorted(modules, key=lambda parameters: sum(p.numel() for p in parameters))[-2:]
    return [p for p in model.parameters() if id(p) not in inside] + [p for parameters in largest for p in parameters]


def _family(config_or_model: Any, recipe: Recipe) -> Family:
    """The model's family for frames of the recipe's size."""
    family = family_of(config_or_model).with_frame_size(recipe.numpro.frame_size)
    family.check_encoding(recipe.numpro.encoding)
    return family


def _pictures(recipe: Recipe, frames: int) -> tuple[int, tuple[str, ...] | None]:
    """How many pictures stand for so many frames, and the texts before them."""
    return picture_count(frames, recipe.numpro), recipe.numpro.encoding.texts(range(frames), recipe.numpro.fps)


def _written(recipe: Recipe) -> bool:
    """Whether texts stand before the pictures."""
    return recipe.numpro.encoding.text != "native"


def _extrapolated(at: tuple[int, ...], values: list[float], target: int) -> float:
    """The value at ``target`` of the straight line through two points, or of the constant through one."""
    if len(at) == 1:
        return values[0]
    return values[0] + (values[1] - values[0]) * (target - at[0]) / (at[1] - at[0])


def _run(
    config: Any, recipe: Recipe, frames: int, length: int, answer: int, layers: int, *, with_tower: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Memory, without parameters and gradients, and FLOPs by phase; ``with_tower=False``: without the vision tower."""
    model = meta_model(config if with_tower else family_of(config).with_shallow_tower(), recipe, layers=layers)
    family, rows = _family(model, recipe), recipe.optimizer.micro_batch_size
    with FakeTensorMode(allow_non_fake_inputs=True), Tracker() as tracker:
        use_fake_tensors(model)
        for parameter in model.parameters():  # gradients exist from a step's second micro-batch on
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        constant = tracker.allocated
        _track_phases(model, tracker)
        tracker.phase = "vision"
        with _autocast(recipe):
            # The steps of the model's own forward, which itself cannot be used: it reads the values of the ids, and fake tensors have none.
            pixels = family.empty_pixels(rows * frames, getattr(torch, weights_dtype(recipe)), written=_written(recipe))
            ids = torch.zeros(rows, length, dtype=torch.long)
            features = family.video_features(model, pixels)
            embeds = base_model_of(model).get_input_embeddings()(ids)
            embeds = embeds.masked_scatter((ids == 0).unsqueeze(-1), features.to(embeds.dtype))
            inputs = {"inputs_embeds": embeds, "labels": ids, **family.given_positions(rows, length)}
            kept_alive = [pixels, features] if family.keeps_features else [pixels]
            del features
            if rows > 1:  # the rows usually differ in length; a single row needs no mask (see ``meta_model``)
                inputs["attention_mask"] = torch.ones(rows, length, dtype=torch.long)
            loss = answer_loss(model, inputs, num_items=1.0, positions=torch.arange(length - answer - 1, length - 1))
        del inputs, pixels, ids, embeds, kept_alive
        tracker.phase = "backward"
        loss.backward()
    phases = [phase for phase in tracker.peaks if phase != "setup" and (with_tower or phase != "vision")]
    return {phase: tracker.peaks[phase] - constant for phase in phases}, {phase: tracker.flops(phase) for phase in phases}


def _run_tower(config: Any, recipe: Recipe, frames: int) -> tuple[float, float]:
    """Memory, without parameters, and FLOPs of the frozen vision tower."""
    model = meta_model(config, recipe, layers=1)
    family, rows = _family(model, recipe), recipe.optimizer.micro_batch_size
    with FakeTensorMode(allow_non_fake_inputs=True), Tracker() as tracker:
        use_fake_tensors(model)
        constant = tracker.allocated
        _track_phases(model, tracker)
        tracker.phase = "vision"
        with _autocast(recipe), torch.no_grad():
            family.video_features(
                model, family.empty_pixels(rows * frames, getattr(torch, weights_dtype(recipe)), written=_written(recipe))
            )
    return tracker.peaks["vision"] - constant, tracker.flops("vision")


def _track_phases(model: Any, tracker: Tracker) -> None:
    """Set the tracker's phase when projector, language model and head start, in forward and backward pass."""
    base = base_model_of(model)

    def set_phase(phase: str) -> Any:
        return lambda *_: setattr(tracker, "phase", phase)

    def language_model(_module: Any, args: Any, kwargs: Any) -> None:
        embeds = kwargs.get("inputs_embeds", args[0] if args else None)
        if embeds is not None and embeds.requires_grad:
            embeds.register_hook(set_phase("projector backward"))
        tracker.phase = "forward"

    base.model.language_model.register_forward_pre_hook(language_model, with_kwargs=True)
    base.model.language_model.register_forward_hook(set_phase("head"))
    for name in family_of(base).projector_modules(base):
        base.get_submodule(name).register_forward_pre_hook(set_phase("projector"))
        base.get_submodule(name).register_forward_hook(set_phase("vision"))


@contextlib.contextmanager
def _autocast(recipe: Recipe) -> Iterator[None]:
    """The context in which Trainer runs the forward pass."""
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.memory.dtype == "bfloat16"):
        yield
