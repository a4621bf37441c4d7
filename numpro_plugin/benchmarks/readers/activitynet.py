"""ActivityNet Captions: ``train.json``, ``val_1.json``, ``val_2.json``; every sentence is a query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids
from numpro_plugin.benchmarks.by_video import file_names, queries_by_video
from numpro_plugin.benchmarks.rows import queries_of_rows, read_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import file_kind, read_json

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read an object of ``{video: {"duration", "timestamps": [[start, end]], "sentences": [...]}}``, or a file of rows.

    Raises:
        NumProError: another kind of file; the video or row is named.
    """
    if file_kind(path) not in {"csv", "tsv", "jsonl", "parquet"}:
        content = read_json(path)
        if not isinstance(content, list):
            return check_ids(path, queries_by_video(path, content))
        rows = rows_of_list(path, content)
    else:
        rows = read_rows(path)
    queries = queries_of_rows(path, rows, only_known=False, spans_needed=True)
    return check_ids(path, [replace(query, files=file_names(query.video)) for query in queries])


ACTIVITYNET = Benchmark(
    name="activitynet",
    title="ActivityNet Captions",
    read_annotations=read_annotations,
    splits=("val_2", "val_1", "train"),
    sizes={"val_2": (4885, 17031), "val_1": (4917, 17505), "train": (10009, 37421)},
    video_form=r"(v_)?[\w-]{11}(\.\w+)?",
    sources="""\
annotations  train.json, val_1.json, val_2.json: captions.zip on the Dense-Captioning Events in Videos page (Stanford)
videos       on YouTube; those that are gone are given out by the ActivityNet team on request (form on activity-net.org)""",
)
