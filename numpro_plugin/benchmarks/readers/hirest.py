"""HiREST: the part of an instructional video that answers a query such as "Make Vegan Gumbo".

Rules (j-min/HiREST, data/splits; moment retrieval):

- ``all_data_{test,val,train}.json``: ``{query: {"x.mp4": {"relevant", "clip", "v_duration", "bounds": [start, end], "steps"}}}``, seconds.
- Only rows whose ``clip`` is true have bounds (less than 75 % of the video answers the query); the others are left out.
- A query is known by its position in the file: the same video may answer two.
- R@0.5, 0.7 there; here 0.3, 0.5, 0.7 and mIoU.
- Official sizes, in pairs of query and video: test 1391, val 477, train 1507.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, plain_text, span, video_name
from numpro_plugin.benchmarks.by_video import file_names
from numpro_plugin.benchmarks.rows import read_each
from numpro_plugin.benchmarks.text_files import read_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_REMEDY = "Use all_data_test.json, all_data_val.json or all_data_train.json as it was downloaded."


def read_annotations(path: Path) -> list[Query]:
    """Read an official file. Raises NumProError for another kind of file or impossible values; rows are named by position."""
    content = read_json(path)
    try:
        rows = [{**row, "query": query, "video": video} for query, videos in content.items() for video, row in videos.items()]
    except (TypeError, AttributeError) as error:
        raise NumProError(f"{path}: is not HiREST's file ({error}). {_REMEDY}") from None
    return check_ids(path, read_each(path, enumerate(rows), _query, _REMEDY))


def _query(position: int, row: dict[str, Any]) -> Query:
    name = video_name(row["video"])
    if not isinstance(row["clip"], bool):
        raise ValueError(f"clip must be true or false, got {row['clip']!r}")
    return Query(
        id=str(position),
        video=name,
        query=plain_text(row["query"], "query").strip(),
        spans_s=(span(row["bounds"]),) if row["clip"] else (),
        duration_s=duration(row["v_duration"]),
        files=file_names(name),
        left_out=None if row["clip"] else "clip false",
    )


HIREST = Benchmark(
    name="hirest",
    title="HiREST",
    read_annotations=read_annotations,
    splits=("test", "val", "train"),
    sizes={"test": (None, 1391), "val": (None, 477), "train": (None, 1507)},
    sources="""\
annotations  all_data_test.json, all_data_val.json, all_data_train.json: repository j-min/HiREST on GitHub, folder data/splits
videos       on YouTube (a part of HowTo100M), named by id""",
)
