"""Moment retrieval: IoU of predicted and true spans, R@IoU and mIoU.

The IoU here is the field's: intersection over the *hull* of both spans (from the earlier start to the later end). For spans that
overlap that is intersection over union; for others the intersection is 0 anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

THRESHOLDS: tuple[float, ...] = (0.3, 0.5, 0.7)

Reversed = Literal["swap", "zero"]


def span_iou(predicted: ArrayLike, true: ArrayLike, *, reversed_spans: Reversed = "swap") -> NDArray[np.float64]:
    """IoU of spans, elementwise with broadcasting.

    Args:
        predicted: (..., 2) start and end. NaN stands for "no prediction" and scores 0; so does an infinite end.
        true: (..., 2) start and end, in the same unit as ``predicted``.
        reversed_spans: what a span with end < start means: ``"swap"`` exchanges start and end, as TimeChat's script does;
            ``"zero"`` scores it 0, as NumPro's does.

    Returns:
        (...) in [0, 1]. Two spans of length 0 score 0 even at the same place (the hull has no length).
    """
    p, t = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if p.shape[-1:] != (2,) or t.shape[-1:] != (2,):
        raise NumProError(f"spans must have shape (..., 2), got {p.shape} and {t.shape}")
    p, t = np.broadcast_arrays(p, t)
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(p).all(-1) & np.isfinite(t).all(-1))
    if reversed_spans == "swap":
        p, t = np.sort(p, axis=-1), np.sort(t, axis=-1)
    else:
        usable &= (p[..., 0] <= p[..., 1]) & (t[..., 0] <= t[..., 1])
    p, t = np.where(usable[..., None], p, 0.0), np.where(usable[..., None], t, 0.0)
    intersection = np.maximum(0.0, np.minimum(p[..., 1], t[..., 1]) - np.maximum(p[..., 0], t[..., 0]))
    hull = np.maximum(p[..., 1], t[..., 1]) - np.minimum(p[..., 0], t[..., 0])
    return np.divide(intersection, hull, out=np.zeros_like(hull), where=hull > 0)


def recall_name(threshold: float) -> str:
    """The metric's name as people type it: ``R@0.5``."""
    return f"R@{threshold:g}"


def moment_scores(iou: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
    """R@IoU and mIoU of all queries, in percent.

    Args:
        iou: (N,) one IoU per query; an unparsed answer counts as 0.
        thresholds: a query is found at a threshold if its IoU is at least that (``>=``).

    Returns:
        ``{"R@0.3": ..., "R@0.5": ..., "R@0.7": ..., "mIoU": ...}``; NaN for no queries at all.
    """
    values = np.asarray(iou, dtype=np.float64)
    if values.ndim != 1:
        raise NumProError(f"iou must have shape (N,), got {values.shape}")
    if not len(values):
        return {name: float("nan") for name in [*(recall_name(t) for t in thresholds), "mIoU"]}
    scores = {recall_name(t): float(np.count_nonzero(values >= t) / len(values) * 100) for t in thresholds}
    scores["mIoU"] = float(sum(values.tolist()) / len(values) * 100)
    return scores


def query_iou(predicted: ArrayLike, spans: ArrayLike, *, annotators: ArrayLike | None = None) -> NDArray[np.float64]:
    """One query's IoU by its benchmark's rule.

    Args:
        predicted: (..., 2) one or more predicted spans, seconds.
        spans: (W, 2) annotated windows; the one with the highest IoU counts.
        annotators: (A, 2) one span per annotator; if given, DiDeMo's official rule holds instead: the mean of the three highest
            IoUs over all annotators.

    Returns:
        (...) in [0, 1].
    """
    truth = np.asarray(spans if annotators is None else annotators, dtype=np.float64).reshape(-1, 2)
    iou = span_iou(np.asarray(predicted, dtype=np.float64)[..., None, :], truth)
    return iou.max(axis=-1) if annotators is None else np.sort(iou, axis=-1)[..., -3:].mean(axis=-1)


def best_numbers(spans: ArrayLike, numbers: ArrayLike, fps: float, *, annotators: ArrayLike | None = None) -> tuple[int, int, float]:
    """The pair of drawn numbers whose span comes closest to the truth: the upper limit of answers in integer numbers.

    Args:
        spans: (W, 2) true spans in seconds; the best of several counts.
        numbers: (N,) the numbers that are drawn, ascending.
        fps: numbers per second.
        annotators: (A, 2) one span per annotator, where DiDeMo's official rule holds (see `query_iou`).

    Returns:
        (first, last, iou), first <= last. Where every pair scores 0 the numbers nearest to the span's ends.
    """
    drawn = np.asarray(numbers, dtype=np.int64)
    first, last, iou = _best_pair(spans, drawn / fps, annotators)
    return int(drawn[first]), int(drawn[last]), iou


def best_times(spans: ArrayLike, times_s: ArrayLike, *, annotators: ArrayLike | None = None) -> tuple[float, float, float]:
    """The pair of shown times whose span comes closest to the truth: the upper limit of answers in marks that are shown.

    Args:
        spans: as for `best_numbers`.
        times_s: (N,) the times that an answer can name, seconds, ascending.
        annotators: as for `best_numbers`.

    Returns:
        (start_s, end_s, iou), start_s <= end_s. Where every pair scores 0 the times nearest to the span's ends.
    """
    times = np.asarray(times_s, dtype=np.float64)
    first, last, iou = _best_pair(spans, times, annotators)
    return float(times[first]), float(times[last]), iou


def _best_pair(spans: ArrayLike, times_s: NDArray[np.float64], annotators: ArrayLike | None) -> tuple[int, int, float]:
    """Indices of the two times, and their IoU."""
    windows = np.sort(np.asarray(spans, dtype=np.float64).reshape(-1, 2), axis=1)
    if not len(times_s) or not len(windows):
        raise NumProError(f"there must be at least one number and one span, got {len(times_s)} and {len(windows)}")
    if annotators is not None:
        # A mean of several IoUs has no single peak: try every pair (DiDeMo's videos have 15 numbers).
        a, b = np.triu_indices(len(times_s))
        iou = query_iou(np.stack([times_s[a], times_s[b]], axis=1), spans, annotators=annotators)
        k = int(np.argmax(iou))
        return int(a[k]), int(b[k]), float(iou[k])
    best = (0, 0, -1.0)
    for start, end in windows:
        # IoU rises and then falls in either end, so only the shown times on both sides of the true ends can be best.
        found = [(a, b) for a in _around(times_s, start) for b in _around(times_s, end) if a <= b]
        pairs = times_s[np.array(found)]
        iou = span_iou(pairs, (start, end))
        # Ties (as where all are 0) go to the pair nearest to the truth.
        far = np.abs(pairs - (start, end)).sum(axis=1)
        nearest = min(range(len(pairs)), key=lambda i: (-iou[i], far[i]))
        if iou[nearest] > best[2]:
            best = (*found[nearest], float(iou[nearest]))
    return best


def _around(times_s: NDArray[np.float64], time_s: float) -> list[int]:
    k = int(np.searchsorted(times_s, time_s))
    return list(range(max(0, k - 1), min(len(times_s), k + 1)))
