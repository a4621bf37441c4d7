"""What is said about a video, before and after it is known which numbers its frames bear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from numpro_plugin.answers.highlights import format_highlights
from numpro_plugin.metrics.highlights import CLIP_S
from numpro_plugin.timeline import Timeline

from ..shard_format import Turn, turn

if TYPE_CHECKING:
    from collections.abc import Collection

INSTRUCTION_FPS = 0.5
"""The grid of frame numbers in NumPro's instruction data."""


AFTER_LAST = "names the number after the last"
"""How the reason begins where an answer is past the end by one: rounding a span's end up at the very end of a video does that."""


class RowError(ValueError):
    """A conversation that cannot be used; the message is the reason that the manifest gives."""


@dataclass(frozen=True)
class Second:
    """A time that stands in a text and becomes the frame number nearest to it."""

    value: float
    """Seconds from the start of the part of the video that is used."""

    starts: bool
    """Whether something starts there: a start after the video's end is an error, an end after it is normal."""


@dataclass(frozen=True)
class Highlights:
    """An answer of highlight detection: clips of two seconds with their mean scores, written as NumPro's prompt asks."""

    clips: tuple[int, ...]
    scores: tuple[float, ...]


Part = str | int | Second | Highlights
"""A piece of text; a frame number on the grid of `INSTRUCTION_FPS`; or what becomes one or several."""


@dataclass(frozen=True)
class Said:
    """One turn."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Conversation:
    """Turns about one video, the user's first, the assistant's last."""

    row: str
    """Where it was read: ``instruct.json[17]``."""

    turns: tuple[Said, ...]

    unsure: tuple[str, ...] = ()
    """Pieces of its text with digits of which it is not known whether they are frame numbers."""


@dataclass(frozen=True)
class Video:
    """One row of the shards to be: a video, or the part of one that is used."""

    source: str
    name: str
    """The video's name, with ``@START-END`` behind it for a part."""

    path: str | None
    """The file; None if it was not found."""

    start_s: float
    end_s: float | None
    annotated_s: float | None
    """How long the annotation says it is."""

    conversations: list[Conversation]


@dataclass(frozen=True)
class BadRow:
    """A row of the input that nothing can be made of."""

    source: str
    row: str
    video: str
    reason: str


@dataclass
class Notes:
    """What was noticed while a video's conversations got their numbers."""

    spans_beyond_end: int = 0
    """Times that lie after the video's end; they became its last number."""

    past_last: int = 0
    """Frame numbers past the last one that were taken for it (only if asked for)."""

    dropped: list[dict[str, str]] = field(default_factory=list)
    """Conversations left out: ``row`` and ``reason``."""


def numbered_turns(
    conversation: Conversation, timeline: Timeline, drawn: Collection[int], notes: Notes, *, past_last: int = 0
) -> list[Turn]:
    """The turns in the numbers of a video's frames.

    Args:
        conversation: what was said.
        timeline: the grid of the video.
        drawn: the numbers of the frames that are there.
        notes: is told of times after the video's end.
        past_last: how far after the last number a frame number may be to be taken for it.

    Raises:
        RowError: a frame beyond the video is named, a span starts after its end, or no highlight bears a number.
    """
    return [
        turn(said.role, *(piece for part in said.parts for piece in _pieces(part, timeline, drawn, notes, past_last)))
        for said in conversation.turns
    ]


def _pieces(part: Part, timeline: Timeline, drawn: Collection[int], notes: Notes, past_last: int) -> list[str | int]:
    if isinstance(part, Highlights):
        return _highlights(part, timeline, drawn)
    if isinstance(part, Second):
        return [_number_at(part, timeline, notes)]
    if isinstance(part, int):
        return [_number_of(part, timeline, notes, past_last)]
    return [part]


def _number_at(time: Second, timeline: Timeline, notes: Notes) -> int:
    if time.value > timeline.duration_s:
        if time.starts:
            raise RowError(f"something starts at {time.value:g} s, but the video ends at {timeline.duration_s:.2f} s")
        notes.spans_beyond_end += 1
    return timeline.number(time.value)


def _number_of(number: int, timeline: Timeline, notes: Notes, past_last: int) -> int:
    grid = timeline if timeline.fps == INSTRUCTION_FPS else Timeline(timeline.duration_s, INSTRUCTION_FPS)
    last = grid.count - 1
    if number > last + past_last:
        if number == last + 1:
            raise RowError(f"{AFTER_LAST}, {number}, but the video's last is {last} ({timeline.duration_s:.2f} s)")
        raise RowError(f"names frame {number}, but the video's last number is {last} ({timeline.duration_s:.2f} s)")
    if number > last:
        notes.past_last += 1
        number = last
    return number if grid is timeline else timeline.number(grid.seconds(number))


def _highlights(highlights: Highlights, timeline: Timeline, drawn: Collection[int]) -> list[str | int]:
    """Clip c covers [2c, 2c + 2) seconds; named is the frame that is its first instant, if there is one."""
    named: list[tuple[int, float]] = []
    for clip, score in zip(highlights.clips, highlights.scores, strict=True):
        exact = clip * CLIP_S * timeline.fps
        if abs(exact - round(exact)) < 1e-6 and round(exact) in drawn:
            named.append((round(exact), score))
    if not named:
        raise RowError("none of its highlights starts on a frame that bears a number")
    listed = ", ".join(str(number) for number, _ in named)
    head, _, tail = format_highlights(*zip(*named, strict=True)).partition(listed)
    pieces: list[str | int] = [head]
    for position, (number, _) in enumerate(named):
        pieces += [", ", number] if position else [number]
    return [*pieces, tail]
