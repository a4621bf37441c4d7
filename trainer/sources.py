"""Readers of training data: instruction files and prepared tables -> videos with what is said about them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.annotations import read_json, read_jsonl, seconds, span
from numpro_plugin.benchmarks.table import read_report, sha256_of, table_path
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import NUMBERS_SENTENCE, highlight_prompt, moment_prompt
from numpro_plugin.trainer.conversations import Conversation, Highlights, Part, RowError, Said, Second
from numpro_plugin.trainer.frame_words import find_frame_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpro_plugin.trainer.video_files import VideoFiles


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
class Work:
    """Everything that the inputs ask for."""

    inputs: list[dict[str, Any]] = field(default_factory=list)
    """``file``, ``sha256`` and ``rows`` of each input."""

    videos: list[Video] = field(default_factory=list)
    """In the order in which the inputs first name them."""

    bad_rows: list[BadRow] = field(default_factory=list)


def read_work(inputs: list[str], files: VideoFiles) -> Work:
    """Read all inputs; rows about the same video (or part of it) become one.

    Args:
        inputs: instruction files (``.json``, ``.jsonl``, ``.gz`` may follow), prepared tables (``.parquet``), or names of prepared
            tables (``charades:train``).
        files: where instructions find their videos; tables name theirs.

    Raises:
        NumProError: an input that does not exist or is of another kind, a source for which there is no folder of videos, or
            nothing to do.
    """
    work = Work()
    found: dict[tuple[str, str, float, float | None], Video] = {}
    for one in inputs:
        path, rows = _open(one, files)
        count = 0
        for row in rows:
            count += 1
            if isinstance(row, BadRow):
                work.bad_rows.append(row)
                continue
            key = (row.source, row.name, row.start_s, row.end_s)
            if key in found:
                found[key].conversations.extend(row.conversations)
            else:
                found[key] = row
        work.inputs.append({"file": str(path.resolve()), "sha256": sha256_of(path), "rows": count})
    work.videos = list(found.values())
    if not work.videos:
        why = f"; the first of {len(work.bad_rows)} rows: {work.bad_rows[0].reason}" if work.bad_rows else ""
        raise NumProError(f"{', '.join(inputs)}: no row can be used{why}")
    return work


def _open(name: str, files: VideoFiles) -> tuple[Path, Iterator[Video | BadRow]]:
    benchmark, _, split = name.partition(":")
    if benchmark in BENCHMARKS and not Path(name).exists():
        split = split or "train"
        if split == BENCHMARKS[benchmark].splits[0] and len(BENCHMARKS[benchmark].splits) > 1:
            raise NumProError(f"{name}: this split is the one that is evaluated; train on {benchmark}:train (or name the table's file)")
        path = table_path(benchmark, split)
        read_report(path)  # which says how a table that is not there is made
        return path, _table_rows(path)
    path = Path(name)
    kind = path.name.removesuffix(".gz")
    if path.is_file() and kind.endswith(".parquet"):
        return path, _table_rows(path)
    if kind.endswith((".json", ".jsonl")):
        return path, _instruction_rows(path, files)
    tables = ", ".join(f"{key}:train" for key in BENCHMARKS if key != "custom")
    raise NumProError(f"{name}: is neither an instruction file (.json, .jsonl) nor a prepared table (.parquet; {tables})")


# Instruction files: NumPro's {"video", "source", "conversations"} in frame numbers, VTimeLLM's {"id", "source", "conversations",
# "meta"} with times.


def _instruction_rows(path: Path, files: VideoFiles) -> Iterator[Video | BadRow]:
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


# Prepared tables (`numpro prepare`): questions and answers in the words that are used for evaluation.


def _table_rows(path: Path) -> Iterator[Video | BadRow]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if missing := {"id", "video", "query", "spans_s", "duration_s"} - set(file.schema_arrow.names):
            raise NumProError(
                f"{path}: is no prepared table (columns {', '.join(sorted(missing))} are missing); see `numpro prepare --help`"
            )
        source = read_report(path).benchmark if path.with_suffix(".json").exists() else path.parent.name
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield _table_row(source, f"{source}/{path.name} {row['id']}", row)


def _table_row(source: str, where: str, row: dict[str, Any]) -> Video | BadRow:
    path = Path(row["video"])
    if not path.is_absolute():
        raise NumProError(f"{where}: the table was made without videos; run `numpro prepare` again with --videos DIR")
    try:
        question, answer = _highlights(row) if row.get("saliency_scores") is not None else _moment(row)
    except ValueError as error:
        return BadRow(source, where, path.stem, str(error))
    return Video(
        source=source,
        name=path.stem,
        path=str(path),
        start_s=0.0,
        end_s=row.get("end_s"),
        annotated_s=row["duration_s"],
        conversations=[Conversation(where, (Said("user", (question,)), Said("assistant", answer)))],
    )


def _moment(row: dict[str, Any]) -> tuple[str, tuple[Part, ...]]:
    if len(row["spans_s"]) != 1:
        raise RowError(f"has {len(row['spans_s'])} spans; the answer 'From Frame x to Frame y.' has room for one")
    start_s, end_s = sorted(row["spans_s"][0])  # of a few annotations the ends are in the wrong order
    return moment_prompt(row["query"]), ("From Frame ", Second(start_s, starts=True), " to Frame ", Second(end_s, starts=False), ".")


def _highlights(row: dict[str, Any]) -> tuple[str, tuple[Part, ...]]:
    # Annotators score 0 to 4, the prompt asks for 1 to 5.
    scores = tuple(round(sum(three) / len(three) + 1, 1) for three in row["saliency_scores"])
    return highlight_prompt(row["query"], kind="ft"), (Highlights(tuple(row["relevant_clip_ids"]), scores),)
