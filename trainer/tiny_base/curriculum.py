"""Which rows are learned from at which step: pictures first, then lists, then ever longer sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpro_plugin.demo.world import SETTINGS

from .rows import list_row, picture_row, sequence_row

if TYPE_CHECKING:
    import numpy as np

    from .marks import Marks
    from .rows import Row


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Shares of the run, 0 to 1, and sizes. The rows of a step are all of one kind, so that little is padding."""

    pictures_until: float = 0.06
    """Up to this share of the steps there are only single pictures."""

    lists_until: float = 0.14
    """From there to this share there are mostly lists."""

    growing: float = 0.2
    """In this share of the steps after that, sequences grow from ``shortest`` frames to the demo's twelve."""

    shortest: int = 4
    sequences: float = 0.85
    """The share of later steps with sequences; the rest repeats lists and pictures."""

    frames: int = 192
    """About so many frames a step."""

    def rows(self, progress: float, rng: np.random.Generator, marks: Marks) -> list[Row]:
        """The rows of the step at ``progress``, from 0 (the first) to 1 (the end)."""
        kind = rng.random()
        if progress < self.pictures_until:
            return self._pictures(rng, marks)
        if progress < self.lists_until:
            if kind < 0.8:
                return self._lists(rng, marks, int(rng.choice([2, 4, 8])))
            return self._pictures(rng, marks) if kind < 0.9 else self._sequences(progress, rng, marks)
        if kind < self.sequences:
            return self._sequences(progress, rng, marks)
        return self._lists(rng, marks, int(rng.choice([2, 4]))) if rng.random() < 0.6 else self._pictures(rng, marks)

    def _pictures(self, rng: np.random.Generator, marks: Marks) -> list[Row]:
        return [picture_row(rng, marks) for _ in range(self.frames // 2)]

    def _lists(self, rng: np.random.Generator, marks: Marks, count: int) -> list[Row]:
        return [list_row(rng, marks, count) for _ in range(self.frames // count)]

    def _sequences(self, progress: float, rng: np.random.Generator, marks: Marks) -> list[Row]:
        grown = min(1.0, max(0.0, (progress - self.lists_until) / self.growing))
        longest = round(self.shortest + (SETTINGS.max_frames - self.shortest) * grown)
        count = longest if rng.random() < 0.5 else int(rng.integers(max(2, self.shortest - 2), longest + 1))
        return [sequence_row(rng, marks, count) for _ in range(max(1, self.frames // count))]
