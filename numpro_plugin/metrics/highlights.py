"""Highlight detection (QVHighlights): mAP and HIT@1 over clips of two seconds.

The figures are those of moment_detr's ``standalone_eval``, which TimeChat's ``eval_vhd`` uses as well. Three annotators gave every relevant
clip a score from 0 to 4; a clip is a highlight for an annotator if the score reaches the level in question. The average precision is not
scikit-learn's: it is the plain mean of the interpolated precision wherever recall changes, not weighted by how much it changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

CLIP_S = 2
"""Seconds per clip: clip c covers [2c, 2c + 2)."""

LEVELS: dict[str, int] = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""The score from which a clip counts as a highlight. The field's headline is VeryGood."""

ANNOTATORS = 3
HIGHEST_SCORE = 4

Rule = Literal["exact", "timechat"]


@dataclass(frozen=True)
class HighlightItems:
    """The scores of each query, before any mean is taken."""

    ap: NDArray[np.float64]
    """(N, 3, A) average precision in [0, 1] per query, level (Fair, Good, VeryGood) and annotator."""

    hit: NDArray[np.bool_]
    """(N, 3) whether the clip predicted highest is a highlight for any annotator, per query and level."""


def clip_count(duration_s: float) -> int:
    """How many whole clips a video has. A shorter remainder at the end is not counted.

    Raises:
        NumProError: the duration is negative or not finite.
    """
    if not (math.isfinite(duration_s) and duration_s >= 0):
        raise NumProError(f"duration_s must be a finite number of seconds >= 0, got {duration_s}")
    return int(duration_s / CLIP_S)


def saliency_matrix(duration_s: float, relevant_clip_ids: ArrayLike, saliency_scores: ArrayLike) -> NDArray[np.float64]:
    """The ground truth of one query, from the fields of the annotation file.

    Args:
        duration_s: length of the video in seconds.
        relevant_clip_ids: (R,) indices of the clips that were rated.
        saliency_scores: (R, 3) the three annotators' scores, 0 to 4.

    Returns:
        (clips, 3) scores, 0 for every clip that was not rated.

    Raises:
        NumProError: a clip lies outside the video, a score outside 0..4, or the shapes do not fit.
    """
    truth = np.zeros((clip_count(duration_s), ANNOTATORS))
    ids, scores = np.asarray(relevant_clip_ids), np.asarray(saliency_scores, dtype=np.float64)
    if not ids.size and not scores.size:
        return truth
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise NumProError(f"relevant_clip_ids must be whole numbers of shape (R,), got {ids.dtype} of shape {ids.shape}")
    if scores.shape != (len(ids), ANNOTATORS):
        raise NumProError(f"saliency_scores must have shape ({len(ids)}, {ANNOTATORS}) like the clips, got {scores.shape}")
    outside = ids[(ids < 0) | (ids >= len(truth))]
    if outside.size:
        raise NumProError(f"clips {outside.tolist()} do not exist: a video of {duration_s} s has clips 0 to {len(truth) - 1}")
    wrong = scores[~((scores >= 0) & (scores <= HIGHEST_SCORE))]
    if wrong.size:
        raise NumProError(f"saliency scores go from 0 to {HIGHEST_SCORE}, got {wrong.tolist()}")
    truth[ids] = scores
    return truth


def clip_scores(frames: ArrayLike, scores: ArrayLike, *, duration_s: float, rule: Rule) -> NDArray[np.float64]:
    """Saliency per clip from frame numbers and their scores, at the 0.5 numbers per second of the paper.

    Frame i is shown at 2i seconds, the first instant of clip i. The first score belongs to the first frame and so on; frames and scores
    without a counterpart are ignored, and so are frames that are not finite.

    Args:
        frames: (F,) frame numbers, in any order and possibly with decimals.
        scores: (S,) their scores.
        duration_s: length of the video in seconds.
        rule: ``"exact"``: clip = floor(frame); frames outside the video are ignored. ``"timechat"``: what TimeChat's converter makes of 2i
            seconds, t: nothing if t > duration_s, else clip max(0, int((t - 1) / 2)), which is one clip early for whole numbers above 0.

    Returns:
        (clips,) the mean of the scores that fall on a clip, 0 where there is none.
    """
    if rule not in get_args(Rule):
        raise NumProError(f"rule must be one of {get_args(Rule)}, got {rule!r}")
    count = clip_count(duration_s)
    numbers, values = np.asarray(frames, dtype=np.float64).ravel(), np.asarray(scores, dtype=np.float64).ravel()
    pairs = min(len(numbers), len(values))
    numbers, values = numbers[:pairs], values[:pairs]
    if rule == "exact":
        places = np.floor(numbers)
    else:
        # (2i - 1) / 2 = i - 0.5; in this form numbers near the end of the float range do not overflow.
        shown = np.isfinite(numbers) & (numbers <= duration_s / CLIP_S)
        places = np.where(shown, np.floor(np.maximum(numbers - 0.5, 0)), -1)
    inside = (places >= 0) & (places < count)
    clips = places[inside].astype(np.int64)
    total = np.bincount(clips, weights=values[inside], minlength=count)
    return total / np.maximum(np.bincount(clips, minlength=count), 1)


def highlight_items(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike]) -> HighlightItems:
    """Average precision and hit of every query.

    Args:
        predictions: N arrays (P,) of saliency per clip, on any scale: only the order counts. Clips without a prediction get 0, predictions
            beyond the last clip are cut off for the average precision, and never a hit if the highest. NaN ranks lowest.
        truths: N arrays (C, A) of annotators' scores, see :func:`saliency_matrix`; A is the same for all queries.

    Raises:
        NumProError: not as many predictions as truths, or an array of the wrong shape.
    """
    if len(predictions) != len(truths):
        raise NumProError(f"there must be one prediction per truth, got {len(predictions)} and {len(truths)}")
    scores = [_prediction(values, query) for query, values in enumerate(predictions)]
    true, real = _padded_truths(truths)
    positive = [true >= minimum for minimum in LEVELS.values()]
    width = real.shape[1]
    cut, _ = pad_rows([s[:width, None] for s in scores], columns=1, at_least=width)
    order, closes = _ranking(np.where(real, cut[..., 0], -math.inf), real)
    ap = [_average_precision(np.take_along_axis(p, order[..., None], axis=1), closes) for p in positive]
    # A prediction that is NaN (or minus infinity) throughout predicts no clip, and a clip beyond the video is not a highlight.
    peaks = np.array([np.argmax(s) if s.max(initial=-math.inf) > -math.inf else width for s in scores], dtype=np.int64)
    rows = np.flatnonzero(peaks < real.sum(axis=1))
    hit = np.zeros((len(true), len(LEVELS)), dtype=bool)
    hit[rows] = np.stack([p[rows, peaks[rows]].any(axis=-1) for p in positive], axis=1)
    return HighlightItems(np.stack(ap, axis=1), hit)


def query_highlight_scores(prediction: ArrayLike, truth: ArrayLike) -> list[tuple[float, float]]:
    """One query's (average precision, hit) at each of ``LEVELS``, both in [0, 1]; their means over all queries are mAP and HIT@1.

    Args:
        prediction: (P,) as in :func:`highlight_items`.
        truth: (C, A), over whose annotators the average precision is averaged.
    """
    items = highlight_items([prediction], [truth])
    return [(float(ap), float(hit)) for ap, hit in zip(items.ap[0].mean(axis=-1), items.hit[0], strict=True)]


def highlight_means(items: HighlightItems) -> dict[str, float]:
    """The means over all queries (and annotators), in percent, under moment_detr's names; NaN for no queries at all."""
    scores: dict[str, float] = {}
    for k, level in enumerate(LEVELS):
        for name, values in (("mAP", items.ap[:, k]), ("Hit1", items.hit[:, k])):
            scores[f"HL-min-{level}-{name}"] = float(values.mean() * 100) if values.size else math.nan
    return scores


def pad_rows(rows: Sequence[NDArray[np.float64]], *, columns: int, at_least: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Stack arrays of unequal length, padded with 0.

    Args:
        rows: N arrays (L, columns).
        columns: number of columns, needed in case there are no rows.
        at_least: minimum length L of the result.

    Returns:
        (N, L, columns), and (N, L) True where a value is not padding; L is the longest row's length.
    """
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    real = np.arange(lengths.max(initial=at_least)) < lengths[:, None]
    padded = np.zeros((*real.shape, columns))
    padded[real] = np.concatenate([np.zeros((0, columns)), *rows])
    return padded, real


def _prediction(values: ArrayLike, query: int) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise NumProError(f"the prediction of query {query} must have shape (P,), got {scores.shape}")
    return np.where(np.isnan(scores), -math.inf, scores)


def _padded_truths(truths: Sequence[ArrayLike]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rows = [np.asarray(values, dtype=np.float64) for values in truths]
    annotators = rows[0].shape[-1] if rows and rows[0].ndim else ANNOTATORS
    for query, row in enumerate(rows):
        if row.ndim != 2 or row.shape[1] != annotators or not annotators:
            raise NumProError(f"the truth of query {query} must have shape (clips, annotators) like all others, got {row.shape}")
    return pad_rows(rows, columns=annotators)


def _ranking(scores: NDArray[np.float64], real: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Clips by falling score, (N, C), and where in that order a group of equal scores ends.

    The sort is stable and padding is at the end of its row, so it ends up after every clip, even one that scores minus infinity.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    closes = real.copy()
    # The last clip of a video closes a group whatever follows; before it the score must change.
    closes[:, :-1] &= (ranked[:, :-1] != ranked[:, 1:]) | ~real[:, 1:]
    return order, closes


def _average_precision(positive: NDArray[np.bool_], closes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, A) from (N, C, A) in ranked order. The curve has a point only where a group of equal scores ends."""
    closed = np.where(closes[..., None], np.cumsum(positive, axis=1), 0)
    precision = closed / np.arange(1, positive.shape[1] + 1)[:, None]
    # Recall grows along the order, so "at that or any higher recall" is the maximum from the right.
    interpolated = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    changes = np.diff(np.maximum.accumulate(closed, axis=1), axis=1, prepend=0) > 0
    return np.where(changes, interpolated, 0).sum(axis=1) / np.maximum(changes.sum(axis=1), 1)
