"""Moment retrieval where a query may have any number of true spans, none included: IoU of two sets of spans.

The figures are those of VUE-TR's script as TimeLens2 uses it for VUE-TR, MomentSeeker and Ego4D-NLQ (MCG-NJU/TimeLens2,
evaluation/vlmeval/dataset/vidi_vue_tr.py): one IoU a query, whose mean is mIoU and whose share at or above a threshold is R1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.moments import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


def merge_spans(spans: ArrayLike) -> NDArray[np.float64]:
    """The spans in order of their starts, with those that overlap or touch made one.

    Args:
        spans: (P, 2) start and end. A span that is reversed or not finite is left out.

    Returns:
        (M, 2), M <= P, with gaps between the spans.
    """
    given = _spans(spans, "spans")
    given = given[np.isfinite(given).all(axis=1) & (given[:, 0] <= given[:, 1])]
    if not len(given):
        return given
    given = given[np.lexsort((given[:, 1], given[:, 0]))]
    ends = np.maximum.accumulate(given[:, 1])
    begins = np.flatnonzero(np.concatenate([[True], given[1:, 0] > ends[:-1]]))
    lasts = np.append(begins[1:], len(given)) - 1
    return np.stack([given[begins, 0], ends[lasts]], axis=1)


def set_iou(prediction: ArrayLike, truth: ArrayLike) -> float:
    """IoU of the predicted spans with the true ones.

    The predicted spans are merged, the true ones are not: what they share is the sum over all pairs, and the union is both lengths
    without it. True spans that overlap so count twice, and the quotient is cut at 1.

    Args:
        prediction: (P, 2) start and end; P may be 0. A span that is reversed or not finite counts for nothing.
        truth: (T, 2) start and end, in the same unit; T may be 0. A reversed span is read the other way round.

    Returns:
        In [0, 1]. Without true spans 1 if nothing was predicted, else 0. Spans without length have no IoU: 0.

    Raises:
        NumProError: an array of another shape, or a true span that is not finite.
    """
    predicted, true = _spans(prediction, "the prediction"), np.sort(_spans(truth, "the truth"), axis=1)
    if not np.isfinite(true).all():
        raise NumProError(f"true spans must be finite, got {true.tolist()}")
    if not len(true):
        return float(not len(predicted))
    merged = merge_spans(predicted)
    starts, ends = np.maximum(merged[:, None, 0], true[:, 0]), np.minimum(merged[:, None, 1], true[:, 1])
    shared = float(np.maximum(0.0, ends - starts).sum())
    union = float((merged[:, 1] - merged[:, 0]).sum() + (true[:, 1] - true[:, 0]).sum()) - shared
    return min(1.0, shared / union) if union > 0 else 0.0


def set_recall_name(threshold: float) -> str:
    """The metric's name as people type it: ``R1_set@0.5``."""
    return f"R1_set@{threshold:g}"


def set_scores(iou: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
    """``mIoU_set`` and ``R1_set`` of all queries, in percent.

    Args:
        iou: (N,) one `set_iou` per query.
        thresholds: a query counts at a threshold if its IoU is at least that (``>=``).

    Returns:
        ``{"R1_set@0.3": ..., "R1_set@0.5": ..., "R1_set@0.7": ..., "mIoU_set": ...}``; NaN for no queries at all.
    """
    values = np.asarray(iou, dtype=np.float64)
    if values.ndim != 1:
        raise NumProError(f"iou must have shape (N,), got {values.shape}")
    if not len(values):
        return {name: float("nan") for name in [*(set_recall_name(t) for t in thresholds), "mIoU_set"]}
    scores = {set_recall_name(t): float(np.mean(values >= t) * 100) for t in thresholds}
    return {**scores, "mIoU_set": float(values.mean() * 100)}


def best_number_set(truth: ArrayLike, numbers: ArrayLike, fps: float) -> tuple[list[tuple[int, int]], float]:
    """The spans of drawn numbers that come closest to a set of true spans: the upper limit of answers in integer numbers.

    Args:
        truth: (T, 2) true spans in seconds; T may be 0.
        numbers: (N,) the numbers that are drawn, ascending.
        fps: numbers per second.

    Returns:
        As `best_time_set`, with spans (first, last) of numbers.
    """
    drawn = np.asarray(numbers, dtype=np.int64)
    spans, iou = _best_set(truth, drawn / fps)
    return [(int(drawn[first]), int(drawn[last])) for first, last in spans], iou


def best_time_set(truth: ArrayLike, times_s: ArrayLike) -> tuple[list[tuple[float, float]], float]:
    """The spans of shown times that come closest to a set of true spans: the upper limit of answers in marks that are shown.

    Of the intervals between one drawn number and the next, the best answer has those of which more than a certain share is true: each
    added one is worth it as long as that share is high enough. So they are tried in order of their shares.

    Args:
        truth: (T, 2) true spans in seconds; T may be 0.
        times_s: (N,) the times that an answer can name, seconds, ascending.

    Returns:
        The spans in order, and their `set_iou`. Without true spans there are none, and the IoU is 1; where no answer scores above 0 the
        pair of times nearest to each true span.
    """
    times = np.asarray(times_s, dtype=np.float64)
    spans, iou = _best_set(truth, times)
    return [(float(times[first]), float(times[last])) for first, last in spans], iou


def _best_set(truth: ArrayLike, times_s: NDArray[np.float64]) -> tuple[list[tuple[int, int]], float]:
    """Pairs of indices of times, and their IoU."""
    true = np.sort(_spans(truth, "the truth"), axis=1)
    if not len(true):
        return [], 1.0
    if not len(times_s):
        raise NumProError("there must be at least one drawn number")
    starts, ends = times_s[:-1], times_s[1:]
    inside = np.maximum(0.0, np.minimum(ends[:, None], true[:, 1]) - np.maximum(starts[:, None], true[:, 0])).sum(axis=1)
    order = np.argsort(-inside / (ends - starts), kind="stable")
    shared, lengths = np.cumsum(inside[order]), np.cumsum((ends - starts)[order])
    iou = np.minimum(1.0, shared / (lengths + (true[:, 1] - true[:, 0]).sum() - shared))
    if not iou.any():
        nearest = np.abs(true[..., None] - times_s).argmin(axis=-1)
        return sorted({(int(first), int(last)) for first, last in nearest}), 0.0
    best = int(np.argmax(iou))
    chosen = np.sort(order[: best + 1])
    ends_run = np.flatnonzero(np.diff(chosen) > 1)
    firsts, lasts = chosen[[0, *(ends_run + 1)]], chosen[[*ends_run, -1]] + 1
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)], float(iou[best])


def _spans(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        spans = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise NumProError(f"{what} must be pairs of numbers (start, end), got {values!r}") from None
    if not spans.size:
        return np.zeros((0, 2))
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise NumProError(f"{what} must have shape (spans, 2), got {spans.shape}")
    return spans
