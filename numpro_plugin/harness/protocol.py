"""A task's table and protocol: which rows are asked about, and all that decides the answers."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import default_split, has_spans, read_columns, read_report, read_rows, table_path
from numpro_plugin.encoding import NUMBER
from numpro_plugin.environment import TOKEN_LIMIT_NAMES, check_token_limit
from numpro_plugin.errors import NumProError
from numpro_plugin.files import file_identity, hash_of
from numpro_plugin.prompts import HIGHLIGHT_ANSWER_TOKENS, MOMENT_ANSWER_TOKENS, SET_ANSWER_TOKENS
from numpro_plugin.prompts.questions import check_highlights, highlights_question, moment_question, moments_question
from numpro_plugin.showing import check_marks

if TYPE_CHECKING:
    from pathlib import Path

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.harness.session import Session
    from numpro_plugin.prompts import SetQuestion
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.timeline import Timeline

log = logging.getLogger(__name__)


class _Unusable(dict[str, Any]):
    """Dataset arguments of a task that cannot run: whoever uses them gets the error that says what to do.

    An error raised while the YAML file is read would reach the user wrapped in lmms-eval's own about failing imports.
    """

    def __init__(self, error: NumProError) -> None:
        super().__init__()
        self.error = error

    def __contains__(self, key: object) -> bool:
        raise self.error


def table(benchmark: str, session: Session, *, highlights: bool = False, spans: bool = False) -> dict[str, Any]:
    """Dataset arguments of a benchmark's tasks.

    Args:
        benchmark: whose table.
        session: of the evaluation.
        highlights: of highlight detection, which needs saliency scores.
        spans: of own queries asked for all moments. A query without a span then says that there is no such moment, so a table without
            any span is taken for one that was never annotated.
    """
    try:
        settings = session.settings()
        session.token_limit()
        if highlights:
            check_highlights(settings.encoding)
        path = _path(benchmark)
        report = read_report(path)
        _check_marks(path, session)
        if highlights:
            _check_saliency(path)
        if spans and not has_spans(path):
            raise NumProError(
                f"{path}: no query has an annotated span, so sets cannot be scored; for answers alone use --tasks numpro_custom"
            )
    except NumProError as error:
        return _Unusable(error)
    if report.n_used < report.n_expected:
        log.warning("%s %s: only %d of %d queries are used", report.benchmark, report.split, report.n_used, report.n_expected)
    return {"data_files": {"test": str(path)}}


def protocol(
    benchmark: str, session: Session, *, encoding: TimeEncoding | None, highlights: bool, set_question: SetQuestion | None = None
) -> dict[str, Any]:
    """A task's metadata: lmms-eval writes it into the results file and into its response cache's keys."""
    try:
        path = _path(benchmark)
        data, by_video = read_report(path).protocol(), session.settings_by_video(encoding=encoding)
        limit = session.token_limit()
    except NumProError:
        return {"version": 1}  # the table's part of the task says what is wrong
    settings, shown = by_video.base, by_video.base.encoding
    asked = None if highlights else set_question
    kind = f"highlight_{settings.prompt}" if highlights else f"set_{asked}" if asked else "moment"
    identity = session.announcement.identity
    return {
        "version": 1,
        "numpro": {
            **data,
            "task": kind.partition("_")[0],
            "settings": by_video.to_dict(),
            "encoding": shown.name,
            "prompt_id": kind if shown == NUMBER else f"{kind}_{shown.name}",
            "prompt": question("{query}", settings, highlights=highlights, set_question=asked),
            **({} if limit is None else {"max_new_tokens": limit}),
            "videos_state": _state_of_videos(path),
            "numpro_version": __version__,
            **({"model": dict(identity)} if identity else {}),
        },
    }


class _LimitedGeneration(dict[str, Any]):
    """Generation arguments with the token limit of ``NUMPRO_MAX_NEW_TOKENS``.

    lmms-eval puts the ``--gen_kwargs`` of the command line into them with ``update``: another limit there is an error.
    """

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As of any dict. Raises NumProError for another token limit."""
        given = dict(*args, **kwargs)
        check_token_limit(self["max_new_tokens"], given, source="--gen_kwargs")
        super().update({name: value for name, value in given.items() if name not in TOKEN_LIMIT_NAMES})


def moment_generation(session: Session) -> dict[str, Any]:
    """Generation arguments of moment retrieval tasks."""
    return _generation(session, MOMENT_ANSWER_TOKENS)


def set_generation(session: Session) -> dict[str, Any]:
    """Generation arguments of tasks that ask for all moments."""
    return _generation(session, SET_ANSWER_TOKENS)


def highlight_generation(session: Session) -> dict[str, Any]:
    """Generation arguments of highlight detection tasks: as long as the reference lets the kind of model answer."""
    try:
        kind = session.settings().prompt
    except NumProError:
        kind = "zeroshot"
    return _generation(session, HIGHLIGHT_ANSWER_TOKENS[kind])


def _generation(session: Session, usual_limit: int) -> dict[str, Any]:
    """Greedy; without ``until`` lmms-eval cuts answers at the first blank line."""
    arguments = {"max_new_tokens": usual_limit, "temperature": 0, "do_sample": False, "until": ["<|im_end|>"]}
    try:
        limit = session.token_limit()
    except NumProError:  # the table's part of the task says what is wrong
        return arguments
    return arguments if limit is None else _LimitedGeneration({**arguments, "max_new_tokens": limit})


def question(
    query: str,
    settings: NumProSettings,
    *,
    highlights: bool = False,
    set_question: SetQuestion | None = None,
    timeline: Timeline | None = None,
) -> str:
    """The question about a query: for its highlights, for all its moments (by one of three questions), or for its moment."""
    if set_question:
        return moments_question(query, settings, set_question)
    if highlights:
        return highlights_question(query, settings)
    return moment_question(query, settings, timeline)


def _path(benchmark: str) -> Path:
    return table_path(benchmark, default_split(BENCHMARKS[benchmark]))


def _check_marks(path: Path, session: Session) -> None:
    """Raise NumProError if the marks of the longest video at each rate do not fit its frames: they could not be read."""
    by_video = session.settings_by_video()
    if by_video.base.encoding.drawn in ("number", "none"):
        return
    longest = {by_video.of(duration_s): duration_s for duration_s in sorted({row[0] for row in read_columns(path, "duration_s")})}
    for settings, duration_s in longest.items():
        check_marks(settings, duration_s)


def _check_saliency(path: Path) -> None:
    first = next(read_columns(path, "clips", "relevant_clip_ids", "saliency_scores"), ())
    if None in first:
        raise NumProError(
            f"{path}: the table has no saliency scores, so highlights cannot be scored: run numpro prepare {path.parent.name} with "
            "annotations that have them (highlight_val_release.jsonl), or evaluate its moments alone with "
            f"--tasks numpro_{path.parent.name}"
        )


def _state_of_videos(table: Path) -> str:
    """Hash over path, size and time of change of every video of a table.

    It stands in the metadata for lmms-eval's response cache: an answer to other pixels, or to the blank clip of a video that was
    repaired since, is not served again.
    """
    return hash_of(*(repr((video, _state(video))) for video in sorted({row["video"] for row in read_rows(table)})), length=16)


def _state(video: str) -> tuple[int, int] | None:
    """Size and time of change; None for a video that is missing, or of a table without videos."""
    if not os.path.isabs(video):
        return None
    try:
        _, size, mtime_ns = file_identity(video)
    except NumProError:
        return None
    return size, mtime_ns
