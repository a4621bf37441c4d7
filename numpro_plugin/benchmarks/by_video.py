"""JSON objects that list the queries of each video, as ActivityNet Captions does and the field does with other benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Query, duration, plain_text, span, video_name
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_EXPECTED = "Expected an object of videos with 'duration', 'timestamps' [[start, end], ...] and 'sentences'"
_COLUMNS = {"duration", "timestamps", "sentences"}
_IN_FRAMES = ("num_frames", "fps")


def queries_by_video(path: Path, content: Any, *, only_known: bool = False) -> list[Query]:
    """The queries of ``{video: {"duration", "timestamps": [[start, end]], "sentences": [...]}}``.

    A query's id is ``VIDEO:k`` for the video's k-th sentence, from 0. Blanks around sentences are dropped.

    Args:
        path: for errors.
        content: what the JSON file holds.
        only_known: whether other keys are an error, and ``duration`` may be missing.

    Raises:
        NumProError: another kind of content, or impossible values; the video is named.
    """
    if not isinstance(content, dict) or not all(isinstance(video, dict) for video in content.values()):
        raise NumProError(f"{path}: {_EXPECTED}")
    return [query for name, video in content.items() for query in _queries(path, name, video, only_known=only_known)]


def _queries(path: Path, name: str, video: dict[str, Any], *, only_known: bool) -> list[Query]:
    try:
        if frames := [key for key in _IN_FRAMES if key in video]:
            raise ValueError(f"has {frames[0]!r}, so its times are frames; convert them to seconds first")
        if only_known and (unknown := sorted(set(video) - _COLUMNS)):
            raise ValueError(f"has an unknown key {unknown[0]!r}; known: {', '.join(sorted(_COLUMNS))}")
        needed = ("timestamps", "sentences") if only_known else ("duration", "timestamps", "sentences")
        if missing := [key for key in needed if key not in video]:
            raise ValueError(f"has no {', '.join(map(repr, missing))}. {_EXPECTED}")
        name, timestamps, sentences = video_name(name), video["timestamps"], video["sentences"]
        if not isinstance(timestamps, list) or not isinstance(sentences, list):
            raise ValueError("'timestamps' and 'sentences' must be lists")
        if len(timestamps) != len(sentences):
            raise ValueError(f"has {len(timestamps)} timestamps but {len(sentences)} sentences")
        length_s = duration(video["duration"]) if "duration" in video else None
        return [
            Query(f"{name}:{k}", name, plain_text(sentence, "sentence").strip(), (span(time),), length_s, files=file_names(name))
            for k, (sentence, time) in enumerate(zip(sentences, timestamps, strict=True))
        ]
    except ValueError as error:
        raise NumProError(f"{path}: video {name!r}: {error}") from None


def file_names(video: str) -> tuple[str, ...]:
    """What the file of a YouTube id may be called: downloads and annotations put ``v_`` before it, or do not."""
    return (video, video.removeprefix("v_")) if video.startswith("v_") else (video, f"v_{video}")
