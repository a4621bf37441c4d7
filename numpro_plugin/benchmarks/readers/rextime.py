"""ReXTime: questions that reason across time, over videos of ActivityNet and QVHighlights; the moment that holds the answer.

Rules (ReXTime/ReXTime, data/rextime_val.jsonl and evaluation/rextime_eval.py):

- JSON lines ``{qid, query, duration, vid, relevant_windows, ans}``, or the hub's rows ``{vid, question, options, answer, ans, span,
  category, qid}``, in seconds, one span a question. The question alone is asked; its four options belong to question answering.
- mIoU and R@1 at 0.3 to 0.95. The share that also chose the right option ("VQA,mIoU@0.5") needs the options and is not scored here.
- Official sizes: val 921 questions, test 2143, whose spans are with the server.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids
from numpro_plugin.benchmarks.by_video import file_names
from numpro_plugin.benchmarks.rows import queries_of_rows, read_rows
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_OURS = {"question": "query", "span": "spans"}


def read_annotations(path: Path) -> list[Query]:
    """Read either form. Raises NumProError for another kind of file, impossible values, or rows without a span (the test split)."""
    rows = [(number, {_OURS.get(name, name): value for name, value in row.items()}) for number, row in read_rows(path)]
    if rows and not any("ans" in row for _, row in rows):  # its videos and its other columns are those of two other benchmarks
        raise NumProError(f"{path}: no row has 'ans', the option that is right, so it is not ReXTime's file")
    queries = queries_of_rows(path, rows, only_known=False, spans_needed=True)
    return check_ids(path, [replace(query, files=file_names(query.video)) for query in queries])


REXTIME = Benchmark(
    name="rextime",
    title="ReXTime",
    read_annotations=read_annotations,
    splits=("val",),
    sizes={"val": (None, 921)},
    video_form=r"((v_)?[\w-]{11}|.+_\d+(\.\d+)?_\d+(\.\d+)?)(\.\w+)?",
    sources="""\
annotations  rextime_val.jsonl: repository ReXTime/ReXTime on GitHub, folder data (test is scored by the authors' server)
videos       those of ActivityNet and QVHighlights""",
)
