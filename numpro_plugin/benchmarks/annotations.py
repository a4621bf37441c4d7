"""What every benchmark's reader returns, and the checks of single values that all readers share."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpro_plugin.prompts import SetQuestion

_MOST_SHOWN = 10

LONGEST_S = 1e6
"""More than eleven days: a longer time in an annotation file is not in seconds."""


@dataclass(frozen=True, slots=True)
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
    """The video's length if the annotation file says it; of the part, where only a part is shown."""

    files: tuple[str, ...] = ()
    """Names of the file (with or without extension, or paths inside the folder of videos), likeliest first; the id if empty."""

    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the benchmark needs beyond: columns of `EXTRA_COLUMNS`."""

    part_s: tuple[float, float] | None = None
    """Start and end, in seconds of the file, of the part that is shown; ``spans_s`` then count from its start. None: the whole file."""

    split: str | None = None
    """Its split, in a file that holds several."""

    left_out: str | None = None
    """Why the benchmark's rules do not evaluate this row; it is counted and named, nothing else."""


EXTRA_COLUMNS = ("annotators", "clips", "relevant_clip_ids", "saliency_scores")
"""``annotators``: one (start, end) in seconds per annotator. ``clips``: how many clips of two seconds were shown to the annotators of
saliency; ``relevant_clip_ids`` and ``saliency_scores``: those among them that matter, with three annotators' scores 0..4 each."""


@dataclass(frozen=True)
class Benchmark:
    """How one benchmark's annotation files are read."""

    name: str
    """What people type: ``charades``."""

    title: str
    """What the field calls it: ``Charades-STA``."""

    read_annotations: Callable[[Path], list[Query]]
    """Annotation file -> queries."""

    splits: tuple[str, ...]
    """Names of the splits; the first is the one that is evaluated by default."""

    sources: str
    """Where annotations and videos officially come from, and what is known of these places."""

    sizes: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    """(videos, queries) of the official splits, with what the benchmark leaves out; None where it is not known. A split is recognised by
    them whatever its file is called."""

    other_sizes: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    """The same of a second form in which the splits are published, where its files hold other queries."""

    video_form: str | None = None
    """Regular expression that the videos' ids match; None where they can be anything."""

    read_durations: Callable[[Path], dict[str, float]] | None = None
    """Official file with video lengths -> seconds by video id; None where the annotation file has them."""

    end_s: float | None = None
    """Only so much of each video is annotated."""

    reading: str = ""
    """How a file was read whose columns and unit were given; part of the protocol."""

    set_question: SetQuestion | None = None
    """Which question asks for all moments of a query, which may have any number, none included; None: one moment is asked for."""


def seconds(value: Any) -> float:
    """A time as written in an annotation file. Raises ValueError unless it is a number from 0 to `LONGEST_S`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{_short(value)} is not a number of seconds")
    if not value >= 0:  # which NaN is not, either
        raise ValueError(f"{_short(value)} must be 0 seconds or more")
    if value > LONGEST_S:  # before any conversion: an integer may be too large for a float
        raise ValueError(f"{_short(value)} is more than {LONGEST_S:,.0f} seconds; times must be in seconds, not in milliseconds or frames")
    return float(value)


def frame_rate(value: Any) -> float:
    """Frames a second, in which times are counted. Raises ValueError unless it is a number above 0, at most `LONGEST_S`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LONGEST_S:
        raise ValueError(f"fps must be a number of frames a second above 0, got {_short(value)}")
    return float(value)


def duration(value: Any) -> float:
    """The length of a video. Raises ValueError unless it is a number of seconds above 0."""
    if (length_s := seconds(value)) == 0:
        raise ValueError("a video's duration must be more than 0 seconds")
    return length_s


def span(value: Any) -> tuple[float, float]:
    """A pair [start, end] in seconds. Raises ValueError for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{_short(value)} is not a pair [start, end]")
    return seconds(value[0]), seconds(value[1])


def spans(value: Any) -> tuple[tuple[float, float], ...]:
    """A list of pairs [start, end] in seconds. Raises ValueError for anything else."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{_short(value)} is not a list of pairs [start, end]")
    return tuple(span(pair) for pair in value)


def part(start: Any, end: Any) -> tuple[float, float]:
    """The part of a file from start to end, in seconds. Raises ValueError unless it ends after it starts."""
    start_s, end_s = span((start, end))
    if not start_s < end_s:
        raise ValueError(f"the part of the file that is shown must end after it starts, got {start_s:g} to {end_s:g} s")
    return start_s, end_s


def plain_text(value: Any, what: str) -> str:
    """A text that a table can hold. Raises ValueError if it is of another type, blank, or holds half a surrogate pair."""
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, got {_short(value)}")
    if not value.strip():
        raise ValueError(f"has no {what}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} {_short(value)} holds half of a surrogate pair at character {error.start + 1}; write it again") from None
    return value


def query_id(value: Any) -> str:
    """A query's id, which files write as text or as an integer. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return plain_text(value, "id")


def video_name(value: Any) -> str:
    """A video's id or file name, or its path inside the folder of videos. Raises ValueError if it could lead out of that folder."""
    name = plain_text(value, "video").strip()
    if printable(name) != name or re.search(r"[\\\n\t]", name):
        raise ValueError(f"video name {_short(name)} holds control characters or backslashes; write folders with /")
    if any(part in {"", ".", ".."} for part in name.removeprefix("./").split("/")):
        raise ValueError(
            f"video name {_short(name)} must be a file name or a path inside the folder of videos, without '..' or a leading /"
        )
    return name.removeprefix("./")


def check_ids(path: Path, queries: list[Query]) -> list[Query]:
    """The queries, if there are any and their ids are unique; raises NumProError otherwise."""
    if not queries:
        raise NumProError(f"{path}: holds no queries; is the download complete?")
    if len({query.id for query in queries}) < len(queries):
        counts = Counter(query.id for query in queries)
        repeated = [key for key, count in counts.items() if count > 1]
        shown = printable(", ".join(repeated[:_MOST_SHOWN]))
        raise NumProError(f"{path}: {len(repeated)} ids occur more than once ({shown}); each query needs its own")
    return queries


def raise_all(path: Path, problems: list[tuple[int, str]], remedy: str) -> None:
    """Raise one error that lists the problems of a file by line, if there are any."""
    if not problems:
        return
    shown = "\n".join(f"{path}:{line}: {problem}" for line, problem in problems[:_MOST_SHOWN])
    more = f"\n... and {len(problems) - _MOST_SHOWN} more lines" if len(problems) > _MOST_SHOWN else ""
    raise NumProError(printable(f"{shown}{more}\n{remedy}"))


def _short(value: Any) -> str:
    """A value for a message: a cell of a megabyte would hide what is wrong with it."""
    try:
        text = ascii(value) if isinstance(value, str) and printable(value) != value else repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = f"a {type(value).__name__} that is too long to print"
    return text if len(text) <= 80 else f"{text[:77]}..."
