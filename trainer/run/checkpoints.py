"""Checkpoints that are either complete or absent, and the conditions for resuming a run."""

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

# Keys that may differ when a run is resumed: they change neither the result nor the order of samples.
_MAY_DIFFER = (
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
    """The complete checkpoints of an output folder, oldest first."""
    found = {int(match[1]): place for place in folder.glob("checkpoint-*") if (match := _CHECKPOINT.fullmatch(place.name))}
    return [found[step] for step in sorted(found)]


def save_whole(folder: Path, write: Callable[[Path], None], *, main: bool, barrier: Callable[[], None], inner: str = "") -> None:
    """Let ``write`` fill a folder beside ``folder``, then rename it. All processes call this; ``main`` is true in one.

    ``inner``: the name of a folder that ``write`` makes inside the one it is given, if that one is to be renamed.

    Raises:
        NumProError: it could not be written (a full disk, say). Nothing is left of it, and earlier checkpoints are unchanged.
    """
    part = folder.with_name(f".{folder.name}.part")
    if main:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    barrier()
    try:
        write(part)
    except Exception as error:
        # Any exception: torch and safetensors raise their own for a full disk.
        if main:
            shutil.rmtree(part, ignore_errors=True)
        good = checkpoints(folder.parent)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise NumProError(
            f"{folder} could not be written: {'the disk is full' if full else error}. "
            + (
                f"The last complete checkpoint is {good[-1]}: make room and continue with resume=true"
                if good
                else "There is no checkpoint yet: make room and start again"
            )
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
        os.replace(place, gone)  # first renamed: a half-deleted folder must not look like a checkpoint
        shutil.rmtree(gone)


def claim_output(recipe: Recipe, folder: Path, result: Path, now: dict[str, Any]) -> Path | None:
    """Claim the output folder for this run; returns the checkpoint to resume from, or None to start from the beginning.

    ``now``: the ``training_record`` that this run would write.

    Raises:
        NumProError: the folder is not empty and ``resume`` is false, or its checkpoints are of another recipe, of other shards, or of a
            launch that this one cannot continue.
    """
    there = folder / RECIPE
    if folder.exists() and not folder.is_dir():
        raise NumProError(f"output={folder} is a file: pass a folder")
    begun = {place.name for place in folder.iterdir()} - {RECIPE} if folder.is_dir() else set()  # with a recipe alone no training has begun
    if begun:
        if not recipe.resume:
            raise NumProError(f"output={folder} exists and is not empty: choose another folder, or continue the run in it with resume=true")
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
    free = (*_MAY_DIFFER, "data.workers") if not recipe.data.streaming else _MAY_DIFFER
    for key, value in now.items():
        if then.get(key) != value and not key.startswith(free):
            raise NumProError(
                f"{key}={value!r}, but the run in {file.parent} was started with {key}={then.get(key)!r}: use that, or choose "
                "another output"
            )


def _check_goes_on(recipe: Recipe, now: dict[str, Any], then: dict[str, Any] | None, checkpoint: Path) -> None:
    """Check that shards are unchanged, and that processes will find their part of the optimizer and of the order of samples."""
    if then is None:
        raise NumProError(f"{checkpoint} has no record of its run (numpro.json): choose another output")
    if then["data"].get("fingerprint") != now["data"]["fingerprint"]:
        sizes = [f"{one['data']['samples']} samples in {len(one['data']['files'])} files" for one in (then, now)]
        raise NumProError(
            f"the shards changed since {checkpoint} was written: then {sizes[0]}, now {sizes[1]}. Restore those shards, or choose "
            "another output"
        )
    launches = [(one["processes"], one.get("deepspeed", "none")) for one in (then, now)]
    # Without DeepSpeed every process has the whole optimizer, and the random order of samples does not depend on the processes.
    free = {choice for _, choice in launches} == {"none"} and not recipe.data.streaming
    if launches[0] != launches[1] and not free:
        launched = [f"{count} process{'es' if count > 1 else ''} with memory.deepspeed={choice}" for count, choice in launches]
        raise NumProError(
            f"{checkpoint} was written by {launched[0]}, this run is {launched[1]} and could not restore the optimizer or the order of "
            "samples: launch it as before, or choose another output"
        )
