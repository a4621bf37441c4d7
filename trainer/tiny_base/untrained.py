"""The untrained model: LongVA's architecture in small, with random weights and a tokenizer for its small world."""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpro_plugin.demo.rendering import SHAPES
from numpro_plugin.demo.world import SETTINGS, TINY_COLORS
from numpro_plugin.prompts import NUMBERS_SENTENCE

from .marks import PICTURE_QUESTION, Marks

if TYPE_CHECKING:
    from pathlib import Path

KINDS = tuple((color, shape) for color in TINY_COLORS for shape in SHAPES)
"""(colour, shape) of everything that is ever asked for."""

HIDDEN_SIZE = 128
"""Of the language model."""


def description(kind: tuple[str, str]) -> str:
    """A (colour, shape) in words, as `numpro_plugin.demo.rendering.Event.query` has it."""
    return f"a {kind[0]} {kind[1]}"


def save_untrained(folder: Path, marks: Marks, *, seed: int) -> None:
    """Write configuration, random weights (32 bit), tokenizer and processor.

    LongVA's architecture throughout, with a 48 x 48 frame that becomes 2 x 2 patches, pooled to ONE token.
    """
    import torch
    from transformers import CLIPImageProcessor

    from numpro_plugin.longva import LongVAConfig, LongVAForConditionalGeneration, LongVAProcessor

    tokenizer = tiny_tokenizer(marks)
    side = SETTINGS.frame_size[0]
    outside = len(tokenizer)  # the first id that no text can produce stands for a frame
    text: Any = {
        "model_type": "qwen2",
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "initializer_range": 0.06,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision: Any = {
        "model_type": "clip_vision_model",
        "image_size": side,
        "patch_size": side // 2,
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
    }
    config = LongVAConfig(
        text_config=text,
        vision_config=vision,
        vision_feature_layer=-1,  # the last: LongVA's own -2 would leave this tower's only layer unused
        tie_word_embeddings=True,
        video_token_index=outside,
        image_token_index=outside,
    )
    torch.manual_seed(seed)
    model: Any = LongVAForConditionalGeneration(config)
    _scale_vision(model)
    images = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    model.save_pretrained(folder)
    LongVAProcessor(images, tokenizer, video_token_id=outside, tokens_per_frame=config.tokens_per_frame).save_pretrained(folder)


def _scale_vision(model: Any) -> None:
    """Draw the tower's and the projector's weights anew, so that a picture's differences arrive in the language model undamped.

    CLIP's own initialization is for towers of many layers that see millions of pictures.
    """
    from torch import nn

    for name, parameter in model.model.vision_tower.named_parameters():
        if parameter.dim() == 2 and "embedding" not in name:
            nn.init.normal_(parameter, std=1 / math.sqrt(parameter.shape[1]))
    for module in model.model.multi_modal_projector.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.weight.shape[1]))
            nn.init.zeros_(module.bias)


def tiny_tokenizer(marks: Marks) -> Any:
    """Byte-level BPE that knows the words of its small world and has one token per digit; any other text is bytes.

    The fixed parts of the moment retrieval question are one token each, and so is each description after a space: a model this small
    cannot relate shape and frame over a distance of fifty tokens.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    tokenizer.decoder = decoders.ByteLevel()
    descriptions = [description(kind) for kind in KINDS]
    texts = marks.texts([*descriptions, "nothing"]) * 3
    texts += ["From Frame 3 to Frame 9.", PICTURE_QUESTION] * 9
    texts += ["system\nYou are a helpful assistant.\nuser\nassistant\n"] * 9
    trainer = trainers.BpeTrainer(
        vocab_size=1000,  # never reached: merging ends when all words are whole
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    before, after = marks.question("{query}").removeprefix(NUMBERS_SENTENCE).split(marks.as_asked("{query}"))
    whole = [NUMBERS_SENTENCE, before, after, *map(marks.as_asked, descriptions)]
    made.add_tokens([AddedToken(text, normalized=False) for text in whole])
    return made
