"""The included tiny model's videos of coloured shapes, shown as twelve frames each: how they are made and scored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks.table import read_rows
from numpro_plugin.demo.rendering import COLORS, Event, random_events, render_video
from numpro_plugin.metrics.moments import best_numbers, moment_scores, span_iou
from numpro_plugin.numbering import NumberStyle
from numpro_plugin.processes import usable_cores, worker_pool
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.reports.ceiling import ceilings
from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = NumProSettings(frame_size=(48, 48), max_frames=12, style=NumberStyle(font_size=119))
"""What the tiny model was made for. Digits of 17 pixels in a frame of 48 are as legible as such a frame allows."""

ENVIRONMENT = {"NUMPRO_FRAME_SIZE": "48", "NUMPRO_MAX_FRAMES": "12", "NUMPRO_FONT_SIZE": "119"}
"""The same settings as environment variables, for the tasks."""

RENDERED_SIDE = 96
"""Width and height of a rendered video in pixels; its frames are resized like those of any other video."""

GREYS = (60, 100)
"""Grey levels of the background: visible, but faint enough for so small a model."""

TINY_COLORS = tuple(color for color in COLORS if color != "red")  # numbers are red

MOST_FRAMES = 60
"""On the grid of a video, of which the model sees twelve."""

LEAST_SHARE = 0.2
"""Every event is visible for at least this share of its video."""

_RENDERED_FPS = 2


def tiny_model_folder() -> Path:
    """Folder of the included checkpoint."""
    return Path(str(files("numpro_plugin") / "data" / "tiny_longva"))


@dataclass(frozen=True)
class TinyVideo:
    """A video to be rendered and its 1 to 3 events."""

    name: str
    duration_s: float
    events: tuple[Event, ...]
    seed: int


def shown_numbers(duration_s: float) -> list[int]:
    """The numbers of the frames that a model sees: 12 of 12 to 60, so their distance cannot be known without numbers."""
    numbers: list[int] = kept_numbers(Timeline(duration_s, SETTINGS.fps).count, SETTINGS.max_frames).tolist()
    return numbers


def tiny_videos(count: int, *, seed: int, prefix: str = "tiny") -> list[TinyVideo]:
    """``count`` videos of 22 to 120 seconds."""
    rng = np.random.default_rng(seed)
    videos = []
    for k in range(count):
        grid = int(rng.integers(SETTINGS.max_frames, MOST_FRAMES + 1))
        duration_s = round(grid / SETTINGS.fps - rng.integers(0, 4) / _RENDERED_FPS, 2)
        events = random_events(rng, duration_s, int(rng.integers(1, 4)), least=LEAST_SHARE, colors=TINY_COLORS)
        videos.append(TinyVideo(f"{prefix}{k:04d}", duration_s, tuple(events), int(rng.integers(2**31))))
    return videos


def render(videos: list[TinyVideo], folder: Path) -> None:
    """Write the videos as H.264 files ``NAME.mp4``, on all cores."""
    folder.mkdir(parents=True, exist_ok=True)
    with worker_pool(usable_cores()) as pool:
        list(pool.map(_render_one, videos, [folder] * len(videos), chunksize=8))


def _render_one(video: TinyVideo, folder: Path) -> None:
    render_video(
        folder / f"{video.name}.mp4",
        video.events,
        duration_s=video.duration_s,
        fps=_RENDERED_FPS,
        size=(RENDERED_SIDE, RENDERED_SIDE),
        greys=GREYS,
        seed=video.seed,
        options={"g": "50", "bf": "2", "preset": "veryfast", "threads": "1"},
    )


def write_queries(videos: list[TinyVideo], path: Path) -> None:
    """Questions and spans in seconds, one JSON line per event, for ``numpro prepare custom``."""
    rows = [
        {"video": f"{video.name}.mp4", "query": event.query, "start_time": event.start_s, "end_time": event.end_s}
        for video in videos
        for event in video.events
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_instructions(videos: list[TinyVideo], path: Path) -> None:
    """The same events as NumPro's instruction data, for ``numpro-train shards``: answers are the `numbers_around` an event.

    All questions about a video are one conversation, so that training computes its frames once for all of them.
    """
    rows = [{"video": video.name, "source": "tiny", "conversations": _conversation(video)} for video in videos]
    path.write_text(json.dumps(rows, indent=0) + "\n")


def _conversation(video: TinyVideo) -> list[dict[str, str]]:
    shown = shown_numbers(video.duration_s)
    turns: list[dict[str, str]] = []
    # Not in the order of time: the second answer must not follow from the first.
    for k in np.random.default_rng(video.seed).permutation(len(video.events)).tolist():
        event = video.events[k]
        first, last = numbers_around(event.start_s, event.end_s, shown)
        opening = "" if turns else "<image>\n"
        turns.append({"from": "human", "value": f"{opening}{moment_prompt(event.query)}"})
        turns.append({"from": "gpt", "value": f"From Frame {first} to Frame {last}."})
    return turns


def numbers_around(start_s: float, end_s: float, shown: Sequence[int]) -> tuple[int, int]:
    """The shown numbers next to an event that lie outside it: the last one before it begins, and the first one when it has ended.

    Where a video begins or ends with the event, they are the first or the last number. Of all rules that only look at which frames show
    an event, this one scores best: an event mostly begins before the first frame that shows it, and ends after the last.
    """
    first = max((number for number in shown if number / SETTINGS.fps <= start_s), default=shown[0])
    last = min((number for number in shown if number / SETTINGS.fps >= end_s), default=shown[-1])
    return first, last


def best_visible(table: Path) -> dict[str, float]:
    """The scores, in percent, of always answering with the best pair of shown numbers: the upper limit."""
    return ceilings(table, [SETTINGS.fps], max_frames=SETTINGS.max_frames)[SETTINGS.fps]


def around(table: Path) -> dict[str, float]:
    """The scores, in percent, of the `numbers_around` each event: what the tiny model was taught, done without a mistake."""
    rows = read_rows(table)
    spans = np.array([row["spans_s"][0] for row in rows])  # (Q, 2)
    numbers = [numbers_around(start_s, end_s, shown_numbers(row["duration_s"])) for row, (start_s, end_s) in zip(rows, spans, strict=True)]
    return moment_scores(span_iou(np.array(numbers) / SETTINGS.fps, spans))


def blind(table: Path) -> dict[str, float]:
    """The scores, in percent, of knowing the best pair of frames by their place among the twelve, without reading their numbers.

    Place k is taken as ``k * scale`` seconds, with the one scale for all videos that scores best on these questions.
    """
    rows = read_rows(table)
    spans = np.array([row["spans_s"][0] for row in rows])  # (Q, 2)
    places = np.array([_best_places(row) for row in rows])  # (Q, 2)
    scores = [span_iou(places * scale, spans) for scale in np.arange(0.5, 12, 0.1)]
    return moment_scores(max(scores, key=np.mean))


def _best_places(row: dict[str, Any]) -> tuple[int, int]:
    shown = shown_numbers(row["duration_s"])
    first, last, _ = best_numbers(row["spans_s"], shown, SETTINGS.fps)
    return shown.index(first), shown.index(last)
