"""Scores of a prediction file where all moments of a query are asked for: IoU of sets, without a model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpro_plugin.answers.reading import read_set
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.text_files import file_kind, read_json
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.sets import set_iou, set_scores
from numpro_plugin.reports.predictions import read_predictions
from numpro_plugin.reports.score import Score
from numpro_plugin.reports.truth import read_truth
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from pathlib import Path

    from numpro_plugin.benchmarks.annotations import Query
    from numpro_plugin.encoding import AnswerUnit
    from numpro_plugin.reports.records import Prediction

_OFFICIAL = {"query_modality": "vue_tr", "answering_time_interval": "momentseeker"}
"""Benchmarks whose official file is a list, by a key that its rows have and no other file."""


def score_sets(predictions: Path, truth: Path | None = None, *, fps: float = 0.5, unit: AnswerUnit = "frames") -> Score:
    """``R1_set`` and ``mIoU_set`` in percent.

    All windows of a prediction are its set, whatever their scores. A query without a prediction scores 0, and so do an answer that was not
    understood and a failed request; of a repeated id the first row counts.

    Args:
        predictions: any file that `read_predictions` knows, VUE-TR's result files among them.
        truth: the official file of VUE-TR, MomentSeeker or Ego4D-NLQ, a prepared table, or any file that `read_truth` knows; not needed
            where the predictions state it.
        fps: numbers per second that responses speak in, unless the file says so.
        unit: what responses were asked to count, unless the file says so.

    Raises:
        NumProError: a file cannot be read, or no prediction is of a query of the truth.
    """
    if not 0 < fps < math.inf:
        raise NumProError(f"fps={fps} must be a number above 0")
    known = _truth(truth) if truth else {}
    counts = dict.fromkeys(("queries", "not predicted", "repeated", "without truth", "not understood", "failed requests"), 0)
    iou: dict[str, float] = {}
    for row in read_predictions(predictions):
        if row.truth is not None and truth is None:
            known.setdefault(row.id, row.truth)
        if row.id not in known:
            counts["without truth"] += 1
        elif row.id in iou:
            counts["repeated"] += 1
        else:
            spans_s, problem = _spans(predictions, row, known[row.id], fps, unit)
            iou[row.id] = 0.0 if problem else set_iou(spans_s, known[row.id].spans_s)
            if problem:
                counts[problem] += 1
    if not iou:
        where = f"{truth}: has" if truth else f"{predictions}: states no truth; give --truth FILE. It has"
        raise NumProError(f"{where} none of the {counts['without truth']} queries that {predictions} predicts")
    counts["queries"], counts["not predicted"] = len(known), len(known) - len(iou)
    return Score(set_scores([iou.get(key, 0.0) for key in known]), counts)


def _truth(path: Path) -> dict[str, Query]:
    """The truth by id; rows that the benchmark leaves out have none."""
    queries = None
    if file_kind(path) == "json":
        content: Any = read_json(path)
        if isinstance(content, dict) and "videos" in content:
            queries = BENCHMARKS["ego4d_nlq"].read_annotations(path)
        elif isinstance(content, list) and content and isinstance(content[0], dict):
            names = [name for key, name in _OFFICIAL.items() if key in content[0]]
            queries = BENCHMARKS[names[0]].read_annotations(path) if names else None
    return read_truth(path) if queries is None else {query.id: query for query in queries if not query.left_out}


def _spans(path: Path, row: Prediction, query: Query, fps: float, unit: AnswerUnit) -> tuple[list[list[float]], str]:
    """The predicted spans in seconds, and why there are none to score (a name among the counts), if so."""
    if row.failure:
        return [], "failed requests"
    if row.windows is not None:
        return [window[:2] for window in row.windows], ""
    if row.response is None:
        raise NumProError(f"{path}: id {row.id!r} predicts no spans, so it has no set score")
    timeline = Timeline(query.duration_s or 0, row.fps or fps)
    answer = read_set(row.response, row.unit or unit, timeline)
    return [list(span) for span in answer.spans_s], "not understood" if answer.spans is None else ""
