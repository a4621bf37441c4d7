"""Instruction files: NumPro's ``{"video", "source", "conversations"}`` with frame numbers and VTimeLLM's ``{"id", "source",
"conversations", "meta"}`` with times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import seconds, span
from numpro_plugin.benchmarks.text_files import read_json, read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import NUMBERS_SENTENCE

from .conversations import BadRow, Conversation, Part, RowError, TimePoint, TrainingVideo, TurnTemplate
from .frame_numbers import find_frame_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .video_files import VideoFiles


def instruction_rows(path: Path, files: VideoFiles) -> Iterator[TrainingVideo | BadRow]:
    """Each row of an instruction file as a video with one conversation, or the reason why it cannot be used.

    Raises:
        NumProError: the file is not a JSON list (half-written ones are not), or ``files`` has no folder for one of its sources.
    """
    is_lines = path.name.removesuffix(".gz").endswith(".jsonl")
    rows = [row for _, row in read_jsonl(path)] if is_lines else read_json(path)
    if not isinstance(rows, list):
        raise NumProError(f"{path}: is not a list of rows with 'video' (or 'id'), 'source' and 'conversations'")
    default = next(iter(files.folders)) if len(files.folders) == 1 else None
    sources = {str(row.get("source") or default) for row in rows if isinstance(row, dict) and "image" not in row}
    if unknown := sorted(sources - set(files.folders)):
        if unknown == ["None"]:
            raise NumProError(f"{path}: its rows name no source; pass exactly one folder of videos: --videos NAME=DIR")
        given = ", ".join(files.folders) or "none"
        raise NumProError(f"{path}: its videos are of {', '.join(sorted(sources))}; add --videos {unknown[0]}=DIR (given: {given})")
    for position, row in enumerate(rows):
        yield _read_instruction(f"{path.name}[{position}]", row, default, files)


def _read_instruction(where: str, row: Any, default: str | None, files: VideoFiles) -> TrainingVideo | BadRow:
    source, name = "unknown", ""
    try:
        if not isinstance(row, dict):
            raise RowError(f"is a {type(row).__name__} instead of an object")
        source, name = str(row.get("source") or default), str(row.get("video", row.get("id", "")))
        if "image" in row and "video" not in row:
            source = str(row.get("source") or "images")
            name = name or str(row["image"])
            raise RowError("has an image where a video is expected")
        if not name:
            raise RowError("has neither 'video' nor 'id'")
        meta = row.get("meta") or {}
        start_s, end_s = _used_part(meta)
        times = _token_times(meta)
        is_numpro = "video" in row and not meta
        turns, unsure = _read_turns(row.get("conversations"), times, is_numpro=is_numpro)
        if "video" not in row and not meta and "<image>" in str(row["conversations"][0]["value"]):
            raise RowError("has an image where a video is expected")  # VTimeLLM's first stage
        return TrainingVideo(
            source=source,
            name=name if end_s is None else f"{name}@{start_s:g}-{end_s:g}",
            path=files.find(source, name),
            start_s=start_s,
            end_s=end_s,
            annotated_s=seconds(meta["duration"]) if "duration" in meta else None,
            conversations=[Conversation(where, turns, unsure)],
        )
    except (ValueError, TypeError, AttributeError) as error:
        return BadRow(source, where, name, str(error))


def _used_part(meta: dict[str, Any]) -> tuple[float, float | None]:
    """VTimeLLM's ``split``: the (start, end) of the part of the file that is used, in seconds; the end is None for the whole file."""
    if meta.get("split") is None:
        return 0.0, None
    start_s, end_s = span(meta["split"])
    if start_s >= end_s:
        raise RowError(f"its split {meta['split']} ends before it starts")
    return start_s, end_s


def _token_times(meta: dict[str, Any]) -> dict[str, TimePoint]:
    """VTimeLLM's ``token``: the time that each placeholder of the text stands for. The ends of a reversed span are swapped."""
    values = {key: seconds(value) for key, value in (meta.get("token") or {}).items()}
    for key in [key for key in values if key.startswith("<s")]:
        end = "<e" + key[2:]
        if end in values and values[end] < values[key]:
            values[key], values[end] = values[end], values[key]
    return {key: TimePoint(value, is_start=not key.startswith("<e")) for key, value in values.items()}


_PLACEHOLDER = re.compile(r"[^\S\n]*\n?<(?:video|image)>\n?[^\S\n]*")
_TIME_TOKEN = re.compile(r"<[se]\d+>")
_ROLES = (("human", "user"), ("gpt", "assistant"))


def _read_turns(conversation: Any, times: dict[str, TimePoint], *, is_numpro: bool) -> tuple[tuple[TurnTemplate, ...], tuple[str, ...]]:
    if not isinstance(conversation, list) or not conversation:
        raise RowError("has an empty conversation")
    turns: list[TurnTemplate] = []
    unsure: list[str] = []
    about_frames = False
    for position, turn in enumerate(conversation):
        speaker = turn.get("from") if isinstance(turn, dict) else turn
        if speaker not in _ROLES[position % 2]:
            raise RowError(f"turn {position} is from {speaker!r}, where {_ROLES[position % 2][0]!r} is expected")
        if not isinstance(turn.get("value"), str) or not (text := _PLACEHOLDER.sub("\n", turn["value"]).strip()):
            raise RowError(f"turn {position} ({speaker}) is empty")
        if is_numpro and (token := _TIME_TOKEN.search(text)):
            raise RowError(f"names {token[0]}, but has no 'meta' with a time for it")
        if is_numpro:
            found = find_frame_numbers(text, about_frames=about_frames and bool(position % 2))
            unsure += [text[max(0, start - 30) : end + 30] for start, end in found.unsure]
            parts = _with_numbers(text, found.numbers)
        else:
            if position == 0 and NUMBERS_SENTENCE not in text:
                text = f"{NUMBERS_SENTENCE} {text}"  # this data was written for frames without numbers
            parts = _with_times(text, times)
        about_frames = about_frames or "frame" in text.lower()
        turns.append(TurnTemplate("assistant" if position % 2 else "user", parts))
    if len(turns) % 2:
        raise RowError("ends with a question")
    return tuple(turns), tuple(unsure)


def _with_numbers(text: str, places: tuple[tuple[int, int], ...]) -> tuple[Part, ...]:
    parts: list[Part] = []
    position = 0
    for start, end in places:
        parts += [text[position:start], int(text[start:end])]
        position = end
    return (*parts, text[position:])


def _with_times(text: str, times: dict[str, TimePoint]) -> tuple[Part, ...]:
    pattern = "|".join([*map(re.escape, sorted(times, key=len, reverse=True)), _TIME_TOKEN.pattern])
    parts: list[Part] = []
    position = 0
    for match in re.finditer(pattern, text):
        if match[0] not in times:
            raise RowError(f"names {match[0]}, but its meta.token has no time for it")
        parts += [text[position : match.start()], times[match[0]]]
        position = match.end()
    return (*parts, text[position:])
