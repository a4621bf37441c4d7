"""A model's words -> scores of one row. Metrics are in percent, so their mean is the score. Nothing here knows lmms-eval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.answers.highlights import HighlightAnswer, parse_highlights
from numpro_plugin.answers.moments import MomentAnswer, parse_moment
from numpro_plugin.answers.timechat import parse_highlights_timechat
from numpro_plugin.benchmarks.annotations import EXTRA_COLUMNS
from numpro_plugin.metrics.highlights import CLIP_S, LEVELS, Rule, clip_scores, query_highlight_scores, saliency_matrix
from numpro_plugin.metrics.moments import THRESHOLDS, query_iou, recall_name
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings


def moment_scores(doc: Mapping[str, Any], text: str, settings: NumProSettings, problem: str | None) -> dict[str, Any]:
    """Score one answer of moment retrieval; without annotated spans only failures are counted.

    Args:
        doc: row of a benchmark's table.
        text: the model's words.
        settings: how the video was shown.
        problem: why there is no answer, if there is none: counts as ``request_fail``.

    Returns:
        The metrics in percent, and under ``numpro`` how they came about (see `_log_entry`), with ``parsed``: the span as written;
        ``unit``: frames or seconds; ``span_s`` and ``truth_s``: spans in seconds; ``iou``: 0 to 1; ``reason``: how it was read.
    """
    answer = MomentAnswer(None, None, problem) if problem else parse_moment(text)
    timeline = Timeline(doc["duration_s"], settings.fps)
    span_s = timeline.span_seconds(*answer.numbers) if answer.numbers else None
    reason = answer.reason
    if answer.unit == "seconds":
        reason += "; the task asks for frames, so this counts as not understood"
    log_entry = {
        **_log_entry(doc, timeline, settings),
        "parsed": _finite(answer.span),
        "unit": answer.unit,
        "span_s": _finite(span_s),
        "truth_s": doc["spans_s"],
        "reason": reason,
    }
    failures = {"parse_fail": 100.0 * (problem is None and span_s is None), "request_fail": 100.0 * (problem is not None)}
    if not doc["spans_s"]:
        return {**failures, "numpro": log_entry}
    iou = float(query_iou(span_s, doc["spans_s"], annotators=doc.get("annotators"))) if span_s else 0.0
    recalls = {recall_name(t): 100.0 * (iou >= t) for t in THRESHOLDS}
    return {**recalls, "mIoU": 100.0 * iou, **failures, "numpro": {**log_entry, "iou": iou}}


def highlight_scores(doc: Mapping[str, Any], text: str, settings: NumProSettings, problem: str | None) -> dict[str, Any]:
    """Score one answer of highlight detection: mAP and HIT@1 at VeryGood (plain names), Good and Fair.

    The plain metrics read the answer as a person would and take frame i for the clip that starts with it; those that end in
    ``_timechat`` do what TimeChat's converter does (one clip early, and its own parser).

    Args:
        doc: row of a benchmark's table.
        text: the model's words.
        settings: how the video was shown.
        problem: why there is no answer, if there is none: counts as ``request_fail``.

    Returns:
        The metrics in percent, and under ``numpro`` how they came about (see `_log_entry`), with ``frames`` and ``scores`` as written
        and ``reason``: how they were read.
    """
    text = "" if problem else text
    answer = HighlightAnswer((), (), problem) if problem else parse_highlights(text, doc["query"])
    duration_s = float(doc["clips"] * CLIP_S)  # of the annotation: a real file may be a few frames shorter
    truth = saliency_matrix(duration_s, doc["relevant_clip_ids"], doc["saliency_scores"])
    scores: dict[str, float] = {}
    readings: list[tuple[str, Rule, HighlightAnswer]] = [("", "exact", answer), ("_timechat", "timechat", parse_highlights_timechat(text))]
    for suffix, rule, parsed in readings:
        # The rules speak of frames that are two seconds apart.
        frames = [frame / settings.fps / CLIP_S for frame in parsed.frames]
        clips = clip_scores(frames, parsed.scores, duration_s=duration_s, rule=rule)
        for level, (ap, hit) in zip(LEVELS, query_highlight_scores(clips, truth), strict=True):
            name = suffix if level == "VeryGood" else f"_{level}{suffix}"
            scores[f"mAP{name}"], scores[f"HIT@1{name}"] = 100.0 * ap, 100.0 * hit
    return {
        **scores,
        "parse_fail": 100.0 * (problem is None and not answer.understood),
        "request_fail": 100.0 * (problem is not None),
        "numpro": {
            **_log_entry(doc, Timeline(doc["duration_s"], settings.fps), settings),
            "frames": list(answer.frames),
            "scores": list(answer.scores),
            "reason": answer.reason,
        },
    }


def _log_entry(doc: Mapping[str, Any], timeline: Timeline, settings: NumProSettings) -> dict[str, Any]:
    """What every logged sample has: enough to score it again, or to draw it, without the table.

    ``id`` and ``query`` of the row; ``video``: path; ``duration_s``, and ``end_s`` where only the beginning is shown; ``settings``;
    ``fps``; ``numbers``: of the frames shown; and the truth beyond spans, for benchmarks that have it.
    """
    truth = {f"{key}_s" if key == "annotators" else key: doc[key] for key in EXTRA_COLUMNS if doc.get(key) is not None}
    end = {} if doc.get("end_s") is None else {"end_s": doc["end_s"]}
    return {
        "id": doc["id"],
        "query": doc["query"],
        "video": doc["video"],
        "duration_s": doc["duration_s"],
        **end,
        "settings": settings.to_dict(),
        "fps": settings.fps,
        "numbers": kept_numbers(timeline.count, settings.max_frames).tolist(),
        **truth,
    }


def _finite(span: tuple[float, float] | None) -> list[float] | None:
    """JSON has no infinity: a number of 400 digits is logged as the largest float."""
    return None if span is None else np.nan_to_num(np.asarray(span, dtype=np.float64)).tolist()
