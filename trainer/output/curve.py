"""The curve of a training run: loss and held-out scores by step, beside its checkpoints."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from numpro_plugin.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

CURVES = ("loss.png", "loss.svg")

_SMOOTHED_FROM = 20  # values; below, every one of them can be seen
_LOSS, _SCORE = "#0b62b0", "#d9730d"  # told apart with any colour vision, also by lightness


def draw_curve(lines: Sequence[dict[str, Any]], folder: Path) -> None:
    """Loss by step with a running mean, and held-out loss and mIoU where there are some, as PNG and SVG.

    Without matplotlib a warning says what to install, and nothing is drawn.

    Args:
        lines: of the run's log.
        folder: of the run, where `CURVES` are written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("%s is not drawn: it needs matplotlib (pip install 'numpro-plugin[train]')", folder / CURVES[0])
        return
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
