"""What training must know about shards before it reads them: which files there are, whether they are complete, how much is in them."""

# mypy: allow-untyped-calls

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numpro_plugin.errors import NumProError
from numpro_plugin.files import hash_of
from numpro_plugin.timeline import Timeline

from ..shard_format import ShardInfo
from .manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.settings import NumProSettings


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """Sizes of all rows, known without reading their pictures."""

    files: tuple[str, ...]
    group_rows: NDArray[np.int64]
    """(G, 3), for each row group: index of its file, its index in that file, its first row counted over all files."""
    frames: NDArray[np.int64]
    """(R,) frames of each row."""
    conversations: NDArray[np.int64]
    """(R,) conversations of each row."""
    sizes: tuple[int, ...] = ()
    """Bytes of each file."""
    without_times: tuple[str, ...] = ()
    """Files whose answers do not say for which times their frame numbers stand: shards of version 1."""
    sources: tuple[str, ...] = ()
    """Names of the sources."""
    row_sources: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    """(R,) the index of each row's source in ``sources``."""

    @classmethod
    def read(cls, patterns: Sequence[str], settings: NumProSettings) -> ShardIndex:
        """Find the shards and check that they fit the settings.

        Raises:
            NumProError: there are no files, they are not shards or not complete, or they have another version, frame rate, frame size
                or fewer frames than the settings need.
        """
        files = find_shards(patterns)
        groups, frames, conversations, without_times = [], [], [], []
        names: dict[str, int] = {}
        sources = []
        rows = 0
        for number, file in enumerate(files):
            opened = open_shard(file)
            info = ShardInfo.of(opened.schema_arrow, file)
            _check_settings(info, settings, file)
            without_times += [] if info.times else [file]
            for group in range(opened.num_row_groups):
                groups.append((number, group, rows))
                rows += opened.metadata.row_group(group).num_rows
            # One small column is enough to count the conversations.
            table = opened.read(columns=["source", "duration_s", "fps", "conversations.list.element.list.element.role"])
            counts = [Timeline(d, f).count for d, f in zip(table["duration_s"].to_pylist(), table["fps"].to_pylist(), strict=True)]
            frames.append(np.minimum(np.array(counts, dtype=np.int64), info.max_frames))
            conversations.append(pc.list_value_length(table["conversations"]).to_numpy())
            codes = [names.setdefault(name, len(names)) for name in table["source"].to_pylist()]
            sources.append(np.array(codes, dtype=np.int32))
        index = cls(
            tuple(files),
            np.array(groups, dtype=np.int64).reshape(-1, 3),
            np.concatenate(frames),
            np.concatenate(conversations),
            tuple(os.path.getsize(file) for file in files),
            tuple(without_times),
            tuple(names),
            np.concatenate(sources),
        )
        if not index.samples:
            raise NumProError(f"the shards {_first_names(files)} hold no conversation at all: make them from inputs that have some")
        return index

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.conversations.sum())

    @property
    def fingerprint(self) -> str:
        """A hash of file names and sizes and of what the rows hold. It does not depend on the folder."""
        names = repr([[os.path.basename(file) for file in self.files], self.sizes])
        counts = (self.group_rows, self.frames, self.conversations)
        return hash_of(names, *(np.asarray(numbers, dtype=np.int64).tobytes() + b"|" for numbers in counts), length=16)

    @property
    def sample_rows(self) -> NDArray[np.int64]:
        """(N,) the row of each sample; samples follow the order of rows, then of their conversations."""
        return np.repeat(np.arange(len(self.conversations)), self.conversations)

    @property
    def sample_frames(self) -> NDArray[np.int64]:
        """(N,) number of frames of each sample."""
        return self.frames[self.sample_rows]


def find_shards(patterns: Sequence[str]) -> list[str]:
    """The files of patterns, folders (their ``*.parquet``) and single files, in order and without repetition.

    Raises:
        NumProError: a pattern matches nothing, or a folder or pattern names shards that are not complete.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        inside = os.path.join(glob.escape(pattern), "**", "*.parquet") if os.path.isdir(pattern) else pattern
        files = sorted(glob.glob(inside, recursive=True))
        if not files:
            raise NumProError(f"no shards at {pattern!r}: pass files, folders or patterns of what `numpro-train shards` wrote")
        if files != [pattern]:
            _check_complete(files)
        found |= dict.fromkeys(files)
    if not found:
        raise NumProError("no shards are given: set data.shards to what `numpro-train shards` wrote")
    return list(found)


def _check_complete(files: Sequence[str]) -> None:
    for folder in sorted({Path(file).parent for file in files}):
        if not (folder / MANIFEST).is_file():
            continue
        manifest = read_manifest(folder)
        if not manifest.get("complete"):
            count = manifest.get("units")
            made = f"{count['done']} of {count['all']} files are made" if count else "no job has finished yet"
            raise NumProError(
                f"{folder} is not complete ({MANIFEST}: {made}): let `numpro-train shards` finish, every job of --shard I/N, or name "
                "single files in data.shards"
            )


def conversations_of(index: ShardIndex) -> list[list[Any]]:
    """(N,) the conversation of each sample, read without pictures."""
    return list(each_conversation(index))


def each_conversation(index: ShardIndex) -> Iterator[list[Any]]:
    """The conversations one after the other, with those of one row group in memory."""
    for file in index.files:
        opened = open_shard(file)
        for group in range(opened.num_row_groups):
            for row in opened.read_row_group(group, columns=["conversations"])["conversations"].to_pylist():
                yield from row


def open_shard(file: str) -> pq.ParquetFile:
    """Open a file, memory-mapped. Raises NumProError if it is not a complete parquet file."""
    try:
        return pq.ParquetFile(file, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise NumProError(
            f"{file} cannot be read as parquet ({str(error).splitlines()[0]}): if writing it was interrupted, make it again"
        ) from None


def _check_settings(info: ShardInfo, settings: NumProSettings, file: str) -> None:
    for name, there, wanted in (("fps", info.fps, settings.fps), ("frame_size", info.frame_size, settings.stored_size)):
        if there != wanted:
            raise NumProError(
                f"{file} has frames of {name}={there}, the recipe says numpro.{name}={wanted}: change the recipe, or make the shards again"
            )
    if info.max_frames < settings.max_frames:
        raise NumProError(
            f"{file} holds at most {info.max_frames} frames of a video, the recipe says numpro.max_frames={settings.max_frames}: lower it, "
            "or make the shards again with more"
        )


def _first_names(files: Sequence[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
