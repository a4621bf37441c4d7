"""VUE-TR and VUE-TR-V2: all moments of a query in videos of seconds to over an hour; a query may have none.

Rules (bytedance/vidi, VUE_TR/ and VUE_TR_V2/; MCG-NJU/TimeLens2, evaluation/vlmeval/dataset/vidi_vue_tr.py, commit a5ce450):

- A JSON list of ``{query_id, video_id, duration, query, gt: [[start, end], ...], query_modality, ...}``, in seconds.
- As in TimeLens2 only queries about what is seen are evaluated (``query_modality`` "vision"). Those about what is heard are left out,
  since a numbered video has no sound.
- IoU of the two sets: predicted spans are merged, true ones are not; without a true span an empty prediction scores 1. mIoU is its mean,
  R1 counts IoU at least 0.3, 0.5, 0.7. Vidi's own headline is the area under the share of queries above a threshold, with predicted
  starts rounded down and ends rounded up.
- Official sizes: query ids 0 to 1597 (VUE-TR) and 0 to 1599 (VUE-TR-V2), of all modalities; the lists of videos
  beside them (``video_id.txt``) have 424 and 847 ids. Whether every one is still asked about was not checked, so only queries are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, plain_text, query_id, spans, video_name
from numpro_plugin.benchmarks.rows import read_each, rows_of_list
from numpro_plugin.benchmarks.text_files import read_json

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read an official file. Raises NumProError for another kind of file or impossible values; rows are named by position."""
    return check_ids(path, read_each(path, rows_of_list(path, read_json(path)), _query, "Use the official file as it was downloaded."))


def _query(_: int, row: dict[str, Any]) -> Query:
    modality = row["query_modality"]
    return Query(
        id=query_id(row["query_id"]),
        video=video_name(row["video_id"]),
        query=plain_text(row["query"], "query").strip(),
        spans_s=spans(row["gt"]),
        duration_s=duration(row["duration"]),
        left_out=None if modality == "vision" else f"query_modality {modality}",
    )


def _benchmark(name: str, title: str, queries: int, file: str) -> Benchmark:
    folder = name.upper()
    return Benchmark(
        name=name,
        title=title,
        read_annotations=read_annotations,
        splits=("test",),
        sizes={"test": (None, queries)},
        set_question="retrieval",
        sources=f"""\
annotations  {file}: repository bytedance/vidi on GitHub, folder {folder} (first release of VUE-TR: the repository's root)
videos       on YouTube, by the ids in {folder}/video_id.txt of that repository; name each file by its id""",
    )


VUE_TR = _benchmark("vue_tr", "VUE-TR", 1598, "VUE-TR_ground_truth.json")
VUE_TR_V2 = _benchmark("vue_tr_v2", "VUE-TR-V2", 1600, "VUE-TRv2_ground_truth.json")
