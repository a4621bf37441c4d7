"""Instruction files in the layouts of the field -> videos with conversations.

A file is a JSON list, JSON lines, or an object by video; which of them, and which layout a row has, is known from the content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import seconds, span
from numpro_plugin.benchmarks.text_files import first_character, read_json, read_json_entries, read_jsonl, read_lines
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import moment_prompt, set_prompt

from .conversations import BadRow, Conversation, RowError, TimePoint, TrainingVideo, TurnTemplate, moment_answer, set_answer
from .layouts import BadEvent, Event, PlainRow, is_by_video, read_plain_row, row_of_video
from .turns import TURNED_ROUND, checked_turns, conversation_of_tokens, conversation_of_turns, turns_from_speakers
from .video_files import video_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .video_files import VideoFiles


class _NoFolder(Exception):
    """A row's source has no folder of videos."""


def instruction_rows(path: Path, files: VideoFiles) -> Iterator[TrainingVideo | BadRow]:
    """Each row of an instruction file as a video with its conversations, or the reason why it cannot be used.

    Raises:
        NumProError: the file holds no rows (half-written ones do not), or ``files`` has no folder for one of its sources.
    """
    seen: set[str | None] = set()
    for where, row in _rows(path):
        yield from _read_row(where, row, files, seen)
    if unknown := sorted(str(source) for source in seen if not files.has(source)):
        if unknown == ["None"]:
            raise NumProError(f"{path}: its rows name no source; pass exactly one folder of videos: --videos NAME=DIR")
        named, given = ", ".join(sorted(map(str, seen))), ", ".join(files.folders) or "none"
        raise NumProError(f"{path}: its videos are of {named}; add --videos {unknown[0]}=DIR (given: {given})")


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(where, row) of a file of rows."""
    first = first_character(path)
    if first == "[":
        yield from ((f"{path.name}[{position}]", row) for position, row in read_json_entries(path))
    elif first == "{" and _is_json_lines(path):
        yield from ((f"{path.name}[{position}]", row) for position, (_, row) in enumerate(read_jsonl(path)))
    elif first == "{" and all(is_by_video(video) for _, video in read_json_entries(path)):
        for name, video in read_json_entries(path):
            yield f"{path.name}[{name!r}]", {"by_video": (str(name), video)}
    else:
        if first != "{":
            read_json(path)  # raises if it is not JSON
        raise NumProError(
            f"{path}: is not a list of rows (a JSON list or JSON lines), nor an object of videos with 'timestamps' and 'sentences'; "
            "docs/shards.md lists the layouts that are read"
        )


def _is_json_lines(path: Path) -> bool:
    """Whether a file that begins with an object has one on every line. A single object counts if the file is called so."""
    lines = (line.strip() for _, line in read_lines(path))
    filled = (line for line in lines if line)
    first, second = next(filled), next(filled, "")
    if path.name.lower().removesuffix(".gz").endswith(".jsonl"):
        return True
    return first.endswith("}") and second.startswith("{")


def _read_row(where: str, row: Any, files: VideoFiles, seen: set[str | None]) -> Iterator[TrainingVideo | BadRow]:
    source, name = "unknown", ""
    try:
        if not isinstance(row, dict):
            raise RowError(f"is a {type(row).__name__} instead of an object")
        if set(row) == {"by_video"}:
            name = row["by_video"][0]
            row = row_of_video(*row["by_video"])
        name = _name_of(row)
        source = str(row.get("source") or files.source_of(None, name) or "unknown")
        if "image" in row and "video" not in row:
            source, name = str(row.get("source") or "images"), name or str(row["image"])
            raise RowError("has an image where a video is expected")
        if _is_ours(row):
            yield _read_instruction(where, row, name, _folder_source(row.get("source"), name, files, seen), files)
            return
        plain = read_plain_row(row)
        source, name = _folder_source(plain.source, plain.video, files, seen), plain.video
        yield from _videos_of(where, plain, source, files)
    except _NoFolder:
        return  # the file as a whole is refused, with the names of all such sources
    except (ValueError, TypeError, AttributeError) as error:
        yield BadRow(source, where, name, str(error))


def _name_of(row: dict[str, Any]) -> str:
    value = row.get("video", row.get("id", row.get("video_path", row.get("video_id", ""))))
    return value if isinstance(value, str) else ""


def _folder_source(source: Any, name: str, files: VideoFiles, seen: set[str | None]) -> str:
    found = files.source_of(str(source) if source else None, name)
    seen.add(found)
    if found is None or not files.has(found):
        raise _NoFolder
    return found


def _is_ours(row: dict[str, Any]) -> bool:
    """NumPro's ``{"video", "source", "conversations"}`` and VTimeLLM's ``{"id", "source", "conversations", "meta"}``."""
    others = {"videos", "messages", "QA", "events", "src", "tgt"} & set(row) or {"task", "duration"} <= set(row)
    known = {"conversations", "meta"} & set(row) or not set(row) - {"video", "id", "source"}
    return bool(known) and not others


def _read_instruction(where: str, row: dict[str, Any], name: str, source: str, files: VideoFiles) -> TrainingVideo:
    if isinstance(row.get("video"), list):
        raise RowError(f"is about {len(row['video'])} videos; a row of training is about one")
    if not name:
        raise RowError("has neither 'video' nor 'id'")
    meta = row.get("meta") or {}
    start_s, end_s = _used_part(meta)
    times = _token_times(meta)
    is_numpro = "video" in row and not meta
    turns = turns_from_speakers(row.get("conversations"))
    if "video" not in row and not meta and "<image>" in str(row["conversations"][0]["value"]):
        raise RowError("has an image where a video is expected")  # VTimeLLM's first stage
    conversation = conversation_of_turns(where, turns) if is_numpro else conversation_of_tokens(where, turns, times)
    return TrainingVideo(
        source=source,
        name=name if end_s is None else f"{name}@{start_s:g}-{end_s:g}",
        path=files.find(source, name),
        start_s=start_s,
        end_s=end_s,
        annotated_s=seconds(meta["duration"]) if "duration" in meta else None,
        conversations=[conversation],
    )


def _videos_of(where: str, plain: PlainRow, source: str, files: VideoFiles) -> Iterator[TrainingVideo | BadRow]:
    conversations = []
    if plain.turns:
        conversations.append(conversation_of_turns(where, checked_turns(plain.turns), system_turns=plain.system_turns))
    for k, event in enumerate(plain.events):
        place = f"{where}.{k}" if len(plain.events) > 1 else where
        if isinstance(event, BadEvent):
            yield BadRow(source, place, plain.video, event.reason)
        else:
            conversations.append(_about_event(place, event))
    if not conversations and not plain.events:
        raise RowError("has an empty conversation")
    if not conversations:
        return
    start_s, end_s = plain.part_s or (0.0, None)
    name = video_id(plain.video, source)
    yield TrainingVideo(
        source=source,
        name=name if end_s is None else f"{name}@{start_s:g}-{end_s:g}",
        path=files.find(source, plain.video),
        start_s=start_s,
        end_s=end_s,
        annotated_s=plain.duration_s,
        conversations=conversations,
    )


def _about_event(where: str, event: Event) -> Conversation:
    """The question of the tasks, and its answer."""
    if event.is_set:
        question, answer = set_prompt(event.query, "retrieval"), set_answer(event.spans_s)
    else:
        question, answer = moment_prompt(event.query), moment_answer(*event.spans_s[0])
    remarks = (TURNED_ROUND,) * sum(start_s > end_s for start_s, end_s in event.spans_s)
    return Conversation(where, (TurnTemplate("user", (question,)), TurnTemplate("assistant", answer)), remarks=remarks)


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
