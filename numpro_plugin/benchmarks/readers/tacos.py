"""TACoS: people cooking in one kitchen, minutes long; spans are often of a few seconds.

Rules:

- 2D-TAN's JSON (microsoft/VideoX, data/TACoS): ``{"s13-d21.avi": {"timestamps": [[first, last]], "sentences", "num_frames", "fps"}}`` in
  frames; seconds are frames / fps.
- UniVTG's and lighthouse's JSON lines: ``{qid, query, duration, vid, relevant_windows}`` in seconds.
- Files are called ``VIDEO-cam-002.avi`` (or .mp4).
- R@0.1, 0.3, 0.5 and mIoU in most papers; here 0.3, 0.5, 0.7 as everywhere.
- Sizes in videos and queries: test 25 and 4001, val 27 and 4436, train 75 and 9790 in the JSON lines; 4083, 4589 and 10146 queries in
  2D-TAN's files, by their paper (arXiv 1912.03590).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, frame_rate, plain_text, seconds
from numpro_plugin.benchmarks.by_video import Keys, queries_by_video
from numpro_plugin.benchmarks.rows import queries_of_rows, read_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import file_kind, read_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read either form. Raises NumProError for another kind of file, impossible values, and frames without ``fps``."""
    content = read_json(path) if file_kind(path) == "json" else None
    if isinstance(content, dict):
        queries = queries_by_video(path, {name: _in_seconds(path, name, video) for name, video in content.items()}, keys=Keys())
    else:
        rows = read_rows(path) if content is None else rows_of_list(path, content)
        queries = queries_of_rows(path, rows, only_known=False, spans_needed=True)
    return check_ids(path, [_named(query) for query in queries])


def _in_seconds(path: Path, name: str, video: Any) -> Any:
    """What is said of one video, its frames made seconds."""
    try:
        if missing := [key for key in ("num_frames", "fps", "timestamps") if key not in video]:
            raise ValueError(f"has no {', '.join(map(repr, missing))}, and its times are frames")
        fps = frame_rate(video["fps"])
        spans_s = [[seconds(time) / fps for time in pair] for pair in video["timestamps"]]
        return {"duration": duration(video["num_frames"]) / fps, "timestamps": spans_s, "sentences": video["sentences"]}
    except (ValueError, TypeError, KeyError) as error:
        raise NumProError(f"{path}: video {name!r}: {error}; use 2D-TAN's files as they were downloaded") from None


def _named(query: Query) -> Query:
    name = plain_text(query.video, "video").removesuffix(".avi")
    return replace(query, id=query.id.replace(query.video, name), video=name, files=(f"{name}-cam-002", name))


TACOS = Benchmark(
    name="tacos",
    title="TACoS",
    read_annotations=read_annotations,
    splits=("test", "val", "train"),
    sizes={"test": (25, 4001), "val": (27, 4436), "train": (75, 9790)},
    other_sizes={"test": (25, 4083), "val": (27, 4589), "train": (75, 10146)},
    video_form=r"s\d+-d\d+(\.\w+)?",
    sources="""\
annotations  tacos_test_release.jsonl and its siblings: repository line/lighthouse on GitHub; or test.json, val.json, train.json of
             microsoft/VideoX on GitHub, folder data/TACoS
videos       MPII Cooking Composite Activities, on the page of the Max Planck Institute for Informatics""",
)
