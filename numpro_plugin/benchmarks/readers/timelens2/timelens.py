"""TimeLens-Bench: queries and spans of Charades-STA, ActivityNet Captions and QVHighlights, corrected by hand.

Rules (TencentARC/TimeLens, timelens/dataset/timelens_data.py and evaluation/utils.py, commit 5d90c06):

- One JSON object a set, ``{video: {"duration", "spans": [[start, end]], "queries": [...]}}``, in seconds, one span a query.
- Before it is asked, a query loses repeated blanks and its full stop.
- R@0.3, 0.5, 0.7 (IoU at least that) and mIoU of the first span of an answer. The script scores a reversed span 0, the tasks here read
  it the other way round; ``numpro score --compatible timelens`` does what the script does. Its results are a dict by video, query and
  span, so a query that occurs twice with one span counts once there.
- Official sizes, in videos and queries: Charades 1313 and 3363, ActivityNet 1455 and 4500, QVHighlights 1511 and 1541.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids
from numpro_plugin.benchmarks.by_video import Keys, queries_by_video
from numpro_plugin.benchmarks.text_files import read_json

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read one of the three official files. Raises NumProError for another kind of file or impossible values; the video is named."""
    queries = queries_by_video(path, read_json(path), keys=Keys(spans="spans", queries="queries"))
    return check_ids(path, [replace(query, query=" ".join(query.query.split()).removesuffix(".").strip()) for query in queries])


def _benchmark(name: str, title: str, videos: int, queries: int, form: str) -> Benchmark:
    return Benchmark(
        name=f"timelens_{name}",
        title=f"{title}-TimeLens",
        read_annotations=read_annotations,
        splits=("test",),
        sizes={"test": (videos, queries)},
        video_form=form,
        sources=f"""\
annotations  hf://datasets/TencentARC/TimeLens-Bench/{name}-timelens.json
videos       hf://datasets/TencentARC/TimeLens-Bench/video_shards (tar shards, which unpack to videos/{name}/)""",
    )


TIMELENS_CHARADES = _benchmark("charades", "Charades", 1313, 3363, r"[A-Z0-9]{5}(\.\w+)?")
TIMELENS_ACTIVITYNET = _benchmark("activitynet", "ActivityNet", 1455, 4500, r"(v_)?[\w-]{11}(\.\w+)?")
TIMELENS_QVHIGHLIGHTS = _benchmark("qvhighlights", "QVHighlights", 1511, 1541, r".+_\d+(\.\d+)?_\d+(\.\d+)?(\.\w+)?")
