"""Conversations about a video: as templates, then as turns once the numbers of its frames are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from numpro_plugin.answers.highlights import format_highlights
from numpro_plugin.metrics.highlights import CLIP_S
from numpro_plugin.timeline import Timeline

from ..shard_format import FrameNumber, Turn, turn
from .spans import answer_spans

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

INSTRUCTION_FPS = 0.5
"""The grid of frame numbers in NumPro's instruction data."""

AFTER_LAST = "names the number after the last"
"""First words of the reason when an answer is one number past the end, which rounding up a span at the end of a video does. Manifests are
searched for it, so the text stays as it is."""


class RowError(ValueError):
    """A row that cannot be used; the message is the reason given in the manifest."""


@dataclass(frozen=True, slots=True)
class TimePoint:
    """A time in a text; the nearest frame number takes its place."""

    time_s: float
    """From the start of the part of the video that is used."""

    is_start: bool
    """Whether it starts a span: a start after the video's end is an error, an end after it is normal."""


@dataclass(frozen=True, slots=True)
class Highlights:
    """An answer of highlight detection: clips of two seconds and their mean scores, formatted as NumPro's prompt asks."""

    clips: tuple[int, ...]
    scores: tuple[float, ...]


Part = str | int | TimePoint | Highlights
"""A piece of text, a frame number on the grid of `INSTRUCTION_FPS`, or something that is replaced by frame numbers."""


@dataclass(frozen=True, slots=True)
class TurnTemplate:
    """A turn whose frame numbers are not known yet."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


def moment_answer(start_s: float, end_s: float) -> tuple[Part, ...]:
    """The answer that `moment_prompt` asks for: ``From Frame x to Frame y.`` A span whose ends are reversed is turned round."""
    start_s, end_s = sorted((start_s, end_s))
    return "From Frame ", TimePoint(start_s, is_start=True), " to Frame ", TimePoint(end_s, is_start=False), "."


def set_answer(spans_s: Sequence[tuple[float, float]]) -> tuple[Part, ...]:
    """The answer that `set_prompt` asks for: ``[[3, 9], [12, 15]]``."""
    parts: list[Part] = ["["]
    for position, (start_s, end_s) in enumerate(map(sorted, spans_s)):
        parts += [", [" if position else "[", TimePoint(start_s, is_start=True), ", ", TimePoint(end_s, is_start=False), "]"]
    return (*parts, "]")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns about one video, the user's first, the assistant's last."""

    row: str
    """Where it was read: ``instruct.json[17]``."""

    turns: tuple[TurnTemplate, ...]

    unsure: tuple[str, ...] = ()
    """Pieces of its text with digits that may or may not be frame numbers or times of the video."""

    remarks: tuple[str, ...] = ()
    """What was changed in it, in words that are the same for all such conversations; the manifest counts them."""


@dataclass(frozen=True, slots=True)
class TrainingVideo:
    """What one row of a shard is made from: a video, or a part of one, and its conversations."""

    source: str
    name: str
    """The video's name; for a part, followed by ``@START-END``."""

    path: str | None
    """The file, or None if it was not found."""

    start_s: float
    end_s: float | None
    annotated_s: float | None
    """Its length according to the annotation."""

    conversations: list[Conversation]

    left_out: str | None = None
    """Why it is not to be read, if that is so."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of an input that cannot be used."""

    source: str
    row: str
    video: str
    reason: str


@dataclass
class NumberingNotes:
    """Observations made while frame numbers were put into a video's conversations."""

    spans_beyond_end: int = 0
    """Times after the video's end; its last number was used for them."""

    past_last: int = 0
    """Frame numbers past the last one that were replaced by it (only with ``past_last``)."""

    skipped_rows: list[dict[str, str]] = field(default_factory=list)
    """Conversations left out: ``row``, ``video`` and ``reason``."""


def numbered_turns(
    conversation: Conversation, timeline: Timeline, shown: Collection[int], notes: NumberingNotes, *, past_last: int = 0
) -> list[Turn]:
    """The turns of a conversation with the numbers of a video's frames in them, and the times for which they stand.

    Args:
        conversation: the templates.
        timeline: the grid of the video.
        shown: the numbers of the frames that are kept.
        notes: counts times and numbers after the video's end.
        past_last: a frame number up to this far after the last one is replaced by the last.

    Raises:
        RowError: a frame after the video's end is named, a span starts after it, or no highlight starts on a frame that is shown.
    """
    turns = []
    for template in conversation.turns:
        pieces = [piece for part in template.parts for piece in _pieces(part, timeline, shown, notes, past_last)]
        made = turn(template.role, *pieces)
        if template.role == "assistant":
            made["spans_s"] = answer_spans(made, paired=_are_pairs(template))
        turns.append(made)
    return turns


def _are_pairs(template: TurnTemplate) -> bool:
    """Whether the numbers of an answer are starts and ends of spans in turn."""
    starts = [part.is_start if isinstance(part, TimePoint) else None for part in template.parts if not isinstance(part, str)]
    return bool(starts) and starts == [True, False] * (len(starts) // 2)


def _pieces(part: Part, timeline: Timeline, shown: Collection[int], notes: NumberingNotes, past_last: int) -> list[str | FrameNumber]:
    if isinstance(part, Highlights):
        return _highlights(part, timeline, shown)
    if isinstance(part, TimePoint):
        return [FrameNumber(_number_at(part, timeline, notes), part.time_s)]
    if isinstance(part, int):
        return [_number_of(part, timeline, notes, past_last)]
    return [part]


def _number_at(time: TimePoint, timeline: Timeline, notes: NumberingNotes) -> int:
    if time.time_s > timeline.duration_s:
        if time.is_start:
            raise RowError(f"a span starts at {time.time_s:g} s, but the video ends at {timeline.duration_s:.2f} s")
        notes.spans_beyond_end += 1
    return timeline.number(time.time_s)


def _number_of(number: int, timeline: Timeline, notes: NumberingNotes, past_last: int) -> FrameNumber:
    grid = timeline if timeline.fps == INSTRUCTION_FPS else Timeline(timeline.duration_s, INSTRUCTION_FPS)
    last = grid.count - 1
    if number > last + past_last:
        if number == last + 1:
            raise RowError(f"{AFTER_LAST}, {number}, but the video's last is {last} ({timeline.duration_s:.2f} s)")
        raise RowError(f"names frame {number}, but the video's last number is {last} ({timeline.duration_s:.2f} s)")
    if number > last:
        notes.past_last += 1
        number = last
    time_s = float(grid.seconds(number))
    return FrameNumber(number if grid is timeline else timeline.number(time_s), time_s)


def _highlights(highlights: Highlights, timeline: Timeline, shown: Collection[int]) -> list[str | FrameNumber]:
    """Clip c covers [2c, 2c + 2) seconds; it is named by the frame at its start, if that frame is shown."""
    named: list[tuple[int, float]] = []
    for clip, score in zip(highlights.clips, highlights.scores, strict=True):
        exact = clip * CLIP_S * timeline.fps
        if abs(exact - round(exact)) < 1e-6 and round(exact) in shown:
            named.append((round(exact), score))
    if not named:
        raise RowError("none of its highlights starts on a frame that is shown")
    listed = ", ".join(str(number) for number, _ in named)
    head, _, tail = format_highlights(*zip(*named, strict=True)).partition(listed)
    pieces: list[str | FrameNumber] = [head]
    for position, (number, _) in enumerate(named):
        time = FrameNumber(number, float(timeline.seconds(number)))
        pieces += [", ", time] if position else [time]
    return [*pieces, tail]
