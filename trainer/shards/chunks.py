"""Chunks: the pieces of work that are either done or not done. A chunk is a fixed run of videos of one source and becomes one file.

Which videos are in which chunk depends on the inputs and ``rows_per_file`` alone, so any number of jobs can share the work and any of
them can be killed. A chunk is done when its record is in ``OUT/units``. The record is written last, after the chunk's file has been
renamed to its final name, and both appear whole or not at all.
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
from numpro_plugin.files import is_about_writing, new_part, put_in_place, remove_if_possible, write_text_whole

from ..instructions.merged import SelectedVideos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..instructions.conversations import TrainingVideo
    from ..instructions.merged import MergedVideos
    from .rows import FrameOptions, MadeRow

RECORDS_FOLDER = "units"
"""Folder of the chunks' records below that of the shards. The name is part of the format on disk, like ``units`` in the manifest."""

_ROW_GROUP_BYTES = 16_000_000  # of frames in a row group: what a reader holds in memory at once
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_EXAMPLES = 5  # texts with unclear digits that a record quotes


@dataclass(frozen=True)
class Chunk:
    """A fixed run of videos of one source."""

    name: str
    """Name of its file without extension: ``anet-00003-of-00012``."""

    source: str
    videos: SelectedVideos

    @property
    def rows_in(self) -> int:
        """How many rows of the inputs are about its videos."""
        return sum(len(video.conversations) for video in self.videos)


def cut_into_chunks(videos: MergedVideos, rows_per_file: int) -> list[Chunk]:
    """Cut each source's videos into chunks, in the order given.

    Raises:
        NumProError: the name of a source cannot be part of a file name.
    """
    chunks = []
    for source, own in sorted(videos.by_source.items()):
        if not _SOURCE_NAME.fullmatch(source):
            raise NumProError(
                f"source {source!r} becomes part of file names: letters, digits, '_', '-' and '.' are allowed; rename it in the inputs"
            )
        count = -(-len(own) // rows_per_file)
        for k in range(count):
            selected = SelectedVideos(videos, own[k * rows_per_file : (k + 1) * rows_per_file])
            chunks.append(Chunk(f"{source}-{k:05d}-of-{count:05d}", source, selected))
    return chunks


def write_chunk(
    out: Path, chunk: Chunk, rows: Iterator[MadeRow], options: FrameOptions, *, file_bytes: int, advance: Callable[[int], object]
) -> None:
    """Write the file and the record of one chunk.

    Args:
        out: folder of the shards.
        chunk: what is written.
        rows: what became of each of its videos, in order.
        options: go into the file's metadata.
        file_bytes: see `ChunkWriter`.
        advance: called with 1 after each video.

    Raises:
        OSError: the folder cannot be written to, or no longer; the error names the file.
    """
    writer = ChunkWriter(out, chunk, options, file_bytes=file_bytes)
    try:
        for video, made in zip(chunk.videos, rows, strict=True):
            writer.add(video, made)
            advance(1)
        writer.finish()
    except BaseException as error:
        writer.discard()
        place = out / f"{chunk.name}.parquet"
        if isinstance(error, OSError) and is_about_writing(error, place):  # Arrow's errors name no file
            raise OSError(error.errno, error.strerror, str(place)) from error
        raise


ChunkRecord = dict[str, Any]
"""The content of a chunk's record; its keys are those of a source in the manifest, see `manifest.py`."""


class ChunkWriter:
    """Writes one chunk: its file, or several if it gets too large, then its record.

    Args:
        out: folder of the shards.
        chunk: what is written.
        options: go into the file's metadata.
        file_bytes: bytes of frames after which a further file ``NAME.1.parquet`` is started.
    """

    def __init__(self, out: Path, chunk: Chunk, options: FrameOptions, *, file_bytes: int) -> None:
        self._out, self._chunk, self._file_bytes = out, chunk, file_bytes
        self._schema = options.info.schema()
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._written_bytes = self._pending_bytes = 0
        self._pending: list[dict[str, Any]] = []
        self._record: ChunkRecord = {
            **{"source": chunk.source, "rows_in": chunk.rows_in, "videos_in": len(chunk.videos)},
            **dict.fromkeys(("rows_written", "conversations", "answers_with_spans", "frames", "thinned"), 0),
            **dict.fromkeys(("spans_beyond_end", "past_last", "rows_unsure"), 0),
            **{"files": {}, "skipped_videos": {}, "skipped_rows": [], "warnings": {}, "other_lengths": {}, "remarks": {}, "unsure": []},
        }

    def add(self, video: TrainingVideo, made: MadeRow) -> None:
        """Add the result for the chunk's next video."""
        record, notes = self._record, made.notes
        record["skipped_rows"] += notes.skipped_rows
        if made.warnings:
            record["warnings"][video.name] = "; ".join(made.warnings)
        if made.other_length:
            record["other_lengths"][video.name] = made.other_length
        if made.row is None:
            record["skipped_videos"][video.name] = {"reason": made.skipped, "rows": len(video.conversations) - len(notes.skipped_rows)}
            return
        unsure = [text for conversation in video.conversations for text in conversation.unsure[:1]]
        record["rows_unsure"] += len(unsure)
        record["unsure"] = (record["unsure"] + unsure)[:_EXAMPLES]
        for remark in (remark for conversation in video.conversations for remark in conversation.remarks):
            record["remarks"][remark] = record["remarks"].get(remark, 0) + 1
        record["rows_written"] += 1
        record["conversations"] += len(made.row["conversations"])
        record["answers_with_spans"] += sum(turn["spans_s"] is not None for talk in made.row["conversations"] for turn in talk)
        record["frames"] += len(made.row["frames"])
        record["thinned"] += made.thinned
        record["spans_beyond_end"] += notes.spans_beyond_end
        record["past_last"] += notes.past_last
        size = sum(map(len, made.row["frames"]))
        if (before := self._written_bytes + self._pending_bytes) and before + size > self._file_bytes:
            self._close_file()
        self._pending.append(made.row)
        self._pending_bytes += size
        if self._pending_bytes >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def finish(self) -> ChunkRecord:
        """Rename the files to their final names, then write the record. Returns the record."""
        self._close_file()
        for position, part in enumerate(self._parts):
            name = f"{self._chunk.name}.{position}.parquet" if position else f"{self._chunk.name}.parquet"
            self._record["files"][name] = part.stat().st_size
            put_in_place(part, self._out / name)
        write_text_whole(chunk_record_path(self._out, self._chunk), json.dumps(self._record, indent=1) + "\n")
        return self._record

    def discard(self) -> None:
        """Remove the unfinished files."""
        if self._writer is not None:
            with suppress(OSError):  # a full disk, again
                self._writer.close()
            self._writer = None
        for part in self._parts:
            remove_if_possible(part)

    def _write_row_group(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            part = new_part(self._out / f"{self._chunk.name}.parquet")
            self._parts.append(part)
            # JPEGs neither compress nor repeat.
            self._writer = pq.ParquetWriter(
                part,
                self._schema,
                compression={"frames.list.element": "none", "conversations": "zstd"},
                use_dictionary=["video", "source"],
                write_statistics=["video", "source", "duration_s"],
            )
        self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema), row_group_size=len(self._pending))
        self._written_bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0

    def _close_file(self) -> None:
        self._write_row_group()
        if self._writer is not None:
            self._writer.close()
            self._writer, self._written_bytes = None, 0


def chunk_record_path(out: Path, chunk: Chunk) -> Path:
    """Path of a chunk's record; the file exists once the chunk is done."""
    return out / RECORDS_FOLDER / f"{chunk.name}.json"


def read_chunk_record(out: Path, chunk: Chunk) -> ChunkRecord | None:
    """The record of a chunk that is done, or None if it, or one of its files, is missing or cut short."""
    try:
        record: ChunkRecord = json.loads(chunk_record_path(out, chunk).read_text())
        if all((out / name).stat().st_size == size for name, size in record["files"].items()):
            return record
    except (OSError, ValueError, KeyError):
        pass
    return None
