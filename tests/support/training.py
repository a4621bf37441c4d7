"""A tiny model and shards to train it on, and what a run wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run.callbacks import read_log
from support.shards import video_row, write_shard
from support.tiny_longva import save_tiny_longva

SIZE = (16, 16)


@dataclasses.dataclass(frozen=True)
class World:
    root: Path
    model: Path
    shards: Path
    held_out: Path

    def recipe(self, output: str, **changes: Any) -> Recipe:
        """25 samples of 17 videos, 8 a step: four steps an epoch, the last one of a single sample."""
        base = {"model": str(self.model), "output": str(self.root / output), "data__shards": str(self.shards), "data__workers": 0}
        base |= {"numpro__frame_size": list(SIZE), "numpro__max_frames": 8, "optimizer__lr": 0.01, "optimizer__epochs": 2}
        return load_recipe("tiny").replace(**{**base, "lora__rank": 4, "run__save_steps": 2, "run__max_new_tokens": 8, **changes})


def make_world(root: Path) -> World:
    """A tiny LongVA, shards to train on and held-out shards in a folder."""
    for file in range(2):
        rows = [video_row(f"v{file}_{k}", 3.0 + 2 * k, conversations=1 + k % 2, size=SIZE) for k in range(8 + file)]
        write_shard(root / "shards" / f"made-{file}.parquet", rows, size=SIZE)
    write_shard(root / "held" / "held.parquet", [video_row(f"h{k}", 8.0, conversations=2, size=SIZE) for k in range(2)], size=SIZE)
    return World(root, save_tiny_longva(root / "model"), root / "shards", root / "held")


def losses(output: str | Path) -> list[tuple[int, float, float]]:
    return [(line["step"], line["loss"], line["grad_norm"]) for line in read_log(Path(output) / "log.jsonl") if "loss" in line]


def weights(output: str | Path, name: str = "adapter/adapter_model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(Path(output) / name)


def changes_of(recipe: Recipe) -> dict[str, Any]:
    """The keys in which a recipe differs from the recipe ``tiny``."""
    base, changes = load_recipe("tiny").to_dict(), {}
    for name, value in recipe.to_dict().items():
        if isinstance(value, dict):
            changes |= {f"{name}.{key}": item for key, item in value.items() if item != base[name][key]}
        elif value != base[name]:
            changes[name] = value
    return changes
