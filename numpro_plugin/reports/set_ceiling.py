"""What integer frame numbers can reach at best where all moments of a query are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.table import read_columns
from numpro_plugin.metrics.sets import best_number_set, set_scores
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def set_ceilings(table: Path, rates: Sequence[float], *, max_frames: int | None = None) -> dict[float, dict[str, float]]:
    """``R1_set`` and ``mIoU_set`` in percent that no set of drawn numbers can exceed, by numbers per second.

    Arguments as for `numpro_plugin.reports.ceiling.ceilings`. A query without true spans counts 100: "none" is the right answer.
    """
    iou: dict[float, list[float]] = {fps: [] for fps in rates}
    for spans_s, duration_s in read_columns(table, "spans_s", "duration_s"):
        for fps, values in iou.items():
            count = Timeline(duration_s, fps).count
            values.append(best_number_set(spans_s, kept_numbers(count, max_frames or count), fps)[1])
    return {fps: set_scores(values) for fps, values in iou.items()}
