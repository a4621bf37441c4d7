"""numpro_oracle: answers, in words, with the best pair of marks that are shown. It proves the whole loop without a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lmms_eval.api.model import lmms
from tqdm import tqdm

from numpro_plugin.answers.highlights import format_highlights
from numpro_plugin.answers.writing import moment_words, set_words
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.harness.lmms import document, generation_options, messages_of, protocol_of
from numpro_plugin.harness.session import Announcement
from numpro_plugin.metrics.highlights import CLIP_S
from numpro_plugin.metrics.moments import best_times
from numpro_plugin.metrics.sets import best_time_set
from numpro_plugin.settings import SettingsByVideo
from numpro_plugin.timeline import Timeline, kept_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmms_eval.api.instance import Instance
    from numpy.typing import NDArray

    from numpro_plugin.settings import NumProSettings


class NumProOracle(lmms):
    """Knows the truth and reads from the clip which frames are shown, so its score is what answers in shown marks can reach at best.

    It answers in the unit that is asked for, with times that the drawn or written marks can name (``TimeEncoding.answer_times``). Where
    nothing is shown (the ``_plain`` and ``_native`` tasks) it has nothing to answer with and says so. On a table made without videos it
    takes the frames that would be shown.
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
            numbers = self._shown(request, doc, settings := SettingsByVideo.from_dict(protocol["settings"]).of(doc["duration_s"]))
            unit, fps = settings.encoding.answer, settings.fps
            times_s = settings.encoding.answer_times(numbers.tolist(), fps)
            if not times_s:
                answers.append("There are no numbers on the frames." if unit == "frames" else "There are no times on the frames.")
            elif protocol["task"] == "highlight":
                answers.append(perfect_highlights(doc, numbers, fps))
            elif protocol["task"] == "set":
                answers.append(set_words(best_time_set(doc["spans_s"], times_s)[0], unit, fps))
            elif not doc["spans_s"]:
                answers.append("Nobody told me when it happens.")
            else:
                start_s, end_s, _ = best_times(doc["spans_s"], times_s, annotators=doc.get("annotators"))
                answers.append(moment_words((start_s, end_s), unit, fps))
        return answers

    def _shown(self, request: Instance, doc: Mapping[str, Any], settings: NumProSettings) -> NDArray[np.int64]:
        """The numbers of the frames that the row's clip says it shows; none if it lacks the marks. Without a video: what would be shown."""
        kept = kept_numbers(Timeline(doc["duration_s"], settings.fps).count, settings.max_frames)
        if not os.path.isabs(doc["video"]):
            return kept
        contents = [content for message in messages_of(request, doc) for content in message["content"]]
        info = read_clip_info(next(content["url"] for content in contents if content["type"] == "video"))
        if info is None or info.settings["numbers"] != settings.encoding.draws:
            return kept[:0]
        if settings.encoding.grid:  # a picture of a grid has one number for all of its frames
            return kept_numbers(Timeline(info.duration_s, settings.fps).count, settings.max_frames)
        return np.array(info.numbers, dtype=np.int64)

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
