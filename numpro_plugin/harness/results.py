"""Model's words -> scores: lmms-eval's ``process_results`` of every task. Metrics are in percent, so their mean is the score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.answers.highlights import HighlightAnswer, parse_highlights
from numpro_plugin.answers.moments import MomentAnswer, parse_moment
from numpro_plugin.answers.timechat import parse_highlights_timechat
from numpro_plugin.benchmarks.annotations import EXTRA_COLUMNS
from numpro_plugin.harness.session import task_settings
from numpro_plugin.harness.task import video_problem
from numpro_plugin.metrics.highlights import CLIP_S, LEVELS, Rule, clip_scores, query_highlight_scores, saliency_matrix
from numpro_plugin.metrics.moments import THRESHOLDS, query_iou, recall_name
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings

FAILURE_MARKER = "[LMMS_EVAL_REQUEST_FAILED"
"""How lmms-eval's API models begin the text that stands for a request without an answer."""


def moment_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
    """Score one moment answer; under ``numpro`` stands how the scores came about. Without annotated spans only failures are counted."""
    settings = task_settings()
    problem = _problem(doc, results)
    timeline = Timeline(doc["duration_s"], settings.fps)
    answer = MomentAnswer(None, None, problem) if problem else parse_moment(results[0], last_number=timeline.count - 1)
    span_s = timeline.span_seconds(*answer.numbers) if answer.numbers else None
    reason = answer.reason
    if answer.unit == "seconds":
        reason += "; the task asks for frames, so this counts as not understood"
    said = {
        **_said(doc, timeline, settings),
        "parsed": _finite(answer.span),
        "unit": answer.unit,
        "span_s": _finite(span_s),
        "truth_s": doc["spans_s"],
        "reason": reason,
    }
    failures = {"parse_fail": 100.0 * (problem is None and span_s is None), "request_fail": 100.0 * (problem is not None)}
    if not doc["spans_s"]:
        return {**failures, "numpro": said}
    iou = float(query_iou(span_s, doc["spans_s"], annotators=doc.get("annotators"))) if span_s else 0.0
    recalls = {recall_name(t): 100.0 * (iou >= t) for t in THRESHOLDS}
    return {**recalls, "mIoU": 100.0 * iou, **failures, "numpro": {**said, "iou": iou}}


def highlight_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
    """Score one highlight answer: mAP and HIT@1 at VeryGood (plain names), Good and Fair.

    The plain metrics read the answer as a person would and take frame i for the clip that starts with it; those that end in
    ``_timechat`` do what TimeChat's converter does (one clip early, and its own parser).
    """
    settings = task_settings()
    problem = _problem(doc, results)
    text = "" if problem else results[0]
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
            **_said(doc, Timeline(doc["duration_s"], settings.fps), settings),
            "frames": list(answer.frames),
            "scores": list(answer.scores),
            "reason": answer.reason,
        },
    }


def _said(doc: Mapping[str, Any], timeline: Timeline, settings: NumProSettings) -> dict[str, Any]:
    """What every logged sample says: enough to score it again without the table."""
    numbers = kept_numbers(timeline.count, settings.max_frames).tolist()
    truth = {f"{key}_s" if key == "annotators" else key: doc[key] for key in EXTRA_COLUMNS if doc.get(key) is not None}
    return {"id": doc["id"], "query": doc["query"], "fps": settings.fps, "numbers": numbers, **truth}


def _problem(doc: Mapping[str, Any], results: list[str]) -> str | None:
    """Why there is no answer to score: an unreadable video, or a request that failed."""
    if problem := video_problem(doc):
        return problem
    text = results[0] if results else ""
    return f"the request failed: {text.strip()}" if text.lstrip().startswith(FAILURE_MARKER) else None


def _finite(span: tuple[float, float] | None) -> list[float] | None:
    """JSON has no infinity: a number of 400 digits is logged as the largest float."""
    return None if span is None else np.nan_to_num(np.asarray(span, dtype=np.float64)).tolist()
