"""The turns of instructions: plain text -> templates with frame numbers or times in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.prompts import NUMBERS_PHRASE

from .conversations import Conversation, Part, RowError, TimePoint, TurnTemplate
from .frame_numbers import find_frame_numbers
from .questions import ask_for_frames, asks_for_time, explain_numbers, without_examples
from .times import END_MARK, MARK, times_to_frames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REWORDED = "questions about seconds or time stamps, reworded to ask for frame numbers"
TURNED_ROUND = "spans whose start was after their end, turned round"
SYSTEM_TURN = "system turns, left out"
"""Remarks, see `Conversation`."""

_PLACEHOLDER = re.compile(
    r"[^\S\n]*\n?(?:<(?:video|image|videohere|imagehere)>|<\|(?:vision_start|vision_end|video_pad|image_pad)\|>)\n?[^\S\n]*", re.IGNORECASE
)
_ABOUT_SECONDS = re.compile(r"\b(?:seconds?|secs?|time\s*stamps?)\b", re.IGNORECASE)
_TIME_TOKEN = re.compile(r"<[se]\d+>")
_SPEAKERS = (("human", "user"), ("gpt", "assistant"))


def turns_from_speakers(conversation: Any) -> list[tuple[str, str]]:
    """The (role, text) of ``[{"from": "human" | "gpt", "value"}, ...]``. Raises RowError for anything else."""
    if not isinstance(conversation, list) or not conversation:
        raise RowError("has an empty conversation")
    turns = []
    for position, turn in enumerate(conversation):
        speaker = turn.get("from") if isinstance(turn, dict) else turn
        expected, role = _SPEAKERS[position % 2]
        if speaker != expected:
            raise RowError(f"turn {position} is from {speaker!r}, where {expected!r} is expected")
        if not isinstance(turn.get("value"), str) or not (text := without_placeholders(turn["value"])):
            raise RowError(f"turn {position} ({speaker}) is empty")
        turns.append((role, text))
    if len(turns) % 2:
        raise RowError("ends with a question")
    return turns


def checked_turns(turns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Turns without placeholders of videos. Raises RowError unless questions and answers alternate and none is empty."""
    checked = []
    for position, (role, raw) in enumerate(turns):
        expected = _SPEAKERS[position % 2][1]
        if role != expected:
            raise RowError(f"turn {position} is from {role!r}, where {expected!r} is expected")
        if not (text := without_placeholders(raw)):
            raise RowError(f"turn {position} ({role}) is empty")
        checked.append((role, text))
    if not checked:
        raise RowError("has an empty conversation")
    if len(checked) % 2:
        raise RowError("ends with a question")
    return checked


def without_placeholders(text: str) -> str:
    """A text without what stands for the video in it."""
    return _PLACEHOLDER.sub("\n", text).strip()


def conversation_of_turns(where: str, turns: Sequence[tuple[str, str]], *, system_turns: int = 0) -> Conversation:
    """A conversation whose texts name frames, or times in seconds or as clocks: frames if any text names a frame, otherwise times."""
    for _, text in turns:
        if token := _TIME_TOKEN.search(text):
            raise RowError(f"names {token[0]}, but has no 'meta' with a time for it")
    made = _in_seconds(where, turns) if not _names_frames(turns) else None
    made = made or _in_frames(where, turns)
    if system_turns:
        made = Conversation(where, made.turns, made.unsure, (*made.remarks, *[SYSTEM_TURN] * system_turns))
    return made


def _names_frames(turns: Sequence[tuple[str, str]]) -> bool:
    if any(MARK in text for _, text in turns):
        return False
    about_frames = False
    for role, text in turns:
        if NUMBERS_PHRASE in text or find_frame_numbers(text, about_frames=about_frames and role == "assistant").numbers:
            return True
        about_frames = about_frames or ("frame" in text.lower() and not _ABOUT_SECONDS.search(text))
    return False


def _in_frames(where: str, turns: Sequence[tuple[str, str]]) -> Conversation:
    templates: list[TurnTemplate] = []
    unsure: list[str] = []
    about_frames = False
    for role, text in turns:
        found = find_frame_numbers(text, about_frames=about_frames and role == "assistant")
        unsure += [text[max(0, start - 30) : end + 30] for start, end in found.unsure]
        about_frames = about_frames or "frame" in text.lower()
        templates.append(TurnTemplate(_role(role), _with_numbers(text, found.numbers)))
    return Conversation(where, tuple(templates), tuple(unsure))


def _in_seconds(where: str, turns: Sequence[tuple[str, str]]) -> Conversation | None:
    """The conversation with frame numbers in the place of times; None if it has no times at all."""
    texts: list[tuple[str, tuple[Part, ...]]] = []
    unsure: list[str] = []
    remarks: list[str] = []
    asked_for_time = False
    for role, text in turns:
        is_question = role == "user"
        found = times_to_frames(without_examples(text) if is_question else text, bare=not is_question and asked_for_time)
        parts = found.parts
        if is_question:
            asked_for_time = asks_for_time(text)
            parts, reworded = ask_for_frames(parts)
            remarks += [REWORDED] * (reworded or len(without_examples(text)) < len(text.strip()))
            if not parts:
                raise RowError("asks nothing but for an example")
        unsure += found.unsure
        remarks += [TURNED_ROUND] * found.turned_round
        texts.append((role, parts))
    if not any(isinstance(part, TimePoint) for _, parts in texts for part in parts):
        return None if not unsure else Conversation(where, tuple(_plain(role, text) for role, text in turns), tuple(unsure))
    first = texts[0][1]
    opening = explain_numbers(first[0]) if isinstance(first[0], str) else explain_numbers("")
    texts[0] = ("user", (opening, *(first[1:] if isinstance(first[0], str) else first)))
    return Conversation(
        where, tuple(TurnTemplate(_role(role), parts) for role, parts in texts), tuple(unsure), tuple(dict.fromkeys(remarks))
    )


def _plain(role: str, text: str) -> TurnTemplate:
    return TurnTemplate(_role(role), (text.replace(MARK, "").replace(END_MARK, ""),))


def _role(role: str) -> Any:
    return role


def _with_numbers(text: str, places: tuple[tuple[int, int], ...]) -> tuple[Part, ...]:
    parts: list[Part] = []
    position = 0
    for start, end in places:
        parts += [text[position:start], int(text[start:end])]
        position = end
    return (*parts, text[position:])


def conversation_of_tokens(where: str, turns: Sequence[tuple[str, str]], times: Mapping[str, TimePoint]) -> Conversation:
    """A conversation of VTimeLLM, whose texts have tokens for the times of ``meta``; this data was written for frames without numbers."""
    templates = []
    for position, (role, text) in enumerate(turns):
        templates.append(TurnTemplate(_role(role), _with_times(text if position else explain_numbers(text), times)))
    return Conversation(where, tuple(templates))


def _with_times(text: str, times: Mapping[str, TimePoint]) -> tuple[Part, ...]:
    pattern = "|".join([*map(re.escape, sorted(times, key=len, reverse=True)), _TIME_TOKEN.pattern])
    parts: list[Part] = []
    position = 0
    for match in re.finditer(pattern, text):
        if match[0] not in times:
            raise RowError(f"names {match[0]}, but its meta.token has no time for it")
        parts += [text[position : match.start()], times[match[0]]]
        position = match.end()
    return (*parts, text[position:])
