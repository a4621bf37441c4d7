"""What every benchmark's reader gives, and how annotation files are read: line by line, with errors that name file and line."""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MOST_SHOWN = 10


@dataclass(frozen=True)
class Query:
    """One annotated query, before its video was looked for."""

    id: str
    """Unique within a benchmark's split."""

    video: str
    """The video's id as the annotation file names it, without folder or extension."""

    query: str
    """What is asked for, as written in the annotation file."""

    spans_s: tuple[tuple[float, float], ...]
    """Annotated (start, end) in seconds, as written: the end may lie after the video's, and a start after its end."""


@dataclass(frozen=True)
class Benchmark:
    """How one benchmark's official files are read."""

    name: str
    """What people type: ``charades``."""

    read_annotations: Callable[[Path], list[Query]]
    """Official annotation file -> queries."""

    read_durations: Callable[[Path], dict[str, float]]
    """Official file with video lengths -> seconds by video id."""

    split_of: Callable[[Path], str]
    """Which split an annotation file holds, judged by its name."""


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
