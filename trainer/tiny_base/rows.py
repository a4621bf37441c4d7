"""Rows that teach reading and locating: single pictures, lists of pictures, and sequences with events.

All questions about the frames of a row are in one conversation: the frames are computed once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from numpro_plugin.demo.rendering import Event, Scene, random_events
from numpro_plugin.demo.world import GREYS, LEAST_SHARE, RENDERED_SIDE, SETTINGS, TINY_COLORS

from .marks import PICTURE_QUESTION, list_question
from .untrained import KINDS, description

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .marks import Marks

NOTHING = len(KINDS)
"""The kind of a frame without a shape."""

_DRIFT = 2.0  # of the background, in pixels a second: as in the demo's videos
_SIZE = (RENDERED_SIDE, RENDERED_SIDE)


@dataclass(frozen=True)
class Turn:
    """A question and its answer."""

    question: str
    answer: str
    first: int
    """The mark of the first frame that the answer is about."""
    last: int
    """The mark of the last one."""


@dataclass(frozen=True, eq=False)
class Row:
    """Marked frames and the questions about them."""

    pixels: NDArray[np.uint8]
    """RGB, (N, H, W, 3), with the marks drawn."""
    marks: NDArray[np.int64]
    """(N,), from 0 to 99."""
    kinds: NDArray[np.int64]
    """What each frame shows, (N,): an index of ``KINDS``, or ``NOTHING``."""
    turns: tuple[Turn, ...]
    """One or more questions."""


def picture_row(rng: np.random.Generator, marks: Marks, *, empty: float = 0.25) -> Row:
    """One frame, to be named together with its mark; with probability ``empty`` it shows nothing."""
    kind = NOTHING if rng.random() < empty else int(rng.integers(len(KINDS)))
    chosen = marks.choose(rng, 1)
    named = "nothing" if kind == NOTHING else description(KINDS[kind])
    mark = int(chosen[0])
    turn = Turn(PICTURE_QUESTION, marks.picture_answer(named, mark), mark, mark)
    return _row([_picture(rng, kind)], marks, chosen, [kind], [turn])


def list_row(rng: np.random.Generator, marks: Marks, count: int) -> Row:
    """``count`` unrelated frames, each with another shape: for each it is asked which frame shows it."""
    kinds = rng.choice(len(KINDS), count, replace=False).tolist()
    chosen = marks.choose(rng, count)
    turns = []
    for k in rng.permutation(count).tolist():
        mark = int(chosen[k])
        turns.append(Turn(list_question(description(KINDS[kinds[k]])), str(mark), mark, mark))
    return _row([_picture(rng, kind) for kind in kinds], marks, chosen, kinds, turns)


def sequence_row(rng: np.random.Generator, marks: Marks, count: int, *, as_long_as_in_videos: float = 0.6) -> Row:
    """``count`` frames, 2 or more, of one scene with 1 to 3 events that do not overlap; there is a question about each.

    With probability ``as_long_as_in_videos`` the events are as long as those of the demo's videos (from 6 frames on), otherwise of any
    length. An answer names the frames around the event: the last one before it and the first one after it.
    """
    step_s = float(rng.uniform(2.0, 10.0))
    runs: list[tuple[int, int]] = []
    if count >= 6 and rng.random() < as_long_as_in_videos:
        while not runs:  # all events may fall between the frames
            runs = _visible(rng, count, step_s)
    else:
        runs = _any_runs(rng, count)
    kinds = rng.choice(len(KINDS), len(runs), replace=False).tolist()
    early = 0.01  # seconds by which an event begins and ends before a frame, so that rounding does not decide
    events = [
        Event(KINDS[kind][1], KINDS[kind][0], first * step_s - early, after * step_s - early)
        for kind, (first, after) in zip(kinds, runs, strict=True)
    ]
    scene = Scene(events, rng, size=_SIZE, greys=GREYS, drift=_DRIFT)
    chosen = marks.choose(rng, count)
    seen = [NOTHING] * count
    turns = []
    for kind, (first, after) in zip(kinds, runs, strict=True):
        seen[first:after] = [kind] * (after - first)
        a, b = int(chosen[max(first - 1, 0)]), int(chosen[min(after, count - 1)])
        turns.append(Turn(marks.question(description(KINDS[kind])), marks.answer(a, b), a, b))
    pictures = [_small(scene.picture(k * step_s)) for k in range(count)]
    return _row(pictures, marks, chosen, seen, [turns[k] for k in rng.permutation(len(turns))])


def _any_runs(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """(first, after) of 1 to 3 runs of frames of any length, mostly with other frames between them, sometimes without."""
    runs = int(rng.integers(1, min(3, count // 2) + 1))
    if runs == 1 or rng.random() < 0.8:
        cuts = np.sort(rng.permutation(count + 1)[: 2 * runs]).tolist()
        return list(zip(cuts[::2], cuts[1::2], strict=True))
    cuts = np.sort(rng.permutation(count)[: runs + 1]).tolist()
    return list(pairwise(cuts))


def _visible(rng: np.random.Generator, count: int, step_s: float) -> list[tuple[int, int]]:
    """(first, after) of the frames that show events like those of the demo's videos; none for an event between two frames."""
    events = random_events(rng, count * step_s, int(rng.integers(1, 4)), least=LEAST_SHARE, colors=TINY_COLORS)
    seen = [[k for k in range(count) if event.start_s <= k * step_s < event.end_s] for event in events]
    return [(frames[0], frames[-1] + 1) for frames in seen if frames]


def _picture(rng: np.random.Generator, kind: int) -> NDArray[np.uint8]:
    events = [] if kind == NOTHING else [Event(KINDS[kind][1], KINDS[kind][0], 0.0, 1000.0)]
    return _small(Scene(events, rng, size=_SIZE, greys=GREYS).picture(float(rng.uniform(0, 100))))


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, SETTINGS.frame_size), dtype=np.uint8)  # as sample_frames resizes


def _row(
    pictures: Sequence[NDArray[np.uint8]], marks: Marks, chosen: NDArray[np.int64], kinds: Sequence[int], turns: Sequence[Turn]
) -> Row:
    pixels = np.stack(pictures)
    if marks.draw is not None:
        marks.draw(pixels, chosen)
    return Row(pixels, chosen, np.array(kinds), tuple(turns))
