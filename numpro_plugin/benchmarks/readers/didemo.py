"""DiDeMo: ``train_data.json``, ``val_data.json``, ``test_data.json``; four or more annotators choose chunks of five seconds."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import LONGEST_S, Benchmark, Query, check_ids, plain_text, query_id, raise_all, video_name
from numpro_plugin.benchmarks.rows import queries_of_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import read_json, read_lines
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_S = 5.0
END_S = 30.0
"""Only the first 30 seconds (six chunks) are annotated, however long the file is."""


def read_annotations(path: Path) -> list[Query]:
    """Read a list of ``{"annotation_id", "video", "description", "num_segments", "times": [[first, last], ...]}``.

    Chunks a to b, both included, are [5a, min(5(b + 1), 5 num_segments)] seconds. ``annotators`` holds every annotator's span;
    ``spans_s`` the one that most annotators chose (of equally frequent ones the first written). A list of flat rows without
    ``times`` has one span a query and no annotators.

    Raises:
        NumProError: another kind of file, or impossible chunks; the annotation is named.
    """
    content = read_json(path)
    if isinstance(content, list) and content and isinstance(content[0], dict) and "start_time" in content[0]:
        return check_ids(path, queries_of_rows(path, rows_of_list(path, content), only_known=False, spans_needed=True))
    if not isinstance(content, list) or not all(isinstance(row, dict) and "times" in row for row in content):
        raise NumProError(f"{path}: is not a list of annotations with 'times'; use train_data.json, val_data.json or test_data.json")
    return check_ids(path, [_query(path, k, row) for k, row in enumerate(content)])


def _query(path: Path, position: int, row: dict[str, Any]) -> Query:
    key = row.get("annotation_id", position)
    try:
        needed = ("annotation_id", "video", "description", "num_segments")
        if missing := [name for name in needed if name not in row]:
            raise ValueError(f"has no {', '.join(map(repr, missing))}; use the official file as it was downloaded")
        key, name, annotators = query_id(key), video_name(row["video"]), _annotators(row["times"], row["num_segments"])
        return Query(
            id=key,
            video=name,
            query=plain_text(row["description"], "description"),  # a few official ones have blanks around them, which results show
            spans_s=(Counter(annotators).most_common(1)[0][0],),
            duration_s=CHUNK_S * row["num_segments"],
            files=(name, *file_names(name)),
            extra={"annotators": annotators},
        )
    except ValueError as error:
        raise NumProError(f"{path}: annotation {key!r}: {error}") from None


def _annotators(times: Any, segments: Any) -> list[tuple[float, float]]:
    """Every annotator's (start, end) in seconds."""
    if not _is_count(segments) or segments < 1:
        raise ValueError(f"num_segments must be a whole number from 1, got {segments!r}")
    if not isinstance(times, list) or not times:
        raise ValueError("has no annotators in 'times'")
    for chunks in times:
        if not isinstance(chunks, list) or len(chunks) != 2 or not all(map(_is_count, chunks)):
            raise ValueError(f"{chunks!r} is not a pair [first chunk, last chunk]")
        if not chunks[0] <= chunks[1] < segments:
            raise ValueError(f"chunks {chunks} are not first and last within 0 to {segments - 1}")
    return [(CHUNK_S * first, min(CHUNK_S * (last + 1), CHUNK_S * segments)) for first, last in times]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONGEST_S / CHUNK_S


def file_names(video: str) -> tuple[str, ...]:
    """What the file of ``OWNER_PHOTO_SECRET.ext`` is called in real downloads, without extension: the whole name (with another
    extension after it), the name alone, or the Flickr photo's number."""
    stem = video.rpartition(".")[0] or video
    parts = stem.split("_")
    return tuple(dict.fromkeys([stem, video.rstrip("."), *(parts[1:2] if len(parts) == 3 else [])]))


def read_hashes(path: Path) -> dict[str, str]:
    """Read ``yfcc100m_hash.txt``: Flickr photo number -> the file's name in the YFCC100M store.

    Raises:
        NumProError: listing the lines that are not a number and a name.
    """
    hashes: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        parts = line.split()
        if len(parts) == 2 and parts[0].isdigit() and re.fullmatch(r"\w+", parts[1]):
            hashes[parts[0]] = parts[1]
        elif parts:
            problems.append((number, f"is not 'PHOTO HASH': {line[:80]!r}"))
    raise_all(path, problems, "Use the official yfcc100m_hash.txt.")
    return hashes


DIDEMO = Benchmark(
    name="didemo",
    title="DiDeMo",
    read_annotations=read_annotations,
    splits=("test", "val", "train"),
    sizes={"test": (1037, 4021), "val": (1094, 4180)},
    video_form=r"\d+@N\d+_\d+_[0-9a-f]+\..*",
    end_s=END_S,
    sources="""\
annotations  test_data.json, val_data.json, train_data.json and yfcc100m_hash.txt: repository LisaAnne/LocalizingMoments on GitHub
videos       the author points to data.ciirc.cvut.cz/public/projects/LisaAnne/; the repository's own links to
             Flickr, AWS and Google Drive are reported dead or incomplete. Files that bear their names in the YFCC100M store
             (multimedia-commons) are found with --yfcc-hash yfcc100m_hash.txt""",
)
