"""The original LongVA checkpoint: its names, its ``config.json`` and its vision tower translated for the new model."""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import CLIPVisionConfig, Qwen2Config

from numpro_plugin.errors import NumProError
from numpro_plugin.longva.configuration import LongVAConfig
from numpro_plugin.weights.folder import UNREADABLE, first_line, local_folder

ORIGINAL_MODEL_TYPE = "llava_qwen"
"""``model_type`` in the ``config.json`` of an original checkpoint and of a reference adapter."""

KEY_MAPPING: dict[str, str] = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_tower.",
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.embed_tokens\.": "model.language_model.embed_tokens.",
    r"^model\.layers\.": "model.language_model.layers.",
    r"^model\.norm\.": "model.language_model.norm.",
}
"""Beginning of an original name (a pattern) -> beginning of the new name, in weights and adapters. New names match none of them."""

TOWER = "model.vision_tower."
_TOWER_ORIGINAL = "model.vision_tower.vision_tower.vision_model."
_CLIP_HEAD_SIZE = 64  # of every released CLIP


def new_name(name: str) -> str:
    """The new model's name of a parameter or module of the original model; new names are returned as they are."""
    for pattern, replacement in KEY_MAPPING.items():
        name, found = re.subn(pattern, replacement, name)
        if found:
            break
    return name


def find_tower(name: str | None, checkpoint: Path) -> Path | None:
    """The folder that ``mm_vision_tower`` names: below one of the checkpoint's parent folders, beside it, or as given.

    None if none of these exists and the checkpoint holds the tower itself. Otherwise the hub is tried.
    """
    folder = checkpoint.resolve()
    name = name or "openai/clip-vit-large-patch14-336"
    candidates = [*(parent / name for parent in (folder, *folder.parents)), folder.parent / Path(name).name, Path(name)]
    if found := next((place for place in candidates if (place / "config.json").is_file()), None):
        return found
    if any(key.startswith(_TOWER_ORIGINAL) for key in weight_shapes(checkpoint)):
        return None
    why = "that folder does not exist"
    try:
        if ((place := local_folder(name)) / "config.json").is_file():
            return place
    except NumProError as error:
        why = str(error)
    raise NumProError(
        f"{checkpoint} holds no vision tower; its config.json names the folder mm_vision_tower={name!r}, but {why}. "
        f"Download it and put it at {folder.parent / name}"
    )


def config_from_original(original: dict[str, Any], folder: Path, tower: Path | None, video_token_id: int) -> LongVAConfig:
    """``LongVAConfig`` for an original ``config.json``; the tower's part comes from ``tower``, else from the weights' shapes."""
    for key, allowed in (("mm_projector_type", "mlp2x_gelu"), ("mm_vision_select_feature", "patch"), ("mm_spatial_pool_mode", "average")):
        if original.get(key, allowed) != allowed:
            raise NumProError(
                f"{folder / 'config.json'}: {key}={original[key]!r} is not LongVA's {allowed!r}, the only value that this loader reads"
            )
    fields = set(Qwen2Config.__dataclass_fields__) | {"rope_theta", "rope_scaling"}
    fields -= {"architectures", "transformers_version", "layer_types"}
    text = {key: value for key, value in original.items() if key in fields}
    # A null means "none". transformers 5 wants both rope keys in one record and warns of the old pair.
    rope = text.pop("rope_scaling", None) or {"rope_type": "default"}
    if "type" in rope:
        rope = {"rope_type": rope["type"], **{key: value for key, value in rope.items() if key != "type"}}
    if "rope_theta" in text:
        rope = {"rope_theta": text.pop("rope_theta"), **rope}
    text["rope_parameters"] = rope
    vision = CLIPVisionConfig.from_pretrained(tower) if tower else vision_config_of_weights(folder, original.get("mm_vision_tower"))
    config = LongVAConfig(
        text_config=Qwen2Config(**text),
        vision_config=vision,
        image_token_index=video_token_id,
        video_token_index=video_token_id,
        vision_feature_layer=original.get("mm_vision_select_layer", -2),
        spatial_pool_stride=original.get("mm_spatial_pool_stride", 2),
        tie_word_embeddings=bool(original.get("tie_word_embeddings", False)),
        dtype=original.get("torch_dtype") or original.get("dtype"),
    )
    config.image_seq_length = config.video_seq_length = config.tokens_per_frame
    return config


def vision_config_of_weights(folder: Path, tower_name: str | None = None) -> CLIPVisionConfig:
    """The tower's configuration, derived from the shapes of its weights in the checkpoint; assumes CLIP's head size of 64."""
    shapes = {
        name.removeprefix(_TOWER_ORIGINAL): shape for name, shape in weight_shapes(folder).items() if name.startswith(_TOWER_ORIGINAL)
    }
    try:
        width, _, _, patch = shapes["embeddings.patch_embedding.weight"]
        positions = shapes["embeddings.position_embedding.weight"][0]
        inner = shapes["encoder.layers.0.mlp.fc1.weight"][0]
    except (KeyError, ValueError) as error:
        raise NumProError(f"{folder}: the vision tower in it is incomplete ({first_line(error)} is missing)") from None
    if width % _CLIP_HEAD_SIZE:
        raise NumProError(
            f"the vision tower in {folder} is {width} wide, not a multiple of CLIP's head size {_CLIP_HEAD_SIZE}, so the number of "
            f"heads is unknown: put the folder mm_vision_tower={tower_name!r} (its config.json is enough) beside the checkpoint"
        )
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=len({name.split(".")[2] for name in shapes if name.startswith("encoder.layers.")}),
        num_attention_heads=width // _CLIP_HEAD_SIZE,
        patch_size=patch,
        image_size=math.isqrt(positions - 1) * patch,
    )


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a folder's ``*.safetensors``, or else its ``pytorch_model*.bin``, without keeping the tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise NumProError(f"{folder} holds no weights: neither *.safetensors nor pytorch_model*.bin")
    for file in files:
        try:
            if file.suffix == ".bin":
                state = torch.load(file, map_location="meta", weights_only=True)
                shapes |= {name: tuple(tensor.shape) for name, tensor in state.items()}
                continue
            with safe_open(file, framework="pt") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118 (not a mapping)
        except UNREADABLE as error:
            raise NumProError(f"{file} cannot be loaded: {first_line(error)}") from error
    return shapes
