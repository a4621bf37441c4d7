"""Anybody's prediction and truth files, known by their content, as one kind of record.

Read are: NumPro's result JSON, TimeChat's prediction files, moment_detr's submissions, lmms-eval's sample logs; and as truth every
official annotation file, TimeChat's ground truth and prepared tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.annotations import Query, check_ids, seconds, span
from numpro_plugin.benchmarks.table import read_rows
from numpro_plugin.benchmarks.text_files import read_json, read_jsonl
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_READ = """\
Read are, by content: NumPro's JSON lists (moment: response, gt_start, gt_end; highlight: qid, pred), TimeChat's prediction files
(tvg: {id: {timestamp: ...}}; vhd: qid, pred_saliency_scores), moment_detr submissions (JSON lines: qid, pred_relevant_windows and/or
pred_saliency_scores) and lmms-eval's samples_*.jsonl of NumPro's tasks."""


@dataclass(frozen=True)
class Prediction:
    """What was predicted for one query; what a file does not have is None."""

    id: str
    query: str | None = None
    response: str | None = None
    """A model's words."""
    windows: list[list[float]] | None = None
    """[start, end] or [start, end, score] in seconds, best first."""
    saliency: list[float] | None = None
    """One score per clip of two seconds."""
    fps: float | None = None
    """Numbers per second that the response speaks in, where the file says it."""
    truth: Query | None = None
    """What the file itself says of the truth."""


def read_predictions(path: Path) -> list[Prediction]:
    """Every prediction of a file, in its order, repeated ids included.

    Raises:
        NumProError: not one of the known kinds, or broken, with the line.
    """
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return [_known(path, number, row) for number, row in read_jsonl(path)]
    content = read_json(path)
    if isinstance(content, dict) and content and all(isinstance(v, dict) and "timestamp" in v for v in content.values()):
        return [_timechat_tvg(path, key, value) for key, value in content.items()]
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return [_known(path, position, row) for position, row in enumerate(content)]
    raise NumProError(f"{path}: is no prediction file that is known here.\n{_READ}")


def _known(path: Path, number: int, row: dict[str, Any]) -> Prediction:
    try:
        if isinstance(row.get("numpro"), dict) and "filtered_resps" in row:
            return _lmms_eval(row)
        if "response" in row and ("id" in row or "qid" in row):
            return _numpro_moment(row)
        if "pred" in row and "qid" in row:
            said = row["pred"][0] if isinstance(row["pred"], list) and row["pred"] else row["pred"]
            return Prediction(str(row["qid"]), row.get("query"), response=said if isinstance(said, str) else "")
        if "qid" in row and ("pred_relevant_windows" in row or "pred_saliency_scores" in row):
            windows, saliency = row.get("pred_relevant_windows"), row.get("pred_saliency_scores")
            return Prediction(str(row["qid"]), row.get("query"), windows=windows, saliency=saliency)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise NumProError(f"{path}:{number}: {type(error).__name__}: {error}") from None
    raise NumProError(f"{path}:{number}: is no prediction that is known here (keys: {', '.join(list(row)[:8])}).\n{_READ}")


def _numpro_moment(row: dict[str, Any]) -> Prediction:
    key = str(row.get("id", row.get("qid")))
    response = row["response"] if isinstance(row["response"], str) else ""
    truth = None
    if row.get("gt_start") is not None and row.get("gt_end") is not None:
        truth = Query(key, str(row.get("video", "")), str(row.get("query", "")), (span([row["gt_start"], row["gt_end"]]),))
    return Prediction(key, row.get("query"), response=response, windows=row.get("pred_relevant_windows"), truth=truth)


def _lmms_eval(row: dict[str, Any]) -> Prediction:
    said = row["numpro"]
    response = row["filtered_resps"]
    while isinstance(response, list):
        response = response[0] if response else ""
    truth = None
    if said.get("truth_s"):
        extra = {"annotators": said["annotators_s"]} if said.get("annotators_s") else {}
        truth = Query(said["id"], "", said.get("query", ""), tuple(span(one) for one in said["truth_s"]), extra=extra)
    elif said.get("relevant_clip_ids") is not None:
        extra = {key: said[key] for key in ("clips", "relevant_clip_ids", "saliency_scores")}
        truth = Query(said["id"], "", said.get("query", ""), (), extra=extra)
    return Prediction(str(said["id"]), said.get("query"), response=response, fps=said.get("fps"), truth=truth)


def _timechat_tvg(path: Path, key: str, row: dict[str, Any]) -> Prediction:
    windows = row["timestamp"]
    if not isinstance(windows, list) or not all(isinstance(w, list) and len(w) == 2 for w in windows):
        raise NumProError(f"{path}: id {key!r}: timestamp must be a list of [start, end], got {windows!r}")
    return Prediction(key, row.get("query"), windows=windows)


def read_truth(path: Path) -> dict[str, Query]:
    """The truth by query id, from an official annotation file, TimeChat's ground truth, or a prepared table.

    Raises:
        NumProError: not one of the known kinds, broken, or with ids that occur twice.
    """
    return {query.id: query for query in check_ids(path, _truth_queries(path))}


def _truth_queries(path: Path) -> list[Query]:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return [_table_row(row) for row in read_rows(path)]
    if name.endswith(".txt"):
        return BENCHMARKS["charades"].read_annotations(path)
    if name.endswith(".jsonl"):
        first = next((row for _, row in read_jsonl(path)), {})
        return BENCHMARKS["qvhighlights" if "qid" in first else "custom"].read_annotations(path)
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        return [_timechat_truth(path, k, row) for k, row in enumerate(content["annotations"])]
    if isinstance(content, dict):
        return BENCHMARKS["activitynet"].read_annotations(path)
    has_chunks = isinstance(content, list) and content and isinstance(content[0], dict) and "times" in content[0]
    return BENCHMARKS["didemo" if has_chunks else "custom"].read_annotations(path)


def _table_row(row: dict[str, Any]) -> Query:
    extra = {key: row[key] for key in ("annotators", "clips", "relevant_clip_ids", "saliency_scores") if row.get(key) is not None}
    return Query(row["id"], row["video"], row["query"], tuple(span(one) for one in row["spans_s"]), seconds(row["duration_s"]), extra=extra)


def _timechat_truth(path: Path, position: int, row: dict[str, Any]) -> Query:
    try:
        return Query(str(row["id"]), str(row["image_id"]), str(row["caption"]), (span(row["timestamp"]),))
    except (KeyError, ValueError, TypeError) as error:
        raise NumProError(f"{path}: annotation {position}: {type(error).__name__}: {error}") from None
