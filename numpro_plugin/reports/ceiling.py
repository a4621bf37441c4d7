"""What integer frame numbers can reach at best on a benchmark: the score of a model that always names the best pair drawn."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks.table import read_columns, read_report
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.moments import best_numbers, moment_scores
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def ceilings(table: Path, rates: Sequence[float] = (0.5, 1.0, 2.0), *, max_frames: int | None = None) -> dict[float, dict[str, float]]:
    """R@IoU and mIoU in percent that no answer in drawn numbers can exceed, by numbers per second.

    Args:
        table: of a benchmark, made by ``numpro prepare`` (one without videos will do).
        rates: numbers per second.
        max_frames: as in the settings, where long videos are thinned; None thins none.

    Raises:
        NumProError: there is no such table, or it has no annotated spans.
    """
    read_report(table)
    found: dict[float, array[float]] = {fps: array("d") for fps in rates}
    for *annotated, duration_s in read_columns(table, "spans_s", "annotators", "duration_s"):
        spans, annotators = (tuple(map(tuple, value or ())) for value in annotated)
        if spans:
            for fps, values in found.items():
                values.append(_best_of(spans, annotators, duration_s, fps, max_frames))
    if not all(found.values()):
        raise NumProError(f"{table}: has no annotated spans, so there is no ceiling")
    return {fps: moment_scores(np.asarray(values)) for fps, values in found.items()}


@lru_cache(maxsize=10_000)  # DiDeMo has few different annotations
def _best_of(spans: tuple[Any, ...], annotators: tuple[Any, ...], duration_s: float, fps: float, max_frames: int | None) -> float:
    count = Timeline(duration_s, fps).count
    numbers = kept_numbers(count, max_frames or count)
    return best_numbers(np.array(spans), numbers, fps, annotators=np.array(annotators) if annotators else None)[2]
