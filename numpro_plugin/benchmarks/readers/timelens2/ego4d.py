"""Ego4D-NLQ: questions about egocentric clips of some eight minutes, each answered by one span, often of a few seconds.

Rules (Ego4D episodic memory, NLQ; MCG-NJU/TimeLens2, evaluation/vlmeval/dataset, commit a5ce450):

- Official ``nlq_val.json``: ``{"videos": [{"clips": [{"clip_uid", "video_start_sec", "video_end_sec", "annotations": [{"annotation_uid",
  "language_queries": [{"query", "clip_start_sec", "clip_end_sec", ...}]}]}]}]}``. Times are those of the clip, and the files are the
  clips, ``CLIP_UID.mp4``. A query is known by its annotation and its place in it, as in the official evaluation.
- A query may be null: it is left out.
- Flat files (TimeLens2's ``ego4d_nlq_val_v2.jsonl``, VideoMind's) have a row a query: video, query, duration, spans.
- Official: R@1 and R@5 at IoU 0.3 and 0.5. TimeLens2: IoU of the two sets (see `numpro_plugin.metrics.sets`), mIoU and R1.
- The files are given out after a licence was signed. Others count 4552 queries in val (v2); unchecked, so
  no size is compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, part, plain_text, query_id, span, video_name
from numpro_plugin.benchmarks.rows import queries_of_rows, read_each, read_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import file_kind, read_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_REMEDY = "Use nlq_val.json or nlq_train.json as it was downloaded, or a flat file with video, query, duration and spans."


def read_annotations(path: Path) -> list[Query]:
    """Read the official file, or a flat one. Raises NumProError for another kind of file or impossible values."""
    content = read_json(path) if file_kind(path) == "json" else None
    if not isinstance(content, dict):
        rows = read_rows(path) if content is None else rows_of_list(path, content)
        return check_ids(path, queries_of_rows(path, rows, only_known=False, spans_needed=True))
    try:
        asked = [
            {**one, "clip": clip, "id": f"{annotation['annotation_uid']}:{k}"}
            for video in content["videos"]
            for clip in video["clips"]
            for annotation in clip["annotations"]
            for k, one in enumerate(annotation["language_queries"])
        ]
    except (KeyError, TypeError) as error:
        raise NumProError(f"{path}: is not Ego4D's file of natural language queries ({error}). {_REMEDY}") from None
    return check_ids(path, read_each(path, enumerate(asked), _query, _REMEDY))


def _query(_: int, row: dict[str, Any]) -> Query:
    start_s, end_s = part(row["clip"]["video_start_sec"], row["clip"]["video_end_sec"])
    query = Query(query_id(row["id"]), video_name(row["clip"]["clip_uid"]), "", (), end_s - start_s)
    if row.get("query") is None:
        return replace(query, left_out="query null")
    return replace(query, query=plain_text(row["query"], "query").strip(), spans_s=(span((row["clip_start_sec"], row["clip_end_sec"])),))


EGO4D_NLQ = Benchmark(
    name="ego4d_nlq",
    title="Ego4D-NLQ",
    read_annotations=read_annotations,
    splits=("val", "train"),
    set_question="single",
    video_form=r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.\w+)?",
    sources="""\
annotations  nlq_val.json, nlq_train.json (v2): from ego4d-data.org after its licence was signed, with the ego4d command
             (--datasets annotations --benchmarks NLQ)
videos       the clips of the same benchmark (--datasets clips), named by clip_uid""",
)
