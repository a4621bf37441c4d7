"""E.T. Bench, task tvg: temporal video grounding.

Rules (PolyU-ChenLab/ETBench, docs/BENCHMARK.md and the hub data set's evaluation script):

- ``etbench_txt_v1.0.json``, a JSON list of ``{version, idx, task, source, video, duration, tgt: [start, end], q, ...}``, in seconds. Rows
  of the eleven other tasks are left out.
- ``q`` is a whole prompt; what stands between "described by the sentence: '" and its last quotation mark is the query.
- A query is known by its position in the file.
- The official "F1" of tvg is the mean of R@0.1, 0.3, 0.5 and 0.7, of the first span that is read; also mIoU.
- Official size: 7289 rows, all tasks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, plain_text, span, video_name
from numpro_plugin.benchmarks.rows import read_each, rows_of_list
from numpro_plugin.benchmarks.text_files import read_json

if TYPE_CHECKING:
    from pathlib import Path

_QUERY = re.compile(r"described by the sentence: '(?P<query>.+)'", re.DOTALL)


def read_annotations(path: Path) -> list[Query]:
    """Read the official file. Raises NumProError for another kind of file or impossible values; rows are named by position."""
    return check_ids(path, read_each(path, rows_of_list(path, read_json(path)), _query, "Use etbench_txt_v1.0.json as it was downloaded."))


def _query(position: int, row: dict[str, Any]) -> Query:
    name = video_name(row["video"])
    if row["task"] != "tvg":
        return Query(str(position), name, "", (), left_out=f"task {row['task']}")
    prompt = plain_text(row["q"], "q").partition("'. The format of your response")[0] + "'"
    if (found := _QUERY.search(prompt)) is None:
        raise ValueError(f'q has no query after "described by the sentence: \'": {prompt[:120]!r}')
    return Query(
        id=str(position),
        video=name,
        query=plain_text(found["query"], "query").strip(),
        spans_s=(span(row["tgt"]),),
        duration_s=duration(row["duration"]),
        files=(name, name.rpartition("/")[2]),
    )


ETBENCH_TVG = Benchmark(
    name="etbench_tvg",
    title="E.T. Bench tvg",
    read_annotations=read_annotations,
    splits=("test",),
    sizes={"test": (None, 7289)},
    sources="""\
annotations  hf://datasets/PolyU-ChenLab/ETBench/annotations/etbench_txt_v1.0.json
videos       hf://datasets/PolyU-ChenLab/ETBench/videos (tar archives, one a source)""",
)
