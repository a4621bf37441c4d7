"""Scores of anybody's prediction file, without a model. Every query that is missing, repeated or not understood is counted.

A file is read row by row, and of each row only its windows or its scores of clips are kept: memory grows with the number of queries, not
with the length of the answers.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.highlights import CLIP_S, HighlightItems, highlight_items, highlight_means, saliency_matrix
from numpro_plugin.metrics.moments import moment_scores, query_iou, span_iou
from numpro_plugin.metrics.windows import brief_scores as window_brief
from numpro_plugin.metrics.windows import window_tables
from numpro_plugin.reports.matching import Matching, Repeats
from numpro_plugin.reports.predictions import read_predictions
from numpro_plugin.reports.readings import Compatible, Reading, read_saliency, read_windows
from numpro_plugin.reports.truth import read_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from numpro_plugin.benchmarks.annotations import Query
    from numpro_plugin.encoding import AnswerUnit
    from numpro_plugin.reports.records import Prediction, Task

_REPEATS: dict[Compatible | None, Repeats] = {
    None: "first",
    "numpro": "each",  # it goes through a list
    "timechat": "last",  # these three fill a dict by id
    "moment_detr": "last",
    "timelens": "last",
}
_NOTHING = (math.nan, math.nan)

_CLIPS_AT_ONCE = 500_000
"""Of the queries whose highlights are scored together, each counted with as many clips as the longest."""


@dataclass
class Score:
    """Metrics of a file in percent, and what was counted on the way."""

    metrics: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """``queries`` scored; ``not predicted``; ``repeated`` (the first counts, or as the compatible script does); ``without truth`` (left
    out); ``not understood``; ``failed requests`` (no answer was given; they score 0). A file that also holds rows of another task, such
    as VTimeLLM's captioning, has ``captioning rows left out``."""
    tables: dict[str, Any] = field(default_factory=dict)
    """moment_detr's full tables, where windows were scored."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """A query with the reading that counts for it."""

    query: Query
    reading: Reading | None
    """None if nothing was predicted."""
    all_readings: Sequence[Reading] = ()
    """Of all rows with its id."""


def score_moments(
    predictions: Path,
    truth: Path | None = None,
    *,
    fps: float = 0.5,
    compatible: Compatible | None = None,
    unit: AnswerUnit = "frames",
) -> Score:
    """R@IoU and mIoU, and moment_detr's figures where a query has several windows.

    Args:
        predictions: any file that `read_predictions` knows.
        truth: any file that `read_truth` knows; not needed where the predictions state it.
        fps: numbers per second that responses speak in, unless the file says so.
        compatible: exactly what one script does. ``numpro`` reads only its own pattern, scores reversed spans 0 and counts every row of a
            repeated id. ``timechat`` reads the same, orders the ends of spans in words as its converter does, scores reversed spans of its
            files 0, and of a repeated id counts the last. ``timelens`` reads answers in seconds by its own rule and scores reversed spans
            0; the last counts. ``moment_detr`` lets windows whose union is 0 count as hits in mAP; R@1 takes the last row of a repeated id,
            mAP the windows of all. All of them score only what was predicted; by default a query without a prediction scores 0.
        unit: what responses were asked to count, unless the file says so.

    Raises:
        NumProError: a file cannot be read or is of the other task, or the truth does not fit.
    """
    rows = _Rows(predictions, "moment", fps)
    remaining = iter(rows)
    if truth is None and (first := next(remaining)).iou is not None:
        return _stated_iou(predictions, itertools.chain([first], remaining), rows.left_out)
    if truth is None:
        remaining = itertools.chain([first], remaining)
    known = _with_spans(truth, read_truth(truth)) if truth else {}
    matching = Matching(predictions, truth, known, repeats=_REPEATS[compatible])
    scored, counts = _scored(remaining, matching, _REPEATS[compatible], compatible, partial(read_windows, unit=unit), fps)
    scored, counts = _of_spans(predictions, scored, counts)
    score = Score(counts={**counts, **rows.left_out})
    windows = [one.reading.values if one.reading else np.zeros((0, 3)) for one in scored]
    score.metrics = moment_scores(
        [_iou(row[0, :2] if len(row) else _NOTHING, one.query, compatible) for row, one in zip(windows, scored, strict=True)]
    )
    if any(one.query.extra.get("relevant_clip_ids") is not None for one in scored) or any(len(row) > 1 for row in windows):
        score.tables = _tables(windows, scored, compatible)
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
    rows = _Rows(predictions, "highlight", fps)
    # NumPro's highlights are scored by TimeChat's script, which keeps the last row of an id.
    repeats: Repeats = "last" if compatible else "first"
    matching = Matching(predictions, truth, _with_saliency(truth, read_truth(truth)) if truth else {}, repeats=repeats)
    scored, counts = _scored(iter(rows), matching, repeats, compatible, read_saliency, fps)
    items = _items(scored)
    unanswered = [k for k, one in enumerate(scored) if one.reading is None or (one.reading.failed and compatible is None)]
    items.ap[unanswered], items.hit[unanswered] = 0.0, False
    return Score(highlight_means(items), {**counts, **rows.left_out})


class _Rows:
    """The predictions of a file that answer one of the two tasks; a file of the other one is refused.

    Args:
        path: any file that `read_predictions` knows.
        task: which of the two.
        fps: checked here.
    """

    def __init__(self, path: Path, task: Task, fps: float) -> None:
        if not 0 < fps < math.inf:
            raise NumProError(f"fps={fps} must be a number above 0")
        self._path, self._task = path, task
        self.left_out: Counter[str] = Counter()
        """How many rows answer something else, once all have been read."""

    def __iter__(self) -> Iterator[Prediction]:
        empty = True
        for row in read_predictions(self._path):
            if row.other_task is not None:
                self.left_out[f"{row.other_task} rows left out"] += 1
                continue
            self._check(row)
            empty = False
            yield row
        if empty:
            found = ", ".join(f"{count} {name}" for name, count in self.left_out.items())
            raise NumProError(f"{self._path}: holds no {self._task} prediction ({found})")

    def _check(self, row: Prediction) -> None:
        task, other = self._task, "highlight" if self._task == "moment" else "moment"
        fields = (row.windows, row.percent, row.response) if task == "moment" else (row.saliency, row.highlights, row.response)
        if row.task == other or (row.failure is None and all(value is None for value in fields)):
            what = f"is a {other} prediction" if row.task == other else "predicts no window" if task == "moment" else "predicts no saliency"
            raise NumProError(f"{self._path}: id {row.id!r} {what}, so it has no {task} score; use: numpro score {other} {self._path}")


def _stated_iou(path: Path, rows: Iterator[Prediction], left_out: Mapping[str, int]) -> Score:
    """Of rows that state their IoU, as VTimeLLM's log does: every row counts, as in its script."""
    values: list[float] = []
    ids: set[str] = set()
    counts: Counter[str] = Counter()
    for row in rows:
        if row.iou is None:
            raise NumProError(f"{path}: id {row.id!r} states no IoU, unlike the rows before it; score them by themselves, or give --truth")
        values.append(row.iou)
        ids.add(row.id)
        counts["not understood"] += row.percent is None and row.failure is None
        counts["failed requests"] += row.failure is not None
    found = {"queries": len(values), "not predicted": 0, "repeated": len(values) - len(ids), "without truth": 0}
    return Score(moment_scores(values), {**found, **counts, **left_out})


def _with_spans(path: Path, known: dict[str, Query]) -> dict[str, Query]:
    """The queries that have a span: one's own need not."""
    found = {key: query for key, query in known.items() if query.spans_s}
    if not found:
        raise NumProError(f"{path}: none of its {len(known)} queries has an annotated span; there is nothing to score them by")
    return found


def _of_spans(path: Path, scored: list[_Scored], counts: dict[str, int]) -> tuple[list[_Scored], dict[str, int]]:
    """Without the queries of a set that say themselves that they have no span: there is nothing to score a single one by."""
    found = [one for one in scored if one.query.spans_s]
    if not found:
        raise NumProError(f"{path}: none of its {len(scored)} queries has an annotated span; use: numpro score set {path}")
    without = len(scored) - len(found)
    return found, {**counts, "queries": len(found), "without truth": counts["without truth"] + without}


def _with_saliency(path: Path, known: dict[str, Query]) -> dict[str, Query]:
    for key, query in known.items():
        if query.extra.get("relevant_clip_ids") is None:
            raise NumProError(f"{path}: query {key} has no saliency scores; give --truth highlight_val_release.jsonl")
    return known


def _scored(
    rows: Iterator[Prediction],
    matching: Matching,
    repeats: Repeats,
    compatible: Compatible | None,
    read: Callable[[Prediction, Query, float, Compatible | None], Reading],
    fps: float,
) -> tuple[list[_Scored], dict[str, int]]:
    """Every query with the reading that counts for it, in the truth's order, and how many were what."""
    readings: dict[str, list[Reading]] = {}
    for row in rows:
        if (query := matching.query_of(row)) is not None:
            readings.setdefault(query.id, []).append(read(row, query, fps, compatible))
    counts = matching.finish()
    scored: list[_Scored] = []
    for key, query in matching.queries.items():
        found = readings.get(key, [])
        counted = found if repeats == "each" else found[:1] if repeats == "first" else found[-1:]
        scored += [_Scored(query, reading, found) for reading in counted]
        if not found and not compatible:  # the scripts leave out what was not predicted
            scored.append(_Scored(query, None))
    if compatible:
        counts["not predicted"] = 0
    given = [one.reading for one in scored if one.reading is not None]
    understood = {"not understood": sum(not one.understood for one in given), "failed requests": sum(one.failed for one in given)}
    return scored, {"queries": len(scored), **counts, **understood}


def _iou(span: ArrayLike, query: Query, compatible: Compatible | None) -> float:
    if compatible is None:
        return float(query_iou(span, query.spans_s, annotators=query.extra.get("annotators")))
    rule: Literal["swap", "zero"] = "swap" if compatible == "moment_detr" else "zero"
    return float(span_iou(span, query.spans_s, reversed_spans=rule).max())


def _tables(windows: list[NDArray[np.float64]], scored: list[_Scored], compatible: Compatible | None) -> dict[str, Any]:
    true = [np.sort(np.array(one.query.spans_s), axis=1) for one in scored]
    raw = compatible == "moment_detr"
    tables = window_tables(windows, true, raw=raw)
    if raw and any(len(one.all_readings) > 1 for one in scored):
        # The script gathers the windows of all rows of an id for mAP, and keeps only its last row for R@1.
        of_all = [np.concatenate([np.zeros((0, 3)), *(reading.values for reading in one.all_readings)]) for one in scored]
        gathered = window_tables(of_all, true, raw=True, most=None)
        tables = {name: {"MR-mAP": gathered[name]["MR-mAP"], "MR-R1": table["MR-R1"]} for name, table in tables.items()}
    return tables


def _items(scored: list[_Scored]) -> HighlightItems:
    """The highlight scores of each query. Their arrays are padded to the longest video, so they are not made for all at once."""
    found: list[HighlightItems] = []
    batch: list[_Scored] = []
    longest = 0
    for one in [*scored, None]:
        clips = one.query.extra["clips"] if one else 0
        if batch and (one is None or max(longest, clips) * (len(batch) + 1) > _CLIPS_AT_ONCE):
            truths = [
                saliency_matrix(float(query.extra["clips"] * CLIP_S), query.extra["relevant_clip_ids"], query.extra["saliency_scores"])
                for query in (each.query for each in batch)
            ]
            found.append(highlight_items([each.reading.values if each.reading else np.zeros(0) for each in batch], truths))
            batch, longest = [], 0
        if one:
            batch.append(one)
            longest = max(longest, clips)
    return HighlightItems(np.concatenate([items.ap for items in found]), np.concatenate([items.hit for items in found]))
