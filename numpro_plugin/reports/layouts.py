"""The layouts of prediction files, one function each: a row of the file -> `Prediction`.

Every function raises KeyError, ValueError or TypeError for a row that is not what its layout says; the caller adds file and line.
"""

from __future__ import annotations

import json
import re
from typing import Any

from numpro_plugin.benchmarks.annotations import Query, span
from numpro_plugin.benchmarks.readers.qvhighlights import saliency_columns
from numpro_plugin.reports.records import (
    Prediction,
    failure_of,
    failure_of_sample,
    first_text,
    fps_of,
    id_of,
    saliency_of,
    text_of,
    unit_of,
    windows_of,
)
from numpro_plugin.reports.seconds_text import Span, charades_span, timelens_span

KNOWN = """\
Read are, by content: NumPro's JSON lists (moment: response, gt_start, gt_end; highlight: qid, pred), TimeChat's and TRACE's prediction
files (tvg: {id: {timestamp: ...}}; vhd: qid, pred_saliency_scores; TRACE's raw lists: id, timestamps, scores, captions), moment_detr
submissions (JSON lines: qid, pred_relevant_windows and/or pred_saliency_scores), TimeLens's ({"video>>>query>>>span": ...}), VTimeLLM's
logs (video_id, task, answer, info), VUE-TR's results (query_id, answer), and lmms-eval's samples_*.jsonl of NumPro's tasks,
temporal_grounding_charades and timelens_*."""

_JOINT = ">>>"


def recognise(row: dict[str, Any]) -> list[Prediction] | None:
    """The predictions of a row by the layout that its keys give away; None if no layout has such keys.

    A list, because a line of TimeLens's files may hold several.
    """
    if isinstance(row.get("numpro"), dict) and "filtered_resps" in row:
        return [numpro_sample(row)]
    if keyed := next((value for key, value in row.items() if key.startswith(("charades_sta_", "timelens_")) and is_keyed(value)), None):
        return keyed_answers(keyed)
    if is_keyed(row):
        return keyed_answers(row)
    if "query_id" in row and isinstance(row.get("answer"), list):
        return [vue_tr(row)]
    if "video_id" in row and "answer" in row and "task" in row:
        return [vtimellm(row)]
    if "timestamps" in row and "captions" in row and "id" in row:
        return [trace(row)]
    if "response" in row and ("id" in row or "qid" in row):
        return [numpro_moment(row)]
    if "pred" in row and "qid" in row:
        return [numpro_highlight(row)]
    if "qid" in row and ("pred_relevant_windows" in row or "pred_saliency_scores" in row):
        return [moment_detr(row)]
    return None


def is_keyed(content: Any) -> bool:
    """Whether a JSON object is TimeLens's: its keys are ``video>>>query>>>span``."""
    return isinstance(content, dict) and bool(content) and all(key.count(_JOINT) >= 2 for key in content)


def is_of_id(value: Any) -> bool:
    """Whether what stands under an id is TimeChat's or TRACE's: an object with ``timestamp`` or, where nothing was found, empty."""
    return isinstance(value, dict) and (not value or "timestamp" in value)


def numpro_moment(row: dict[str, Any]) -> Prediction:
    """NumPro's list of moments; ``id`` may be the video's, then every row is a query of its own."""
    key, response = id_of(row["id"] if "id" in row else row["qid"]), text_of(row, "response")
    truth = None
    if row.get("gt_start") is not None and row.get("gt_end") is not None:
        truth = Query(key, str(row.get("video") or ""), text_of(row, "query") or "", (span([row["gt_start"], row["gt_end"]]),))
    windows = row.get("pred_relevant_windows")
    return Prediction(
        key,
        text_of(row, "query"),
        "moment",
        response=response,
        windows=None if windows is None else windows_of(windows, "pred_relevant_windows"),
        truth=truth,
        failure=failure_of(response),
    )


def numpro_highlight(row: dict[str, Any]) -> Prediction:
    """NumPro's list of highlights: ``pred`` is the answer, or a list that begins with it."""
    answer = first_text(row["pred"], "pred")
    return Prediction(id_of(row["qid"]), text_of(row, "query"), "highlight", response=answer, failure=failure_of(answer))


def moment_detr(row: dict[str, Any]) -> Prediction:
    """A row of moment_detr's submissions or of TimeChat's saliency files."""
    windows, saliency = row.get("pred_relevant_windows"), row.get("pred_saliency_scores")
    return Prediction(
        id_of(row["qid"]),
        text_of(row, "query"),
        windows=None if windows is None else windows_of(windows, "pred_relevant_windows"),
        saliency=None if saliency is None else saliency_of(saliency, "pred_saliency_scores"),
    )


def numpro_sample(row: dict[str, Any]) -> Prediction:
    """A sample that lmms-eval logged of a NumPro task."""
    logged = row["numpro"]
    response = first_text(row["filtered_resps"], "filtered_resps")
    key, query = id_of(logged["id"]), text_of(logged, "query")
    truth = None
    if logged.get("truth_s") or "set_iou" in logged:
        extra = {"annotators": [span(one) for one in logged["annotators_s"]]} if logged.get("annotators_s") else {}
        duration_s = fps_of(logged.get("duration_s") or None)
        truth = Query(key, "", query or "", tuple(span(one) for one in logged["truth_s"]), duration_s=duration_s, extra=extra)
    elif "truth_s" not in logged and logged.get("relevant_clip_ids") is not None:
        truth = Query(key, "", query or "", (), extra=saliency_columns(logged, logged["clips"]))
    return Prediction(
        key,
        query,
        "moment" if "truth_s" in logged else "highlight" if "relevant_clip_ids" in logged else None,
        response=response,
        fps=fps_of(logged.get("fps")),
        unit=unit_of(logged.get("settings")),
        truth=truth,
        failure=failure_of_sample(row),
    )


def vue_tr(row: dict[str, Any]) -> Prediction:
    """A row of VUE-TR's results: all spans of a query in seconds, none included."""
    return Prediction(id_of(row["query_id"]), text_of(row, "query"), "moment", windows=windows_of(row["answer"], "answer"))


def by_id(key: str, row: dict[str, Any]) -> Prediction:
    """TimeChat's ``{id: {timestamp: [[start, end]], query}}``, and TRACE's, whose timestamp is one pair and whose query is its caption."""
    windows = row.get("timestamp", [])
    is_trace = not row or (isinstance(windows, list) and len(windows) == 2 and not any(isinstance(end, list) for end in windows))
    checked = windows_of([windows] if is_trace and windows else windows, "timestamp")
    return Prediction(key, None if is_trace else text_of(row, "query"), "moment", windows=checked)


def trace(row: dict[str, Any]) -> Prediction:
    """TRACE's raw list: events in order, each with a time or a span and, for highlights, a score. Its captions are no queries."""
    times = [saliency_of(event, "timestamps") for event in row["timestamps"]]
    scores = [saliency_of(event, "scores") for event in row.get("scores") or []]
    spans = [times[k] for k in range(min(len(times), len(row["captions"]))) if len(times[k]) == 2]
    marks = [(t[0], s[0]) for t, s in zip(times, scores, strict=False) if t and s]
    return Prediction(id_of(row["id"]), windows=spans[:1], highlights=marks)


def keyed_answers(rows: dict[str, Any]) -> list[Prediction]:
    """``{"video>>>query>>>span": answer}``: TimeLens's own files (timestamps, answers) and what lmms-eval's tasks write (words)."""
    return [_keyed_answer(key, answer) for key, answer in rows.items()]


def _keyed_answer(key: str, answer: Any) -> Prediction:
    video, rest = key.split(_JOINT, 1)
    query, written = rest.rsplit(_JOINT, 1)
    try:
        spans = json.loads(written.replace("(", "[").replace(")", "]"))
    except ValueError:
        raise ValueError(f"the key must end in a span such as [4.0, 9.5], got {key!r}") from None
    is_list = isinstance(spans, list) and bool(spans) and isinstance(spans[0], list)
    truth = Query(key, video, query, tuple(span(one) for one in (spans if is_list else [spans])))
    text: str | None = None
    if isinstance(answer, dict) and "timestamps" in answer:
        windows = windows_of(answer["timestamps"], "timestamps")
    else:
        text = text_of(answer, "answers") if isinstance(answer, dict) else first_text(answer, "the answer")
        # lmms-eval's Charades task writes one flat span, TimeLens and its tasks a list of spans.
        found = _reading(text or "", timelens=is_list or isinstance(answer, dict))
        windows = [list(found)] if found else []
        text = text or ""
    return Prediction(key, query, "moment", windows=windows, truth=truth, failure=None if text is None else failure_of(text))


def _reading(text: str, *, timelens: bool) -> Span | None:
    return timelens_span(text) if timelens else charades_span(text)


def vtimellm(row: dict[str, Any]) -> Prediction:
    """A line of VTimeLLM's log: hundredths of the video's duration in words, and the IoU as its script rounded it. A line of another task
    (captioning) is no prediction of a moment."""
    if row["task"] != "grounding":
        return Prediction(id_of(row["video_id"]), other_task=text_of(row, "task") or "")
    info, answer = row["info"], text_of(row, "answer") or ""
    found = re.search(r"(\d{2}) (?:to|and) (\d{2})", answer)
    key = f"{id_of(row['video_id'])}:{id_of(info['sentence_id'])}"
    iou = info["iou"]
    if isinstance(iou, bool) or not isinstance(iou, (int, float)) or not 0 <= iou <= 1:
        raise ValueError(f"info.iou must be a number from 0 to 1, got {iou!r}")
    percent = (float(found[1]), float(found[2])) if found else None
    windows: list[list[float]] | None = None if found else []
    return Prediction(key, None, "moment", windows=windows, percent=percent, iou=float(iou), failure=failure_of(answer))
