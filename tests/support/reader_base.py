"""A base that reads every mark it is shown without a mistake, and knows when things happen, but not what a mark means unless it is told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lmms_eval.models import MODEL_REGISTRY_V2
from lmms_eval.models.registry_v2 import ModelManifest
from numpy.typing import NDArray

from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.encoding import mark_of
from numpro_plugin.numbering import draw_marks
from numpro_plugin.progress_bar import bar_height, draw_bars
from support.bases import SimpleBase
from support.videos import write_counter_video


class ReadingBase(SimpleBase):
    """Answers with the marks nearest to the truth, turned into seconds by what the question says of them."""

    truth: ClassVar[dict[str, tuple[float, float]]] = {}
    """Seconds of each query, by words of the question. They are its knowledge of the video's content."""

    duration_s: ClassVar[float] = 0.0
    """Of the part of a video that is shown; a bar cannot be read without it."""

    listens: ClassVar[bool] = True
    """Whether it heeds what it is told about the marks."""

    def _shown(self, request: Any) -> tuple[str, list[dict[str, Any]]]:
        text, _, doc_to_visual, doc_id, task, split = request.args
        visuals = doc_to_visual(self.task_dict[task][split][doc_id])
        parts = [{"type": "video" if isinstance(visual, str) else "image", "url": visual} for visual in visuals]
        return text, parts

    def generate_until(self, requests: list[Any]) -> list[str]:
        answers = []
        for request in requests:
            question, parts = self._shown(request)
            SimpleBase.seen.append((question, parts))
            span = next(span for query, span in self.truth.items() if query in question)
            answers.append(self._answer(question, span, list(self._times(question, parts))))
        return answers

    def _answer(self, question: str, span: tuple[float, float], times: list[tuple[float, float]]) -> str:
        """``times``: of each frame, its real time and the time that the mark tells."""
        if not times:
            return "I cannot see any time."
        start, end = (min(times, key=lambda pair: (abs(pair[0] - moment), -pair[0]))[1] for moment in span)
        if "mm:ss" in question:
            return f"{mark_of('clock', start)} - {mark_of('clock', end)}"
        return f"The event happens in {start:g} - {end:g} seconds."

    def _times(self, question: str, parts: list[dict[str, Any]]) -> Iterable[tuple[float, float]]:
        for stamp, mark, real in _frames(parts):
            yield real, self._meaning(question, stamp or mark)

    def _meaning(self, question: str, mark: str) -> float:
        """Seconds that a mark means to somebody who has read the question."""
        if ":" in mark:
            *hours, minutes, seconds = map(int, mark.split(":"))
            return sum(hours) * 3600 + minutes * 60 + seconds
        value = float(mark)
        rule = re.search(r"Number k is shown at ([\d.]*)k(?:/([\d.]+))? seconds", question) if self.listens else None
        return value if rule is None else value * float(rule[1] or 1) / float(rule[2] or 1)


class ReadingChatBase(ReadingBase):
    """The same as a chat model."""

    is_simple = False

    def _shown(self, request: Any) -> tuple[str, list[dict[str, Any]]]:
        _, doc_to_messages, _, doc_id, task, split = request.args
        parts = [part for message in doc_to_messages(self.task_dict[task][split][doc_id]) for part in message["content"]]
        return str(parts[-1]["text"]), parts[:-1]


def _frames(parts: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """The mark written before each frame ("" if none), the mark drawn on it, and its real time."""
    found: list[tuple[str, str, float]] = []
    stamp = ""
    for part in parts:
        if part["type"] == "text":
            stamp = part["text"]
            continue
        pictures = clip_pictures(part["url"]) if part["type"] == "video" else [part["url"]]
        for picture in pictures:
            pixels = np.asarray(picture)
            if grid := re.fullmatch(r"<Frame (\d+) to Frame (\d+)>", stamp):
                numbers = range(int(grid[1]), int(grid[2]) + 1)
                found += [(str(number), "", real_time(tile)) for number, tile in zip(numbers, _tiles(pixels), strict=False)]
                continue
            written = re.sub(r"[^\d.:]", "", stamp)
            drawn = "" if written else _drawn(pixels)
            if written or drawn:
                found.append((written, drawn, real_time(pixels)))
        stamp = ""
    return found


def _tiles(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    height, width = pixels.shape[0] // 3, pixels.shape[1] // 4
    return [pixels[row * height : (row + 1) * height, column * width : (column + 1) * width] for row in range(3) for column in range(4)]


def _drawn(pixels: NDArray[np.uint8]) -> str:
    """The mark that is drawn on a frame or on the strip below it; "" if there is none."""
    height, width = pixels.shape[:2]
    strip = pixels[-bar_height(height) :].tobytes()
    red = _red(pixels)
    return _bars(height, width, ReadingBase.duration_s).get(strip, "") or (
        _marks(height, width).get(red.tobytes(), "") if red.any() else ""
    )


@cache
def _marks(height: int, width: int) -> dict[bytes, str]:
    """What may be drawn, by where it is red."""
    marks = [mark for k in range(61) for mark in (str(k), f"{k}.5", mark_of("clock", k))]
    return {_red(draw_marks(np.zeros((1, height, width, 3), np.uint8), [mark])[0]).tobytes(): mark for mark in marks}


@cache
def _bars(height: int, width: int, duration_s: float) -> dict[bytes, str]:
    """The strips of whole seconds, by their pixels."""
    times = range(int(duration_s) + 1)
    frames = np.zeros((len(times), height - bar_height(height), width, 3), np.uint8)
    made = draw_bars(frames, [*times], [*map(str, times)], duration_s=duration_s, height=height, color="red")
    return {picture[-bar_height(height) :].tobytes(): str(k) for k, picture in zip(times, made, strict=True)}


def _red(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a mark is drawn with full strength: the frames are gray, so this is the same on any of them."""
    red: NDArray[np.bool_] = (pixels[..., 0] == 255) & (pixels[..., 1] == 0) & (pixels[..., 2] == 0)
    return red


LEVELS = 6
"""By how much a frame is brighter than that of a second before."""


def write_timed_video(path: Path, seconds: int, *, rate: int = 2) -> Path:
    """A gray video whose frames tell their time by their brightness; at most 40 s long."""
    times = [round(k * 1000 / rate) for k in range(seconds * rate)]
    gray = [np.full((64, 64, 3), round(4 + time / 1000 * LEVELS), np.uint8) for time in times]
    return write_counter_video(path, times, rate=rate, size=(64, 64), picture=lambda k, _: gray[k])


def real_time(pixels: NDArray[np.uint8]) -> float:
    """The time of a frame of `write_timed_video`, read in its upper left corner, in seconds; to the half second."""
    corner = pixels[: pixels.shape[0] // 4, : pixels.shape[1] // 4].mean()
    return round((float(corner) - 4) / LEVELS * 2) / 2


def register_reading_bases() -> None:
    """Make them known as ``numpro_test_reading`` (chat, and simple under --force_simple)."""
    manifest = ModelManifest(
        "numpro_test_reading",
        simple_class_path="support.reader_base.ReadingBase",
        chat_class_path="support.reader_base.ReadingChatBase",
    )
    MODEL_REGISTRY_V2.register_manifest(manifest, overwrite=True)
