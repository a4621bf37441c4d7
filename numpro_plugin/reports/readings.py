"""What a prediction says about its query: windows in seconds, or scores of clips. Its words are not kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from numpro_plugin.answers.highlights import parse_highlights
from numpro_plugin.answers.moments import parse_moment_reference
from numpro_plugin.answers.reading import read_set
from numpro_plugin.answers.timechat import parse_highlights_timechat
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.highlights import CLIP_S, clip_scores
from numpro_plugin.metrics.windows import MAX_PREDICTIONS
from numpro_plugin.reports.seconds_text import timelens_span
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from numpro_plugin.benchmarks.annotations import Query
    from numpro_plugin.encoding import AnswerUnit
    from numpro_plugin.reports.records import Prediction

Compatible = Literal["numpro", "timechat", "moment_detr", "timelens"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a prediction says."""

    values: NDArray[np.float64]
    """(P, 3) windows [start, end, score] in seconds, best first, at most ten; or (C,) scores of clips. Empty if nothing can be read."""

    failed: bool
    """Whether no answer was given."""

    understood: bool
    """Whether an answer that was given can be read."""


def read_windows(row: Prediction, query: Query, fps: float, compatible: Compatible | None, *, unit: AnswerUnit = "frames") -> Reading:
    """The windows that a prediction names.

    Args:
        row: the prediction.
        query: what it is about; its duration is needed for answers that go "to the end" and for those in percent.
        fps: numbers per second that responses speak in, unless the row says so.
        compatible: the script whose rules hold.
        unit: what responses were asked to count, unless the row says so.

    Raises:
        NumProError: the prediction is in percent of a video whose duration is unknown.
    """
    failed = row.failure is not None
    windows: Sequence[Sequence[float]] = (
        [] if failed and (compatible is None or row.response is None) else _windows(row, query, fps, compatible, row.unit or unit)
    )
    kept = [[*window, 1.0] if len(window) == 2 else window for window in windows[:MAX_PREDICTIONS]]
    values = np.array(kept, dtype=np.float64) if kept else np.zeros((0, 3))
    # A window of NaN or infinity scores 0; that the first one, which is the prediction, is no time must not go unsaid.
    return Reading(values, failed, failed or (bool(kept) and bool(np.isfinite(values[0, :2]).all())))


def _windows(row: Prediction, query: Query, fps: float, compatible: Compatible | None, unit: AnswerUnit) -> Sequence[Sequence[float]]:
    if row.percent is not None:
        if query.duration_s is None:
            raise NumProError(f"query {query.id}: is predicted in percent of its video, whose duration the truth file does not say")
        return [[end * query.duration_s / 100 for end in row.percent]]
    if row.response is None or (compatible == "moment_detr" and row.windows is not None):
        return row.windows or []
    timeline = Timeline(query.duration_s or 0, row.fps or fps)
    spans_s: Sequence[tuple[float, float]]
    if compatible is None:
        spans_s = read_set(row.response, unit, timeline).spans_s
    elif compatible == "timelens" and row.unit != "frames":  # its own files and tasks are in seconds
        found = timelens_span(row.response)
        spans_s = [] if found is None else [found]
    else:
        numbers = parse_moment_reference(row.response).numbers
        # TimeChat's converter orders the ends that it reads; its score takes spans as they are.
        ordered = compatible == "timechat"
        spans = [] if numbers is None else [(min(numbers), max(numbers)) if ordered else numbers]
        spans_s = [(first / timeline.fps, last / timeline.fps) for first, last in spans]
    # The first span is the prediction; the others follow it in mAP.
    return [[*span, 1.0 / (k + 1)] for k, span in enumerate(spans_s[:MAX_PREDICTIONS])]


def read_saliency(row: Prediction, query: Query, fps: float, compatible: Compatible | None) -> Reading:
    """The scores that a prediction gives to the clips of two seconds of its query's video; arguments as of `read_windows`."""
    failed = row.failure is not None
    if failed and compatible is None:
        return Reading(np.zeros(0), failed=True, understood=True)
    if row.saliency is not None:
        values = np.array(row.saliency, dtype=np.float64)
        return Reading(values, failed, understood=failed or bool(np.isfinite(values).all()))
    as_script = compatible in ("numpro", "timechat")
    if row.highlights is not None:
        frames, scores = [time_s / CLIP_S for time_s, _ in row.highlights], [mark for _, mark in row.highlights]
        understood = bool(row.highlights)
    else:
        text = row.response or ""
        answer = parse_highlights_timechat(text) if as_script else parse_highlights(text, row.query)
        frames, scores = [frame / (row.fps or fps) / CLIP_S for frame in answer.frames], list(answer.scores)
        understood = answer.understood
    duration_s = float(query.extra["clips"] * CLIP_S)
    values = clip_scores(frames, scores, duration_s=duration_s, rule="timechat" if as_script else "exact")
    return Reading(values, failed, failed or understood)
