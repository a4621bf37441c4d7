"""What the task files refer to: table row -> clip and question, model's words -> scores.

lmms-eval loads a task's YAML file when the task is run and asks this module for the names in it. The names that depend on the
environment (``charades_table``, ``charades_protocol``, ...) are made at that moment.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin import __version__
from numpro_plugin.answers import MomentAnswer, parse_moment
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import read_report, table_path
from numpro_plugin.clips import blank_clip, numbered_clip
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.moments import THRESHOLDS, recall_name, span_iou
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

FAILURE_MARKER = "[LMMS_EVAL_REQUEST_FAILED"
"""How lmms-eval's API models begin the text that stands for a request without an answer."""

_SPLIT = "test"
_problems: dict[tuple[str, NumProSettings], str | None] = {}


def __getattr__(name: str) -> Any:
    """``<benchmark>_table`` and ``<benchmark>_protocol[_plain]``: dataset arguments and metadata of a task, as of now."""
    benchmark, _, what = name.partition("_")
    if benchmark in BENCHMARKS and what == "table":
        return _table(table_path(benchmark, _SPLIT))
    if benchmark in BENCHMARKS and what in {"protocol", "protocol_plain"}:
        return _protocol(table_path(benchmark, _SPLIT), numbers=what == "protocol")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Unusable(dict[str, Any]):
    """Dataset arguments of a task that cannot run: whoever uses them gets the error that says what to do.

    An error raised while the YAML file is read would reach the user wrapped in lmms-eval's own about failing imports.
    """

    def __init__(self, error: NumProError) -> None:
        super().__init__()
        self.error = error

    def __contains__(self, key: object) -> bool:
        raise self.error


def _table(path: Path) -> dict[str, Any]:
    try:
        NumProSettings.from_env()
        report = read_report(path)
    except NumProError as error:
        return _Unusable(error)
    if report.n_used < report.n_expected:
        log.warning("%s %s: only %d of %d queries are used", report.benchmark, report.split, report.n_used, report.n_expected)
    return {"data_files": {_SPLIT: str(path)}}


def _protocol(path: Path, *, numbers: bool) -> dict[str, Any]:
    """A task's metadata: lmms-eval writes it into the results file and into its response cache's keys."""
    try:
        data, settings = read_report(path).protocol(), NumProSettings.from_env(numbers=numbers)
    except NumProError:
        return {"version": 1}  # the table's part of the task says what is wrong
    protocol = {
        **data,
        "settings": settings.to_dict(),
        "prompt_id": "moment" if numbers else "moment_plain",
        "prompt": moment_prompt("{query}", numbers=numbers),
        "numpro_version": __version__,
    }
    return {"version": 1, "numpro": protocol}


def task_settings(lmms_eval_specific_kwargs: Mapping[str, Any] | None) -> NumProSettings:
    """The settings of a task: ``NUMPRO_*`` variables, and whether its YAML file says ``numbers: true`` or ``false``."""
    return NumProSettings.from_env(numbers=bool((lmms_eval_specific_kwargs or {}).get("numbers", True)))


def moment_visual(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[str]:
    """The clip of a row, as lmms-eval's ``doc_to_visual``.

    A video that has become unreadable since the table was made does not end the run: the model gets a blank clip, and the query
    counts as ``request_fail`` whatever it answers.
    """
    settings = task_settings(lmms_eval_specific_kwargs)
    if problem := _clip_problem(doc, settings):
        log.error("query %s: %s; it will count as request_fail", doc["id"], problem)
        return [str(blank_clip(settings))]
    return [str(numbered_clip(doc["video"], settings))]


def _clip_problem(doc: Mapping[str, Any], settings: NumProSettings) -> str | None:
    """Why a row's clip cannot be made, or None. Remembered, so that scoring does not ask the disk again."""
    video = doc["video"]
    if not os.path.isabs(video):
        raise NumProError(
            f"query {doc['id']}: the table was made without videos, so only numpro_oracle can use it; "
            "run: numpro prepare BENCHMARK --annotations FILE --videos DIR"
        )
    if (video, settings) not in _problems:
        try:
            numbered_clip(video, settings)
            _problems[video, settings] = None
        except NumProError as error:
            _problems[video, settings] = str(error)
    return _problems[video, settings]


def moment_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """The question of a row, as lmms-eval's ``doc_to_text``."""
    return moment_prompt(doc["query"], numbers=task_settings(lmms_eval_specific_kwargs).numbers)


def moment_target(doc: Mapping[str, Any]) -> str:
    """The annotated spans of a row in words, for sample logs."""
    return ", ".join(f"{start:g}-{end:g} s" for start, end in doc["spans_s"])


def moment_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
    """Score one answer, as lmms-eval's ``process_results``; metrics in percent, and under ``numpro`` how they came about."""
    return _score(doc, results, NumProSettings.from_env(numbers=True))


def moment_results_plain(doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
    """The same for the tasks without numbers."""
    return _score(doc, results, NumProSettings.from_env(numbers=False))


def _score(doc: Mapping[str, Any], results: list[str], settings: NumProSettings) -> dict[str, Any]:
    text = results[0] if results else ""
    problem = _clip_problem(doc, settings) if os.path.isabs(doc["video"]) else None
    if problem is None and text.lstrip().startswith(FAILURE_MARKER):
        problem = "the request failed: " + text.strip()
    answer = MomentAnswer(None, None, problem) if problem else parse_moment(text)
    timeline = Timeline(doc["duration_s"], settings.fps)
    span_s = timeline.span_seconds(*answer.numbers) if answer.numbers else None
    iou = max(span_iou(span_s, doc["spans_s"]).tolist()) if span_s else 0.0
    reason = answer.reason
    if answer.unit == "seconds":
        reason += "; the task asks for frames, so this counts as not understood"
    return {
        **{recall_name(t): 100.0 * (iou >= t) for t in THRESHOLDS},
        "mIoU": 100.0 * iou,
        "parse_fail": 100.0 * (problem is None and span_s is None),
        "request_fail": 100.0 * (problem is not None),
        "numpro": {
            "id": doc["id"],
            "numbers": kept_numbers(timeline.count, settings.max_frames).tolist(),
            "parsed": _finite(answer.span),
            "unit": answer.unit,
            "span_s": _finite(span_s),
            "truth_s": doc["spans_s"],
            "iou": iou,
            "reason": reason,
        },
    }


def _finite(span: tuple[float, float] | None) -> list[float] | None:
    """JSON has no infinity: a number of 400 digits is logged as the largest float."""
    return None if span is None else np.nan_to_num(np.asarray(span, dtype=np.float64)).tolist()
