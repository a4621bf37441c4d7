"""The format of a shard, which `numpro-train shards` writes and training reads: parquet, one row per video, frames as JPEG without numbers.

Answers name frames by their numbers. The positions of these numbers in the text are stored with it, so that loading can change them (to
another first number, say) without guessing which digits of a sentence are frame numbers. So are the times that the numbers stand for: what
an answer means does not depend on the grid, and can be told in seconds as well.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from numpro_plugin.errors import NumProError
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

SHARD_VERSION = 2
"""Raise it when a row's columns or their meaning change. Version 1 had neither ``time_s`` nor ``spans_s``."""

READABLE_VERSIONS = (1, SHARD_VERSION)

_KEY = b"numpro_shard"

Turn = dict[str, Any]
"""One turn of a conversation::

    {"role": "user" | "assistant", "content": text, "numbers": [{"start": i, "end": j, "time_s": t}, ...], "spans_s": [[t, u], ...] | None}

``content[i:j]`` is the number of a frame, which stands for the annotated time ``t``, in seconds from the start of the row's video. The time
is neither rounded to the grid nor clipped to the video, and None where it is not known.

``spans_s`` is what an answer means if it is nothing but one or several spans ("From Frame 3 to Frame 9."): (start, end) in seconds, in the
order of the text, start before end. It is None for all other answers (captions with their times, highlights, a single frame, plain text)
and for questions.
"""


class FrameNumber(NamedTuple):
    """A frame number in a text, and the time for which it stands."""

    number: int
    time_s: float
    """Seconds from the start of the row's video."""


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
                            ("numbers", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("time_s", pa.float64())]))),
                            ("spans_s", pa.list_(pa.list_(pa.float64()))),
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

    times: bool = False
    """Whether the turns say for which times their frame numbers stand: ``time_s`` of every number, and ``spans_s``."""

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
        if values.get("version") not in READABLE_VERSIONS:
            raise NumProError(
                f"{file} is a shard of version {values.get('version')}, this release reads versions "
                f"{' and '.join(map(str, READABLE_VERSIONS))}: make it again with `numpro-train shards`"
            )
        return cls(**{**values, "frame_size": tuple(values["frame_size"])})


def shown_numbers(row: Mapping[str, Any]) -> NDArray[np.int64]:
    """The number of each of a row's frames, ascending; with gaps where the video was thinned."""
    return kept_numbers(Timeline(row["duration_s"], row["fps"]).count, len(row["frames"]))


def turn(role: str, *parts: str | int | FrameNumber, spans_s: Sequence[Sequence[float]] | None = None) -> Turn:
    """A turn made of pieces of text and frame numbers: ``turn("assistant", "From Frame ", 3, " to Frame ", 9, ".")``.

    Args:
        role: ``user`` or ``assistant``.
        parts: text; numbers of frames, as integers where their times are not known.
        spans_s: the (start, end) in seconds of every span, if the answer is nothing but spans.
    """
    content, positions = "", []
    for part in parts:
        if isinstance(part, str):
            content += part
            continue
        number, time_s = part if isinstance(part, FrameNumber) else (part, None)
        positions.append({"start": len(content), "end": len(content) + len(str(number)), "time_s": time_s})
        content += str(number)
    return {"role": role, "content": content, "numbers": positions, "spans_s": None if spans_s is None else [list(one) for one in spans_s]}


def renumbered(turns: Sequence[Turn], change: Callable[[int], int]) -> list[Turn]:
    """The turns with ``change(number)`` in place of every frame number; their times stay."""
    made = []
    for one in turns:
        parts: list[str | int] = []
        done = 0
        for place in one["numbers"]:
            parts += [one["content"][done : place["start"]], change(int(one["content"][place["start"] : place["end"]]))]
            done = place["end"]
        new = turn(one["role"], *parts, one["content"][done:], spans_s=one.get("spans_s"))
        for place, before in zip(new["numbers"], one["numbers"], strict=True):
            place["time_s"] = before.get("time_s")
        made.append(new)
    return made


def rewritten(one: Turn, write: Callable[[float], str]) -> str:
    """The text of a turn with ``write(time_s)`` in place of every frame number.

    Raises:
        NumProError: the time of a number is not known, as in shards of version 1.
    """
    text, done = "", 0
    for place in one["numbers"] or ():
        if place.get("time_s") is None:
            raise NumProError(
                f"{one['content'][:80]!r} does not say for which times its frame numbers stand: make the shards again with "
                "`numpro-train shards`"
            )
        text += one["content"][done : place["start"]] + write(place["time_s"])
        done = place["end"]
    return text + one["content"][done:]
