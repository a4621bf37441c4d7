"""The configuration of a model without its weights: from a folder, from this module, or from the hub's ``config.json``."""

# mypy: allow-untyped-calls

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpro_plugin.errors import NumProError
from numpro_plugin.families import FAMILIES
from numpro_plugin.longva.checkpoint import ORIGINAL_MODEL_TYPE, config_from_original, find_tower
from numpro_plugin.weights.folder import first_line, read_config

_QWEN2_7B: dict[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}
_CLIP_L_336: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
_M_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}}
_LONGVA: dict[str, Any] = {
    "model_type": "longva",
    "text_config": {"model_type": "qwen2", **_QWEN2_7B},
    "vision_config": _CLIP_L_336,
}
_QWEN2_VL: dict[str, Any] = {
    "model_type": "qwen2_vl",
    "text_config": {**_QWEN2_7B, **_M_ROPE},
    "vision_config": {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "hidden_size": 3584},
}
_QWEN2_5_VL: dict[str, Any] = {
    "model_type": "qwen2_5_vl",
    "text_config": {**_QWEN2_7B, **_M_ROPE},
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "tokens_per_second": 2,
    },
}

KNOWN: dict[str, dict[str, Any]] = {
    "lmms-lab/LongVA-7B": _LONGVA,
    "lmms-lab/LongVA-7B-DPO": _LONGVA,
    "Qwen/Qwen2-VL-7B": _QWEN2_VL,
    "Qwen/Qwen2-VL-7B-Instruct": _QWEN2_VL,
    "Qwen/Qwen2.5-VL-7B-Instruct": _QWEN2_5_VL,
}
"""The entries of ``config.json`` on which memory depends, by hub id, so that a plan needs no download."""


def model_config(model: str) -> Any:
    """The configuration of a folder or hub id, without its weights.

    Raises:
        NumProError: there is no such model, or its type is not supported.
    """
    folder = Path(model).expanduser()
    if not folder.exists() and model in KNOWN:
        return _config_of(KNOWN[model])
    if not folder.exists():
        folder = _config_from_hub(model)
    values = read_config(folder)
    if values.get("model_type") == ORIGINAL_MODEL_TYPE:
        tower = find_tower(values.get("mm_vision_tower"), folder)
        if tower is None and "clip-vit-large-patch14-336" in str(values.get("mm_vision_tower")):
            text = {key: values[key] for key in _QWEN2_7B if key in values}
            return _config_of({**_LONGVA, "text_config": {**_LONGVA["text_config"], **text}})
        return config_from_original(values, folder, tower, video_token_id=values["vocab_size"])
    return _config_of(values)


def _config_of(values: dict[str, Any]) -> Any:
    """The configuration object of the values of a ``config.json``."""
    from transformers import AutoConfig

    from numpro_plugin.longva import LongVAConfig

    values = dict(values)
    kind = values.pop("model_type", None)
    supported = [name for family in FAMILIES for name in family.model_types]
    if kind not in supported:
        raise NumProError(f"model type {kind!r} is not supported; supported: {', '.join(supported)}")
    return LongVAConfig(**values) if kind == "longva" else AutoConfig.for_model(kind, **values)


def _config_from_hub(model: str) -> Path:
    if model.count("/") != 1:
        raise NumProError(f"model={model!r} is neither a folder nor a hub id; known without a download: {', '.join(KNOWN)}")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model, "config.json")).parent
    except Exception as error:  # the hub's client raises a dozen kinds: no network, no such repository, no permission
        raise NumProError(
            f"model={model} is not a folder, and its config.json cannot be downloaded from the hub ({first_line(error)}); known without "
            f"a download: {', '.join(KNOWN)}"
        ) from error
