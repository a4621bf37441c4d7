"""A model without weights: built from its configuration, prepared for training, and given frames, all of it shapes without values."""

# mypy: allow-untyped-calls

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import Parameter

from numpro_plugin.families import family_of

from ..run.model import make_trainable, weights_dtype

if TYPE_CHECKING:
    from ..recipe.record import Recipe


def without_tower(config: Any) -> Any:
    """The configuration with as few layers in the tower as there can be."""
    config = copy.deepcopy(config)
    vision = config.vision_config
    if hasattr(vision, "depth"):
        vision.depth = 1
        if hasattr(vision, "fullatt_block_indexes"):
            vision.fullatt_block_indexes = [0]
        if hasattr(vision, "deepstack_visual_indexes"):
            vision.depth = len(vision.deepstack_visual_indexes)
            vision.deepstack_visual_indexes = list(range(vision.depth))
    else:
        vision.num_hidden_layers = 1
    return config


def prepared(config: Any, recipe: Recipe, layers: int | None = None) -> Any:
    """The model as it is trained, on the device ``meta``."""
    from transformers import AttentionInterface, AutoModelForImageTextToText
    from transformers.initialization import no_init_weights
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from numpro_plugin.longva import LongVAForConditionalGeneration

    attention = "eager" if recipe.memory.attention == "eager" else "sdpa"
    if attention == "sdpa" and recipe.optimizer.micro_batch_size == 1:
        # Where no token is padding transformers leaves the mask out, which it sees by the mask's values. Attention that it has no way of
        # making masks for gets none either.
        attention = "sdpa_without_mask"
        AttentionInterface.register(attention, sdpa_attention_forward)
    config = copy.deepcopy(config)
    if layers is not None:
        config.text_config.num_hidden_layers = layers
        if getattr(config.text_config, "layer_types", None):
            config.text_config.layer_types = config.text_config.layer_types[:layers]
    kind = LongVAForConditionalGeneration._from_config if config.model_type == "longva" else AutoModelForImageTextToText.from_config
    with torch.device("meta"), no_init_weights(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names of models, and of things that training says when it really runs
        model = kind(config, dtype=getattr(torch, weights_dtype(recipe)), attn_implementation=attention)
        return make_trainable(model, family_of(config), recipe)


def fill(model: Any) -> None:
    """Parameters and buffers of ``meta`` become fake tensors; shared ones stay shared."""
    made: dict[int, torch.Tensor] = {}

    def filled(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            new = torch.empty(tensor.shape, dtype=tensor.dtype)
            made[id(tensor)] = Parameter(new, requires_grad=tensor.requires_grad) if isinstance(tensor, Parameter) else new
        return made[id(tensor)]

    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            tensors.update({name: filled(tensor) for name, tensor in tensors.items() if tensor is not None})


def base_of(model: Any) -> Any:
    """The transformers model below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def video_tokens(config: Any, frames: int) -> int:
    """How many tokens of the prompt stand for the video, with what belongs to it."""
    vision, kind = config.vision_config, config.model_type
    if kind in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
        width, height = family_of(config).frame_size
        pairs = -(-frames // vision.temporal_patch_size)
        each = (width // vision.patch_size) * (height // vision.patch_size) // vision.spatial_merge_size**2
        return pairs * (each + (12 if kind == "qwen3_vl" else 0)) + 2  # Qwen3-VL: <12.5 seconds> and marks around each pair
    side = vision.image_size // vision.patch_size
    if kind == "llava_onevision":
        return frames * (-(-side // 2)) ** 2 + 1
    return frames * (side // config.spatial_pool_stride) ** 2


def pixels_for(config: Any, recipe: Recipe, frames: int) -> torch.Tensor:
    """Frames as the vision tower takes them."""
    width, height = family_of(config).frame_size
    vision, dtype = config.vision_config, getattr(torch, weights_dtype(recipe))
    if not hasattr(vision, "temporal_patch_size"):
        return torch.zeros(1, frames, 3, height, width, dtype=dtype)
    patches = -(-frames // vision.temporal_patch_size) * (height // vision.patch_size) * (width // vision.patch_size)
    return torch.zeros(patches, 3 * vision.temporal_patch_size * vision.patch_size**2, dtype=dtype)


def features_of(model: Any, pixels: torch.Tensor, rows: int) -> torch.Tensor:
    """(tokens, width): what tower and projector make of the pixels."""
    base, vision = base_of(model), model.config.vision_config
    if not hasattr(vision, "temporal_patch_size"):
        out = base.model.get_video_features(pixels, return_dict=True).pooler_output
        return torch.cat(list(out)) if isinstance(out, (list, tuple)) else out.flatten(0, -2)
    # The towers of Qwen compute with the values of these; arrays have some where fake tensors have none.
    height, width = (side // vision.patch_size for side in family_of(model.config).frame_size[::-1])
    pairs = len(pixels) // (height * width)
    merged = [side // vision.spatial_merge_size for side in (height, width)]
    known: dict[str, Any] = {
        "position_ids": torch.zeros(len(pixels), 2, dtype=torch.long),
        "cu_seqlens": np.arange(pairs + 1) * (height * width),
    }
    if hasattr(vision, "window_size"):
        side = vision.window_size // vision.spatial_merge_size // vision.patch_size
        parts = [[min(side, n - k) for k in range(0, n, side)] for n in merged]
        windows = np.outer(parts[0], parts[1]).flatten() * vision.spatial_merge_size**2
        known["window_index"] = torch.zeros(pairs * merged[0] * merged[1], dtype=torch.long)
        known["cu_window_seqlens"] = np.concatenate([[0], np.tile(windows, pairs).cumsum()])
    if hasattr(vision, "num_position_embeddings"):
        known["interp_indices"] = torch.zeros(len(pixels), 4, dtype=torch.long)
        known["interp_weights"] = torch.zeros(len(pixels), 4)
    features: torch.Tensor = base.model.visual(pixels, grid_thw=None, **known).pooler_output
    return features
