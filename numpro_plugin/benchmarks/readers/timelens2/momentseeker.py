"""MomentSeeker: all moments of a text query in long videos (sports, films, cartoons, egocentric).

Rules (hub data set avery00/MomentSeeker; MCG-NJU/TimeLens2, evaluation/vlmeval/dataset, commit a5ce450):

- ``t2v.json``, a JSON list of ``{src_video_path, qry_text, answering_time_interval: [[start, end], ...], task}``, in seconds. A query is
  known by its position in the file. The file says no durations.
- Rows without an interval are left out.
- ``ti2v.json`` and ``tv2v.json`` ask with a picture or a video beside the text, which these tasks cannot show: refused.
- As in TimeLens2, IoU of the two sets (see `numpro_plugin.metrics.sets`): mIoU, and R1 at 0.3, 0.5, 0.7. The paper's own metrics are R@1
  and mAP@5 at IoU above 0.3.
- Others count 268 videos and 900 queries in text (of arXiv 2502.12558); that could not be checked on the file, so no size is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, plain_text, spans, video_name
from numpro_plugin.benchmarks.rows import read_each, rows_of_list
from numpro_plugin.benchmarks.text_files import read_json

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read ``t2v.json``. Raises NumProError for another kind of file or impossible values; rows are named by position."""
    return check_ids(path, read_each(path, rows_of_list(path, read_json(path)), _query, "Use the official t2v.json."))


def _query(position: int, row: dict[str, Any]) -> Query:
    if beside := [key for key in ("qry_img_path", "qry_video_path") if row.get(key)]:
        raise ValueError(f"asks with {beside[0]}, and only text queries can be asked here")
    name = video_name(row["src_video_path"])
    annotated = spans(row["answering_time_interval"] or [])
    return Query(
        id=str(position),
        video=name.rpartition("/")[2],
        query=plain_text(row["qry_text"], "qry_text").strip(),
        spans_s=annotated,
        files=(name, name.rpartition("/")[2]),
        left_out=None if annotated else "no answering_time_interval",
    )


MOMENTSEEKER = Benchmark(
    name="momentseeker",
    title="MomentSeeker",
    read_annotations=read_annotations,
    splits=("test",),
    set_question="grounding",
    sources="""\
annotations  hf://datasets/avery00/MomentSeeker/t2v.json
videos       hf://datasets/avery00/MomentSeeker (videos.tar.gz.part_*, one archive in parts)""",
)
