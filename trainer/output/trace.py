"""A trace of a few training steps by torch's profiler: where the time goes."""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from torch.profiler import profile, schedule
from transformers import TrainerCallback

from numpro_plugin.files import write_text_whole, written_whole

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDER = "profile"
"""In the output folder; every process writes ``rank_K.json.gz``, a trace for Perfetto or Chrome, and ``rank_K.txt``, a table."""

WARM_UP = 2
"""Steps before the trace begins: allocators, kernels and loader workers have started by then."""

_ROWS = 40


class ProfileCallback(TrainerCallback):
    """Traces ``steps`` optimizer steps of this launch, with what is logged, saved and evaluated between them."""

    def __init__(self, output: Path, steps: int) -> None:
        self._folder, self._steps = output / FOLDER, steps
        self._profile: profile | None = None
        self._name = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the profiler; it waits for the warm-up."""
        self._name = f"rank_{args.process_index}"
        steps = schedule(wait=WARM_UP - 1, warmup=1, active=self._steps, repeat=1)
        self._profile = profile(schedule=steps, on_trace_ready=self._write, record_shapes=True)
        self._profile.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One more step."""
        if self._profile is not None:
            self._profile.step()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the trace of a run that ended before all steps were traced."""
        if self._profile is not None:
            self._profile.stop()
        if self._profile is not None and state.is_world_process_zero:
            log.warning("run.profile=%d: there is no trace, because the run had no step after the first %d", self._steps, WARM_UP)

    def _write(self, done: profile) -> None:
        """Write trace and table. What cannot be written stops no training."""
        self._profile = None
        try:
            self._folder.mkdir(exist_ok=True)
            with written_whole(self._folder / f"{self._name}.json.gz") as part:
                done.export_chrome_trace(f"{part}.gz")  # compressed because of its name
                os.replace(f"{part}.gz", part)
            averages = done.key_averages()
            on_device = any(event.self_device_time_total for event in averages)
            table = averages.table(sort_by="self_device_time_total" if on_device else "self_cpu_time_total", row_limit=_ROWS)
            write_text_whole(self._folder / f"{self._name}.txt", table)
        except OSError as error:
            log.warning("%s: the trace cannot be written (%s)", self._folder, error.strerror or error)
