"""How the frames of a row are marked, and what is asked and answered: the part of the making that experiments exchange.

A mark is an integer from 0 to 99. Models that are made in the same way with other marks can be compared with each other::

    halves = replace(NUMBERS, name="halves", choose=lambda rng, count: np.sort(rng.choice(50, count, replace=False)))
    make_base("out", marks=halves, seed=0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.demo.world import MOST_FRAMES, SETTINGS
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.timeline import kept_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_MARKS = 100
"""Marks are below this: one or two digits."""

FEWEST_SPACED = 4
"""So many frames or more can have evenly spaced marks."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What is drawn on the frames of a row, and how its questions and answers name frames."""

    name: str

    choose: Callable[[np.random.Generator, int], NDArray[np.int64]]
    """The marks (N,) of the N frames of a row, from 0 to 99."""

    draw: Callable[[NDArray[np.uint8], NDArray[np.int64]], object] | None
    """Draws the marks (N,) on the frames, uint8 RGB (N, H, W, 3), in place. None: frames stay as they are."""

    before_frame: Callable[[int], str] | None = None
    """The text before a frame with this mark. None: frames follow each other without text."""

    question: Callable[[str], str]
    """The question about an event, given its description such as "a green circle"."""

    answer: Callable[[int, int], str]
    """The answer, given the marks of the last frame before the event and of the first one after it."""

    picture_answer: Callable[[str, int], str]
    """The answer to "What can we see in this frame?", given a description and the frame's mark."""

    def as_asked(self, description: str) -> str:
        """A description as it stands in the question, which is one token: with the space before it, if there is one."""
        return f" {description}" if " {query}" in self.question("{query}") else description

    def texts(self, descriptions: list[str]) -> list[str]:
        """Everything that is said with these marks, for the tokenizer: questions and answers about ``descriptions``."""
        before = [self.before_frame(37)] if self.before_frame else []
        return [
            text
            for one in descriptions
            for text in (self.question(one), self.answer(3, 90), self.picture_answer(one, 37), list_question(one), *before)
        ]


PICTURE_QUESTION = "What can we see in this frame?"


def list_question(description: str) -> str:
    """The question which of a few pictures shows something. The answer is the picture's mark alone."""
    return f"Which frame shows {description}?"


def random_marks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Different random marks (N,): in half of all rows they ascend, in the others not, so that a mark can only be known by reading."""
    marks: NDArray[np.int64] = rng.permutation(MOST_MARKS)[:count]
    return np.sort(marks) if rng.random() < 0.5 else marks


def mixed_marks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Different marks (N,): in half of all rows evenly spaced like a video's, from any first one, in the others random.

    Marks that follow each other differ in one digit, and random ones hardly ever do: a model that has seen only those mixes them up.
    """
    if count < FEWEST_SPACED or rng.random() < 0.5:
        return random_marks(rng, count)
    shown = kept_numbers(int(rng.integers(count, MOST_FRAMES + 1)), count)
    first = int(rng.integers(MOST_MARKS - shown[-1])) if rng.random() < 0.5 else 0
    marks: NDArray[np.int64] = shown + first
    return marks


def _answer(first: int, last: int) -> str:
    return f"From Frame {first} to Frame {last}."


def _draw(pixels: NDArray[np.uint8], marks: NDArray[np.int64]) -> object:
    return draw_numbers(pixels, marks, SETTINGS.style)


NUMBERS = Marks(
    name="numbers",
    choose=mixed_marks,
    draw=_draw,
    question=moment_prompt,
    answer=_answer,
    picture_answer=lambda description, mark: f"We see {description} with number {mark}.",
)
"""The paper's: numbers drawn on the frames. The embedded model is made with these."""

TEXT = Marks(
    name="text",
    choose=mixed_marks,
    draw=None,
    before_frame=lambda mark: f"Frame {mark}: ",
    question=lambda description: moment_prompt(description, numbers=False),
    answer=_answer,
    picture_answer=lambda description, _: f"We see {description}.",
)
"""The same numbers as text before each frame."""

PLAIN = Marks(
    name="plain",
    choose=lambda _, count: np.arange(count),
    draw=None,
    question=lambda description: moment_prompt(description, numbers=False),
    answer=_answer,
    picture_answer=lambda description, _: f"We see {description}.",
)
"""Nothing is shown; frames are counted from 0."""

MARKS = {marks.name: marks for marks in (NUMBERS, TEXT, PLAIN)}


def marks_of(name: str) -> Marks:
    """The marks of this name.

    Raises:
        NumProError: there are none of this name.
    """
    if name not in MARKS:
        raise NumProError(f"no marks {name!r}: choose one of {', '.join(MARKS)}")
    return MARKS[name]
