"""Truth files of anybody's layout: annotation files, TimeChat's ground truth, prepared tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.annotations import Query, check_ids, seconds, span
from numpro_plugin.benchmarks.rows import queries_of_rows
from numpro_plugin.benchmarks.rows import read_rows as read_annotation_rows
from numpro_plugin.benchmarks.table import has_column, read_rows
from numpro_plugin.benchmarks.text_files import file_kind, read_json, read_jsonl
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path


def read_truth(path: Path) -> dict[str, Query]:
    """The truth by query id, from an annotation file, TimeChat's ground truth, or a prepared table.

    Raises:
        NumProError: not one of the known kinds, broken, or with ids that occur twice.
    """
    return {query.id: query for query in check_ids(path, _queries(path))}


def _queries(path: Path) -> list[Query]:
    kind = file_kind(path)
    if kind == "parquet" and has_column(path, "spans_s"):
        try:
            return [_table_row(row) for row in read_rows(path)]
        except (KeyError, ValueError, TypeError) as error:
            raise NumProError(
                f"{path}: is not a prepared table ({type(error).__name__}: {error}); make it again with numpro prepare"
            ) from None
    if kind in ("csv", "tsv", "parquet"):
        return queries_of_rows(path, read_annotation_rows(path), only_known=False, spans_needed=False)
    if kind == "txt":
        return BENCHMARKS["charades"].read_annotations(path)
    if kind == "jsonl":
        first = next((row for _, row in read_jsonl(path)), {})
        return BENCHMARKS["qvhighlights" if "qid" in first else "custom"].read_annotations(path)
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        return [_timechat_row(path, k, row) for k, row in enumerate(content["annotations"])]
    if isinstance(content, dict):
        return BENCHMARKS["activitynet"].read_annotations(path)
    has_chunks = isinstance(content, list) and content and isinstance(content[0], dict) and "times" in content[0]
    return BENCHMARKS["didemo" if has_chunks else "custom"].read_annotations(path)


def _table_row(row: dict[str, Any]) -> Query:
    extra = {key: row[key] for key in ("annotators", "clips", "relevant_clip_ids", "saliency_scores") if row.get(key) is not None}
    return Query(row["id"], row["video"], row["query"], tuple(span(one) for one in row["spans_s"]), seconds(row["duration_s"]), extra=extra)


def _timechat_row(path: Path, position: int, row: dict[str, Any]) -> Query:
    try:
        return Query(str(row["id"]), str(row["image_id"]), str(row["caption"]), (span(row["timestamp"]),))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise NumProError(f"{path}: annotation {position}: {type(error).__name__}: {error}") from None
