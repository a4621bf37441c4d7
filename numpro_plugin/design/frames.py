"""The frames that a search looks at: chosen from video files, or from the videos of a prepared benchmark."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpro_plugin.benchmarks.table import read_columns
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.packets import read_packets
from numpro_plugin.video.sampling import frames_at, sample_frames

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from numpro_plugin.settings import SettingsByVideo
    from numpro_plugin.video.sampling import Frames


class Part(NamedTuple):
    """A video, or a part of one, as it is shown to a model."""

    video: str
    duration_s: float
    """Of the part."""
    start_s: float = 0.0
    end_s: float | None = None


class Place(NamedTuple):
    """One shown frame of a part."""

    part: Part
    number: int
    caption: str | None = None
    """What can be seen there, where an annotation says it."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Frames without numbers, with the numbers that belong on them."""

    pixels: NDArray[np.uint8]
    """(N, H, W, 3)."""
    places: list[Place]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(N,)."""
        return np.array([place.number for place in self.places], np.int64)


def parts_of_files(videos: Sequence[str | Path]) -> list[Part]:
    """The whole of each video file.

    Raises:
        NumProError: a file cannot be read as a video.
    """
    return [Part(str(video), read_packets(video).duration_s) for video in videos]


def parts_of_table(table: Path) -> list[Part]:
    """The videos, or parts of videos, of a prepared benchmark, each once, in the table's order."""
    rows = read_columns(table, "video", "duration_s", "start_s", "end_s")
    return list(dict.fromkeys(Part(video, duration_s, start_s or 0.0, end_s) for video, duration_s, start_s, end_s in rows))


def places_of_parts(parts: Sequence[Part], settings: SettingsByVideo, count: int) -> list[Place]:
    """``count`` of all shown frames, or as many as there are, evenly from the first of the first part to the last of the last."""
    shown = [_shown_numbers(part, settings) for part in parts]
    ends = np.cumsum([len(numbers) for numbers in shown])
    places = []
    for at in kept_numbers(int(ends[-1]), count).tolist():
        k = int(np.searchsorted(ends, at, side="right"))
        places.append(Place(parts[k], int(shown[k][at - ends[k]])))
    return places


def places_of_table(table: Path, settings: SettingsByVideo, count: int) -> list[Place]:
    """Frames in the middle of true moments, with the queries as their captions: of ``count`` queries, evenly over the table."""
    rows = [row for row in read_columns(table, "video", "query", "spans_s", "duration_s", "start_s", "end_s") if row[2]]
    if not rows:
        return places_of_parts(parts_of_table(table), settings, count)
    places = []
    for at in kept_numbers(len(rows), count).tolist():
        video, query, spans_s, duration_s, start_s, end_s = rows[at]
        part = Part(video, duration_s, start_s or 0.0, end_s)
        shown = _shown_numbers(part, settings)
        middle_s = sum(spans_s[0]) / 2
        nearest = np.abs(_timeline(part, settings).seconds(shown) - middle_s).argmin()
        places.append(Place(part, int(shown[nearest]), query))
    return places


def choose_frames(places: Sequence[Place], settings: SettingsByVideo) -> Chosen:
    """Decode the frames of these places.

    Raises:
        NumProError: a video cannot be read.
    """
    pixels: list[NDArray[np.uint8]] = []
    for part, group in itertools.groupby(places, key=lambda place: place.part):
        times_s = part.start_s + _timeline(part, settings).seconds(np.array([place.number for place in group]))
        pixels.append(frames_at(read_packets(part.video), times_s, frame_size=settings.base.frame_size))
    return Chosen(np.concatenate(pixels), list(places))


def shown_frames(part: Part, settings: SettingsByVideo) -> Frames:
    """All frames of a part that a model is shown, without numbers.

    Raises:
        NumProError: the video cannot be read.
    """
    own = settings.of(part.duration_s)
    return sample_frames(
        part.video, fps=own.fps, frame_size=own.frame_size, max_frames=own.max_frames, start_s=part.start_s, end_s=part.end_s
    )


def _timeline(part: Part, settings: SettingsByVideo) -> Timeline:
    return Timeline(part.duration_s, settings.of(part.duration_s).fps)


def _shown_numbers(part: Part, settings: SettingsByVideo) -> NDArray[np.int64]:
    return kept_numbers(_timeline(part, settings).count, settings.base.max_frames)
