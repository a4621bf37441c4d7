"""What answers in shown marks can reach at best on a benchmark: the score of a model that always names the best pair of them."""

from __future__ import annotations

from array import array
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import read_columns, read_report
from numpro_plugin.encoding import NUMBER
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.moments import best_times, moment_scores
from numpro_plugin.reports.sets.ceiling import set_ceilings, shown_times
from numpro_plugin.settings import FPS_LADDER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.settings import Rate


def ceilings(
    table: Path,
    rates: Sequence[Rate] = (0.5, 1.0, 2.0),
    *,
    max_frames: int | None = None,
    encoding: TimeEncoding = NUMBER,
    queries: int | None = None,
) -> dict[Rate, dict[str, float]]:
    """R@IoU and mIoU in percent that no answer in shown marks can exceed, by numbers per second; of sets where all moments are asked for.

    Args:
        table: of a benchmark, made by ``numpro prepare`` (one without videos will do).
        rates: numbers per second, or "auto" for the rate that each video has with ``NUMPRO_FPS=auto``.
        max_frames: as in the settings, where long videos are thinned; None thins none (with "auto" it is the settings' default).
        encoding: how time is shown and asked for.
        queries: only so many, the table's first; None: all.

    Raises:
        NumProError: there is no such table, or it has no annotated spans; the encoding shows no times, or not at one of the rates.
    """
    check_ceiling(encoding, rates)
    benchmark = read_report(table).benchmark
    if benchmark in BENCHMARKS and BENCHMARKS[benchmark].set_question:
        return set_ceilings(table, rates, max_frames=max_frames, encoding=encoding, queries=queries)
    found: dict[Rate, array[float]] = {fps: array("d") for fps in rates}
    for *annotated, duration_s in islice(read_columns(table, "spans_s", "annotators", "duration_s"), queries):
        spans, annotators = (tuple(map(tuple, value or ())) for value in annotated)
        if spans:
            for fps, values in found.items():
                values.append(_best_of(spans, annotators, duration_s, fps, max_frames, encoding))
    if not all(found.values()):
        raise NumProError(f"{table}: has no annotated spans, so there is no ceiling")
    return {fps: moment_scores(np.asarray(values)) for fps, values in found.items()}


def check_ceiling(encoding: TimeEncoding, rates: Sequence[Rate]) -> None:
    """Raise NumProError if an encoding has no ceiling: it shows no times, or cannot show them at one of the rates."""
    if not encoding.shows_time:
        raise NumProError(f"encoding {encoding.name} shows no times, so an answer may name any and there is no ceiling")
    for rate in rates:
        encoding.check_rate(FPS_LADDER[-1] if rate == "auto" else rate, automatic=rate == "auto")


@lru_cache(maxsize=10_000)  # DiDeMo has few different annotations
def _best_of(
    spans: tuple[Any, ...], annotators: tuple[Any, ...], duration_s: float, fps: Rate, max_frames: int | None, encoding: TimeEncoding
) -> float:
    times_s = shown_times(duration_s, fps, max_frames, encoding)
    return best_times(np.array(spans), times_s, annotators=np.array(annotators) if annotators else None)[2]
