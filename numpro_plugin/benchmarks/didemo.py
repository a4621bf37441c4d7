"""DiDeMo: ``train_data.json``, ``val_data.json``, ``test_data.json``; four or more annotators choose chunks of five seconds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import (
    Benchmark,
    Query,
    check_ids,
    check_video_name,
    raise_all,
    read_json,
    read_lines,
    split_in_name,
)
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_S = 5.0
END_S = 30.0
"""Only the first 30 seconds (six chunks) are annotated, however long the file is."""


def read_annotations(path: Path) -> list[Query]:
    """Read a list of ``{"annotation_id", "video", "description", "num_segments", "times": [[first, last], ...]}``.

    Chunks a to b, both included, are [5a, min(5(b + 1), 5 num_segments)] seconds. ``annotators`` holds every annotator's span;
    ``spans_s`` the one that most annotators chose (of equally frequent ones the first written).

    Raises:
        NumProError: another kind of file, or impossible chunks; the annotation is named.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "times" in row for row in rows):
        raise NumProError(f"{path}: is no list of annotations with 'times'; use train_data.json, val_data.json or test_data.json")
    return check_ids(path, [_query(path, k, row) for k, row in enumerate(rows)])


def _query(path: Path, position: int, row: dict[str, Any]) -> Query:
    try:
        name, segments = row["video"], int(row["num_segments"])
        if problem := check_video_name(name):
            raise ValueError(problem)
        for first, last in row["times"]:
            if not 0 <= first <= last < segments:
                raise ValueError(f"chunks {[first, last]} are not within 0 to {segments - 1}")
        if not row["times"]:
            raise ValueError("has no annotator")
        duration_s = CHUNK_S * segments
        annotators = [(CHUNK_S * a, min(CHUNK_S * (b + 1), duration_s)) for a, b in row["times"]]
        majority = Counter(annotators).most_common(1)[0][0]
        return Query(
            id=str(row["annotation_id"]),
            video=name,
            query=row["description"],
            spans_s=(majority,),
            duration_s=duration_s,
            files=file_names(name),
            extra={"annotators": annotators},
        )
    except KeyError as error:
        raise NumProError(f"{path}: annotation {position} has no {error}; use the official file as downloaded") from None
    except (ValueError, TypeError) as error:
        raise NumProError(f"{path}: annotation {row.get('annotation_id', position)}: {error}") from None


def file_names(video: str) -> tuple[str, ...]:
    """What the file of ``OWNER_PHOTO_SECRET.ext`` is called in real downloads, without extension: the whole name (with another
    extension after it), the name alone, or the Flickr photo's number."""
    stem = video.rpartition(".")[0] or video
    parts = stem.split("_")
    return tuple(dict.fromkeys([stem, video.rstrip("."), *(parts[1:2] if len(parts) == 3 else [])]))


def read_hashes(path: Path) -> dict[str, str]:
    """Read ``yfcc100m_hash.txt``: Flickr photo number -> the file's name in the YFCC100M store."""
    hashes: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        parts = line.split()
        if len(parts) == 2 and parts[0].isdigit() and check_video_name(parts[1]) is None:
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
    split_of=split_in_name("test", "val", "train"),
    end_s=END_S,
    sources="""\
annotations  test_data.json, val_data.json, train_data.json and yfcc100m_hash.txt: repository LisaAnne/LocalizingMoments on GitHub
videos       the author points to data.ciirc.cvut.cz/public/projects/LisaAnne/; the repository's own links to
             Flickr, AWS and Google Drive are reported dead or incomplete. Files that bear their names in the YFCC100M store
             (multimedia-commons) are found with --yfcc-hash yfcc100m_hash.txt""",
)
