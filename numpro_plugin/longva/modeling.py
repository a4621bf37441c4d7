"""LongVA on top of transformers' LLaVA-NeXT-Video. The only difference: it projects before it pools."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoModel, LlavaNextVideoForConditionalGeneration, LlavaNextVideoModel, PreTrainedModel
from transformers.generation.logits_process import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from numpro_plugin.errors import NumProError
from numpro_plugin.internals.of_torch import FakeTensor
from numpro_plugin.internals.of_transformers import (
    LlavaNextVideoMultiModalProjector,
    LlavaNextVideoPooler,
    LlavaNextVideoPreTrainedModel,
)
from numpro_plugin.longva.configuration import LongVAConfig


class LongVAProjector(LlavaNextVideoMultiModalProjector):
    """Two linear layers with GELU between them, then average pooling over 2 x 2 patches."""

    def __init__(self, config: LongVAConfig) -> None:
        super().__init__(config)
        self.pooler = LlavaNextVideoPooler(config)  # no parameters, so none of its names appear in a checkpoint

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(frames, patches, vision width) -> (frames, patches / 4, text width)."""
        return self.pooler(super().forward(features))


class LongVAPreTrainedModel(LlavaNextVideoPreTrainedModel):
    """Shared by the two models below."""

    config_class = LongVAConfig
    config: LongVAConfig
    input_modalities = ("video", "text")  # type: ignore[assignment]

    def _init_weights(self, module: nn.Module) -> None:
        PreTrainedModel._init_weights(self, module)  # the parent's version also fills ``image_newline``, which LongVA does not have


class LongVAModel(LongVAPreTrainedModel, LlavaNextVideoModel):
    """Vision tower, projector and Qwen2 without its head."""

    def __init__(self, config: LongVAConfig) -> None:
        super(LlavaNextVideoModel, self).__init__(config)
        self.vision_tower = AutoModel.from_config(config.vision_config)
        # The parent's get_video_features() calls the resampler before the projector. Pooling is part of the projector here.
        self.vision_resampler = nn.Identity()  # type: ignore[assignment]
        self.multi_modal_projector = LongVAProjector(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.vocab_size = config.text_config.vocab_size
        self.post_init()

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """Not available: LongVA's handling of single pictures (tiles of any resolution) is not part of this port."""
        raise NumProError("pixel_values were given, but LongVA takes videos here: pass a picture as a video of one frame")

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        pixel_values: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Put the video's features where the placeholders stand, then run the language model.

        ``input_ids`` (B, L) hold ``config.video_token_index`` once per video token. ``pixel_values_videos`` (1, F, 3, H, W) are the
        frames of all videos in the order of their placeholders; each video may have any number. ``mm_encoder_outputs["video"]`` is
        the result of ``get_video_features`` if it was called before (``generate`` does so).
        """
        vision = {name: kwargs.pop(name, None) for name in ("vision_feature_layer", "vision_feature_select_strategy")}
        encoded = (mm_encoder_outputs or {}).get("video")
        if pixel_values is not None:
            self.get_image_features()
        if encoded is None and pixel_values_videos is not None:
            encoded = self.get_video_features(pixel_values_videos, return_dict=True, **vision)
        if input_ids is not None:
            if inputs_embeds is not None:
                raise NumProError("input_ids and inputs_embeds were both given: pass one of them")
            video = input_ids == self.config.video_token_index
            inputs_embeds = self.get_input_embeddings()(input_ids.masked_fill(video, 0))
            if encoded is not None:
                # (1, F * tokens a frame, width) -> (video tokens, width)
                inputs_embeds = _place(inputs_embeds, video, encoded.pooler_output.flatten(0, -2), self.config.tokens_per_frame)
            elif input_ids.shape[1] > 1 and (count := _number_true(video)):  # only in the prefill: counting synchronises with the device
                raise NumProError(f"input_ids hold {count} video tokens but there are no pixel_values_videos: pass the frames")
        elif encoded is not None:
            raise NumProError(
                "pixel_values_videos were given with inputs_embeds: pass input_ids, whose placeholders say where the frames go"
            )
        del encoded  # frees 25 hidden states of the tower before the language model runs
        return super().forward(inputs_embeds=inputs_embeds, **kwargs)


class LongVAForConditionalGeneration(LongVAPreTrainedModel, LlavaNextVideoForConditionalGeneration):
    """LongVA with its language modelling head; ``load_longva`` opens one."""

    # Buffers that older transformers wrote into checkpoints, and a parameter that only pictures in tiles need.
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012 (an instance variable of the parent's)
        r"rotary_emb\.inv_freq$",
        r"embeddings\.position_ids$",
        r"^model\.image_newline$",
    ]

    def __init__(self, config: LongVAConfig) -> None:
        super(LlavaNextVideoForConditionalGeneration, self).__init__(config)
        self.model = LongVAModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def generate(self, inputs: torch.Tensor | None = None, generation_config: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """transformers' ``generate``, but a repetition penalty counts what was generated, not the prompt.

        LongVA's own code generates from embeddings, so its penalty (1.05 by the checkpoint's ``generation_config.json``) never saw the
        prompt, only the answer so far and the ``bos`` token that it starts with. Answers repeat words of the question ("From frame ..."),
        so penalising the prompt as well would change them.
        """
        settings = generation_config or self.generation_config
        penalty = kwargs.get("repetition_penalty") or settings.repetition_penalty
        if penalty and penalty != 1.0:
            prompt = inputs if inputs is not None else kwargs.get("input_ids")
            bos = settings.bos_token_id if settings.bos_token_id is not None else self.config.text_config.bos_token_id
            ours = _AnswerRepetitionPenalty(float(penalty), 0 if prompt is None else prompt.shape[1], bos)
            kwargs["logits_processor"] = LogitsProcessorList([ours, *(kwargs.get("logits_processor") or [])])
            kwargs["repetition_penalty"] = 1.0
        return super().generate(inputs, generation_config, **kwargs)  # type: ignore[misc]


class _AnswerRepetitionPenalty(RepetitionPenaltyLogitsProcessor):
    """Repetition penalty over ``bos`` and the generated tokens."""

    def __init__(self, penalty: float, prompt_length: int, bos: int | None) -> None:
        super().__init__(penalty)
        self.prompt_length = prompt_length
        self.bos = bos

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        seen = input_ids[:, self.prompt_length :]
        if self.bos is not None:
            seen = torch.cat([seen.new_full((len(seen), 1), self.bos), seen], dim=1)
        return super().__call__(seen, scores) if seen.shape[1] else scores


def _place(embeds: torch.Tensor, video: torch.Tensor, features: torch.Tensor, per_frame: int) -> torch.Tensor:
    """``features`` (T, D) at the T places of ``embeds`` (B, L, D) where ``video`` (B, L) is true."""
    count = _number_true(video)
    if count is not None and count != len(features):
        raise NumProError(
            f"input_ids hold {count} video tokens, but the frames make {len(features)} ({len(features) // per_frame} frames of "
            f"{per_frame} tokens): pass the frames of all videos of the batch, in order, and no others"
        )
    return embeds.masked_scatter(video.unsqueeze(-1).to(embeds.device), features.to(embeds.device, embeds.dtype))


def _number_true(mask: torch.Tensor) -> int | None:
    """How many values are true; None for tensors without values: meta and fake tensors (planning memory), and while compiling."""
    if mask.is_meta or isinstance(mask, FakeTensor) or torch.compiler.is_compiling():
        return None
    return int(mask.sum())
