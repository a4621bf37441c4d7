"""The prepared table: where it is, what is in it, and the report that lies beside it.

A table is a parquet file of rows ``id, video, query, spans_s, duration_s`` (``video`` is the file's path) and, where the benchmark
needs it, ``end_s`` (only so much of the video is used), the columns of `EXTRA_COLUMNS`. Beside it lies a
JSON report that says what was expected, what was found and what is missing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.environment import chosen_split, data_folder, data_folder_is_default
from numpro_plugin.errors import NumProError
from numpro_plugin.files import written_whole

if TYPE_CHECKING:
    import os

    from numpro_plugin.benchmarks.annotations import Benchmark


@dataclass
class Report:
    """What `numpro prepare` found."""

    benchmark: str
    split: str
    n_expected: int
    """Queries in the annotation file."""
    n_used: int = 0
    """Queries in the table."""
    videos_expected: int = 0
    videos_used: int = 0
    truth: str = "official"
    """Which annotations count: ``official``, or ``majority`` where the benchmark has several annotators and one was chosen."""
    with_videos: bool = True
    """False: a table for checks that need no pixels."""
    missing: list[str] = field(default_factory=list)
    """Ids of videos that were not found (or have no duration, in a table without videos)."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Files that cannot be read, and why."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Files that are used though reading stops before their end, and why."""
    reversed_spans: int = 0
    """Queries whose annotated start lies after the end; kept, and read the other way round by the metrics."""
    beyond_end: int = 0
    """Queries whose annotated span ends after the video; normal, kept as they are."""
    differing_durations: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Videos that are more than a second longer or shorter than the durations file says: (file, annotation) in seconds."""
    annotations: str = ""
    """Path of the annotation file."""
    annotations_sha256: str = ""
    numpro_version: str = ""

    def protocol(self) -> dict[str, Any]:
        """What every result says about the data."""
        return {
            "benchmark": self.benchmark,
            "split": self.split,
            "truth": self.truth,
            "n_used": self.n_used,
            "n_expected": self.n_expected,
            "with_videos": self.with_videos,
            "annotations_sha256": self.annotations_sha256,
        }


def table_path(benchmark: str, split: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Where the table of a benchmark's split is, or would be."""
    return Path(folder or data_folder()) / benchmark / f"{split}.parquet"


def write_table(rows: list[dict[str, Any]], report: Report, folder: str | os.PathLike[str] | None = None) -> Path:
    """Write table and report; a reader sees the old ones or the new ones. Returns the table's path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    spans = pa.list_(pa.list_(pa.float64()))
    types = {
        **{"id": pa.string(), "video": pa.string(), "query": pa.string(), "spans_s": spans, "duration_s": pa.float64()},
        **{"end_s": pa.float64(), "annotators": spans, "clips": pa.int64(), "relevant_clip_ids": pa.list_(pa.int64())},
        "saliency_scores": pa.list_(pa.list_(pa.int64())),
    }
    used = [name for name in types if any(name in row for row in rows)]
    schema = pa.schema([(name, types[name]) for name in used])
    path = table_path(report.benchmark, report.split, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path.with_suffix(".json")) as report_part, written_whole(path) as table_part:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), table_part)
        report_part.write_text(json.dumps(asdict(report), indent=1))
    return path


def default_split(benchmark: Benchmark) -> str:
    """The split that is evaluated: ``$NUMPRO_SPLIT``, else the benchmark's first (``test``, ``val_2``, ``val``)."""
    return chosen_split() or benchmark.splits[0]


def read_report(path: Path) -> Report:
    """The report beside a table.

    Raises:
        NumProError: there is none, or it cannot be read; the remedy names the command that makes it.
    """
    remedy = f"run: numpro prepare {path.parent.name} --annotations FILE --videos DIR"
    if split := chosen_split():
        remedy += f" (NUMPRO_SPLIT={split} asks for this split)"
    report = path.with_suffix(".json")
    if not path.exists() or not report.exists():
        where = " (NUMPRO_DATA is not set, so the default folder was looked in)" if data_folder_is_default() else ""
        raise NumProError(f"there is no table {path}{where}; {remedy}")
    try:
        return Report(**json.loads(report.read_text()))
    except (ValueError, TypeError) as error:
        raise NumProError(f"{report}: cannot be read ({error}); {remedy}") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a table."""
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()
