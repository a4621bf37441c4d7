"""The scores of a model in the making, on videos that neither the demo nor the training uses."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from numpro_plugin.demo.reading import random_ascending, scores_in_numbers
from numpro_plugin.demo.rendering import Scene
from numpro_plugin.demo.world import GREYS, RENDERED_SIDE, SETTINGS, shown_numbers, tiny_videos

from .rows import Row, Turn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numpro_plugin.demo.world import TinyVideo

    from .batches import BatchMaker
    from .marks import Marks

CURVE_SEED = 1000
"""Of the videos; `numpro demo` uses small seeds, and its training videos seeds from a million."""

_AT_ONCE = 64  # questions


def pictures_of(video: TinyVideo) -> NDArray[np.uint8]:
    """The frames (N, H, W, 3) of a video at its ``shown_numbers``, without the loss of a video file."""
    scene = Scene(video.events, np.random.default_rng(video.seed), size=(RENDERED_SIDE, RENDERED_SIDE), greys=GREYS, drift=2.0)
    times = [number / SETTINGS.fps for number in shown_numbers(video.duration_s)]
    return np.stack([cv2.resize(scene.picture(time_s), SETTINGS.frame_size) for time_s in times]).astype(np.uint8)


class HeldOutVideos:
    """Questions about ``count`` videos, asked with the usual numbers of their frames and with random ascending ones."""

    def __init__(self, count: int, marks: Marks) -> None:
        self._marks = marks
        self._videos = tiny_videos(count, seed=CURVE_SEED)
        self._pixels = [pictures_of(video) for video in self._videos]

    def scores(self, model: Any, batches: BatchMaker) -> dict[str, float]:
        """The scores of greedy answers in percent; ``mIoU_random`` is that with random ascending marks, if marks are shown at all."""
        was_training = model.training
        model.eval()
        scores = self._scores(model, batches, None)
        if self._marks.draw is not None or self._marks.before_frame is not None:
            scores["mIoU_random"] = self._scores(model, batches, np.random.default_rng(0))["mIoU"]
        model.train(was_training)
        return {name: round(value, 2) for name, value in scores.items()}

    def _scores(self, model: Any, batches: BatchMaker, rng: np.random.Generator | None) -> dict[str, float]:
        rows, spans, true_numbers = [], [], []
        for video, pixels in zip(self._videos, self._pixels, strict=True):
            shown = shown_numbers(video.duration_s)
            marks = np.array(shown) if rng is None else random_ascending(rng, len(shown))
            marked = pixels.copy()
            if self._marks.draw is not None:
                self._marks.draw(marked, marks)
            for event in video.events:
                rows.append(Row(marked, marks, np.zeros_like(marks), (Turn(self._marks.question(event.query), "", 0, 0),)))
                spans.append((event.start_s, event.end_s))
                # Without random marks, an answer may name any number, also one that no frame carries.
                true_numbers.append({k: k for k in range(100)} if rng is None else dict(zip(marks.tolist(), shown, strict=True)))
        texts = [text for k in range(0, len(rows), _AT_ONCE) for text in _answers(model, batches, rows[k : k + _AT_ONCE])]
        return scores_in_numbers(texts, spans, true_numbers)


@torch.no_grad()
def _answers(model: Any, batches: BatchMaker, rows: list[Row]) -> list[str]:
    """Greedy answers to the only question of each row."""
    tokenizer = batches.tokenizer
    asked = batches.questions(rows)
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    made = model.generate(**asked, max_new_tokens=16, do_sample=False, **ends)
    texts: list[str] = tokenizer.batch_decode(made[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts
