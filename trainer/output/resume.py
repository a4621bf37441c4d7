"""Resuming a run: whether it may continue in an output folder, from which checkpoint, and at which learning rate."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from numpro_plugin.errors import NumProError
from numpro_plugin.files import write_text_whole
from numpro_plugin.weights.record import read_record

from ..recipe.keys import flat
from ..recipe.record import Recipe
from .checkpoints import checkpoints
from .lock import LOCK
from .status import STATUS

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "recipe.yaml"

# Keys that may differ when a run is resumed: they change neither the result nor the order of samples.
_MAY_DIFFER = (
    "output",
    "resume",
    "run.",
    "memory.gradient_checkpointing",
    "memory.tiling",
    "memory.tile_tokens",
    "memory.fsdp",
    "data.held_out",
    "data.evaluated",
    "data.max_unreadable",
)
_LENGTH = ("optimizer.epochs", "optimizer.max_steps")


def claim_output(recipe: Recipe, folder: Path, result: Path, now: dict[str, Any]) -> Path | None:
    """Prepare the output folder for this run; returns the checkpoint to resume from, or None to start from the beginning.

    Args:
        recipe: of this run.
        folder: the output folder, locked by this run.
        result: the folder of the result in it.
        now: the ``training_record`` that this run would write.

    Raises:
        NumProError: the folder is not empty and ``resume`` is false, the run in it is finished, or its newest checkpoint is from another
            recipe, from other shards, or from a launch that this one cannot continue.
    """
    file = folder / RECIPE
    names = {path.name for path in folder.iterdir() if not path.name.startswith(f".{LOCK}.")} if folder.is_dir() else set()
    saved = checkpoints(folder)
    if names - {RECIPE, LOCK, STATUS}:  # these alone are from a run that did not begin to train
        if not recipe.resume:
            raise NumProError(f"output={folder} exists and is not empty: choose another folder, or continue the run in it with resume=true")
        if not file.is_file():
            raise NumProError(f"output={folder} was not written by `numpro-train run` (it has no {RECIPE}): choose another folder")
        if result.exists():
            _check_extended(recipe, folder, result, has_checkpoint=bool(saved))
        if saved:
            record = read_record(saved[-1])
            if record is None:
                raise NumProError(f"{saved[-1]} has no record of its run (numpro.json): choose another output")
            _check_recipe(recipe, _recipe_of(record, file), saved[-1])
            _check_can_resume(recipe, now, record, saved[-1])
    folder.mkdir(parents=True, exist_ok=True)
    write_text_whole(file, recipe.to_yaml())
    return saved[-1] if saved else None


def extend_schedule(checkpoint: Path, scheduler: Any, recipe: Recipe, *, max_steps: int) -> str | None:
    """Set the learning rate of a resumed run to that of its schedule over ``max_steps``, if the checkpoint was made for another number.

    A checkpoint restores the learning rate of the schedule that it was saved with. Without this, the first step would still use it.

    Returns:
        What changed, for people; None if the number of steps is the same.
    """
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    step, before = state["global_step"], state["max_steps"]
    if before == max_steps:
        return None
    schedule = getattr(scheduler, "scheduler", scheduler)  # accelerate and DeepSpeed wrap it
    old_rate = schedule.get_last_lr()[0]
    schedule.last_epoch -= 1
    schedule.step()
    new_rate = schedule.get_last_lr()[0]
    return (
        f"the run is extended from {before} to {max_steps} steps: it continues at step {step + 1} on the {recipe.optimizer.schedule} "
        f"schedule over {max_steps} steps, with learning rate {new_rate:.3g} (the schedule over {before} steps: {old_rate:.3g})"
    )


def _recipe_of(record: dict[str, Any], file: Path) -> Recipe:
    """The recipe that a checkpoint or result was trained with."""
    return Recipe.from_dict(record.get("recipe") or yaml.safe_load(file.read_text(encoding="utf-8")))


def _is_longer(recipe: Recipe, saved: Recipe) -> bool:
    """Whether a recipe trains longer than the saved one, by the same key."""
    now, before = recipe.optimizer, saved.optimizer
    if now.max_steps and before.max_steps:
        return now.max_steps > before.max_steps
    return not now.max_steps and not before.max_steps and now.epochs > before.epochs


def _check_extended(recipe: Recipe, folder: Path, result: Path, *, has_checkpoint: bool) -> None:
    """Check that a finished run is to be extended, and can be."""
    record = read_record(result)
    if record is None or not _is_longer(recipe, _recipe_of(record, folder / RECIPE)):
        raise NumProError(
            f"output={folder} is finished: its result is {result}. Choose another folder to train again, or train longer with a larger "
            "optimizer.epochs or optimizer.max_steps"
        )
    if not has_checkpoint:
        raise NumProError(
            f"output={folder} has no checkpoint, so its run cannot be extended: train on from its result with adapter={result} and "
            "another output"
        )


def _check_recipe(recipe: Recipe, saved: Recipe, checkpoint: Path) -> None:
    """Check that the recipe is that of the checkpoint, or trains longer."""
    now, before = flat(recipe.to_dict()), flat(saved.to_dict())
    may_differ = (*_MAY_DIFFER, "data.workers") if not recipe.data.streaming else _MAY_DIFFER
    if _is_longer(recipe, saved):
        may_differ = (*may_differ, *_LENGTH)
    for key, value in now.items():
        if before.get(key) != value and not key.startswith(may_differ):
            larger = ", or a larger value," if key in _LENGTH and value and before.get(key) else ""
            raise NumProError(
                f"{key}={value!r}, but the run in {checkpoint.parent} was started with {key}={before.get(key)!r}, by the record of "
                f"{checkpoint.name}: use that{larger} or choose another output"
            )


def _check_can_resume(recipe: Recipe, now: dict[str, Any], saved: dict[str, Any], checkpoint: Path) -> None:
    """Check that the shards are unchanged, and that every process will find its part of the optimizer and of the order of samples."""
    if saved["data"].get("fingerprint") != now["data"]["fingerprint"]:
        sizes = [f"{record['data']['samples']} samples in {len(record['data']['files'])} files" for record in (saved, now)]
        raise NumProError(
            f"the shards changed since {checkpoint} was written: then {sizes[0]}, now {sizes[1]}. Restore those shards, or choose "
            "another output"
        )
    launches = [(record["processes"], record.get("deepspeed", "none")) for record in (saved, now)]
    # Without DeepSpeed every process has the whole optimizer, and the random order of samples does not depend on the processes.
    independent = {choice for _, choice in launches} == {"none"} and not recipe.data.streaming
    if launches[0] != launches[1] and not independent:
        descriptions = [f"{count} process{'es' if count > 1 else ''} with memory.deepspeed={choice}" for count, choice in launches]
        raise NumProError(
            f"{checkpoint} was written by {descriptions[0]}, this run is {descriptions[1]} and could not restore the optimizer or the "
            "order of samples: launch it as before, or choose another output"
        )
