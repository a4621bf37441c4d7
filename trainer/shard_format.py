"""The format of a shard, which `numpro-train shards` writes and training reads: parquet, one row per video, frames as JPEG without numbers.

Answers name frames by their numbers. The positions of these numbers in the text are stored with it, so that loading can change them (to
another first number, say) without guessing which digits of a sentence are frame numbers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from numpro_plugin.errors import NumProError
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

SHARD_VERSION = 1
"""Raise it when a row's columns or their meaning change."""

_KEY = b"numpro_shard"

Turn = dict[str, Any]
"""``{"role": "user" | "assistant", "content": text, "numbers": [{"start": i, "end": j}, ...]}``: ``content[i:j]`` is a frame number."""

SCHEMA = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),  # of the part of the video that the frames are from
        pa.field("fps", pa.float64(), nullable=False),  # numbers per second
        pa.field("frames", pa.list_(pa.binary()), nullable=False),  # JPEG files, in order
        pa.field(
            "conversations",
            pa.list_(
                pa.list_(
                    pa.struct(
                        [
                            ("role", pa.string()),
                            ("content", pa.string()),
                            ("numbers", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
                        ]
                    )
                )
            ),
            nullable=False,
        ),
    ]
)
"""Columns of a shard. How its frames were made is in the file's metadata, see ``ShardInfo``."""


@dataclass(frozen=True)
class ShardInfo:
    """How the frames of a shard were made; kept in the file's metadata."""

    fps: float
    """Numbers per second."""

    frame_size: tuple[int, int]
    """(width, height) of the frames in pixels."""

    max_frames: int
    """Longer videos were thinned to this many frames, numbers unchanged."""

    version: int = SHARD_VERSION

    def schema(self) -> pa.Schema:
        """``SCHEMA`` with this record as metadata."""
        return SCHEMA.with_metadata({_KEY: json.dumps(asdict(self)).encode()})

    @classmethod
    def of(cls, schema: pa.Schema, file: object) -> ShardInfo:
        """Read the record of a file. Raises NumProError if the file is not a shard, or one of another version."""
        text = (schema.metadata or {}).get(_KEY)
        if text is None or (missing := set(SCHEMA.names) - set(schema.names)):
            what = f"the columns {sorted(missing)} are missing" if text else "it has no record of how its frames were made"
            raise NumProError(f"{file} is not a shard of this project ({what}): make shards with `numpro-train shards`")
        values = json.loads(text)
        if values.get("version") != SHARD_VERSION:
            raise NumProError(
                f"{file} is a shard of version {values.get('version')}, this release reads version {SHARD_VERSION}: "
                "make it again with `numpro-train shards`"
            )
        return cls(**{**values, "frame_size": tuple(values["frame_size"])})


def shown_numbers(row: Mapping[str, Any]) -> NDArray[np.int64]:
    """The number of each of a row's frames, ascending; with gaps where the video was thinned."""
    return kept_numbers(Timeline(row["duration_s"], row["fps"]).count, len(row["frames"]))


def turn(role: str, *parts: str | int) -> Turn:
    """A turn made of pieces of text and frame numbers: ``turn("assistant", "From Frame ", 3, " to Frame ", 9, ".")``."""
    content, positions = "", []
    for part in parts:
        if isinstance(part, int):
            positions.append({"start": len(content), "end": len(content) + len(str(part))})
        content += str(part)
    return {"role": role, "content": content, "numbers": positions}


def renumbered(turns: Sequence[Turn], change: Callable[[int], int]) -> list[Turn]:
    """The turns with ``change(number)`` in place of every frame number."""
    made = []
    for one in turns:
        parts: list[str | int] = []
        done = 0
        for place in one["numbers"]:
            parts += [one["content"][done : place["start"]], change(int(one["content"][place["start"] : place["end"]]))]
            done = place["end"]
        made.append(turn(one["role"], *parts, one["content"][done:]))
    return made
