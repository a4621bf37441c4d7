"""A task's table and protocol: which rows are asked about, and all that decides the answers."""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import default_split, read_report, read_rows, table_path
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import highlight_prompt, moment_prompt

if TYPE_CHECKING:
    from pathlib import Path

    from numpro_plugin.harness.session import Session
    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)

_MAX_NEW_TOKENS = {"zeroshot": 512, "ft": 1024}
"""Length of a highlight answer, by prompt kind, as in the reference."""


class _Unusable(dict[str, Any]):
    """Dataset arguments of a task that cannot run: whoever uses them gets the error that says what to do.

    An error raised while the YAML file is read would reach the user wrapped in lmms-eval's own about failing imports.
    """

    def __init__(self, error: NumProError) -> None:
        super().__init__()
        self.error = error

    def __contains__(self, key: object) -> bool:
        raise self.error


def table(benchmark: str, session: Session) -> dict[str, Any]:
    """Dataset arguments of a benchmark's tasks."""
    try:
        session.settings()
        path = _path(benchmark)
        report = read_report(path)
    except NumProError as error:
        return _Unusable(error)
    if report.n_used < report.n_expected:
        log.warning("%s %s: only %d of %d queries are used", report.benchmark, report.split, report.n_used, report.n_expected)
    return {"data_files": {"test": str(path)}}


def protocol(benchmark: str, session: Session, *, numbers: bool, highlights: bool) -> dict[str, Any]:
    """A task's metadata: lmms-eval writes it into the results file and into its response cache's keys."""
    try:
        path = _path(benchmark)
        data, settings = read_report(path).protocol(), session.settings(numbers=numbers)
    except NumProError:
        return {"version": 1}  # the table's part of the task says what is wrong
    kind = f"highlight_{settings.prompt}" if highlights else "moment"
    identity = session.announcement.identity
    return {
        "version": 1,
        "numpro": {
            **data,
            "task": "highlight" if highlights else "moment",
            "settings": settings.to_dict(),
            "prompt_id": kind if numbers else f"{kind}_plain",
            "prompt": question("{query}", settings, highlights=highlights),
            "videos_state": _state_of_videos(path),
            "numpro_version": __version__,
            **({"model": dict(identity)} if identity else {}),
        },
    }


def highlight_generation(session: Session) -> dict[str, Any]:
    """Greedy, as long as the reference lets the kind of model answer; without ``until`` lmms-eval cuts at the first blank line."""
    try:
        kind = session.settings().prompt
    except NumProError:
        kind = "zeroshot"
    return {"max_new_tokens": _MAX_NEW_TOKENS[kind], "temperature": 0, "do_sample": False, "until": ["<|im_end|>"]}


def question(query: str, settings: NumProSettings, *, highlights: bool) -> str:
    """The question about a query."""
    if highlights:
        return highlight_prompt(query, kind=settings.prompt, numbers=settings.numbers, color=settings.style.color)
    return moment_prompt(query, numbers=settings.numbers, color=settings.style.color)


def _path(benchmark: str) -> Path:
    return table_path(benchmark, default_split(BENCHMARKS[benchmark]))


def _state_of_videos(table: Path) -> str:
    """Hash over path, size and time of change of every video of a table.

    It stands in the metadata for lmms-eval's response cache: an answer to other pixels, or to the blank clip of a video that was
    repaired since, is not served again.
    """
    digest = hashlib.sha256()
    for video in sorted({row["video"] for row in read_rows(table)}):
        try:
            stat = os.stat(video) if os.path.isabs(video) else None
        except OSError:
            stat = None
        digest.update(repr((video, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    return digest.hexdigest()[:16]
