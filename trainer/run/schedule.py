"""The learning rate of a run that is extended beyond its first end."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from ..recipe.record import Recipe


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
