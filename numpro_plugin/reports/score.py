"""Scores of anybody's prediction file, without a model. Every query that is missing, repeated or not understood is counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numpro_plugin.answers.highlights import parse_highlights
from numpro_plugin.answers.moments import parse_moment, parse_moment_reference
from numpro_plugin.answers.timechat import parse_highlights_timechat
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.highlights import CLIP_S, clip_scores, highlight_items, highlight_means, saliency_matrix
from numpro_plugin.metrics.moments import moment_scores, query_iou, span_iou
from numpro_plugin.metrics.windows import MAX_PREDICTIONS, window_tables
from numpro_plugin.metrics.windows import brief_scores as window_brief
from numpro_plugin.reports.matching import Pair, Repeats, pair_up
from numpro_plugin.reports.predictions import read_predictions
from numpro_plugin.reports.truth import read_truth
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from numpro_plugin.reports.records import Prediction, Task

Compatible = Literal["numpro", "timechat", "moment_detr", "timelens"]

_REPEATS: dict[Compatible | None, Repeats] = {
    None: "first",
    "numpro": "each",  # it goes through a list
    "timechat": "last",  # these three fill a dict by id
    "moment_detr": "last",
    "timelens": "last",
}
_NOTHING = (math.nan, math.nan)


@dataclass
class Score:
    """Metrics of a file in percent, and what was counted on the way."""

    metrics: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """``queries`` scored; ``not predicted``; ``repeated`` (the first counts, or as the compatible script does); ``without truth`` (left
    out); ``not understood``; ``failed requests`` (no answer was given; they score 0)."""
    tables: dict[str, Any] = field(default_factory=dict)
    """moment_detr's full tables, where windows were scored."""


def score_moments(predictions: Path, truth: Path | None = None, *, fps: float = 0.5, compatible: Compatible | None = None) -> Score:
    """R@IoU and mIoU, and moment_detr's figures where a query has several windows.

    Args:
        predictions: any file that `read_predictions` knows.
        truth: any file that `read_truth` knows; not needed where the predictions state it.
        fps: numbers per second that responses speak in, unless the file says so.
        compatible: exactly what one script does. ``numpro`` reads only its own pattern, scores reversed spans 0 and counts every row of a
            repeated id. ``timechat`` reads the same, orders the ends of spans in words as its converter does, scores reversed spans of
            its files 0, and of a repeated id counts the last. ``timelens`` scores reversed spans 0; the last counts. ``moment_detr`` lets
            windows whose union is 0 count as hits in mAP; R@1 takes the last row of a repeated id, mAP the windows of all. All of them
            score only what was predicted; by default a query without a prediction scores 0.

    Raises:
        NumProError: a file cannot be read or is of the other task, or the truth does not fit.
    """
    found = _read(predictions, "moment", fps)
    if truth is None and all(row.iou is not None for row in found):
        return _stated_iou(found)
    pairs, score = _pairs(predictions, found, truth, compatible)
    for pair in pairs:
        if not pair.truth.spans_s:
            raise NumProError(f"{truth or predictions}: query {pair.truth.id} has no annotated span; there is nothing to score it by")
    windows = [_windows(pair.prediction, pair, fps, compatible, score) for pair in pairs]
    first = [row[0][:2] if row else _NOTHING for row in windows]
    score.metrics = moment_scores([_iou(span, pair, compatible) for span, pair in zip(first, pairs, strict=True)])
    has_windows = any(pair.truth.extra.get("relevant_clip_ids") is not None for pair in pairs)
    if has_windows or any(len(pair.prediction.windows or ()) > 1 for pair in pairs if pair.prediction):
        score.tables = _tables(windows, pairs, fps, compatible)
        score.metrics |= window_brief(score.tables)
    return score


def score_highlights(predictions: Path, truth: Path | None = None, *, fps: float = 0.5, compatible: Compatible | None = None) -> Score:
    """mAP and HIT@1 at Fair, Good and VeryGood, under moment_detr's names.

    Args:
        predictions: any file that `read_predictions` knows.
        truth: QVHighlights' annotation file or a table of it; not needed where the predictions state it.
        fps: numbers per second that responses speak in, unless the file says so.
        compatible: ``numpro`` and ``timechat`` read responses as TimeChat's converter does and put a frame into the clip before its
            own; all score only what was predicted, and the last row of a repeated id. By default a query without a prediction scores 0,
            and the first row counts.

    Raises:
        NumProError: a file cannot be read or is of the other task, or the truth does not fit.
    """
    found = _read(predictions, "highlight", fps)
    # NumPro's highlights are scored by TimeChat's script, which keeps the last row of an id.
    pairs, score = _pairs(predictions, found, truth, compatible, repeats="last" if compatible else "first")
    rows, truths = [], []
    for pair in pairs:
        extra = pair.truth.extra
        if extra.get("relevant_clip_ids") is None:
            raise NumProError(
                f"{truth or predictions}: query {pair.truth.id} has no saliency scores; give --truth highlight_val_release.jsonl"
            )
        duration_s = float(extra["clips"] * CLIP_S)
        truths.append(saliency_matrix(duration_s, extra["relevant_clip_ids"], extra["saliency_scores"]))
        rows.append(_saliency(pair.prediction, duration_s, fps, compatible, score))
    items = highlight_items(rows, truths)
    unanswered = [k for k, pair in enumerate(pairs) if pair.prediction is None or (pair.prediction.failure and compatible is None)]
    items.ap[unanswered], items.hit[unanswered] = 0.0, False
    score.metrics = highlight_means(items)
    return score


def _read(path: Path, task: Task, fps: float) -> list[Prediction]:
    """The predictions of a file, if they are of that task."""
    if not 0 < fps < math.inf:
        raise NumProError(f"fps={fps} must be a number above 0")
    found = read_predictions(path)
    other = "highlight" if task == "moment" else "moment"
    for row in found:
        fields = (row.windows, row.percent, row.response) if task == "moment" else (row.saliency, row.highlights, row.response)
        if row.task == other or (row.failure is None and all(value is None for value in fields)):
            what = f"is a {other} prediction" if row.task == other else "predicts no window" if task == "moment" else "predicts no saliency"
            raise NumProError(f"{path}: id {row.id!r} {what}, so it has no {task} score; use: numpro score {other} {path}")
    return found


def _stated_iou(found: Sequence[Prediction]) -> Score:
    """Of rows that state their IoU, as VTimeLLM's log does: every row counts, as in its script."""
    score = Score(moment_scores([row.iou or 0.0 for row in found]))
    score.counts = _counts(len(found), {"not predicted": 0, "repeated": len(found) - len({row.id for row in found}), "without truth": 0})
    score.counts["not understood"] = sum(row.percent is None and row.failure is None for row in found)
    score.counts["failed requests"] = sum(row.failure is not None for row in found)
    return score


def _pairs(
    predictions: Path, found: Sequence[Prediction], truth: Path | None, compatible: Compatible | None, repeats: Repeats | None = None
) -> tuple[list[Pair], Score]:
    known = read_truth(truth) if truth else None
    pairs, counts = pair_up(predictions, found, truth, known, repeats=repeats or _REPEATS[compatible])
    if compatible:  # the scripts leave out what was not predicted
        pairs = [pair for pair in pairs if pair.prediction is not None]
        counts["not predicted"] = 0
    return pairs, Score(counts=_counts(len(pairs), counts))


def _counts(queries: int, counts: dict[str, int]) -> dict[str, int]:
    return {"queries": queries, **counts, "not understood": 0, "failed requests": 0}


def _windows(
    prediction: Prediction | None, pair: Pair, fps: float, compatible: Compatible | None, score: Score | None
) -> list[list[float]]:
    """Windows [start, end, score] in seconds, best first; none where nothing was predicted or it was not understood."""
    if prediction is None:
        return []
    if prediction.failure:
        _count(score, "failed requests")
        if compatible is None or prediction.response is None:
            return []
    windows = [[*window, 1.0] if len(window) == 2 else window for window in prediction.windows or []]
    if prediction.percent is not None:
        windows = [[*_of_duration(prediction.percent, pair), 1.0]]
    elif prediction.response is not None and not (compatible == "moment_detr" and prediction.windows is not None):
        timeline = Timeline(pair.truth.duration_s or 0, prediction.fps or fps)
        spans: Sequence[tuple[float, float]]
        if compatible is None:
            last_number = timeline.count - 1 if pair.truth.duration_s else None
            answer = parse_moment(prediction.response, last_number=last_number)
            spans = answer.spans if answer.numbers else ()
        else:
            numbers = parse_moment_reference(prediction.response).numbers
            # TimeChat's converter orders the ends that it reads; its score takes spans as they are.
            ordered = compatible == "timechat"
            spans = [] if numbers is None else [(min(numbers), max(numbers)) if ordered else numbers]
        # The first span is the prediction; the others follow it in mAP.
        windows = [[*timeline.seconds(np.array(span, dtype=np.float64)), 1.0 / (k + 1)] for k, span in enumerate(spans)]
    if not windows and not prediction.failure:
        _count(score, "not understood")
    return windows


def _count(score: Score | None, name: str) -> None:
    if score is not None:
        score.counts[name] += 1


def _of_duration(percent: tuple[float, float], pair: Pair) -> tuple[float, float]:
    if pair.truth.duration_s is None:
        raise NumProError(f"query {pair.truth.id}: is predicted in percent of its video, whose duration the truth file does not say")
    return percent[0] * pair.truth.duration_s / 100, percent[1] * pair.truth.duration_s / 100


def _iou(span: Sequence[float], pair: Pair, compatible: Compatible | None) -> float:
    if compatible is None:
        return float(query_iou(span, pair.truth.spans_s, annotators=pair.truth.extra.get("annotators")))
    rule: Literal["swap", "zero"] = "swap" if compatible == "moment_detr" else "zero"
    return float(span_iou(span, pair.truth.spans_s, reversed_spans=rule).max())


def _tables(windows: list[list[list[float]]], pairs: list[Pair], fps: float, compatible: Compatible | None) -> dict[str, Any]:
    true = [np.sort(np.array(pair.truth.spans_s), axis=1) for pair in pairs]
    raw = compatible == "moment_detr"
    tables = window_tables([_array(row) for row in windows], true, raw=raw)
    if raw and any(len(pair.predictions) > 1 for pair in pairs):
        # The script gathers the windows of all rows of an id for mAP, and keeps only its last row for R@1.
        rows = [[_windows(row, pair, fps, compatible, None)[:MAX_PREDICTIONS] for row in pair.predictions] for pair in pairs]
        gathered = window_tables([_array([window for row in of for window in row]) for of in rows], true, raw=True, most=None)
        tables = {name: {"MR-mAP": gathered[name]["MR-mAP"], "MR-R1": table["MR-R1"]} for name, table in tables.items()}
    return tables


def _array(windows: list[list[float]]) -> NDArray[np.float64]:
    return np.array(windows, dtype=np.float64) if windows else np.zeros((0, 3))


def _saliency(
    prediction: Prediction | None, duration_s: float, fps: float, compatible: Compatible | None, score: Score
) -> NDArray[np.float64]:
    if prediction is None:
        return np.zeros(0)  # scored 0 by the caller: zeros would rank clip 0 first, which may be a highlight
    if prediction.failure:
        score.counts["failed requests"] += 1
        if compatible is None:
            return np.zeros(0)
    if prediction.saliency is not None:
        return np.array(prediction.saliency, dtype=np.float64)
    as_script = compatible in ("numpro", "timechat")
    if prediction.highlights is not None:
        frames, scores = [time_s / CLIP_S for time_s, _ in prediction.highlights], [mark for _, mark in prediction.highlights]
        understood = bool(prediction.highlights)
    else:
        text = prediction.response or ""
        answer = parse_highlights_timechat(text) if as_script else parse_highlights(text, prediction.query)
        frames, scores = [frame / (prediction.fps or fps) / CLIP_S for frame in answer.frames], list(answer.scores)
        understood = answer.understood
    if not understood and not prediction.failure:
        score.counts["not understood"] += 1
    return clip_scores(frames, scores, duration_s=duration_s, rule="timechat" if as_script else "exact")
