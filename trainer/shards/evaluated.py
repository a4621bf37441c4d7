"""Training data that is also evaluated: videos of prepared tables, and held-out videos, are refused by id and by file."""

# mypy: allow-untyped-calls

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import has_column, read_columns
from numpro_plugin.benchmarks.video_files import VIDEO_SUFFIXES
from numpro_plugin.environment import data_folder
from numpro_plugin.errors import NumProError
from numpro_plugin.files import sha256_of
from numpro_plugin.video.packets import read_packets

from .index import open_shard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..instructions.conversations import TrainingVideo
    from ..instructions.merged import MergedVideos
    from .index import ShardIndex

_MOST_NAMED = 5
_REMEDY = "A model must not be trained on what it is evaluated on"


def video_key(name: str) -> str:
    """A video's id, whatever its file or a part of it is called: ``abc`` for ``anet/v_abc.mp4`` and for ``v_abc@10-41``."""
    base = os.path.basename(name).rpartition("@")
    stem, suffix = os.path.splitext(base[0] or base[2])
    return (stem if suffix.lower() in VIDEO_SUFFIXES else f"{stem}{suffix}").removeprefix("v_")


@dataclass
class EvaluatedVideos:
    """The videos of prepared tables of the splits that are evaluated, ``custom`` among them."""

    lengths_s: dict[str, list[tuple[float | None, str]]] = field(default_factory=lambda: defaultdict(list))
    """(length in seconds, table) by id."""
    files: dict[tuple[int, int], str] = field(default_factory=dict)
    """Table by (device, inode)."""
    sizes: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """(path, table) by size in bytes."""

    @classmethod
    def of_tables(cls, folder: Path | None = None) -> EvaluatedVideos:
        """Read the tables in a folder (default: ``$NUMPRO_DATA``, or that of the user)."""
        found = cls()
        root = folder or data_folder()
        for path in sorted(root.rglob("*.parquet")) if root.is_dir() else ():
            benchmark = path.relative_to(root).parts[0]
            if benchmark in BENCHMARKS and path.stem == BENCHMARKS[benchmark].splits[0] and has_column(path, "spans_s"):
                table = path.relative_to(root).with_suffix("").as_posix()
                for video, length_s in dict.fromkeys(read_columns(path, "video", "duration_s")):
                    found._add(video, length_s, table)
        return found

    def _add(self, video: str, length_s: float | None, table: str) -> None:
        self.lengths_s[video_key(video)].append((length_s, table))
        try:
            stat = os.stat(video)
        except OSError:  # a table without videos, or made on another machine
            return
        self.files.setdefault((stat.st_dev, stat.st_ino), table)
        self.sizes[stat.st_size].append((video, table))

    def table_of_file(self, video: TrainingVideo) -> str | None:
        """The table that has a video: the same file, a copy of it, or a file of the same id and length."""
        if not self.lengths_s or video.path is None:
            return None
        try:
            stat = os.stat(video.path)
        except OSError:
            return None
        if table := self.files.get((stat.st_dev, stat.st_ino)):
            return table
        copies = self.sizes.get(stat.st_size)
        if copies:
            digest = sha256_of(video.path)
            if table := next((table for path, table in copies if sha256_of(path) == digest), None):
                return table
        if video_key(video.name) not in self.lengths_s:
            return None
        return self.table_of(video.name, video.annotated_s or _length_s(video.path))

    def table_of(self, name: str, length_s: float | None) -> str | None:
        """The table that has a video of this id and, as far as both are known, of this length."""
        for other_s, table in self.lengths_s.get(video_key(name), ()):
            if length_s is None or other_s is None or abs(length_s - other_s) <= max(1.0, 0.02 * other_s):
                return table
        return None


def _length_s(path: str) -> float | None:
    try:
        return read_packets(Path(path)).duration_s
    except Exception:  # it is reported when its frames are read
        return None


def check_not_evaluated(index: ShardIndex, held_out: ShardIndex | None, evaluated: EvaluatedVideos) -> None:
    """Check that no video of the shards is held out or evaluated.

    Raises:
        NumProError: some are; the first of them are named.
    """
    held: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for source, name, length_s in _videos(held_out.files if held_out is not None else ()):
        held[video_key(name)].append((source, length_s))
    if not held and not evaluated.lengths_s:
        return
    found: dict[str, str] = {}
    for source, name, length_s in _videos(index.files):
        if any(source == other or abs(length_s - other_s) < 0.05 for other, other_s in held.get(video_key(name), ())):
            found.setdefault(f"{source}/{name}", "data.held_out")
        elif table := evaluated.table_of(name, length_s):
            found.setdefault(f"{source}/{name}", table)
    if found:
        raise NumProError(
            f"{_named(found)}. {_REMEDY}: make the shards again without these videos (numpro-train shards --evaluated leave-out), hold out "
            "others, or set data.evaluated=allow"
        )


def check_videos(videos: Iterable[TrainingVideo], evaluated: EvaluatedVideos) -> dict[int, str]:
    """The table of every video that is evaluated, by the position of the video."""
    if not evaluated.lengths_s:
        return {}
    return {k: table for k, video in enumerate(videos) if (table := evaluated.table_of_file(video)) is not None}


def refusal(videos: MergedVideos, found: dict[int, str]) -> NumProError:
    """The error for training videos that are evaluated."""
    named = {f"{videos[k].source}/{videos[k].name}": table for k, table in found.items()}
    return NumProError(
        f"{_named(named)}. {_REMEDY}: take these videos out of the inputs, or add --evaluated leave-out (their rows are left out and "
        "counted) or --evaluated allow"
    )


def _named(found: dict[str, str]) -> str:
    shown = ", ".join(f"{name} ({table})" for name, table in list(found.items())[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
    return f"{len(found):,} training video{'s are' if len(found) > 1 else ' is'} also evaluated: {shown}{more}"


def _videos(files: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    """(source, video, length in seconds) of every row of shards."""
    for file in files:
        for batch in open_shard(file).iter_batches(columns=["source", "video", "duration_s"]):
            columns = pa.Table.from_batches([batch]).to_pydict()
            yield from zip(columns["source"], columns["video"], columns["duration_s"], strict=True)
