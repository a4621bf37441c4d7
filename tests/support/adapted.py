"""Tiny models of every family as training sees them: LoRA on the language model, the projector trained, batches with labels."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

from numpro_plugin.families import Loaded, Sample, load_model
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.sampling import Frames
from support.tiny_families import save_tiny

ANSWERS = ("From Frame 1 to Frame 2.", "From Frame 12 to Frame 15, and never again after that.")
PROJECTORS = {"qwen2_vl": ["merger"], "qwen2_5_vl": ["merger"], "qwen3_vl": ["merger", "deepstack_merger_list.0"]}


class Adapted(NamedTuple):
    """A model with an adapter whose weights are random, and what it came from."""

    model: Any
    loaded: Loaded


@lru_cache
def adapted(family: str, *, dropout: float = 0.0) -> Adapted:
    """The family's tiny model with an adapter; the same object each time, so leave it as it was found."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_model(save_tiny(family, Path(folder) / family), dtype="float32")
    names = loaded.family.lora_modules(loaded.model)
    settings = LoraConfig(
        r=4,
        lora_alpha=8,
        lora_dropout=dropout,
        target_modules=names,
        modules_to_save=PROJECTORS.get(family, ["multi_modal_projector"]),
    )
    torch.manual_seed(1)
    model = get_peft_model(loaded.model, settings)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:  # zeros at the start of training, which would hide every mistake in A's gradient
            torch.nn.init.normal_(parameter, std=0.1)
    return Adapted(model.train(), loaded)


def batch(loaded: Loaded, *, frames: int = 4, rows: int = 2) -> Sample:
    """Samples of unequal length in one batch, padded on the left, with labels."""
    samples = []
    for row in range(rows):
        width, height = loaded.family.frame_size
        count = frames + 2 * row
        pixels = np.random.default_rng(row).integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
        pixels = pixels.repeat(height // 4, 1).repeat(width // 4, 2)
        shown = Frames(pixels, np.arange(count), Timeline(2.0 * count, 0.5))
        turns = [{"role": "user", "content": "Where is the dog?"}, {"role": "assistant", "content": ANSWERS[row]}]
        samples.append(loaded.family.encode(shown, turns, loaded.processor))
    return loaded.family.batch(samples, loaded.processor)


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of all trained parameters, by name."""
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Over all parameters, relative to each one's largest gradient."""
    assert set(a) == set(b)
    return max(((a[name] - b[name]).abs().max() / b[name].abs().max().clamp(min=1e-12)).item() for name in b)
