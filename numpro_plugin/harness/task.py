"""What the task files refer to: row -> clip, question and score. The table and the protocol are in protocol.py.

lmms-eval resolves ``!function numpro_plugin.harness.task.NAME`` when it loads a task for an evaluation. The names are made at that
moment (`__getattr__` below lists them), so that a task has the settings and the session of its evaluation, whatever happens later.
"""

from __future__ import annotations

import contextlib
import logging
import os
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.clips.clip import blank_clip, numbered_clip
from numpro_plugin.encoding import PLAIN, PRESETS
from numpro_plugin.errors import NumProError
from numpro_plugin.harness import protocol, results, session
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.harness.session import Session
    from numpro_plugin.prompts import SetQuestion
    from numpro_plugin.settings import NumProSettings, SettingsByVideo

log = logging.getLogger(__name__)

OWN_ENCODINGS: dict[str, TimeEncoding | None] = {"": None, "_plain": PLAIN, "_native": PRESETS["native"].encoding}
"""Suffixes of tasks and how their twins show time; None: as the environment or the model says."""


def __getattr__(name: str) -> Any:
    """What a task file asks for, made for the current session.

    - ``visual``, ``moment_text``, ``moment_target``, ``moment_results``, ``highlight_text``, ``highlight_target``, ``highlight_results``:
      methods of `TaskFunctions`; with ``_plain`` or ``_native`` behind them those of the twins
    - ``set_target``, ``set_results`` and, with the benchmark's question for all moments, ``BENCHMARK_text``; twins as above.
      ``custom_sets`` counts as a benchmark whose table is that of ``custom``
    - ``BENCHMARK_table``, ``BENCHMARK_table_hd``: dataset arguments
    - ``BENCHMARK_protocol``, ``BENCHMARK_protocol_hd``: metadata; twins as above
    - ``moment_generation``, ``set_generation``, ``highlight_generation``: generation arguments
    """
    for suffix, encoding in OWN_ENCODINGS.items():
        if name.endswith(suffix) and (function := name.removesuffix(suffix)) in _FUNCTIONS:
            return getattr(TaskFunctions(session.current(), encoding=encoding), function)
    if name in _VALUES:
        return _VALUES[name](session.current())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class TaskFunctions:
    """The functions of one task in one evaluation. Rows (``doc``) are those of the prepared table."""

    def __init__(self, session: Session, *, encoding: TimeEncoding | None) -> None:
        self.session = session
        self._encoding = encoding
        with contextlib.suppress(NumProError):  # what is wrong with the environment is raised when the table is opened
            self._by_video  # noqa: B018 (read now: the settings are fixed when the task is loaded)

    def __repr__(self) -> str:
        # Stands in results files and in the response cache's keys: as ever where it can be, so that cached responses stay valid.
        own = self._encoding
        kept = {None: "numbers=True", PLAIN: "numbers=False"}.get(own) or f"encoding={own.name if own else None}"
        return f"{type(self).__name__}({kept})"

    def __deepcopy__(self, memo: dict[int, Any]) -> TaskFunctions:
        return self  # copies of a task belong to the same evaluation

    @cached_property
    def _by_video(self) -> SettingsByVideo:
        return self.session.settings_by_video(encoding=self._encoding)

    @property
    def settings(self) -> NumProSettings:
        """How frames are numbered and asked about, the same for all videos; for how they are sampled see `settings_of`."""
        return self._by_video.base

    def settings_of(self, doc: Mapping[str, Any]) -> NumProSettings:
        """How frames of a row's video are sampled, numbered and asked about."""
        return self._by_video.of(doc["duration_s"])

    def visual(self, doc: Mapping[str, Any]) -> list[str]:
        """The clip of a row, as lmms-eval's ``doc_to_visual``.

        A video that has become unreadable since the table was made does not end the run: the model gets a blank clip, and the query
        counts as ``request_fail`` whatever it answers.
        """
        video, settings = source_video(doc), self.settings_of(doc)
        try:
            clip = numbered_clip(video, settings, start_s=doc.get("start_s") or 0.0, end_s=doc.get("end_s"))
            self.session.note_shown(doc, None)
        except NumProError as error:
            log.error("query %s: %s; it will count as request_fail", doc["id"], error)
            self.session.note_shown(doc, str(error))
            clip = blank_clip(settings)
        return [str(clip)]

    def moment_text(self, doc: Mapping[str, Any]) -> str:
        """The question of moment retrieval for a row, as lmms-eval's ``doc_to_text``."""
        self._check_shown()
        return protocol.question(doc["query"], settings := self.settings_of(doc), timeline=Timeline(doc["duration_s"], settings.fps))

    def set_text(self, doc: Mapping[str, Any], *, question: SetQuestion) -> str:
        """A question for all moments, as lmms-eval's ``doc_to_text``."""
        self._check_shown()
        return protocol.question(doc["query"], self.settings_of(doc), set_question=question)

    def highlight_text(self, doc: Mapping[str, Any]) -> str:
        """The question of highlight detection for a row, as lmms-eval's ``doc_to_text``."""
        self._check_shown()
        return protocol.question(doc["query"], self.settings_of(doc), highlights=True)

    def _check_shown(self) -> None:
        self.session.check_shown(self.settings.encoding)

    def moment_target(self, doc: Mapping[str, Any]) -> str:
        """The annotated spans of a row in words, for sample logs."""
        return ", ".join(f"{start:g}-{end:g} s" for start, end in doc["spans_s"]) or "not annotated"

    def set_target(self, doc: Mapping[str, Any]) -> str:
        """The annotated spans of a row in words, for sample logs; none is an annotation too."""
        return self.moment_target(doc) if doc["spans_s"] else "no such moment"

    def highlight_target(self, doc: Mapping[str, Any]) -> str:
        """The relevant clips of a row in words, for sample logs."""
        return "clips of 2 s: " + ", ".join(map(str, doc["relevant_clip_ids"]))

    def moment_results(self, doc: Mapping[str, Any], answers: list[str]) -> dict[str, Any]:
        """The scores of one moment answer, as lmms-eval's ``process_results``."""
        return results.moment_results(doc, answers, self.settings_of(doc), video_problem=self._video_problem(doc))

    def set_results(self, doc: Mapping[str, Any], answers: list[str]) -> dict[str, Any]:
        """The scores of one answer about all moments, as lmms-eval's ``process_results``."""
        return results.set_results(doc, answers, self.settings_of(doc), video_problem=self._video_problem(doc))

    def highlight_results(self, doc: Mapping[str, Any], answers: list[str]) -> dict[str, Any]:
        """The scores of one highlight answer, as lmms-eval's ``process_results``."""
        return results.highlight_results(doc, answers, self.settings_of(doc), video_problem=self._video_problem(doc))

    def _video_problem(self, doc: Mapping[str, Any]) -> str | None:
        """Why a row's video could not be shown; None if it was, and for rows of a table without videos.

        For an answer out of a response cache the video is looked at now.
        """
        video = doc["video"]
        if not os.path.isabs(video) or self.session.was_asked(doc):
            return self.session.problem(doc)
        try:
            read_packets(video)
        except NumProError as error:
            return str(error)
        return None


def source_video(doc: Mapping[str, Any]) -> str:
    """Path of a row's video. Raises NumProError for a row of a table that was made without videos."""
    if not os.path.isabs(doc["video"]):
        raise NumProError(
            f"query {doc['id']}: the table was made without videos, so only numpro_oracle can use it; "
            "run: numpro prepare BENCHMARK --annotations FILE --videos DIR"
        )
    return str(doc["video"])


_FUNCTIONS = {name for name in vars(TaskFunctions) if name.startswith(("moment_", "set_", "highlight_")) or name == "visual"}
_VALUES: dict[str, Callable[[Session], Any]] = {
    "moment_generation": protocol.moment_generation,
    "set_generation": protocol.set_generation,
    "highlight_generation": protocol.highlight_generation,
}


def _set_text(asked: SetQuestion, session: Session, *, encoding: TimeEncoding | None) -> Callable[[Mapping[str, Any]], str]:
    return partial(TaskFunctions(session, encoding=encoding).set_text, question=asked)


for _benchmark, _record in BENCHMARKS.items():
    if _record.set_question:
        for _suffix, _own in OWN_ENCODINGS.items():
            _VALUES[f"{_benchmark}_text{_suffix}"] = partial(_set_text, _record.set_question, encoding=_own)
    _VALUES[f"{_benchmark}_table"] = partial(protocol.table, _benchmark)
    _VALUES[f"{_benchmark}_table_hd"] = partial(protocol.table, _benchmark, highlights=True)
    for _suffix, _own in OWN_ENCODINGS.items():
        _VALUES[f"{_benchmark}_protocol{_suffix}"] = partial(
            protocol.protocol, _benchmark, encoding=_own, highlights=False, set_question=_record.set_question
        )
        _VALUES[f"{_benchmark}_protocol_hd{_suffix}"] = partial(protocol.protocol, _benchmark, encoding=_own, highlights=True)

# Own queries are asked for one moment; `numpro_custom_sets` asks the same table for all moments.
_VALUES["custom_sets_table"] = partial(protocol.table, "custom", spans=True)
for _suffix, _own in OWN_ENCODINGS.items():
    _VALUES[f"custom_sets_text{_suffix}"] = partial(_set_text, "retrieval", encoding=_own)
    _VALUES[f"custom_sets_protocol{_suffix}"] = partial(
        protocol.protocol, "custom", encoding=_own, highlights=False, set_question="retrieval"
    )
