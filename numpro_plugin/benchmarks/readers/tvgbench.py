"""TVGBench: 800 queries from Charades-STA, ActivityNet Captions, HiREST, TACoS and Ego4D-NLQ, balanced by kind of query.

Rules (xiaomi-research/time-r1, dataset/timer1/annotations/tvgbench.json, commit 7f2b594):

- A JSON list of ``{path, question, answer: "13.4-28.1", start, end, duration, ...}``. With ``start`` and ``end`` (252 of the rows) only
  that part of the file, in seconds, is shown, and ``answer`` counts from its start; ``duration`` is the part's length.
- A query is known by its position in the file.
- R@0.3, 0.5, 0.7 and mIoU. 27 annotated spans end after their part; they are kept.
- Official size: 462 videos, 800 queries.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, part, plain_text, seconds, video_name
from numpro_plugin.benchmarks.rows import read_each, rows_of_list
from numpro_plugin.benchmarks.text_files import read_json

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def read_annotations(path: Path) -> list[Query]:
    """Read the official file. Raises NumProError for another kind of file or impossible values; rows are named by position."""
    return check_ids(path, read_each(path, rows_of_list(path, read_json(path)), _query, "Use the official tvgbench.json."))


def _query(position: int, row: dict[str, Any]) -> Query:
    answer = _ANSWER.fullmatch(plain_text(row["answer"], "answer"))
    if answer is None:
        raise ValueError(f"answer must be two times in seconds, such as '13.4-28.1', got {row['answer'][:80]!r}")
    part_s = None if row["start"] is None and row["end"] is None else part(row["start"], row["end"])
    return Query(
        id=str(position),
        video=video_name(plain_text(row["path"], "path").rpartition("/")[2]),
        query=plain_text(row["question"], "question").strip(),
        spans_s=((seconds(float(answer[1])), seconds(float(answer[2]))),),
        duration_s=duration(row["duration"]) if part_s is None else part_s[1] - part_s[0],
        part_s=part_s,
    )


TVGBENCH = Benchmark(
    name="tvgbench",
    title="TVGBench",
    read_annotations=read_annotations,
    splits=("test",),
    sizes={"test": (462, 800)},
    sources="""\
annotations  tvgbench.json: repository xiaomi-research/time-r1 on GitHub, folder dataset/timer1/annotations
videos       data set Boshenxx/TimeR1-Dataset on the Hugging Face hub, folder tvgbench_data""",
)
