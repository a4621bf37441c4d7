"""LongVA's processor: prompts and frames -> ``input_ids``, ``attention_mask`` and ``pixel_values_videos``."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from transformers import BatchFeature, CLIPImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from numpro_plugin.errors import NumProError

VIDEO_MARK = "<image>"
"""Placeholder of a video in a prompt; LongVA was trained with this word for videos too."""

CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ['video', 'image'] %}" + VIDEO_MARK + "\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML as LongVA uses it: a fixed system line, and the video before the text of its turn if the parts come in that order."""

VideoFrames: TypeAlias = np.ndarray | torch.Tensor | Sequence[Any]
"""Frames (N, H, W, 3) uint8 RGB as an array or tensor, or a list of N pictures (PIL or arrays)."""


class LongVAProcessor(ProcessorMixin):
    """CLIP's image processor and Qwen2's tokenizer.

    ``video_token_id`` is the model's ``config.video_token_index``, ``tokens_per_frame`` its ``config.tokens_per_frame``. Frames are best
    given in the model's size (336 x 336), which are only normalised; others are resized (shorter side) and centre-cropped.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        video_token_id: int = 151646,
        tokens_per_frame: int = 144,
    ) -> None:
        self.video_token_id = video_token_id
        self.tokens_per_frame = tokens_per_frame
        self.video_token = VIDEO_MARK
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)
        tokenizer.padding_side = "left"  # checkpoints say "right", which generation answers with garbage

    def __call__(
        self,
        text: str | Sequence[str],
        videos: Sequence[VideoFrames] | None = None,
        *,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Prompts, each with ``<image>`` once per video, and the videos of all prompts in order.

        Returns ``input_ids`` and ``attention_mask`` (B, L) int64, padded on the LEFT, and, if there are videos, ``pixel_values_videos``
        (1, frames of all videos, 3, H, W) float32. Nothing is ever truncated.
        """
        if return_tensors != "pt":
            raise NumProError(f"return_tensors={return_tensors!r} is not available: LongVA's processor makes 'pt' tensors only")
        prompts = [text] if isinstance(text, str) else list(text)
        clips = [self.pixel_values(video) for video in videos or []]
        marks = sum(prompt.count(VIDEO_MARK) for prompt in prompts)
        if marks != len(clips):
            raise NumProError(
                f"the {len(prompts)} prompts hold {VIDEO_MARK} {marks} times, but {len(clips)} videos were given: pass videos=[...] with "
                f"one video per mark; a question that contains the word {VIDEO_MARK} must be rephrased"
            )
        lengths = iter([len(clip) for clip in clips])
        rows = [self.token_ids(prompt, [next(lengths) for _ in range(prompt.count(VIDEO_MARK))]) for prompt in prompts]
        batch = self.pad(rows)
        if clips:
            batch["pixel_values_videos"] = torch.cat(clips).unsqueeze(0)
        return batch

    def token_ids(self, prompt: str, frame_counts: Sequence[int]) -> list[int]:
        """Ids of one prompt; the k-th ``<image>`` becomes ``frame_counts[k]`` frames' placeholders.

        The text before and after a mark is tokenized separately, as LongVA does: no token spans the mark.
        """
        pieces = prompt.split(VIDEO_MARK)
        if len(pieces) != len(frame_counts) + 1:
            raise NumProError(f"the prompt holds {VIDEO_MARK} {len(pieces) - 1} times, but {len(frame_counts)} frame counts were given")
        ids: list[int] = []
        for piece, frames in zip(pieces, [*frame_counts, 0], strict=True):
            ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]
            ids += [self.video_token_id] * (frames * self.tokens_per_frame)
        return ids

    def pad(self, rows: Sequence[Sequence[int]]) -> BatchFeature:
        """``input_ids`` and ``attention_mask`` of rows of unequal length, padded on the left: generation continues at the right end."""
        length = max(map(len, rows))
        filler = self.tokenizer.pad_token_id
        if filler is None:
            filler = self.tokenizer.eos_token_id
        ids = torch.tensor([[filler] * (length - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
        return BatchFeature({"input_ids": ids, "attention_mask": mask})

    def pixel_values(self, video: VideoFrames) -> torch.Tensor:
        """Frames -> (N, 3, H, W) float32 as the vision tower takes them."""
        if not isinstance(video, np.ndarray | torch.Tensor):
            video = np.stack([np.asarray(frame) for frame in video]) if len(video) else np.empty(0, dtype=np.uint8)
        frames = torch.as_tensor(video)
        if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames) or frames.dtype != torch.uint8:
            raise NumProError(
                f"a video of shape {tuple(frames.shape)} and type {frames.dtype} was given; frames are (N, H, W, 3) uint8 RGB with N >= 1, "
                "as sample_frames() returns them in .pixels"
            )
        images = self.image_processor
        if tuple(frames.shape[1:3]) != (images.crop_size["height"], images.crop_size["width"]):
            # LongVA resizes with Pillow, and torchvision's bicubic is up to one grey level off; for frames of the right size, where
            # nothing is resized, it gives the same values four times as fast.
            images = CLIPImageProcessorPil.from_dict(images.to_dict())
        return images(images=list(frames.permute(0, 3, 1, 2)), return_tensors="pt")["pixel_values"]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that this processor makes."""
        return ["input_ids", "attention_mask", "pixel_values_videos"]
