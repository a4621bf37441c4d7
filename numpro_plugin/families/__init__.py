"""What differs between families of video LLMs: frame size, encoding, positions, labels, sizes, and which modules LoRA adapts.

The harness's model classes and the trainer both use this package, so that what is trained is what is evaluated::

    loaded = load_model("Qwen/Qwen2-VL-7B-Instruct", dtype="bfloat16")
    family = loaded.family
    frames = sample_frames("video.mp4", frame_size=family.frame_size)
    draw_numbers(frames.pixels, frames.numbers)
    video = family.prepare(frames, loaded.processor)                      # once per video
    samples = [family.encode(video, question, loaded.processor) for question in questions]
    loaded.model.generate(**family.batch(samples, loaded.processor), max_new_tokens=64)
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.errors import NumProError
from numpro_plugin.families.base import IGNORED, Family, PreparedVideo, Sample, base_model_of
from numpro_plugin.families.llava_next_video import LlavaNextVideo
from numpro_plugin.families.llava_onevision import LlavaOnevision
from numpro_plugin.families.longva import LongVA
from numpro_plugin.families.qwen import Qwen2VL, Qwen3VL, Qwen25VL
from numpro_plugin.families.written import check_blocks
from numpro_plugin.weights.adapter import refuse_adapter, refuse_second_time
from numpro_plugin.weights.folder import local_folder, read_config

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["FAMILIES", "IGNORED", "Family", "Loaded", "PreparedVideo", "Sample", "base_model_of", "family_at", "family_of", "load_model"]

FAMILIES: tuple[type[Family], ...] = (LongVA, Qwen2VL, Qwen25VL, Qwen3VL, LlavaOnevision, LlavaNextVideo)
"""All supported families."""


class Loaded(NamedTuple):
    """What ``load_model`` returns."""

    model: Any
    processor: Any
    family: Family


def family_of(config_or_model: Any) -> Family:
    """The family of a model (also with an adapter on it) or of its configuration.

    Raises:
        NumProError: the type of model is not supported; the message lists those that are.
    """
    config = getattr(config_or_model, "config", config_or_model)
    return _class_of(getattr(config, "model_type", None))(config)


def family_at(folder: str | Path) -> Family:
    """The family of a checkpoint (folder or hub id) by its configuration: what it takes is known before its weights are opened.

    Raises:
        NumProError: not a model, or a type that is not supported.
    """
    place = local_folder(folder)
    refuse_adapter(place)
    kind = _class_of(read_config(place).get("model_type"))
    return kind(kind.config_at(place))


def load_model(
    folder: str | Path,
    adapter: str | Path | None = None,
    *,
    dtype: str | torch.dtype = "auto",
    attn_implementation: str | None = None,
    device_map: Any = None,
    merge: bool = False,
    trainable: bool = False,
    blocks: str = "frame",
    **options: Any,
) -> Loaded:
    """Open a checkpoint of any family (folder or hub id), with an adapter on it if one is given; the options are ``load_longva``'s.

    Args:
        blocks: how many frames stand behind a text that is written before frames, ``frame`` or ``pair``; see ``Family.with_blocks``.

    Raises:
        NumProError: not a model, a type that is not supported, missing weights, an adapter that does not fit or was already merged;
            ``blocks`` that the family does not have.
    """
    place = local_folder(folder)
    refuse_adapter(place)
    kind = _class_of(read_config(place).get("model_type"))
    check_blocks(blocks, kind.model_types[0], shares_tokens=kind.shares_tokens)
    options |= {"dtype": _dtype(dtype), "attn_implementation": attn_implementation, "device_map": device_map}
    adapter_folder = None if adapter is None else local_folder(adapter)
    if adapter_folder is not None:
        refuse_second_time(place, adapter_folder)
    model, processor = kind.load(place, adapter_folder, merge=merge, trainable=trainable, **options)
    return Loaded(model, processor, family_of(model).with_blocks(blocks))


def _dtype(dtype: str | torch.dtype) -> str | torch.dtype:
    name = str(dtype).removeprefix("torch.")
    name = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32"}.get(name, name)
    if name not in ("auto", "bfloat16", "float16", "float32"):
        raise NumProError(f"dtype={dtype!r} is unknown; allowed: auto (the checkpoint's), bfloat16, float16, float32")
    return name


def _class_of(model_type: object) -> type[Family]:
    for kind in FAMILIES:
        if model_type in kind.model_types:
            return kind
    supported = ", ".join(name for kind in FAMILIES for name in kind.model_types)
    raise NumProError(
        f"model type {model_type!r} is not supported here; supported: {supported}. Any other model that lmms-eval knows can be wrapped: "
        "--model numpro --model_args base=..."
    )
