"""One's own queries over one's own videos."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids
from numpro_plugin.benchmarks.by_video import queries_by_video
from numpro_plugin.benchmarks.rows import COLUMN_OF, queries_of_rows, read_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import file_kind, read_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read JSON lines, CSV, JSON or parquet with ``video``, ``query`` and, if known, ``start_time``/``end_time`` or ``spans``.

    Raises:
        NumProError: rows without a video or query, with unknown columns or impossible times; every one is listed by line (of a list:
            by position).
    """
    if file_kind(path) != "json":
        rows = read_rows(path)
    else:
        content = read_json(path)
        if isinstance(content, dict) and COLUMN_OF.keys().isdisjoint(content):
            return check_ids(path, queries_by_video(path, content, only_known=True))
        rows = rows_of_list(path, content)
    return check_ids(path, queries_of_rows(path, rows, only_known=True, spans_needed=False))


def checked_set_name(name: str) -> str:
    """The name of one of one's own sets, which becomes a folder's. Raises NumProError for names that cannot be one."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise NumProError(
            f"{name!r} cannot be the name of a set of queries (--name, NUMPRO_CUSTOM); allowed: letters, digits, '.', '_' and '-', "
            "a letter or digit first, at most 100"
        )
    return name


CUSTOM = Benchmark(
    name="custom",
    title="your own queries",
    read_annotations=read_annotations,
    splits=("test", "val", "train"),
    sources="""\
annotations  a file of your own: JSON lines, JSON, CSV with a header (commas, semicolons or tabs) or parquet. Columns: video (file name,
             or path inside the folder of videos) and query; if there are annotated spans, start_time and end_time in seconds, or spans
             as [[start, end], ...] (also called spans_s, timestamps, timestamp or relevant_windows); id and duration if you like. Queries
             without a span get answers and no score.
videos       your folder""",
)
