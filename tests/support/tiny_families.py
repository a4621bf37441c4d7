"""A tiny randomly initialised checkpoint of each family of ``numpro_plugin.families``, taking frames of the family's real size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from numpro_plugin.families import Loaded
from support.tiny_qwen import SPECIAL, TEMPLATE, byte_tokenizer, frames_of

FAMILIES = ("longva", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_onevision", "llava_next_video")
SYSTEM = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
_PARTS = "message['content'] | selectattr('type', 'equalto', '%s')"
_VIDEO = "{% for part in " + _PARTS % "video" + " %}<video>\n{% endfor %}"
ONEVISION_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} " + _VIDEO + "{% for part in " + _PARTS % "text" + " %}"
    "{{ '\n' + part['text'] }}{% endfor %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}"
    "{% else %}{{ message['role'].upper() + ': ' }}{% endif %}" + _VIDEO + "{% for part in " + _PARTS % "text" + " %}"
    "{{ part['text'] + ' ' }}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def save_tiny(family: str, folder: Path) -> Path:
    """Write config, weights (seeded), tokenizer and processor of the family with this ``model_type``."""
    torch.manual_seed(0)
    model, processor = globals()[f"_{family}"]()
    for name, parameter in model.named_parameters():  # large enough that a wrong position or frame shows in the logits
        if parameter.ndim > 1 and "language_model" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def pixels_of(loaded: Loaded, sample: Mapping[str, torch.Tensor]) -> np.ndarray:
    """The frames (N, H, W, 3) that the model sees, from its inputs."""
    values = sample["pixel_values_videos"].float()
    images = getattr(loaded.processor, "video_processor", loaded.processor.image_processor)
    mean, std = torch.tensor(images.image_mean), torch.tensor(images.image_std)
    if "video_grid_thw" in sample:
        # frames_of() knows Qwen2-VL's normalising only, so the others' is turned into it first.
        clip_mean, clip_std = torch.tensor([[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]])[..., None]
        colours = values.reshape(len(values), 3, -1) * std[:, None] + mean[:, None]
        values = ((colours - clip_mean) / clip_std).reshape(values.shape)
        grids = sample["video_grid_thw"]  # of one size: a video, or one a frame where texts stand between them
        whole = torch.stack([grids[:, 0].sum(), *grids[0, 1:]])
        return frames_of(values, whole, patch=loaded.model.config.vision_config.patch_size)
    return ((values[0].permute(0, 2, 3, 1) * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _text(tokenizer: Any, model_type: str, **more: Any) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "vocab_size": len(tokenizer) + 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 16384,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def _clip(side: int, patch: int, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    return {"image_size": side, "patch_size": patch, **sizes, **more}


def _longva() -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor

    from numpro_plugin.longva import LongVAConfig, LongVAForConditionalGeneration, LongVAProcessor

    tokenizer = byte_tokenizer(special=SPECIAL[:3])
    tokenizer.chat_template = None
    config = LongVAConfig(
        text_config=_text(tokenizer, "qwen2"),
        vision_config={"model_type": "clip_vision_model", **_clip(336, 42)},
        video_token_index=len(tokenizer),
        image_token_index=len(tokenizer),
    )
    images = CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    processor = LongVAProcessor(images, tokenizer, video_token_id=len(tokenizer), tokens_per_frame=config.tokens_per_frame)
    return LongVAForConditionalGeneration(config), processor


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: tokenizer.convert_tokens_to_ids(name) for key, name in names.items()}


def _qwen2_vl() -> tuple[Any, Any]:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    tokenizer = byte_tokenizer(SYSTEM + TEMPLATE)
    text = _text(tokenizer, "qwen2_vl_text", rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]})
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, **_qwen_ids(tokenizer))
    processor = Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=SYSTEM + TEMPLATE)
    return Qwen2VLForConditionalGeneration(config), processor


def _qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = byte_tokenizer(SYSTEM + TEMPLATE)
    text = _text(tokenizer, "qwen2_5_vl_text", rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]})
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [1]}
    # As released: two positions in time a second (the class default is 4).
    config = Qwen2_5_VLConfig(text_config=text, vision_config={**vision, "tokens_per_second": 2}, **_qwen_ids(tokenizer))
    processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=SYSTEM + TEMPLATE)
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl() -> tuple[Any, Any]:
    from transformers import Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = byte_tokenizer()
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config=_text(tokenizer, "qwen3_vl_text", head_dim=16, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_qwen_ids(tokenizer),
    )
    images = Qwen2VLImageProcessor(patch_size=16)
    return Qwen3VLForConditionalGeneration(config), Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=TEMPLATE)


def _llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokenizer = byte_tokenizer(ONEVISION_TEMPLATE, [*SPECIAL[:3], "<image>", "<video>"])
    config = LlavaOnevisionConfig(
        text_config=_text(tokenizer, "qwen2"),
        vision_config={"model_type": "siglip_vision_model", **_clip(384, 48, vision_use_head=False)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
    )
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(),
        tokenizer,
        LlavaOnevisionVideoProcessor(),
        num_image_tokens=64,
        vision_feature_select_strategy="full",
        chat_template=ONEVISION_TEMPLATE,
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


def _llava_next_video() -> tuple[Any, Any]:
    from transformers import (
        LlavaNextImageProcessor,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
        LlavaNextVideoProcessor,
        LlavaNextVideoVideoProcessor,
    )

    tokenizer = byte_tokenizer(VICUNA_TEMPLATE, ["<|endoftext|>", "<|im_end|>", "<image>", "<video>"])
    config = LlavaNextVideoConfig(
        text_config=_text(tokenizer, "llama"),
        vision_config={"model_type": "clip_vision_model", **_clip(336, 42)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
    )
    processor = LlavaNextVideoProcessor(
        LlavaNextVideoVideoProcessor(),  # as by default it crops to 224 x 224
        LlavaNextImageProcessor(),
        tokenizer,
        patch_size=42,
        vision_feature_select_strategy="default",
        chat_template=VICUNA_TEMPLATE,
    )
    return LlavaNextVideoForConditionalGeneration(config), processor
