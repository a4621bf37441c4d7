"""JSON objects that list the queries of each video, as ActivityNet Captions does and the field does with other benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Query, duration, plain_text, span, video_name
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_IN_FRAMES = ("num_frames", "fps")
_SEVERAL = (
    "gives a query a list of spans, but here each has one [start, end]; write queries with several spans as JSON lines, one a line: "
    "{'video': ..., 'query': ..., 'spans': [[start, end], ...]}"
)


@dataclass(frozen=True)
class Keys:
    """What a file calls the three things that it says of a video."""

    duration: str = "duration"
    spans: str = "timestamps"
    queries: str = "sentences"

    @property
    def expected(self) -> str:
        """For errors."""
        return f"Expected an object of videos with {self.duration!r}, {self.spans!r} [[start, end], ...] and {self.queries!r}"


_OUR_KEYS = Keys()


def queries_by_video(path: Path, content: Any, *, only_known: bool = False, keys: Keys = _OUR_KEYS) -> list[Query]:
    """The queries of ``{video: {"duration", "timestamps": [[start, end]], "sentences": [...]}}``.

    A query's id is ``VIDEO:k`` for the video's k-th sentence, from 0. Blanks around sentences are dropped.

    Args:
        path: for errors.
        content: what the JSON file holds.
        only_known: whether other keys are an error, and ``duration`` may be missing.
        keys: the file's names.

    Raises:
        NumProError: another kind of content, or impossible values; the video is named.
    """
    if not isinstance(content, dict) or not all(isinstance(video, dict) for video in content.values()):
        raise NumProError(f"{path}: {keys.expected}")
    return [query for name, video in content.items() for query in _queries(path, name, video, keys, only_known=only_known)]


def _queries(path: Path, name: str, video: dict[str, Any], keys: Keys, *, only_known: bool) -> list[Query]:
    try:
        if frames := [key for key in _IN_FRAMES if key in video]:
            raise ValueError(f"has {frames[0]!r}, so its times are frames; convert them to seconds first")
        known = {keys.duration, keys.spans, keys.queries}
        if only_known and (unknown := sorted(set(video) - known)):
            raise ValueError(f"has an unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
        needed = (keys.spans, keys.queries) if only_known else (keys.duration, keys.spans, keys.queries)
        if missing := [key for key in needed if key not in video]:
            raise ValueError(f"has no {', '.join(map(repr, missing))}. {keys.expected}")
        name, timestamps, sentences = video_name(name), video[keys.spans], video[keys.queries]
        if not isinstance(timestamps, list) or not isinstance(sentences, list):
            raise ValueError(f"{keys.spans!r} and {keys.queries!r} must be lists")
        if len(timestamps) != len(sentences):
            raise ValueError(f"has {len(timestamps)} {keys.spans} but {len(sentences)} {keys.queries}")
        if any(isinstance(time, list) and time and isinstance(time[0], list) for time in timestamps):
            raise ValueError(_SEVERAL)
        length_s = duration(video[keys.duration]) if keys.duration in video else None
        return [
            Query(f"{name}:{k}", name, plain_text(sentence, "sentence").strip(), (span(time),), length_s, files=file_names(name))
            for k, (sentence, time) in enumerate(zip(sentences, timestamps, strict=True))
        ]
    except ValueError as error:
        raise NumProError(f"{path}: video {name!r}: {error}") from None


def file_names(video: str) -> tuple[str, ...]:
    """What the file of a YouTube id may be called: downloads and annotations put ``v_`` before it, or do not."""
    return (video, video.removeprefix("v_")) if video.startswith("v_") else (video, f"v_{video}")
