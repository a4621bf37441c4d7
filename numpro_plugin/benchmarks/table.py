"""The prepared table: where it is, what is in it, and the report that lies beside it.

A table is a parquet file of rows ``id, video, query, spans_s, duration_s`` (``video`` is the file's path) and, where the benchmark
needs it, ``start_s`` and ``end_s`` (seconds of the file; only this part is used, and the other times count from ``start_s``) and the
columns of `EXTRA_COLUMNS`. Its report says what was expected, what was found and what is missing. It is part of the parquet file, so that
the two can never be torn apart; the JSON file beside the table is a copy for people, and the report of tables that have none inside.
"""

from __future__ import annotations

import itertools
import json
import logging
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.readers.custom import checked_set_name
from numpro_plugin.environment import chosen_custom_set, chosen_split, data_folder, data_folder_is_default
from numpro_plugin.errors import NumProError
from numpro_plugin.files import write_text_whole, written_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from numpro_plugin.benchmarks.annotations import Benchmark

log = logging.getLogger(__name__)

_REPORT_KEY = b"numpro_report"
_ROWS_AT_ONCE = 10_000


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
    starts_beyond_end: int = 0
    """Queries with an annotated span that starts at the video's end or later, so that no frame of it is shown; kept as they are."""
    differing_durations: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Videos that are more than a second longer or shorter than the durations file says: (file, annotation) in seconds."""
    annotations: str = ""
    """Path of the annotation file."""
    annotations_sha256: str = ""
    numpro_version: str = ""
    name: str | None = None
    """Of one of several own sets."""
    n_with_spans: int | None = None
    """Queries in the annotation file that have a span; None in tables of older versions."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows of the annotation file that the benchmark's rules do not evaluate, by reason; not among ``n_expected``."""
    reading: str = ""
    """How a file was read whose columns and unit were given."""
    unlike_official: str = ""
    """How the annotation file's size differs from the official one's."""

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
            **({"name": self.name} if self.name else {}),
            **({"reading": self.reading} if self.reading else {}),
            **({"left_out": self.left_out} if self.left_out else {}),
            **({"unlike_official": self.unlike_official} if self.unlike_official else {}),
        }


def table_path(benchmark: str, split: str, folder: str | os.PathLike[str] | None = None, *, name: str | None = None) -> Path:
    """Where the table of a benchmark's split is, or would be; of ``custom`` that of the set ``name``, else of ``$NUMPRO_CUSTOM``.

    Raises:
        NumProError: the set's name cannot be that of a folder.
    """
    place = Path(folder or data_folder()) / benchmark
    if benchmark == "custom" and (name := name or chosen_custom_set()):
        place /= checked_set_name(name)
    return place / f"{split}.parquet"


def prepared_tables(folder: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Every table of a folder of tables, all splits and own sets, by what it is called: ``charades test``, ``custom kitchen val``."""
    root = Path(folder or data_folder())
    found = [path for name in BENCHMARKS for pattern in ("*.parquet", "*/*.parquet") for path in sorted((root / name).glob(pattern))]
    return {" ".join(path.relative_to(root).with_suffix("").parts): path for path in found}


@contextmanager
def table_lock(path: Path) -> Iterator[None]:
    """Be the only process that prepares a table.

    Raises:
        NumProError: another process does so now. A file system without locks is worked on without one.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.stem}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise NumProError(f"{path}: another `numpro prepare` is making this table; wait until it has ended") from None
    except NotImplementedError:
        log.warning("%s: the file system has no locks; do not run two `numpro prepare` for one table at once", path.parent)
    try:
        yield
    finally:
        lock.release()


def write_table(rows: Iterable[dict[str, Any]], report: Report, path: Path) -> None:
    """Write table and report as one, under `table_lock`: after a kill a reader sees both old or both new.

    Args:
        rows: the table's rows, taken one after the other.
        report: written when all rows have been taken, so it may count them.
        path: of the table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    spans = pa.list_(pa.list_(pa.float64()))
    types = {
        **{"id": pa.string(), "video": pa.string(), "query": pa.string(), "spans_s": spans, "duration_s": pa.float64()},
        **{
            "start_s": pa.float64(),
            "end_s": pa.float64(),
            "annotators": spans,
            "clips": pa.int64(),
            "relevant_clip_ids": pa.list_(pa.int64()),
        },
        "saliency_scores": pa.list_(pa.list_(pa.int64())),
    }
    for left in path.parent.glob(f".{path.stem}.*.part"):  # by a process that was killed: the lock says that none is at work
        left.unlink(missing_ok=True)
    remaining = iter(rows)
    chunks = iter(lambda: list(itertools.islice(remaining, _ROWS_AT_ONCE)), [])
    first = next(chunks, [])
    used = [name for name in types if any(name in row for row in first)]
    schema = pa.schema([(name, types[name]) for name in used])
    with written_whole(path) as part, pq.ParquetWriter(part, schema) as writer:
        for chunk in itertools.chain([first], chunks):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
        content = json.dumps(asdict(report), indent=1)
        writer.add_key_value_metadata({_REPORT_KEY: content.encode()})
    write_text_whole(path.with_suffix(".json"), content)


def default_split(benchmark: Benchmark) -> str:
    """The split that is evaluated: ``$NUMPRO_SPLIT``, else the benchmark's first (``test``, ``val_2``, ``val``)."""
    return chosen_split() or benchmark.splits[0]


def read_report(path: Path) -> Report:
    """The report of a table.

    Raises:
        NumProError: there is no table, or it cannot be read; the remedy names the command that makes it.
    """
    folders = path.parts[-3:-1]
    named = len(folders) == 2 and folders[0] == "custom"
    remedy = f"run: numpro prepare {f'custom --name {folders[1]}' if named else path.parent.name} --annotations FILE --videos DIR"
    if split := chosen_split():
        remedy += f" (NUMPRO_SPLIT={split} asks for this split)"
    if named and chosen_custom_set() == folders[1]:
        remedy += f" (NUMPRO_CUSTOM={folders[1]} asks for this set)"
    if not path.exists():
        where = " (NUMPRO_DATA is not set, so the default folder was looked in)" if data_folder_is_default() else ""
        raise NumProError(f"there is no table {path}{where}; {remedy}")
    copy = path.with_suffix(".json")
    content = _stored_report(path, remedy)
    if content is None and not copy.exists():
        raise NumProError(f"there is no report {copy} beside the table; {remedy}")
    try:
        return Report(**json.loads(copy.read_text(encoding="utf-8") if content is None else content))
    except (ValueError, TypeError, RecursionError) as error:
        raise NumProError(f"{copy if content is None else path}: the report cannot be read ({error}); {remedy}") from error


def _stored_report(path: Path, remedy: str) -> bytes | None:
    """The report inside a table; None in tables of older versions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return (pq.read_metadata(path).metadata or {}).get(_REPORT_KEY)
    except (OSError, pa.ArrowException) as error:
        raise NumProError(f"{path}: cannot be read as a table ({error}); {remedy}") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a table."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return [row for batch in file.iter_batches() for row in batch.to_pylist()]


def has_column(path: Path, name: str) -> bool:
    """Whether a parquet file has a column, which tells a table from files of others.

    Raises:
        NumProError: no such file, or it is not parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return name in pq.read_schema(path).names
    except FileNotFoundError:
        raise NumProError(f"{path}: no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise NumProError(f"{path}: cannot be read as parquet ({error})") from None


def read_columns(path: Path, *names: str) -> Iterator[tuple[Any, ...]]:
    """Some columns of a table, row by row; a column that the table does not have is None."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        held = [name for name in names if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=held):
            columns = {name: batch.column(name).to_pylist() for name in held}
            yield from zip(*(columns.get(name, [None] * batch.num_rows) for name in names), strict=True)


def has_spans(path: Path) -> bool:
    """Whether any query of a table has an annotated span."""
    return any(spans_s for (spans_s,) in read_columns(path, "spans_s"))
