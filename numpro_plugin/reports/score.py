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
from numpro_plugin.metrics.windows import brief_scores as window_brief
from numpro_plugin.metrics.windows import window_tables
from numpro_plugin.reports.predictions import Prediction, read_predictions, read_truth
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from numpro_plugin.benchmarks.annotations import Query

Compatible = Literal["numpro", "timechat", "moment_detr"]
_NOTHING = (math.nan, math.nan)


@dataclass
class Score:
    """Metrics of a file in percent, and what was counted on the way."""

    metrics: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """``queries`` scored; ``not predicted``; ``repeated`` (the first counts); ``without truth`` (left out); ``not understood``."""
    tables: dict[str, Any] = field(default_factory=dict)
    """moment_detr's full tables, where windows were scored."""


@dataclass(frozen=True)
class _Pair:
    truth: Query
    prediction: Prediction | None


def score_moments(predictions: Path, truth: Path | None = None, *, fps: float = 0.5, compatible: Compatible | None = None) -> Score:
    """R@IoU and mIoU, and moment_detr's figures where a query has several windows.

    Args:
        predictions: any file that `read_predictions` knows.
        truth: any file that `read_truth` knows; not needed where the predictions have it with them.
        fps: numbers per second that responses speak in, unless the file says so.
        compatible: exactly what one script does: ``numpro`` reads only its own pattern and scores reversed spans 0; ``timechat``
            reads the same and turns them round; ``moment_detr`` lets windows whose union is 0 count as hits in mAP. All three score
            only what was predicted; by default a query without a prediction scores 0.
    """
    pairs, score = _pairs(predictions, truth, predicted_only=compatible is not None)
    if not all(pair.truth.spans_s for pair in pairs):
        raise NumProError(f"{truth or predictions}: has queries without annotated spans; there is nothing to score them by")
    spans = [_windows_of(pair, fps, compatible, score) for pair in pairs]
    first = np.array([windows[0][:2] if windows else _NOTHING for windows in spans], dtype=np.float64).reshape(-1, 2)
    rule: Literal["swap", "zero"] = "zero" if compatible == "numpro" else "swap"
    if compatible:
        iou = [float(span_iou(p, pair.truth.spans_s, reversed_spans=rule).max()) for p, pair in zip(first, pairs, strict=True)]
    else:
        iou = [
            float(query_iou(p, pair.truth.spans_s, annotators=pair.truth.extra.get("annotators")))
            for p, pair in zip(first, pairs, strict=True)
        ]
    score.metrics = moment_scores(iou)
    if any(pair.truth.extra.get("relevant_clip_ids") is not None for pair in pairs) or any(
        len(pair.prediction.windows or ()) > 1 for pair in pairs if pair.prediction
    ):
        true = [np.sort(np.array(pair.truth.spans_s), axis=1) for pair in pairs]
        score.tables = window_tables(
            [np.array(windows).reshape(len(windows), -1) if windows else np.zeros((0, 3)) for windows in spans],
            true,
            raw=compatible == "moment_detr",
        )
        score.metrics |= window_brief(score.tables)
    return score


def score_highlights(predictions: Path, truth: Path | None = None, *, fps: float = 0.5, compatible: Compatible | None = None) -> Score:
    """mAP and HIT@1 at Fair, Good and VeryGood, under moment_detr's names.

    Args:
        predictions: any file that `read_predictions` knows.
        truth: QVHighlights' annotation file or a table of it; not needed where the predictions have it with them.
        fps: numbers per second that responses speak in, unless the file says so.
        compatible: ``numpro`` and ``timechat`` read responses as TimeChat's converter does and put a frame into the clip before its
            own; all score only what was predicted. By default a query without a prediction scores 0.
    """
    pairs, score = _pairs(predictions, truth, predicted_only=compatible is not None)
    rows, truths = [], []
    for pair in pairs:
        if pair.truth.extra.get("relevant_clip_ids") is None:
            raise NumProError(
                f"{truth or predictions}: query {pair.truth.id} has no saliency scores; give --truth highlight_val_release.jsonl"
            )
        extra = pair.truth.extra
        duration_s = float(extra["clips"] * CLIP_S)
        truths.append(saliency_matrix(duration_s, extra["relevant_clip_ids"], extra["saliency_scores"]))
        rows.append(_saliency_of(pair.prediction, duration_s, fps, compatible, score))
    items = highlight_items(rows, truths)
    missing = [k for k, pair in enumerate(pairs) if pair.prediction is None]
    items.ap[missing], items.hit[missing] = 0.0, False
    score.metrics = highlight_means(items)
    return score


def _pairs(predictions: Path, truth: Path | None, *, predicted_only: bool) -> tuple[list[_Pair], Score]:
    """Truth and prediction of every query, in the truth's order (the predictions' without a truth file)."""
    said = read_predictions(predictions)
    by_id: dict[str, Prediction] = {}
    for prediction in said:
        by_id.setdefault(prediction.id, prediction)
    known = read_truth(truth) if truth else {key: p.truth for key, p in by_id.items() if p.truth is not None}
    if not known:
        raise NumProError(f"{predictions}: says nothing of the truth; give --truth FILE (the benchmark's official annotation file)")
    shared = [key for key in by_id if key in known]
    _check_same_split(predictions, truth, by_id, known, shared)
    ids = shared if predicted_only else list(known)
    counts = {
        "queries": len(ids),
        "not predicted": 0 if predicted_only else len(known) - len(shared),
        "repeated": len(said) - len(by_id),
        "without truth": len(by_id) - len(shared),
        "not understood": 0,
    }
    return [_Pair(known[key], by_id.get(key)) for key in ids], Score(counts=counts)


def _check_same_split(
    predictions: Path, truth: Path | None, by_id: dict[str, Prediction], known: dict[str, Query], shared: list[str]
) -> None:
    if not shared:
        raise NumProError(
            f"{truth}: none of the {len(by_id)} ids of {predictions} is in it (such as {next(iter(by_id))!r}); "
            "is it another split or benchmark?"
        )
    other = [key for key in shared if by_id[key].query is not None and _words(by_id[key].query) != _words(known[key].query)]
    if len(other) > len(shared) / 2:
        key = other[0]
        raise NumProError(
            f"{truth}: is of another split than {predictions}: {len(other)} of {len(shared)} shared ids ask for something else "
            f"(id {key}: {known[key].query!r}, predicted for {by_id[key].query!r})"
        )


def _words(query: str | None) -> str:
    return " ".join((query or "").lower().strip(" .").split())


def _windows_of(pair: _Pair, fps: float, compatible: Compatible | None, score: Score) -> list[list[float]]:
    """Windows in seconds with scores, best first; none where there is no prediction or it was not understood."""
    prediction = pair.prediction
    if prediction is None:
        return []
    if prediction.response is not None and not (compatible == "moment_detr" and prediction.windows is not None):
        timeline = Timeline(pair.truth.duration_s or 0, prediction.fps or fps)
        last_number = timeline.count - 1 if pair.truth.duration_s else None
        if compatible is None:
            answer = parse_moment(prediction.response, last_number=last_number)
        else:
            answer = parse_moment_reference(prediction.response)
        if answer.numbers is None:
            score.counts["not understood"] += 1
            return []
        # The first span is the prediction; the others follow it in mAP.
        return [[timeline.seconds(first), timeline.seconds(last), 1.0 / (k + 1)] for k, (first, last) in enumerate(answer.spans)]
    windows = [[*map(float, window), *([1.0] if len(window) == 2 else [])] for window in prediction.windows or []]
    if not windows:
        score.counts["not understood"] += 1
    return windows


def _saliency_of(
    prediction: Prediction | None, duration_s: float, fps: float, compatible: Compatible | None, score: Score
) -> NDArray[np.float64]:
    if prediction is None:
        return np.zeros(0)  # scored 0 by the caller: zeros would rank clip 0 first, which may be a highlight
    if prediction.saliency is not None:
        return np.array(prediction.saliency, dtype=np.float64)
    as_script = compatible in ("numpro", "timechat")
    text = prediction.response or ""
    answer = parse_highlights_timechat(text) if as_script else parse_highlights(text, prediction.query)
    if not answer.understood:
        score.counts["not understood"] += 1
    frames = [frame / (prediction.fps or fps) / CLIP_S for frame in answer.frames]
    return clip_scores(frames, answer.scores, duration_s=duration_s, rule="timechat" if as_script else "exact")
