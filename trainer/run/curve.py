"""The curve of a training run: loss and held-out scores by step, drawn beside the checkpoints while it runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from numpro_plugin.files import written_whole

from .callbacks import LOG, read_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

CURVES = ("loss.png", "loss.svg")

_SMOOTHED_FROM = 20  # values; below, every one of them can be seen
_LOSS, _SCORE = "#0b62b0", "#d9730d"  # told apart with any colour vision, also by lightness


class CurveCallback(TrainerCallback):
    """Draws the curve again with every checkpoint, so that a run can be looked at while it trains."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Draw what has been logged so far. A curve that cannot be drawn stops no training."""
        if state.is_world_process_zero:
            try:
                draw_curve(self._folder)
            except (OSError, ValueError) as error:
                log.warning("%s: the curve is not drawn (%s)", self._folder, error)


def draw_curve(folder: Path) -> None:
    """Loss by step with a running mean, and held-out loss and mIoU where there are some, as PNG and SVG, from the run's ``log.jsonl``.

    Without matplotlib a warning says what to install, and nothing is drawn.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("%s is not drawn: it needs matplotlib (pip install 'numpro-plugin[train]')", folder / CURVES[0])
        return
    lines = read_log(folder / LOG)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="optimizer step", ylabel="loss per learned token")
    if points := _points(lines, "loss"):
        steps, losses = zip(*points, strict=True)
        many = len(losses) > _SMOOTHED_FROM
        axes.plot(steps, losses, color=_LOSS, alpha=0.35 if many else 1, linewidth=1, label="loss")
        if many:
            width = max(2, len(losses) // _SMOOTHED_FROM)
            axes.plot(steps, _running_mean(losses, width), color=_LOSS, linewidth=2, label=f"mean of {width}")
    if points := _points(lines, "eval_loss"):
        axes.plot(*zip(*points, strict=True), color=_LOSS, marker="s", linestyle="--", label="held-out loss")
    if points := _points(lines, "eval_mIoU"):
        score_axes = axes.twinx()
        score_axes.plot(*zip(*points, strict=True), color=_SCORE, marker="o", label="held-out mIoU")
        score_axes.set(ylabel="held-out mIoU in percent", ylim=(0, 100))
    if any(one.get_lines() for one in figure.axes):
        figure.legend(loc="outside upper right", ncols=4, frameon=False)
    axes.grid(alpha=0.3)
    for name in CURVES:
        kind = name.rpartition(".")[2]
        with written_whole(folder / name) as part, rc_context({"svg.hashsalt": "numpro", "svg.fonttype": "none"}):
            figure.savefig(part, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})


def _points(lines: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines if name in line]


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    windows = [values[max(0, k - width + 1) : k + 1] for k in range(len(values))]
    return [sum(window) / len(window) for window in windows]
