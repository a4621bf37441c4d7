"""numpro_oracle: answers, in words, with the best pair of numbers that is drawn. It proves the whole loop without a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from lmms_eval.api.model import lmms
from tqdm import tqdm

from numpro_plugin.clips import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.moments import best_numbers
from numpro_plugin.settings import NumProSettings
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

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One sentence per request, in order."""
        answers = []
        for request in tqdm(requests, desc="numpro_oracle", disable=self.rank != 0):
            _, doc_to_messages, _, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            if "spans_s" not in doc:
                raise NumProError(f"numpro_oracle only answers NumPro's tasks; {task!r} has no 'spans_s'")
            answers.append(self._answer(doc, doc_to_messages))
        return answers

    def _answer(self, doc: Mapping[str, Any], doc_to_messages: Any) -> str:
        if not os.path.isabs(doc["video"]):
            settings = NumProSettings.from_env()
            numbers: NDArray[np.int64] = kept_numbers(Timeline(doc["duration_s"], settings.fps).count, settings.max_frames)
            fps = settings.fps
        else:
            contents = [content for message in doc_to_messages(doc) for content in message["content"]]
            info = read_clip_info(next(content["url"] for content in contents if content["type"] == "video"))
            if info is None or not info.settings["numbers"] or not info.numbers:
                return "There are no numbers on the frames."
            numbers, fps = np.array(info.numbers), info.settings["fps"]
        first, last, _ = best_numbers(doc["spans_s"], numbers, fps)
        return f"From Frame {first} to Frame {last}."

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not for an oracle that speaks."""
        raise NotImplementedError("numpro_oracle only generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not needed by NumPro's tasks."""
        raise NotImplementedError("numpro_oracle answers in one round")
