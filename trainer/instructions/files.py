"""Instruction files: NumPro's ``{"video", "source", "conversations"}`` in frame numbers, VTimeLLM's ``{"id", "source",
"conversations", "meta"}`` with times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import seconds, span
from numpro_plugin.benchmarks.text_files import read_json, read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import NUMBERS_SENTENCE

from .conversations import BadRow, Conversation, Part, RowError, Said, Second, Video
from .frame_words import find_frame_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .video_files import VideoFiles


def instruction_rows(path: Path, files: VideoFiles) -> Iterator[Video | BadRow]:
    """Each row of an instruction file as a video with one conversation, or why nothing can be made of it.

    Raises:
        NumProError: no JSON list (half-written files are none), or videos of a source that ``files`` has no folder of.
    """
    is_lines = path.name.removesuffix(".gz").endswith(".jsonl")
    rows = [row for _, row in read_jsonl(path)] if is_lines else read_json(path)
    if not isinstance(rows, list):
        raise NumProError(f"{path}: is no list of rows with 'video' (or 'id'), 'source' and 'conversations'")
    default = next(iter(files.folders)) if len(files.folders) == 1 else None
    sources = {str(row.get("source") or default) for row in rows if isinstance(row, dict) and "image" not in row}
    if unknown := sorted(sources - set(files.folders)):
        if unknown == ["None"]:
            raise NumProError(f"{path}: its rows name no source; give one folder of videos only, as --videos NAME=DIR")
        given = ", ".join(files.folders) or "none"
        raise NumProError(f"{path}: its videos are of {', '.join(sorted(sources))}; add --videos {unknown[0]}=DIR (given: {given})")
    for position, row in enumerate(rows):
        yield _instruction(f"{path.name}[{position}]", row, default, files)


def _instruction(where: str, row: Any, default: str | None, files: VideoFiles) -> Video | BadRow:
    source, name = "unknown", ""
    try:
        if not isinstance(row, dict):
            raise RowError(f"is no object but {type(row).__name__}")
        source, name = str(row.get("source") or default), str(row.get("video", row.get("id", "")))
        if "image" in row and "video" not in row:
            source = str(row.get("source") or "images")
            name = name or str(row["image"])
            raise RowError("has an image where a video is expected")
        if not name:
            raise RowError("has neither 'video' nor 'id'")
        meta = row.get("meta") or {}
        start_s, end_s = _split(meta)
        times = _times(meta)
        of_numpro = "video" in row and not meta
        turns, unsure = _turns(row.get("conversations"), times, of_numpro=of_numpro)
        if "video" not in row and not meta and "<image>" in str(row["conversations"][0]["value"]):
            raise RowError("has an image where a video is expected")  # VTimeLLM's first stage
        return Video(
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


def _split(meta: dict[str, Any]) -> tuple[float, float | None]:
    """VTimeLLM's ``split``: the part of the file that is the video, in seconds."""
    if meta.get("split") is None:
        return 0.0, None
    start_s, end_s = span(meta["split"])
    if start_s >= end_s:
        raise RowError(f"its split {meta['split']} ends before it starts")
    return start_s, end_s


def _times(meta: dict[str, Any]) -> dict[str, Second]:
    """VTimeLLM's ``token``: what stands in the text for a time. Spans whose ends are in the wrong order are turned round."""
    values = {key: seconds(value) for key, value in (meta.get("token") or {}).items()}
    for key in [key for key in values if key.startswith("<s")]:
        end = "<e" + key[2:]
        if end in values and values[end] < values[key]:
            values[key], values[end] = values[end], values[key]
    return {key: Second(value, starts=not key.startswith("<e")) for key, value in values.items()}


_MARK = re.compile(r"[^\S\n]*\n?<(?:video|image)>\n?[^\S\n]*")
_TIME = re.compile(r"<[se]\d+>")
_ROLES = (("human", "user"), ("gpt", "assistant"))


def _turns(conversation: Any, times: dict[str, Second], *, of_numpro: bool) -> tuple[tuple[Said, ...], tuple[str, ...]]:
    if not isinstance(conversation, list) or not conversation:
        raise RowError("has an empty conversation")
    turns: list[Said] = []
    unsure: list[str] = []
    about_frames = False
    for position, one in enumerate(conversation):
        speaker = one.get("from") if isinstance(one, dict) else one
        if speaker not in _ROLES[position % 2]:
            raise RowError(f"turn {position} is from {speaker!r}, where {_ROLES[position % 2][0]} should speak")
        if not isinstance(one.get("value"), str) or not (text := _MARK.sub("\n", one["value"]).strip()):
            raise RowError(f"turn {position} ({speaker}) is empty")
        if of_numpro and (token := _TIME.search(text)):
            raise RowError(f"names {token[0]}, but has no 'meta' with a time for it")
        if of_numpro:
            words = find_frame_numbers(text, about_frames=about_frames and bool(position % 2))
            unsure += [text[max(0, start - 30) : end + 30] for start, end in words.unsure]
            parts = _with_numbers(text, words.numbers)
        else:
            if position == 0 and NUMBERS_SENTENCE not in text:
                text = f"{NUMBERS_SENTENCE} {text}"  # this data does not know of numbers on the frames
            parts = _with_times(text, times)
        about_frames = about_frames or "frame" in text.lower()
        turns.append(Said("assistant" if position % 2 else "user", parts))
    if len(turns) % 2:
        raise RowError("ends with a question")
    return tuple(turns), tuple(unsure)


def _with_numbers(text: str, places: tuple[tuple[int, int], ...]) -> tuple[Part, ...]:
    parts: list[Part] = []
    done = 0
    for start, end in places:
        parts += [text[done:start], int(text[start:end])]
        done = end
    return (*parts, text[done:])


def _with_times(text: str, times: dict[str, Second]) -> tuple[Part, ...]:
    pattern = "|".join([*map(re.escape, sorted(times, key=len, reverse=True)), _TIME.pattern])
    parts: list[Part] = []
    done = 0
    for match in re.finditer(pattern, text):
        if match[0] not in times:
            raise RowError(f"names {match[0]}, but its meta.token has no time for it")
        parts += [text[done : match.start()], times[match[0]]]
        done = match.end()
    return (*parts, text[done:])
