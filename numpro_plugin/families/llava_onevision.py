"""LLaVA-OneVision: videos of a batch are made equally long."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from numpro_plugin.families.base import IGNORED, Family, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence


class LlavaOnevision(Family):
    """LLaVA-OneVision. The model puts one more token after a video's frames."""

    model_types = ("llava_onevision",)
    closing_tokens = 1

    @property
    def _tokens_of_step(self) -> int:
        """The patches of a frame pooled two by two, rounded up."""
        side = self.config.vision_config.image_size // self.config.vision_config.patch_size
        return int(-(-side // 2)) ** 2

    def batch(self, samples: Sequence[Sample], processor: Any) -> Sample:
        """As in ``Family``. The model takes videos of equal length only, so shorter ones get copies of their last frame.

        The copies' tokens are masked, and ``position_ids`` continue after them as if they were not there.
        """
        frames = max(sample["pixel_values_videos"].shape[1] for sample in samples)
        made = super().batch([self._lengthened(sample, frames, processor) for sample in samples], processor)
        if any(sample["pixel_values_videos"].shape[1] < frames for sample in samples):
            made["position_ids"] = (made["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return made

    def _lengthened(self, sample: Sample, frames: int, processor: Any) -> Sample:
        pixels = sample["pixel_values_videos"]  # (1, frames, 3, H, W)
        missing = frames - pixels.shape[1]
        places = (sample["input_ids"][0] == processor.video_token_id).nonzero()
        tokens = (len(places) - 1) // pixels.shape[1] * missing
        last = int(places[-1])  # the token after the frames
        fillers = {"input_ids": processor.video_token_id, "attention_mask": 0, "labels": IGNORED}
        made = {"pixel_values_videos": torch.cat([pixels, pixels[:, -1:].expand(-1, missing, -1, -1, -1)], 1)}
        for name in sample.keys() - made.keys():
            row = sample[name]
            made[name] = torch.cat([row[:, :last], row.new_full((1, tokens), fillers[name]), row[:, last:]], 1)
        return {name: made[name] for name in sample}
