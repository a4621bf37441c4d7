"""numpro_oracle: answers, in words, with the best pair of numbers that is drawn. It proves the whole loop without a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from lmms_eval.api.model import lmms
from tqdm import tqdm

from numpro_plugin.answers.highlights import format_highlights
from numpro_plugin.clips.clip import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.harness import session
from numpro_plugin.harness.lmms import RequestArguments
from numpro_plugin.metrics.highlights import CLIP_S
from numpro_plugin.metrics.moments import best_numbers
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmms_eval.api.instance import Instance
    from numpy.typing import NDArray


class NumProOracle(lmms):
    """Knows the truth and reads which numbers are drawn from the clip, so its score is what integer numbers can reach at best.

    Without numbers (the ``_plain`` tasks) it has nothing to answer with and says so. On a table made without videos it takes the
    numbers that would be drawn.
    """

    is_simple = False

    def __init__(self, batch_size: int | str = 1, device: str | None = None, **kwargs: Any) -> None:
        super().__init__()
        if kwargs:
            raise NumProError(f"numpro_oracle has no argument {', '.join(kwargs)}; it takes none")
        session.begin()

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One sentence per request, in order."""
        answers = []
        for request in tqdm(requests, desc="numpro_oracle", disable=self.rank != 0):
            arguments = RequestArguments(request, chat=True)
            metadata, doc = arguments.metadata(), arguments.document(self)
            if not metadata:
                raise NumProError(f"numpro_oracle only answers NumPro's tasks; {arguments.task!r} is not one of them")
            numbers, fps = self._drawn(doc, arguments)
            if not len(numbers):
                answers.append("There are no numbers on the frames.")
            elif metadata["task"] == "highlight":
                answers.append(perfect_highlights(doc, numbers, fps))
            elif not doc["spans_s"]:
                answers.append("Nobody told me when it happens.")
            else:
                first, last, _ = best_numbers(doc["spans_s"], numbers, fps, annotators=doc.get("annotators"))
                answers.append(f"From Frame {first} to Frame {last}.")
        return answers

    def _drawn(self, doc: Mapping[str, Any], arguments: RequestArguments) -> tuple[NDArray[np.int64], float]:
        """The numbers on the row's clip (none on a plain one) and how many there are per second."""
        nothing = np.zeros(0, dtype=np.int64), 1.0
        if not os.path.isabs(doc["video"]):
            settings = arguments.functions().settings
            if not settings.numbers:
                return nothing
            return kept_numbers(Timeline(doc["duration_s"], settings.fps).count, settings.max_frames), settings.fps
        assert arguments.shows is not None
        contents = [content for message in arguments.shows(doc) for content in message["content"]]
        info = read_clip_info(next(content["url"] for content in contents if content["type"] == "video"))
        if info is None or not info.settings["numbers"]:
            return nothing
        return np.array(info.numbers, dtype=np.int64), info.settings["fps"]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not for an oracle that speaks."""
        raise NotImplementedError("numpro_oracle only generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not needed by NumPro's tasks."""
        raise NotImplementedError("numpro_oracle answers in one round")


def perfect_highlights(doc: Mapping[str, Any], numbers: NDArray[np.int64], fps: float) -> str:
    """NumPro's sentence with every relevant clip whose first instant bears a number, scored with its annotators' mean on 1 to 5."""
    drawn = set(numbers.tolist())
    frames, scores = [], []
    for clip, three in zip(doc["relevant_clip_ids"], doc["saliency_scores"], strict=True):
        number = clip * CLIP_S * fps
        if number in drawn:
            frames.append(int(number))
            scores.append(round(sum(three) / 3 + 1, 1))
    return format_highlights(frames, scores)
