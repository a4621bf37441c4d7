"""A training run, from a recipe to its result.

Nothing heavy is imported before the output folder is locked, so that a second run into it is refused at once.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

from ..output.lock import OutputLock
from ..recipe.reporting import check_reporters
from .stop import Interrupted, Stopped, StopRequests, launched, request_name

if TYPE_CHECKING:
    from ..recipe.record import Recipe


def run(recipe: Recipe, *, steal_lock: bool = False, time_limit_s: float | None = None) -> Path:
    """Train with a recipe. A single process calls this, or every process of a launcher (torchrun, deepspeed, accelerate).

    Args:
        recipe: the recipe.
        steal_lock: take over an output folder that another run has locked.
        time_limit_s: seconds from now within which the run saves a checkpoint and stops.

    Returns:
        The folder of the result: ``output/adapter``, or ``output/model`` with ``tuning: full``. ``output`` also contains ``recipe.yaml``,
        ``status.json``, ``log.jsonl``, ``loss.png``, ``loss.svg`` and the last checkpoints.

    Raises:
        NumProError: the recipe, the shards or the output folder cannot be used, the loss is not finite, too many samples are unreadable,
            or a checkpoint cannot be written.
        Stopped: the run was asked to stop, or reached the time limit; it can be resumed.
    """
    for key, value in (("model", recipe.model), ("output", recipe.output), ("data.shards", recipe.data.shards)):
        if not value:
            raise NumProError(f"{key} is missing: set it in the recipe or pass {key}=...")
    check_reporters(recipe.run.report_to)
    if recipe.memory.fsdp and not launched():
        raise NumProError("memory.fsdp=true shards over processes, and this is only one: start the run with torchrun, or set it to false")
    main = os.environ.get("RANK", "0") == "0"
    with StopRequests(time_limit_s) as requests:
        try:
            with OutputLock.take(Path(recipe.output), steal=steal_lock) if main else nullcontext() as lock:
                from .train import train

                return train(recipe, lock=lock, requests=requests)
        except Interrupted as interrupted:
            name = request_name(interrupted.code)
            raise Stopped(f"stopped by {name} before the first step: run the same command again", interrupted.code, agreed=False) from None
