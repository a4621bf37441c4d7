"""A tiny randomly initialised Qwen2.5-VL checkpoint, and its inputs turned back into frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(template: str = TEMPLATE, special: list[str] = SPECIAL):
    """One token a byte, plus Qwen's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: k for k, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": special})
    fast.chat_template = template
    return fast


def save_tiny_qwen2_5_vl(folder: Path, *, head_size: int = 16, weight_std: float = 0.02) -> Path:
    """Write config, weights (seeded), tokenizer and processor; some 0.2 M parameters.

    Args:
        folder: made if it is missing.
        head_size: of each of the two attention heads; servers know few sizes.
        weight_std: standard deviation of the weights; the larger, the more an answer depends on what is shown.
    """
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = byte_tokenizer()
    third = 3 * head_size // 16
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 2 * head_size,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 16384,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [head_size // 8, third, third],
            },
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "initializer_range": weight_std,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 2 * head_size,
            "fullatt_block_indexes": [1],
            "initializer_range": weight_std,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.save_pretrained(folder)
    processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=TEMPLATE)
    processor.save_pretrained(folder)
    return folder


def frames_of(pixel_values: torch.Tensor, grid_thw: torch.Tensor, *, patch: int = 14, merge: int = 2, pair: int = 2) -> np.ndarray:
    """The frames (T, H, W, 3) uint8 that a Qwen processor cut into patches and normalised, put together again (one video)."""
    t, h, w = (int(n) for n in grid_thw)
    x = pixel_values.float().reshape(t, h // merge, w // merge, merge, merge, 3, pair, patch, patch)
    x = x.permute(0, 6, 1, 3, 7, 2, 4, 8, 5).reshape(t * pair, h * patch, w * patch, 3)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    return ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def watch_qwen(monkeypatch) -> list[np.ndarray]:
    """From now on the frames of every video that the model's generate gets, put together from its very inputs."""
    from transformers import Qwen2_5_VLForConditionalGeneration as Model

    seen: list[np.ndarray] = []
    original = Model.generate

    def generate(self, *args, **inputs):
        at = 0
        for grid in inputs.get("video_grid_thw", []):
            size = int(grid.prod())
            seen.append(frames_of(inputs["pixel_values_videos"][at : at + size], grid))
            at += size
        return original(self, *args, **inputs)

    monkeypatch.setattr(Model, "generate", generate)
    return seen
