"""What the task files refer to: the table, the protocol, table row -> clip and question. Scores are in scoring.py.

lmms-eval loads a task's YAML file when the task is run and asks this module for the names in it. The names that depend on the
environment (``charades_table``, ``charades_protocol``, ...) are made at that moment.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import default_split, read_report, read_rows, table_path
from numpro_plugin.clips.clip import blank_clip, numbered_clip
from numpro_plugin.errors import NumProError
from numpro_plugin.harness import session
from numpro_plugin.prompts import HIGHLIGHT_ANSWER_TOKENS, highlight_prompt, moment_prompt
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)


def __getattr__(name: str) -> Any:
    """What a task file asks for, as of now.

    ``<benchmark>_table``: dataset arguments; ``<benchmark>_protocol`` (``_plain``, ``_hd``, ``_hd_plain``): metadata;
    ``highlight_generation``: generation arguments.
    """
    if name == "highlight_generation":
        return _highlight_generation()
    benchmark, _, what = name.partition("_")
    if benchmark in BENCHMARKS and what:
        path = table_path(benchmark, default_split(BENCHMARKS[benchmark]))
        if what == "table":
            return _table(path)
        if what in {"protocol", "protocol_plain", "protocol_hd", "protocol_hd_plain"}:
            return _protocol(path, numbers=not what.endswith("_plain"), highlights="_hd" in what)
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
        session.task_settings()
        report = read_report(path)
    except NumProError as error:
        return _Unusable(error)
    if report.n_used < report.n_expected:
        log.warning("%s %s: only %d of %d queries are used", report.benchmark, report.split, report.n_used, report.n_expected)
    return {"data_files": {"test": str(path)}}


def _protocol(path: Path, *, numbers: bool, highlights: bool) -> dict[str, Any]:
    """A task's metadata: lmms-eval writes it into the results file and into its response cache's keys."""
    try:
        data, settings = read_report(path).protocol(), session.task_settings(numbers=numbers)
    except NumProError:
        return {"version": 1}  # the table's part of the task says what is wrong
    kind = f"highlight_{settings.prompt}" if highlights else "moment"
    protocol = {
        **data,
        "settings": settings.to_dict(),
        "prompt_id": kind if numbers else f"{kind}_plain",
        "prompt": _question("{query}", settings, highlights=highlights),
        "videos_state": _state_of_videos(path),
        "numpro_version": __version__,
        **({"model": dict(identity)} if (identity := session.announced().identity) else {}),
    }
    return {"version": 1, "numpro": protocol}


def _state_of_videos(table: Path) -> str:
    """Hash over path, size and time of change of every video of a table.

    It stands in the metadata for lmms-eval's response cache: an answer to other pixels, or to the blank clip of a video that was
    mended since, is not served again.
    """
    said = hashlib.sha256()
    for video in sorted({row["video"] for row in read_rows(table)}):
        try:
            stat = os.stat(video) if os.path.isabs(video) else None
        except OSError:
            stat = None
        said.update(repr((video, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    return said.hexdigest()[:16]


def _highlight_generation() -> dict[str, Any]:
    """Greedy, as long as the reference lets the kind of model speak; without ``until`` lmms-eval cuts at the first blank line."""
    try:
        kind = session.task_settings().prompt
    except NumProError:
        kind = "zeroshot"
    return {"max_new_tokens": HIGHLIGHT_ANSWER_TOKENS[kind], "temperature": 0, "do_sample": False, "until": ["<|im_end|>"]}


def task_settings(lmms_eval_specific_kwargs: Mapping[str, Any] | None) -> NumProSettings:
    """The settings of a task: ``NUMPRO_*`` variables, and whether its YAML file says ``numbers: true`` or ``false``."""
    return session.task_settings(numbers=bool((lmms_eval_specific_kwargs or {}).get("numbers", True)))


_shown: dict[tuple[str, str], str | None] = {}
"""By video and query: why the model was shown a blank clip, or None if it saw the real one."""


def video_problem(doc: Mapping[str, Any]) -> str | None:
    """Why a row's video could not be shown, or None (also for rows of a table without videos).

    What was shown in this process counts; for an answer out of a response cache the video is looked at now.
    """
    video = doc["video"]
    if not os.path.isabs(video):
        return None
    if (video, doc["id"]) in _shown:
        return _shown[video, doc["id"]]
    try:
        read_packets(video)
    except NumProError as error:
        return str(error)
    return None


def visual(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[str]:
    """The clip of a row, as lmms-eval's ``doc_to_visual``.

    A video that has become unreadable since the table was made does not end the run: the model gets a blank clip, and the query
    counts as ``request_fail`` whatever it answers.
    """
    video, settings = source_video(doc), task_settings(lmms_eval_specific_kwargs)
    try:
        clip = numbered_clip(video, settings, end_s=doc.get("end_s"))
        note_shown(doc, None)
    except NumProError as error:
        log.error("query %s: %s; it will count as request_fail", doc["id"], error)
        note_shown(doc, str(error))
        clip = blank_clip(settings)
    return [str(clip)]


def source_video(doc: Mapping[str, Any]) -> str:
    """Path of a row's video. Raises NumProError for a row of a table that was made without videos."""
    if not os.path.isabs(doc["video"]):
        raise NumProError(
            f"query {doc['id']}: the table was made without videos, so only numpro_oracle can use it; "
            "run: numpro prepare BENCHMARK --annotations FILE --videos DIR"
        )
    return str(doc["video"])


def note_shown(doc: Mapping[str, Any], problem: str | None) -> None:
    """Keep for the scores whether the model saw a row's video, or why not."""
    _shown[doc["video"], doc["id"]] = problem


def moment_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """The question of moment retrieval for a row, as lmms-eval's ``doc_to_text``."""
    return _question(doc["query"], task_settings(lmms_eval_specific_kwargs), highlights=False)


def highlight_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """The question of highlight detection for a row, as lmms-eval's ``doc_to_text``."""
    return _question(doc["query"], task_settings(lmms_eval_specific_kwargs), highlights=True)


def _question(query: str, settings: NumProSettings, *, highlights: bool) -> str:
    if highlights:
        return highlight_prompt(query, kind=settings.prompt, numbers=settings.numbers, color=settings.style.color)
    return moment_prompt(query, numbers=settings.numbers, color=settings.style.color)


def moment_target(doc: Mapping[str, Any]) -> str:
    """The annotated spans of a row in words, for sample logs."""
    return ", ".join(f"{start:g}-{end:g} s" for start, end in doc["spans_s"]) or "not annotated"


def highlight_target(doc: Mapping[str, Any]) -> str:
    """The relevant clips of a row in words, for sample logs."""
    return "clips of 2 s: " + ", ".join(map(str, doc["relevant_clip_ids"]))
