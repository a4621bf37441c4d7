"""The pieces of work that are done or not done: a unit is a fixed run of videos of one source and becomes one file.

What is in which unit depends on the inputs and ``rows_per_file`` alone, so any number of jobs can share the work and any of them can
be killed. A unit is done when its record lies in ``OUT/units``: the record is written last, after its file has been renamed to its
final name, and both appear whole or not at all.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from numpro_plugin.errors import NumProError
from numpro_plugin.files import new_part, put_in_place, write_text_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..instructions.conversations import Video
    from .rows import FrameOptions, MadeRow

_GROUP_BYTES = 16_000_000  # of frames in a row group: what a reader holds at once
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Unit:
    """Some videos of one source."""

    name: str
    """``anet-00003-of-00012``: the name of its file, without extension."""

    source: str
    videos: tuple[Video, ...]

    @property
    def rows_in(self) -> int:
        """How many rows of the inputs are about its videos."""
        return sum(len(video.conversations) for video in self.videos)


def units_of(videos: Iterable[Video], rows_per_file: int) -> list[Unit]:
    """Cut each source's videos into units, in the order in which they are given.

    Raises:
        NumProError: a source whose name cannot be part of a file's.
    """
    by_source: dict[str, list[Video]] = {}
    for video in videos:
        by_source.setdefault(video.source, []).append(video)
    units = []
    for source, own in sorted(by_source.items()):
        if not _SOURCE_NAME.fullmatch(source):
            raise NumProError(f"source {source!r} becomes part of file names: letters, digits, '_', '-' and '.' are allowed")
        count = -(-len(own) // rows_per_file)
        for k in range(count):
            units.append(Unit(f"{source}-{k:05d}-of-{count:05d}", source, tuple(own[k * rows_per_file : (k + 1) * rows_per_file])))
    return units


Record = dict[str, Any]
"""What a unit's record says; its keys are those of a source in the manifest, see `manifest.py`."""


class UnitWriter:
    """Writes one unit: its file, or several if it gets too large, then its record.

    Args:
        out: folder of the shards.
        unit: what is written.
        options: stand in the file's metadata.
        file_bytes: after so many bytes of frames a further file ``NAME.1.parquet`` is begun.
    """

    def __init__(self, out: Path, unit: Unit, options: FrameOptions, *, file_bytes: int) -> None:
        self._out, self._unit, self._file_bytes = out, unit, file_bytes
        self._schema = options.info.schema()
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._written = self._held_bytes = 0
        self._held: list[dict[str, Any]] = []
        self._record: Record = {
            **{"source": unit.source, "rows_in": unit.rows_in, "videos_in": len(unit.videos)},
            **dict.fromkeys(("rows_written", "conversations", "frames", "thinned", "spans_beyond_end", "past_last", "rows_unsure"), 0),
            **{"files": {}, "skipped_videos": {}, "skipped_rows": [], "warnings": {}, "other_lengths": {}, "unsure": []},
        }

    def add(self, video: Video, made: MadeRow) -> None:
        """Take in what became of the unit's next video."""
        record, notes = self._record, made.notes
        record["skipped_rows"] += notes.dropped
        if made.warnings:
            record["warnings"][video.name] = "; ".join(made.warnings)
        if made.other_length:
            record["other_lengths"][video.name] = made.other_length
        if made.row is None:
            record["skipped_videos"][video.name] = {"reason": made.skipped, "rows": len(video.conversations) - len(notes.dropped)}
            return
        unsure = [text for conversation in video.conversations for text in conversation.unsure[:1]]
        record["rows_unsure"] += len(unsure)
        record["unsure"] = (record["unsure"] + unsure)[:_EXAMPLES]
        record["rows_written"] += 1
        record["conversations"] += len(made.row["conversations"])
        record["frames"] += len(made.row["frames"])
        record["thinned"] += made.thinned
        record["spans_beyond_end"] += notes.spans_beyond_end
        record["past_last"] += notes.past_last
        size = sum(map(len, made.row["frames"]))
        if (before := self._written + self._held_bytes) and before + size > self._file_bytes:
            self._close()
        self._held.append(made.row)
        self._held_bytes += size
        if self._held_bytes >= _GROUP_BYTES:
            self._write_held()

    def finish(self) -> Record:
        """Give the files their names, then write the record. Returns the record."""
        self._close()
        for position, part in enumerate(self._parts):
            name = f"{self._unit.name}.{position}.parquet" if position else f"{self._unit.name}.parquet"
            self._record["files"][name] = part.stat().st_size
            put_in_place(part, self._out / name)
        write_text_whole(record_path(self._out, self._unit), json.dumps(self._record, indent=1) + "\n")
        return self._record

    def discard(self) -> None:
        """Remove what is half-written."""
        if self._writer is not None:
            with suppress(OSError):  # a full disk, again
                self._writer.close()
            self._writer = None
        for part in self._parts:
            part.unlink(missing_ok=True)

    def _write_held(self) -> None:
        if not self._held:
            return
        if self._writer is None:
            part = new_part(self._out / f"{self._unit.name}.parquet")
            self._parts.append(part)
            # JPEGs neither shrink nor repeat.
            self._writer = pq.ParquetWriter(
                part,
                self._schema,
                compression={"frames.list.element": "none", "conversations": "zstd"},
                use_dictionary=["video", "source"],
                write_statistics=["video", "source", "duration_s"],
            )
        self._writer.write_table(pa.Table.from_pylist(self._held, schema=self._schema), row_group_size=len(self._held))
        self._written += self._held_bytes
        self._held, self._held_bytes = [], 0

    def _close(self) -> None:
        self._write_held()
        if self._writer is not None:
            self._writer.close()
            self._writer, self._written = None, 0


_EXAMPLES = 5


def record_path(out: Path, unit: Unit) -> Path:
    """Where a unit's record lies once it is done."""
    return out / "units" / f"{unit.name}.json"


def read_record(out: Path, unit: Unit) -> Record | None:
    """The record of a unit that is done, or None: then it, or a file of it, is missing or cut short."""
    try:
        record: Record = json.loads(record_path(out, unit).read_text())
        if all((out / name).stat().st_size == size for name, size in record["files"].items()):
            return record
    except (OSError, ValueError, KeyError):
        pass
    return None


def remove_leftovers(out: Path) -> None:
    """Remove what killed runs left half-written; only when all units are done, so that nobody is writing any more."""
    for left in [*out.glob(".*-of-*.part"), *(out / "units").glob(".*.part")]:
        left.unlink(missing_ok=True)
