"""Stopping a run early: all processes agree on the step at which they save a checkpoint and end."""

# mypy: allow-untyped-calls

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

if TYPE_CHECKING:
    from ..output.lock import OutputLock
    from .stop import StopRequests

LOST_LOCK = 1000
"""The code of a request to stop because another run took the output folder over."""

_UNMEASURED_SAVE_S = 60.0
_SAVE_MARGIN = 1.5


class StopCallback(TrainerCallback):
    """Ends training after the step in which any process was asked to stop, with a checkpoint."""

    def __init__(self, requests: StopRequests, lock: OutputLock | None) -> None:
        """``lock``: of the output folder, in the process that holds it."""
        self.requests, self.lock = requests, lock
        self.code = 0
        """The code of the request for which training ended; 0 if it was not asked to stop."""

        self._longest_step_s = 0.0
        self._longest_save_s = 0.0
        self._since = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From here on there is something to save."""
        self.requests.defer()
        self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Agree on whether this step was the last."""
        now = time.monotonic()
        self._longest_step_s = max(self._longest_step_s, now - self._since)
        self._since = now
        code = self.agreed_code(args.device)
        if code and (state.global_step < state.max_steps or code == LOST_LOCK):
            self.end(code, control)

    def end(self, code: int, control: Any) -> None:
        """Have the trainer end, with a checkpoint if the output folder is still this run's."""
        self.code = code
        control.should_training_stop = True
        control.should_save = control.should_log = code != LOST_LOCK
        control.should_evaluate = False  # it may take longer than the time that is left

    def saved(self, seconds: float) -> None:
        """Record how long saving a checkpoint took."""
        self._longest_save_s = max(self._longest_save_s, seconds)

    def ready(self) -> None:
        """The next step starts now: what came before does not count as its time."""
        self._since = time.monotonic()

    def agreed_code(self, device: torch.device) -> int:
        """The largest code of all processes; each of them calls this equally often."""
        save_s = self._longest_save_s * _SAVE_MARGIN or _UNMEASURED_SAVE_S
        own = self.requests.code(reserve_s=self._longest_step_s + save_s)
        if self.lock is not None and self.lock.is_lost():
            own = LOST_LOCK
        if not (dist.is_available() and dist.is_initialized()):
            return own
        code = torch.tensor([own], device=device)
        dist.all_reduce(code, op=dist.ReduceOp.MAX)
        return int(code.item())
