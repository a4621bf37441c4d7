"""LLaVA-NeXT-Video: Vicuna's way of chatting."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

from numpro_plugin.families.base import Family


class LlavaNextVideo(Family):
    """LLaVA-NeXT-Video. Its chat template has no end of an answer; the model was trained with the tokenizer's."""

    model_types = ("llava_next_video",)
    frames_dim = 1

    def _end(self, closing: str, processor: Any) -> str:
        return str(processor.tokenizer.eos_token)
