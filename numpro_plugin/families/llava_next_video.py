"""LLaVA-NeXT-Video: Vicuna's chat format."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

from numpro_plugin.families.base import Family


class LlavaNextVideo(Family):
    """LLaVA-NeXT-Video. Its chat template does not close an answer; the model was trained with the tokenizer's end token."""

    model_types = ("llava_next_video",)
    frames_dim = 1

    def _end_of_answer(self, closing: str, processor: Any) -> str:
        return str(processor.tokenizer.eos_token)
