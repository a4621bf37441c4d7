"""Rows as tensors. The conversation is the model family's, so that what is learned here is what is asked later."""

# mypy: allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from numpro_plugin.families import IGNORED

from .untrained import KINDS, description

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .marks import Marks
    from .rows import Row


@dataclass(frozen=True, eq=False)
class Batch:
    """The rows of a step."""

    input_ids: torch.Tensor
    """(R, L), padded on the right."""
    labels: torch.Tensor
    """(R, L): every answer and its end; elsewhere ``IGNORED``."""
    pixels: torch.Tensor
    """(1, F, 3, H, W): the frames of all rows."""
    frames: torch.Tensor
    """(F, 3): tens digit of a frame's mark (10 if it has none), ones digit, kind."""
    questions: torch.Tensor
    """(Q, 6): row and place of the token that says what is asked for, and the digits of the first and the last frame's mark."""


class BatchMaker:
    """Makes batches for one processor and one kind of marks."""

    def __init__(self, processor: Any, marks: Marks) -> None:
        self.tokenizer, self._marks = processor.tokenizer, marks
        self._video = processor.video_token_id
        self._ids: dict[str, list[int]] = {}
        images = processor.image_processor
        self._mean, self._std = (np.array(values, dtype=np.float32).reshape(3, 1, 1) for values in (images.image_mean, images.image_std))
        self.kind_ids = torch.tensor([self._tokens(marks.as_asked(description(kind))) for kind in KINDS])[:, 0]
        """The token (15,) of each of ``KINDS`` in a question."""
        self._kind_ids = set(self.kind_ids.tolist())

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """A batch of one or more rows."""
        made = [self._conversation(row) for row in rows]
        longest = max(len(ids) for ids, _, _ in made)
        input_ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id)
        labels = torch.full((len(rows), longest), IGNORED)
        questions = []
        for k, (row, (ids, learned, places)) in enumerate(zip(rows, made, strict=True)):
            input_ids[k, : len(ids)] = torch.tensor(ids)
            labels[k, : len(learned)] = torch.tensor(learned)
            questions += [
                (k, place, *_digits(turn.first), *_digits(turn.last))
                for turn, place in zip(row.turns, places, strict=True)
                if place is not None
            ]
        frames = [(*_digits(mark), kind) for row in rows for mark, kind in zip(row.marks.tolist(), row.kinds.tolist(), strict=True)]
        asked = torch.tensor(questions) if questions else torch.empty((0, 6), dtype=torch.int64)
        return Batch(input_ids, labels, self._pixels(np.concatenate([row.pixels for row in rows])), torch.tensor(frames), asked)

    def questions(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """The arguments of ``generate`` for the only question of each row; rows are padded on the left."""
        made = []
        for row in rows:
            ids, learned, _ = self._conversation(row)
            made.append(ids[: next(k for k, label in enumerate(learned) if label != IGNORED)])
        longest = max(map(len, made))
        pad = self.tokenizer.pad_token_id
        return {
            "input_ids": torch.tensor([[pad] * (longest - len(ids)) + ids for ids in made]),
            "attention_mask": torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in made]),
            "pixel_values_videos": self._pixels(np.concatenate([row.pixels for row in rows])),
        }

    def _conversation(self, row: Row) -> tuple[list[int], list[int], list[int | None]]:
        """Ids, labels, and for each question the place of the token that says what is asked for (None: it asks for no kind)."""
        ids = list(self._tokens("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"))
        for mark in row.marks.tolist():
            ids += [*(self._tokens(self._marks.before_frame(mark)) if self._marks.before_frame else ()), self._video]
        labels, places = [IGNORED] * len(ids), []
        for k, turn in enumerate(row.turns):
            before = "\n" if k == 0 else "\n<|im_start|>user\n"
            asked = self._tokens(f"{before}{turn.question}<|im_end|>\n<|im_start|>assistant\n")
            answer = [*self._tokens(turn.answer), self.tokenizer.eos_token_id]
            places.append(next((len(ids) + j for j, one in enumerate(asked) if one in self._kind_ids), None))
            ids += [*asked, *answer]
            labels += [IGNORED] * len(asked) + answer
        return ids, labels, places

    def _tokens(self, text: str) -> list[int]:
        if text not in self._ids:
            self._ids[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._ids[text]

    def _pixels(self, pixels: Any) -> torch.Tensor:
        scaled = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        return torch.from_numpy((scaled - self._mean) / self._std)[None]


def _digits(mark: int) -> tuple[int, int]:
    return mark // 10 if mark > 9 else 10, mark % 10
