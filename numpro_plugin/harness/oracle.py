"""numpro_oracle: answers, in words, with the best pair of numbers that is drawn. It proves the whole loop without a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lmms_eval.api.model import lmms
from tqdm import tqdm

from numpro_plugin.answers.highlights import format_highlights
from numpro_plugin.answers.sets import format_set
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.harness.lmms import document, generation_options, messages_of, protocol_of
from numpro_plugin.harness.session import Announcement
from numpro_plugin.metrics.highlights import CLIP_S
from numpro_plugin.metrics.moments import best_numbers
from numpro_plugin.metrics.sets import best_number_set
from numpro_plugin.settings import SettingsByVideo
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmms_eval.api.instance import Instance
    from numpy.typing import NDArray

    from numpro_plugin.settings import NumProSettings


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

    @property
    def device(self) -> torch.device:
        """Where lmms-eval gathers counts when it runs on several processes."""
        return torch.device("cpu")

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One sentence per request, in order."""
        answers = []
        for request in tqdm(requests, desc="numpro_oracle", disable=self.rank != 0):
            protocol = protocol_of(request)
            if protocol is None:
                raise NumProError(f"numpro_oracle only answers NumPro's tasks; {request.task_name!r} is another")
            Announcement().check_task(request.task_name, protocol, generation_options(request))
            doc = document(self, request)
            numbers = self._drawn(request, doc, settings := SettingsByVideo.from_dict(protocol["settings"]).of(doc["duration_s"]))
            if not len(numbers):
                answers.append("There are no numbers on the frames.")
            elif protocol["task"] == "highlight":
                answers.append(perfect_highlights(doc, numbers, settings.fps))
            elif protocol["task"] == "set":
                answers.append(format_set(best_number_set(doc["spans_s"], numbers, settings.fps)[0]))
            elif not doc["spans_s"]:
                answers.append("Nobody told me when it happens.")
            else:
                first, last, _ = best_numbers(doc["spans_s"], numbers, settings.fps, annotators=doc.get("annotators"))
                answers.append(f"From Frame {first} to Frame {last}.")
        return answers

    def _drawn(self, request: Instance, doc: Mapping[str, Any], settings: NumProSettings) -> NDArray[np.int64]:
        """The numbers on the row's clip, read from the clip; none on a plain one. Without a video: those that would be drawn."""
        if not os.path.isabs(doc["video"]):
            numbers = kept_numbers(Timeline(doc["duration_s"], settings.fps).count, settings.max_frames)
            return numbers if settings.numbers else numbers[:0]
        contents = [content for message in messages_of(request, doc) for content in message["content"]]
        info = read_clip_info(next(content["url"] for content in contents if content["type"] == "video"))
        drawn = info.numbers if info is not None and info.settings["numbers"] else ()
        return np.array(drawn, dtype=np.int64)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not available: the oracle answers in words."""
        raise NotImplementedError("numpro_oracle only generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not available: NumPro's tasks have one round."""
        raise NotImplementedError("numpro_oracle answers in one round")


def perfect_highlights(doc: Mapping[str, Any], numbers: NDArray[np.int64], fps: float) -> str:
    """NumPro's sentence with every relevant clip whose first instant has a number, scored with its annotators' mean on 1 to 5."""
    drawn = set(numbers.tolist())
    frames, scores = [], []
    for clip, three in zip(doc["relevant_clip_ids"], doc["saliency_scores"], strict=True):
        number = clip * CLIP_S * fps
        if number in drawn:
            frames.append(int(number))
            scores.append(round(sum(three) / 3 + 1, 1))
    return format_highlights(frames, scores)
