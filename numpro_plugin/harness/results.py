"""A model's answer -> scores. Metrics are in percent, so that their mean is the score of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.answers.failures import failure_reason
from numpro_plugin.answers.highlights import HighlightAnswer, parse_highlights
from numpro_plugin.answers.reading import Reading, SetReading, read_moment, read_set
from numpro_plugin.answers.thoughts import UNCLOSED
from numpro_plugin.answers.timechat import parse_highlights_timechat
from numpro_plugin.benchmarks.annotations import EXTRA_COLUMNS
from numpro_plugin.metrics.highlights import CLIP_S, LEVELS, Rule, clip_scores, query_highlight_scores, saliency_matrix
from numpro_plugin.metrics.moments import THRESHOLDS, query_iou, recall_name
from numpro_plugin.metrics.sets import set_iou, set_recall_name
from numpro_plugin.metrics.windows import average_precision
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings


def moment_results(doc: Mapping[str, Any], answers: list[str], settings: NumProSettings, *, video_problem: str | None) -> dict[str, Any]:
    """Score one moment answer. Under ``numpro`` is logged how the scores came about. Without annotated spans only failures are counted.

    Args:
        doc: row of the prepared table.
        answers: the model's answer, alone in a list.
        settings: of the task.
        video_problem: why the video could not be shown, or None.
    """
    problem = video_problem or _failure(answers)
    timeline = Timeline(doc["duration_s"], settings.fps)
    unit = settings.encoding.answer
    answer = Reading(None, None, None, problem) if problem else read_moment(answers[0], unit, timeline)
    span_s, reason = answer.span_s, _reason(answer)
    if answer.span is not None and span_s is None:
        reason += f"; the task asks for {unit}, so this counts as not understood"
    logged = {
        **_logged(doc, timeline, settings),
        "parsed": _finite(answer.span),
        "unit": answer.unit,
        "span_s": _finite(span_s),
        "truth_s": doc["spans_s"],
        "reason": reason,
    }
    failures = {"parse_fail": 100.0 * (problem is None and span_s is None), "request_fail": 100.0 * (problem is not None)}
    if not doc["spans_s"]:
        return {**failures, "numpro": logged}
    iou = float(query_iou(span_s, doc["spans_s"], annotators=doc.get("annotators"))) if span_s else 0.0
    recalls = {recall_name(t): 100.0 * (iou >= t) for t in THRESHOLDS}
    return {**recalls, "mIoU": 100.0 * iou, **failures, "numpro": {**logged, "iou": iou}}


def set_results(doc: Mapping[str, Any], answers: list[str], settings: NumProSettings, *, video_problem: str | None) -> dict[str, Any]:
    """Score one answer about all moments: IoU of the two sets, average precision of its spans, and the first span as a moment answer.

    A query without annotated spans is answered right by "there is none"; it has no scores of single spans. What was not understood scores
    0. Arguments as for `moment_results`.
    """
    problem = video_problem or _failure(answers)
    timeline = Timeline(doc["duration_s"], settings.fps)
    answer = SetReading(None, (), problem) if problem else read_set(answers[0], settings.encoding.answer, timeline)
    spans_s = list(answer.spans_s)
    iou = 0.0 if answer.spans is None else set_iou(spans_s, doc["spans_s"])
    scores = {set_recall_name(t): 100.0 * (iou >= t) for t in THRESHOLDS} | {"mIoU_set": 100.0 * iou}
    if doc["spans_s"]:
        first = float(query_iou(spans_s[0], doc["spans_s"])) if spans_s else 0.0
        scores |= {recall_name(t): 100.0 * (first >= t) for t in THRESHOLDS} | {"mIoU": 100.0 * first}
        truth = np.sort(np.array(doc["spans_s"]), axis=1)
        scores["MR-full-mAP"] = 100.0 * float(average_precision([np.array(spans_s)], [truth]).mean())
    logged = {
        **_logged(doc, timeline, settings),
        "parsed": None if answer.spans is None else [_finite(span) for span in answer.spans],
        "span_s": _finite(spans_s[0] if spans_s else None),
        "spans_s": [_finite(span) for span in spans_s],
        "truth_s": doc["spans_s"],
        "set_iou": iou,
        "reason": _reason(answer),
    }
    failures = {"parse_fail": 100.0 * (problem is None and answer.spans is None), "request_fail": 100.0 * (problem is not None)}
    return {**scores, **failures, "numpro": logged}


def highlight_results(doc: Mapping[str, Any], answers: list[str], settings: NumProSettings, *, video_problem: str | None) -> dict[str, Any]:
    """Score one highlight answer: mAP and HIT@1 at VeryGood (plain names), Good and Fair.

    The plain metrics read the answer as a person would and take frame i for the clip that starts with it; those that end in
    ``_timechat`` do what TimeChat's converter does (one clip early, and its own parser). Arguments as for `moment_results`.
    """
    problem = video_problem or _failure(answers)
    text = "" if problem else answers[0]
    answer = HighlightAnswer((), (), problem) if problem else parse_highlights(text, doc["query"])
    duration_s = float(doc["clips"] * CLIP_S)  # of the annotation: a real file may be a few frames shorter
    truth = saliency_matrix(duration_s, doc["relevant_clip_ids"], doc["saliency_scores"])
    scores: dict[str, float] = {}
    readings: list[tuple[str, Rule, HighlightAnswer]] = [("", "exact", answer), ("_timechat", "timechat", parse_highlights_timechat(text))]
    for suffix, rule, parsed in readings:
        # The rules are about frames that are two seconds apart.
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
            **_logged(doc, Timeline(doc["duration_s"], settings.fps), settings),
            "frames": list(answer.frames),
            "scores": list(answer.scores),
            "reason": _reason(answer),
        },
    }


def _logged(doc: Mapping[str, Any], timeline: Timeline, settings: NumProSettings) -> dict[str, Any]:
    """What every logged sample has: enough to score it again, and to draw a picture of it, without the table."""
    numbers = kept_numbers(timeline.count, settings.max_frames).tolist()
    truth = {f"{key}_s" if key == "annotators" else key: doc[key] for key in EXTRA_COLUMNS if doc.get(key) is not None}
    return {
        "id": doc["id"],
        "video": doc["video"],
        "duration_s": doc["duration_s"],
        **{name: doc[name] for name in ("start_s", "end_s") if doc.get(name) is not None},
        "query": doc["query"],
        "settings": settings.to_dict(),
        "fps": settings.fps,
        "numbers": numbers,
        **truth,
    }


def _reason(answer: Reading | HighlightAnswer | SetReading) -> str:
    """How an answer was read, with the way out where it has no end."""
    return f"{UNCLOSED} (NUMPRO_MAX_NEW_TOKENS)" if answer.reason == UNCLOSED else answer.reason


def _failure(answers: list[str]) -> str | None:
    """Why there is no answer to score. An empty one may be a local model's: it is an answer that cannot be read."""
    return failure_reason(answers[0], empty=False) if answers else "the request was not made"


def _finite(span: tuple[float, float] | None) -> list[float] | None:
    """JSON has no infinity: a number of 400 digits is logged as the largest float."""
    return None if span is None else np.nan_to_num(np.asarray(span, dtype=np.float64)).tolist()
