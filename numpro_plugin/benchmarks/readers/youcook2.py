"""YouCook2: the steps of recipes on YouTube; every step is a query.

Rules (youcook2.eecs.umich.edu; one file holds both splits):

- ``{"database": {video: {"subset": "training" | "validation", "duration", "annotations": [{"segment": [start, end], "id", "sentence"}]}}}``
  in seconds. ``validation`` is evaluated, since the test split has no public annotations.
- R@IoU and mIoU, one span a query.
- Official sizes, in videos and steps: validation 457 and 3492, training 1333 and 10337.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, plain_text, query_id, span, video_name
from numpro_plugin.benchmarks.by_video import file_names
from numpro_plugin.benchmarks.rows import read_each
from numpro_plugin.benchmarks.text_files import read_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_SPLITS = {"validation": "val", "training": "train"}
_REMEDY = "Use youcookii_annotations_trainval.json as it was downloaded."


def read_annotations(path: Path) -> list[Query]:
    """Read the official file. Raises NumProError for another kind of file or impossible values; steps are named by position."""
    content = read_json(path)
    try:
        steps = [{**step, "name": name, "video": video} for name, video in content["database"].items() for step in video["annotations"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise NumProError(f"{path}: is not YouCook2's file ({error}). {_REMEDY}") from None
    return check_ids(path, read_each(path, enumerate(steps), _query, _REMEDY))


def _query(_: int, step: dict[str, Any]) -> Query:
    name, subset = video_name(step["name"]), plain_text(step["video"]["subset"], "subset")
    if subset not in _SPLITS:
        raise ValueError(f"subset must be {' or '.join(_SPLITS)}, got {subset!r}")
    return Query(
        id=f"{name}:{query_id(step['id'])}",
        video=name,
        query=plain_text(step["sentence"], "sentence").strip(),
        spans_s=(span(step["segment"]),),
        duration_s=duration(step["video"]["duration"]),
        files=file_names(name),
        split=_SPLITS[subset],
    )


YOUCOOK2 = Benchmark(
    name="youcook2",
    title="YouCook2",
    read_annotations=read_annotations,
    splits=("val", "train"),
    sizes={"val": (457, 3492), "train": (1333, 10337)},
    sources="""\
annotations  youcookii_annotations_trainval.json: youcook2.eecs.umich.edu
videos       on YouTube, by the ids of the same page; the team gives out those that are gone on request""",
)
