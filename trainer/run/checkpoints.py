"""Checkpoints that are either whole or not there, and whether a stopped run may be gone on with."""

from __future__ import annotations

import errno
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import yaml

from numpro_plugin.errors import NumProError
from numpro_plugin.files import put_in_place, write_text_whole
from numpro_plugin.weights.record import read_record

from ..recipe.keys import flat
from ..recipe.record import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECIPE = "recipe.yaml"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")

# What may differ when a run is gone on with: it changes neither what is learned nor in which order.
_FREE = (
    "output",
    "resume",
    "run.",
    "memory.gradient_checkpointing",
    "memory.tiling",
    "memory.tile_tokens",
    "data.held_out",
    "data.max_unreadable",
)


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of an output folder, oldest first."""
    found = {int(match[1]): place for place in folder.glob("checkpoint-*") if (match := _CHECKPOINT.fullmatch(place.name))}
    return [found[step] for step in sorted(found)]


def save_whole(folder: Path, write: Callable[[Path], None], *, main: bool, barrier: Callable[[], None], inner: str = "") -> None:
    """Let ``write`` fill a folder beside ``folder``, then rename it; all processes call this, ``main`` is true on one.

    ``inner``: name of a folder that ``write`` makes in the one it is given, if that is what is to be renamed.

    Raises:
        NumProError: it could not be written (a full disk, say); nothing is left of it, and earlier checkpoints are as they were.
    """
    part = folder.with_name(f".{folder.name}.part")
    if main:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    barrier()
    try:
        write(part)
    except Exception as error:
        # torch and safetensors have exceptions of their own for a disk that is full.
        if main:
            shutil.rmtree(part, ignore_errors=True)
        good = checkpoints(folder.parent)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise NumProError(
            f"{folder} could not be written: {'the disk is full' if full else error}. "
            + (f"The last whole checkpoint is {good[-1]}: make room and go on with resume=true" if good else "There is no checkpoint yet")
        ) from error
    barrier()
    if main:
        put_in_place(part / inner, folder)
        if inner:
            part.rmdir()
    barrier()


def forget_old(folder: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints; 0 keeps all."""
    for place in checkpoints(folder)[:-keep] if keep else []:
        gone = place.with_name(f".{place.name}.old")
        os.replace(place, gone)  # first out of the way: what is half deleted must not look like a checkpoint
        shutil.rmtree(gone)


def claim_output(recipe: Recipe, folder: Path, result: Path, now: dict[str, Any]) -> Path | None:
    """Take the output folder for this run; returns the checkpoint to go on from, or None for a start from the beginning.

    ``now``: the ``training_record`` that this run would write.

    Raises:
        NumProError: the folder has something in it and ``resume`` is false, or its checkpoints are of another recipe, of other shards,
            or of processes that this run's cannot go on for.
    """
    there = folder / RECIPE
    if folder.exists() and not folder.is_dir():
        raise NumProError(f"output={folder} is a file: pass a folder")
    begun = {place.name for place in folder.iterdir()} - {RECIPE} if folder.is_dir() else set()  # a recipe alone never came to train
    if begun:
        if not recipe.resume:
            raise NumProError(
                f"output={folder} is there already and not empty: choose another folder, or go on with what it holds by resume=true"
            )
        if not there.is_file():
            raise NumProError(f"output={folder} was not written by `numpro-train run` (it has no {RECIPE}): choose another folder")
        if result.exists():
            raise NumProError(f"output={folder} is finished: its result is {result}. Choose another folder to train again")
        if checkpoints(folder):
            _check_same(recipe, Recipe.from_dict(yaml.safe_load(there.read_text(encoding="utf-8"))), there)
            _check_goes_on(recipe, now, read_record(checkpoints(folder)[-1]), checkpoints(folder)[-1])
        for half in (*folder.glob(".*.part"), *folder.glob(".*.old")):
            shutil.rmtree(half)
    folder.mkdir(parents=True, exist_ok=True)
    write_text_whole(there, recipe.to_yaml())
    return next(iter(reversed(checkpoints(folder))), None)


def _check_same(recipe: Recipe, before: Recipe, file: Path) -> None:
    now, then = flat(recipe.to_dict()), flat(before.to_dict())
    free = (*_FREE, "data.workers") if not recipe.data.streaming else _FREE
    for key, value in now.items():
        if then.get(key) != value and not key.startswith(free):
            raise NumProError(
                f"{key}={value!r}, but the run in {file.parent} was started with {key}={then.get(key)!r}: go on with that, or choose "
                "another output"
            )


def _check_goes_on(recipe: Recipe, now: dict[str, Any], then: dict[str, Any] | None, checkpoint: Path) -> None:
    """Shards as they were, and processes that find their part of the optimizer and of the order again."""
    if then is None:
        raise NumProError(f"{checkpoint} has no record of the run that it is of (numpro.json): choose another output")
    if then["data"].get("fingerprint") != now["data"]["fingerprint"]:
        sizes = [f"{one['data']['samples']} samples in {len(one['data']['files'])} files" for one in (then, now)]
        raise NumProError(
            f"the shards changed since {checkpoint} was written: then {sizes[0]}, now {sizes[1]}. Go on with the shards of then, or choose "
            "another output"
        )
    launches = [(one["processes"], one.get("deepspeed", "none")) for one in (then, now)]
    # Without DeepSpeed every process has the whole optimizer, and the order of samples at random does not depend on who loads them.
    free = {choice for _, choice in launches} == {"none"} and not recipe.data.streaming
    if launches[0] != launches[1] and not free:
        said = [f"{count} process{'es' if count > 1 else ''} with memory.deepspeed={choice}" for count, choice in launches]
        raise NumProError(
            f"{checkpoint} is of {said[0]}, this run is {said[1]}, which would not find the optimizer or the order of samples again: "
            "start it as before, or choose another output"
        )
