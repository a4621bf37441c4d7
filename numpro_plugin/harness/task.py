"""What the task files name after ``!function``: the table, the protocol, and the functions that ask and score, bound to one evaluation.

lmms-eval reads a task's YAML file when the task is run, after the model is made, and takes each name from this module as an attribute.
`__getattr__` makes it at that moment. So a task's settings are fixed when it is loaded: what is asked, what is shown and what is scored
agree, whatever the environment or a later model says.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Any, NoReturn

from numpro_plugin import __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import default_split, read_report, read_rows, table_path
from numpro_plugin.clips.clip import blank_clip, numbered_clip
from numpro_plugin.errors import NumProError
from numpro_plugin.harness import session
from numpro_plugin.harness.lmms import REQUEST_FAILED
from numpro_plugin.harness.results import highlight_scores, moment_scores
from numpro_plugin.prompts import highlight_prompt, moment_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpro_plugin.harness.session import Session
    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)

_MAX_NEW_TOKENS = {"zeroshot": 512, "ft": 1024}
"""Length of a highlight answer, by prompt kind, as in the reference."""


def __getattr__(name: str) -> Any:
    """What a task file asks for, made now.

    - ``visual``, ``moment_question``, ``moment_results``, ``highlight_question``, ``highlight_results`` (``*_plain``: without numbers):
      methods of `BoundTask`;
    - ``charades_table``, ``didemo_table``, ``activitynet_table``, ``qvhighlights_table``, ``custom_table``: dataset arguments;
    - ``charades_protocol``, ``didemo_protocol``, ``activitynet_protocol``, ``qvhighlights_protocol``, ``custom_protocol``,
      ``qvhighlights_protocol_hd`` (``*_plain``: without numbers): metadata;
    - ``highlight_generation``: generation arguments.
    """
    if name == "highlight_generation":
        return _highlight_generation()
    what = name.removesuffix("_plain")
    numbers = what == name
    if what in _FUNCTIONS:
        return _bound(what, numbers=numbers)
    benchmark, _, part = what.partition("_")
    if benchmark in BENCHMARKS:
        path = table_path(benchmark, default_split(BENCHMARKS[benchmark]))
        if part == "table" and numbers:
            return _table(path)
        if part in {"protocol", "protocol_hd"}:
            return _protocol(path, numbers=numbers, highlights=part == "protocol_hd")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BoundTask:
    """The functions of a task with the settings and the session that it was loaded with.

    Args:
        settings: how videos are shown and what is asked.
        session: of the evaluation that the task is part of.
    """

    def __init__(self, settings: NumProSettings, session: Session) -> None:
        self.settings = settings
        self.session = session

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings})"  # stands in the results file and in the response cache's keys

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundTask:
        return self  # lmms-eval copies a task's functions to print them

    def visual(self, doc: Mapping[str, Any]) -> list[str]:
        """The clip of a row, as lmms-eval's ``doc_to_visual``.

        A video that has become unreadable since the table was made does not end the run: the model gets a blank clip, and the query
        counts as ``request_fail`` whatever it answers.
        """
        video = source_video(doc)
        try:
            clip = numbered_clip(video, self.settings, end_s=doc.get("end_s"))
            self.session.note_shown(doc, None)
        except NumProError as error:
            log.error("query %s: %s; it will count as request_fail", doc["id"], error)
            self.session.note_shown(doc, str(error))
            clip = blank_clip(self.settings)
        return [str(clip)]

    def moment_question(self, doc: Mapping[str, Any]) -> str:
        """The question of moment retrieval for a row, as lmms-eval's ``doc_to_text``."""
        return _question(doc["query"], self.settings, highlights=False)

    def highlight_question(self, doc: Mapping[str, Any]) -> str:
        """The question of highlight detection for a row, as lmms-eval's ``doc_to_text``."""
        return _question(doc["query"], self.settings, highlights=True)

    def moment_results(self, doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
        """Scores of an answer of moment retrieval, as lmms-eval's ``process_results``."""
        return moment_scores(doc, _text(results), self.settings, self._problem(doc, results))

    def highlight_results(self, doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
        """Scores of an answer of highlight detection, as lmms-eval's ``process_results``."""
        return highlight_scores(doc, _text(results), self.settings, self._problem(doc, results))

    def _problem(self, doc: Mapping[str, Any], results: list[str]) -> str | None:
        """Why there is no answer to score: an unreadable video, or a request that failed."""
        if problem := self.session.video_problem(doc):
            return problem
        text = _text(results).strip()
        return f"the request failed: {text}" if text.startswith(REQUEST_FAILED) else None


_FUNCTIONS = ("visual", "moment_question", "moment_results", "highlight_question", "highlight_results")


def _bound(method: str, *, numbers: bool) -> Callable[..., Any]:
    current = session.current()
    try:
        function: Callable[..., Any] = getattr(BoundTask(current.settings(numbers=numbers), current), method)
    except NumProError as error:
        problem = error  # raised when it is called: see _UnusableTable

        def function(*_: Any) -> NoReturn:
            raise problem

    return function


def _text(results: list[str]) -> str:
    return results[0] if results else ""


def source_video(doc: Mapping[str, Any]) -> str:
    """Path of a row's video. Raises NumProError for a row of a table that was made without videos."""
    if not os.path.isabs(doc["video"]):
        raise NumProError(
            f"query {doc['id']}: the table was made without videos, so only numpro_oracle can use it; "
            "run: numpro prepare BENCHMARK --annotations FILE --videos DIR"
        )
    return str(doc["video"])


def moment_target(doc: Mapping[str, Any]) -> str:
    """The annotated spans of a row in words, for sample logs."""
    return ", ".join(f"{start:g}-{end:g} s" for start, end in doc["spans_s"]) or "not annotated"


def highlight_target(doc: Mapping[str, Any]) -> str:
    """The relevant clips of a row in words, for sample logs."""
    return "clips of 2 s: " + ", ".join(map(str, doc["relevant_clip_ids"]))


class _UnusableTable(dict[str, Any]):
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
        session.current().settings()
        report = read_report(path)
    except NumProError as error:
        return _UnusableTable(error)
    if report.n_used < report.n_expected:
        log.warning("%s %s: only %d of %d queries are used", report.benchmark, report.split, report.n_used, report.n_expected)
    return {"data_files": {"test": str(path)}}


def _protocol(path: Path, *, numbers: bool, highlights: bool) -> dict[str, Any]:
    """A task's metadata: lmms-eval writes it into the results file, into its response cache's keys and into every request.

    Models of NumPro know by ``numpro`` in it that a task is NumPro's, and by ``kind`` what it asks for.
    """
    try:
        data, settings = read_report(path).protocol(), session.current().settings(numbers=numbers)
    except NumProError:
        return {"version": 1}  # the table's part of the task says what is wrong
    prompt_id = f"highlight_{settings.prompt}" if highlights else "moment"
    protocol = {
        **data,
        "kind": "highlight" if highlights else "moment",
        "settings": settings.to_dict(),
        "prompt_id": prompt_id if numbers else f"{prompt_id}_plain",
        "prompt": _question("{query}", settings, highlights=highlights),
        "videos_state": _state_of_videos(path),
        "numpro_version": __version__,
        **({"model": dict(identity)} if (identity := session.current().announcement.identity) else {}),
    }
    return {"version": 1, "numpro": protocol}


def _state_of_videos(table: Path) -> str:
    """Hash over path, size and time of change of every video of a table.

    It stands in the metadata for lmms-eval's response cache: an answer to other pixels, or to the blank clip of a video that was
    mended since, is not served again.
    """
    state = hashlib.sha256()
    for video in sorted({row["video"] for row in read_rows(table)}):
        try:
            stat = os.stat(video) if os.path.isabs(video) else None
        except OSError:
            stat = None
        state.update(repr((video, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    return state.hexdigest()[:16]


def _highlight_generation() -> dict[str, Any]:
    """Greedy, as long as the reference lets the kind of model speak; without ``until`` lmms-eval cuts at the first blank line."""
    try:
        kind = session.current().settings().prompt
    except NumProError:
        kind = "zeroshot"  # the table's part of the task says what is wrong
    return {"max_new_tokens": _MAX_NEW_TOKENS[kind], "temperature": 0, "do_sample": False, "until": ["<|im_end|>"]}


def _question(query: str, settings: NumProSettings, *, highlights: bool) -> str:
    if highlights:
        return highlight_prompt(query, kind=settings.prompt, numbers=settings.numbers, color=settings.style.color)
    return moment_prompt(query, numbers=settings.numbers, color=settings.style.color)
