"""Metrics of a training run: speed, memory, unreadable samples and the log file."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from numpro_plugin.files import write_text_whole

from ..output.curve import draw_curve

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

LOG = "log.jsonl"


class Meter:
    """Counts of this process since the last log entry."""

    def __init__(self) -> None:
        self.unreadable: dict[str, str] = {}
        """The unreadable samples so far, with the reason."""
        self.unreadable_in_epoch = 0
        """Unreadable samples of this epoch in this process. Each epoch, a sample may be read by another process."""
        self._reset()

    def _reset(self) -> None:
        self.tokens = self.frames = 0
        self.waited_s = 0.0
        self._since = time.perf_counter()

    def count(self, tokens: int, frames: int, unreadable: list[tuple[str, str]]) -> None:
        """Add a micro-batch."""
        self.tokens += tokens
        self.frames += frames
        self.unreadable_in_epoch += len(unreadable)
        for sample, reason in unreadable:
            if sample not in self.unreadable:
                log.warning("%s is unreadable: %s", sample, reason)
                self.unreadable[sample] = reason

    def take(self) -> list[float]:
        """[tokens, frames, seconds waited for data, seconds, peak memory in GiB, unreadable samples of this epoch].

        The first four are reset to zero.
        """
        seconds = time.perf_counter() - self._since
        values = [self.tokens, self.frames, self.waited_s, seconds, peak_memory_gib(), self.unreadable_in_epoch]
        self._reset()
        return values


def summarise(rows: torch.Tensor) -> dict[str, float]:
    """Log entries from the ``Meter.take`` of all processes, (P, 6)."""
    tokens, frames, waited_s, seconds, memory, unreadable = rows.double().unbind(1)
    took_s = max(seconds.max().item(), 1e-9)
    return {
        "tokens_per_s": round(tokens.sum().item() / took_s, 1),
        "frames_per_s": round(frames.sum().item() / took_s, 2),
        "data_wait": round((waited_s / seconds.clamp(min=1e-9)).max().item(), 4),
        "peak_memory_gib": round(memory.max().item(), 2),
        "unreadable": int(unreadable.sum().item()),
    }


def peak_memory_gib() -> float:
    """Peak memory of this process so far: GPU memory, or resident memory without a GPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class JsonLog(TrainerCallback):
    """Writes every log entry as a line of ``log.jsonl``. Resuming from a checkpoint removes the lines of later steps."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / LOG

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Remove the lines that were logged after the checkpoint from which this run resumes."""
        if state.is_world_process_zero:
            kept = [line for line in read_log(self._file) if line.get("step", 0) <= state.global_step] if state.global_step else []
            write_text_whole(self._file, "".join(json.dumps(line) + "\n" for line in kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Append one line."""
        if state.is_world_process_zero and logs is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def read_log(file: Path) -> list[dict[str, Any]]:
    """The entries of ``log.jsonl``, without incomplete lines."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


class CurveCallback(TrainerCallback):
    """Draws the curve again with every checkpoint, so that a run can be looked at while it trains."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Draw what has been logged so far. A curve that cannot be drawn stops no training."""
        if state.is_world_process_zero:
            try:
                draw_curve(read_log(self._folder / LOG), self._folder)
            except (OSError, ValueError) as error:
                log.warning("%s: the curve is not drawn (%s)", self._folder, error)
