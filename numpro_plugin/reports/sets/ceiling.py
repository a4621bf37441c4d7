"""What integer frame numbers can reach at best where all moments of a query are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.table import read_columns
from numpro_plugin.metrics.sets import best_number_set, set_scores
from numpro_plugin.settings import NumProSettings, auto_fps
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from numpro_plugin.settings import Rate


def drawn_numbers(duration_s: float, rate: Rate, max_frames: int | None) -> tuple[NDArray[np.int64], float]:
    """The numbers that are drawn on a video, (N,), and how many there are a second; arguments as for `ceilings`."""
    if rate == "auto":
        max_frames = max_frames or NumProSettings().max_frames
        rate = auto_fps(duration_s, max_frames)
    count = Timeline(duration_s, rate).count
    return kept_numbers(count, max_frames or count), rate


def set_ceilings(table: Path, rates: Sequence[Rate], *, max_frames: int | None = None) -> dict[Rate, dict[str, float]]:
    """``R1_set`` and ``mIoU_set`` in percent that no set of drawn numbers can exceed, by numbers per second.

    Arguments as for `numpro_plugin.reports.ceiling.ceilings`. A query without true spans counts 100: "none" is the right answer.
    """
    iou: dict[Rate, list[float]] = {fps: [] for fps in rates}
    for spans_s, duration_s in read_columns(table, "spans_s", "duration_s"):
        for fps, values in iou.items():
            values.append(best_number_set(spans_s, *drawn_numbers(duration_s, fps, max_frames))[1])
    return {fps: set_scores(values) for fps, values in iou.items()}
