"""What answers in shown marks can reach at best where all moments of a query are asked for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.table import read_columns
from numpro_plugin.encoding import NUMBER
from numpro_plugin.metrics.sets import best_time_set, set_scores
from numpro_plugin.settings import NumProSettings, auto_fps
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.settings import Rate


def shown_times(duration_s: float, rate: Rate, max_frames: int | None, encoding: TimeEncoding) -> list[float]:
    """The times in seconds that an answer about a video can name by what is shown; arguments as for `ceilings`."""
    if rate == "auto":
        max_frames = max_frames or NumProSettings().max_frames
        rate = auto_fps(duration_s, max_frames)
    count = Timeline(duration_s, rate).count
    return encoding.answer_times(kept_numbers(count, max_frames or count).tolist(), rate)


def set_ceilings(
    table: Path, rates: Sequence[Rate], *, max_frames: int | None = None, encoding: TimeEncoding = NUMBER, queries: int | None = None
) -> dict[Rate, dict[str, float]]:
    """``R1_set`` and ``mIoU_set`` in percent that no set of spans between shown marks can exceed, by numbers per second.

    Arguments as for `numpro_plugin.reports.ceiling.ceilings`. A query without true spans counts 100: "none" is the right answer.
    """
    iou: dict[Rate, list[float]] = {fps: [] for fps in rates}
    for spans_s, duration_s in islice(read_columns(table, "spans_s", "duration_s"), queries):
        for fps, values in iou.items():
            values.append(best_time_set(spans_s, shown_times(duration_s, fps, max_frames, encoding))[1])
    return {fps: set_scores(values) for fps, values in iou.items()}
