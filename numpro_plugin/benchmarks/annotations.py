"""What every benchmark's reader gives, and how annotation files are read: line by line, with errors that name file and line."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_MOST_SHOWN = 10


@dataclass(frozen=True)
class Query:
    """One annotated query, before its video was looked for."""

    id: str
    """Unique within a benchmark's split."""

    video: str
    """The video's id as the annotation file names it."""

    query: str
    """What is asked for."""

    spans_s: tuple[tuple[float, float], ...]
    """Annotated (start, end) in seconds, as written: the end may lie after the video's, and a start after its end."""

    duration_s: float | None = None
    """The video's length if the annotation file says it."""

    files: tuple[str, ...] = ()
    """File names without extension under which the video may lie in a folder, likeliest first; the id if empty."""

    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the benchmark needs beyond: columns of `EXTRA_COLUMNS`."""


EXTRA_COLUMNS = ("annotators", "clips", "relevant_clip_ids", "saliency_scores")
"""``annotators``: one (start, end) in seconds per annotator. ``clips``: how many clips of two seconds were shown to the annotators of
saliency; ``relevant_clip_ids`` and ``saliency_scores``: those among them that matter, with three annotators' scores 0..4 each."""


@dataclass(frozen=True)
class Benchmark:
    """How one benchmark's official files are read."""

    name: str
    """What people type: ``charades``."""

    title: str
    """What the field calls it: ``Charades-STA``."""

    read_annotations: Callable[[Path], list[Query]]
    """Official annotation file -> queries."""

    splits: tuple[str, ...]
    """Names of the splits; the first is the one that is evaluated by default."""

    split_of: Callable[[Path], str]
    """Which split an annotation file holds, judged by its name."""

    sources: str
    """Where annotations and videos officially come from, and what is known of these places."""

    read_durations: Callable[[Path], dict[str, float]] | None = None
    """Official file with video lengths -> seconds by video id; None where the annotation file has them."""

    end_s: float | None = None
    """Only so much of each video is annotated."""


def split_in_name(*splits: str) -> Callable[[Path], str]:
    """A ``split_of`` that looks for the splits' names in the file's; the first is what it falls back to."""

    def split_of(path: Path) -> str:
        return next((split for split in splits if split in path.name), splits[0])

    return split_of


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a UTF-8 text file, gzipped if its name ends in .gz; a byte order mark is dropped.

    Raises:
        NumProError: no such file, not UTF-8, or a broken gzip file.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise NumProError(
                        f"{path}:{number}: is not UTF-8 (byte {raw[error.start]:#04x} at column {error.start + 1}); "
                        "use the official file as it was downloaded"
                    ) from None
    except FileNotFoundError:
        raise NumProError(f"{path}: no such file") from None
    except (OSError, EOFError) as error:
        raise NumProError(f"{path}: cannot be read ({error})") from error


def read_json(path: Path) -> Any:
    """A JSON file, gzipped if its name ends in .gz.

    Raises:
        NumProError: no such file, not UTF-8, or not JSON (half-written files are), with the line.
    """
    text = "\n".join(line for _, line in read_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise NumProError(f"{path}:{error.lineno}: is not JSON ({error.msg}); is the download complete?") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered lines (from 1) of a JSON-lines file, each an object; empty lines are passed over.

    Raises:
        NumProError: as `read_lines`, and for a line that is no JSON object.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise NumProError(f"{path}:{number}: is not JSON ({error.msg}); is the file complete?") from None
        if not isinstance(value, dict):
            raise NumProError(f"{path}:{number}: is no JSON object but {type(value).__name__}")
        yield number, value


def seconds(value: Any) -> float:
    """A time as written in an annotation file. Raises ValueError unless it is a finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number of seconds")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{value!r} must be 0 seconds or more")
    return float(value)


def span(value: Any) -> tuple[float, float]:
    """A pair [start, end] in seconds. Raises ValueError for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{value!r} is no pair of start and end")
    return seconds(value[0]), seconds(value[1])


def check_ids(path: Path, queries: list[Query]) -> list[Query]:
    """The queries, if there are any and their ids are unique; raises NumProError otherwise."""
    if not queries:
        raise NumProError(f"{path}: holds no query; is the download complete?")
    counts = Counter(query.id for query in queries)
    if repeated := [key for key, count in counts.items() if count > 1]:
        raise NumProError(
            f"{path}: {len(repeated)} ids occur more than once ({', '.join(repeated[:_MOST_SHOWN])}); each query needs its own"
        )
    return queries


def check_video_name(name: str) -> str | None:
    """Why a video's name cannot be used, or None: names are looked up in a folder, so they may not lead out of it."""
    if not name or name in {".", ".."} or re.search(r"[/\\\0]", name) or os.path.basename(name) != name:
        return f"video name {name!r} must be a plain file name without folders"
    return None


def raise_all(path: Path, problems: list[tuple[int, str]], remedy: str) -> None:
    """Raise one error that lists the problems of a file by line, if there are any."""
    if not problems:
        return
    shown = "\n".join(f"{path}:{line}: {problem}" for line, problem in problems[:_MOST_SHOWN])
    more = f"\n... and {len(problems) - _MOST_SHOWN} more lines" if len(problems) > _MOST_SHOWN else ""
    raise NumProError(f"{shown}{more}\n{remedy}")
