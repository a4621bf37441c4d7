"""Moment retrieval where a query has several true windows and several predictions (QVHighlights): MR-mAP and R@1.

The figures are those of moment_detr's ``standalone_eval``. For a single prediction per query, as a model that answers in one sentence gives
it, look at R@1 and mIoU; mAP rewards finding every window.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.highlights import pad_rows
from numpro_plugin.metrics.moments import span_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

THRESHOLDS: tuple[float, ...] = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

MAX_PREDICTIONS = 10
"""Windows per query that count for mAP: the first ones listed, whatever their scores."""

RANGES: dict[str, tuple[float, float]] = {"full": (-math.inf, math.inf), "long": (30, 150), "middle": (10, 30), "short": (0, 10)}
"""Lengths of true windows in seconds, the lower end excluded. A range scores only queries with such windows, and only these windows."""

Tables = dict[str, dict[str, dict[str, float]]]


def first_window_iou(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """IoU of each query's first prediction with the true window it overlaps most; R@1 and mIoU follow from it.

    ``moment_scores(first_window_iou(...), thresholds)`` gives them at any thresholds.

    Args:
        predictions: N arrays (P, 2) of start and end in seconds or (P, 3) with a score. No prediction scores 0, and so does one that is
            reversed, not finite or of length 0.
        truths: N arrays (W, 2), at least one window each.

    Returns:
        (N,) in [0, 1].

    Raises:
        NumProError: not as many predictions as truths, an array of the wrong shape, or a true window that is reversed or not finite.
    """
    true, real = _true_windows(truths, len(predictions))
    return _best_iou(_predicted_windows(predictions)[0], true, real)


def average_precision(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike], *, raw: bool = False) -> NDArray[np.float64]:
    """Average precision of every query at the IoU thresholds 0.5, 0.55, ..., 0.95.

    In order of score (ties in the order listed) each of the first ten windows takes the true window of highest IoU that is still free
    and reaches the threshold. Precision is interpolated as ActivityNet does: the highest at that or any higher recall.

    Args:
        predictions: as in :func:`first_window_iou`; without a column of scores, all have score 1. A score of NaN ranks lowest.
        truths: as in :func:`first_window_iou`.
        raw: how to score a window that is reversed, not finite or of length 0. By default it is never a hit. With ``raw`` its IoU is
            what the script computes: where the union is 0, as for a reversed window as long as the true one, 0/0 = NaN, which is not
            below any threshold and so is a match.

    Returns:
        (N, 10) in [0, 1].

    Raises:
        NumProError: as in :func:`first_window_iou`.
    """
    true, real = _true_windows(truths, len(predictions))
    return _precisions(_iou_by_score(*_predicted_windows(predictions), true, raw=raw), real)


def window_tables(
    predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike], *, raw: bool = False, most: int | None = MAX_PREDICTIONS
) -> Tables:
    """mAP and R@1 at every threshold, for all windows and by their length, in percent.

    Arguments and errors are those of :func:`average_precision`; ``most`` limits how many of each query's windows count; None: all.

    Returns:
        ``{"full": {"MR-mAP": {"0.5": ..., ..., "average": ...}, "MR-R1": {"0.5": ...}}, "long": ..., "middle": ..., "short": ...}``;
        NaN where no query has a window of that length.
    """
    true, real = _true_windows(truths, len(predictions))
    windows, scores = _predicted_windows(predictions, most)
    iou = _iou_by_score(windows, scores, true, raw=raw)
    length_s = true[..., 1] - true[..., 0]
    tables: Tables = {}
    for name, (low, high) in RANGES.items():
        wanted = real & (length_s > low) & (length_s <= high)
        rows = np.flatnonzero(wanted.any(axis=1))
        wanted = wanted[rows]
        ap = _precisions(iou[rows], wanted)
        first = _best_iou(windows[rows], true[rows], wanted)
        tables[name] = {"MR-mAP": _percent(ap), "MR-R1": _percent(first[:, None] >= THRESHOLDS)}
        tables[name]["MR-mAP"]["average"] = float(ap.mean() * 100) if len(ap) else math.nan
    return tables


def brief_scores(tables: Tables) -> dict[str, float]:
    """The figures that papers report, from :func:`window_tables`, under moment_detr's names."""
    full = tables["full"]
    return {
        "MR-full-R1@0.5": full["MR-R1"]["0.5"],
        "MR-full-R1@0.7": full["MR-R1"]["0.7"],
        "MR-full-mAP": full["MR-mAP"]["average"],
        "MR-full-mAP@0.5": full["MR-mAP"]["0.5"],
        "MR-full-mAP@0.75": full["MR-mAP"]["0.75"],
        **{f"MR-{name}-mAP": tables[name]["MR-mAP"]["average"] for name in RANGES if name != "full"},
    }


def _percent(values: NDArray[np.float64] | NDArray[np.bool_]) -> dict[str, float]:
    """Means of (N, 10) over the queries, by threshold."""
    means = values.mean(axis=0) * 100 if len(values) else np.full(len(THRESHOLDS), math.nan)
    return {f"{threshold:g}": float(mean) for threshold, mean in zip(THRESHOLDS, means, strict=True)}


def _windows(values: ArrayLike, columns: tuple[int, ...], name: str) -> NDArray[np.float64]:
    try:
        windows = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise NumProError(f"{name} must be windows of {' or '.join(map(str, columns))} numbers, got {values!r}") from None
    if not windows.size:
        return np.zeros((0, columns[0]))
    if windows.ndim != 2 or windows.shape[1] not in columns:
        raise NumProError(f"{name} must have shape (windows, {' or '.join(map(str, columns))}), got {windows.shape}")
    return windows


def _true_windows(truths: Sequence[ArrayLike], predictions: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, W, 2) true windows and (N, W) True where a window is not padding."""
    if len(truths) != predictions:
        raise NumProError(f"there must be one prediction per truth, got {predictions} and {len(truths)}")
    rows = [_windows(values, (2,), f"the truth of query {query}") for query, values in enumerate(truths)]
    for query, row in enumerate(rows):
        if not len(row):
            raise NumProError(f"query {query} has no true window, so no prediction for it can be scored: leave the query out")
    true, real = pad_rows(rows, columns=2, at_least=1)
    wrong = np.argwhere(~(np.isfinite(true).all(axis=-1) & (true[..., 0] <= true[..., 1])))
    if len(wrong):
        query, window = wrong[0]
        raise NumProError(f"a true window must be finite with start <= end, query {query} has {true[query, window].tolist()}")
    return true, real


def _predicted_windows(
    predictions: Sequence[ArrayLike], most: int | None = MAX_PREDICTIONS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, P, 2) windows and (N, P) scores as listed; 1 <= P <= most. A NaN score becomes minus infinity; NaN marks padding."""
    rows = []
    for query, values in enumerate(predictions):
        row = _windows(values, (3, 2), f"the prediction of query {query}")[:most]
        rows.append(row if row.shape[1] == 3 else np.column_stack([row, np.ones(len(row))]))
    padded, real = pad_rows(rows, columns=3, at_least=1)
    scores = np.where(np.isnan(padded[..., 2]), -math.inf, padded[..., 2])
    return padded[..., :2], np.where(real, scores, math.nan)


def _best_iou(windows: NDArray[np.float64], true: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) IoU of the first of (N, P, 2) windows with the best wanted one of (N, W, 2). Padding has length 0 and so scores 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        iou = span_iou(windows[:, :1], true, reversed_spans="zero")
    return np.where(wanted & (iou > 0), iou, 0.0).max(axis=1, initial=0.0)


def _iou_by_score(
    windows: NDArray[np.float64], scores: NDArray[np.float64], true: NDArray[np.float64], *, raw: bool
) -> NDArray[np.float64]:
    """(N, P, W) IoU, predictions by falling score; -1 where there is no prediction, infinite where the script's NaN beats all others."""
    order = np.argsort(-scores, axis=1, kind="stable")  # NaN (padding) goes last
    start, end = np.moveaxis(np.take_along_axis(windows, order[..., None], axis=1), -1, 0)[..., None]
    true_start, true_end = np.moveaxis(true, -1, 0)[:, :, None]
    with np.errstate(all="ignore"):
        overlap = np.maximum(np.minimum(end, true_end) - np.maximum(start, true_start), 0)
        iou = overlap / ((end - start) + (true_end - true_start) - overlap)
    if raw:
        iou[np.isnan(iou)] = math.inf
    else:
        iou[~((iou > 0) & np.isfinite(start) & np.isfinite(end))] = 0
    iou[np.isnan(np.take_along_axis(scores, order, axis=1))] = -1
    return iou


def _precisions(iou: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 10) average precisions from (N, P, W) IoU and (N, W) which windows count."""
    hit = _matches(np.where(wanted[:, None], iou, -1))
    precision = np.cumsum(hit, axis=-1) / np.arange(1, hit.shape[-1] + 1)
    interpolated = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return np.where(hit, interpolated, 0).sum(axis=-1) / wanted.sum(axis=1)[:, None]


def _matches(iou: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, 10, P) whether a prediction finds a window, from (N, P, W) IoU with the predictions in order."""
    queries, predictions, windows = iou.shape
    thresholds = np.array(THRESHOLDS)[:, None]
    hit = np.zeros((queries, len(thresholds), predictions), dtype=bool)
    free = np.ones((queries, len(thresholds), windows), dtype=bool)
    for rank in range(predictions):
        # Most predictions reach no threshold with any window.
        rows = np.flatnonzero((iou[:, rank] >= THRESHOLDS[0]).any(axis=1))
        overlap = iou[rows, rank][:, None]
        reached = np.where(free[rows] & (overlap >= thresholds), overlap, -1)
        # Of windows with equal IoU the script takes the last: it sorts upwards and reads from the end.
        best = windows - 1 - np.argmax(reached[..., ::-1], axis=-1)
        row, threshold = np.nonzero(reached.max(axis=-1, initial=-1) > 0)
        hit[rows[row], threshold, rank] = True
        free[rows[row], threshold, best[row, threshold]] = False
    return hit
