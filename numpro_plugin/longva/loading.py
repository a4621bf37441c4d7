"""Open LongVA from a folder or hub id: the original release, or a checkpoint saved by ``save_pretrained``."""

# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer, CLIPImageProcessor, CLIPVisionModel
from transformers.utils import logging as transformers_logging

from numpro_plugin.errors import NumProError
from numpro_plugin.internals.of_transformers import forget_renamed_weights
from numpro_plugin.longva.adapters import load_adapter
from numpro_plugin.longva.checkpoint import KEY_MAPPING, ORIGINAL_MODEL_TYPE, TOWER, config_from_original, find_tower
from numpro_plugin.longva.configuration import LongVAConfig
from numpro_plugin.longva.modeling import LongVAForConditionalGeneration
from numpro_plugin.longva.processing import LongVAProcessor
from numpro_plugin.weights.adapter import refuse_adapter, refuse_second_time
from numpro_plugin.weights.folder import UNREADABLE, first_line, local_folder, read_config, some

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch
    from peft import PeftModel


def load_longva(
    folder: str | Path,
    adapter: str | Path | None = None,
    *,
    dtype: str | torch.dtype = "auto",
    attn_implementation: str | None = None,
    device_map: Any = None,
    merge: bool = False,
    trainable: bool = False,
    **options: Any,
) -> tuple[LongVAForConditionalGeneration | PeftModel, LongVAProcessor]:
    """The model (in eval mode) and its processor.

    ``folder``: a folder or hub id. An original checkpoint (``model_type: llava_qwen``) is opened directly; its vision tower comes from
    the checkpoint or, if it holds none, from the folder that ``mm_vision_tower`` names. ``adapter``: a NumPro-FT adapter folder of the
    reference or of this project; with ``merge`` its weights are added to the model's, else a ``PeftModel`` is returned, whose adapter
    weights require gradients if ``trainable``. ``dtype``: "auto" (the checkpoint's), "bfloat16", "float16", "float32" or a torch dtype.
    ``attn_implementation``: "sdpa", "eager", "flash_attention_2", ...; None lets transformers choose. ``device_map`` and ``options`` go
    to ``from_pretrained``. Weights that are missing, unexpected or of another shape are an error that names them.
    """
    place = local_folder(folder)
    refuse_adapter(place)
    if adapter is not None:
        refuse_second_time(place, local_folder(adapter))
    config = read_config(place)
    load = {"dtype": dtype, "attn_implementation": attn_implementation, "device_map": device_map, **options}
    if config.get("model_type") == LongVAConfig.model_type:
        model, missing = _load_weights(place, load)
        processor = _load_part(LongVAProcessor, place)
    elif config.get("model_type") == ORIGINAL_MODEL_TYPE:
        model, missing, processor = _load_original(place, config, load)
    else:
        raise NumProError(
            f"{place} holds a model of type {config.get('model_type')!r}, not LongVA: the type must be "
            f"{ORIGINAL_MODEL_TYPE!r} (an original checkpoint) or {LongVAConfig.model_type!r} (saved by this project)"
        )
    if missing:
        raise NumProError(f"{place}: weights are missing: {some(missing)}. Is every shard of the checkpoint there?")
    if adapter is None:
        return model, processor
    return load_adapter(model, adapter, merge=merge, trainable=trainable), processor


def _load_original(
    folder: Path, original: dict[str, Any], load: dict[str, Any]
) -> tuple[LongVAForConditionalGeneration, set[str], LongVAProcessor]:
    tower = find_tower(original.get("mm_vision_tower"), folder)
    tokenizer = _load_part(AutoTokenizer, folder)
    config = config_from_original(original, folder, tower, video_token_id=len(tokenizer))
    model, missing = _load_weights(folder, load, config=config, key_mapping=KEY_MAPPING)
    forget_renamed_weights(model)  # else saving would write the original names beside a new config.json
    in_tower = {name for name, _ in model.named_parameters() if name.startswith(TOWER)}
    if tower and in_tower <= missing:
        _load_tower(model, tower)
        missing -= in_tower
    side: Any = config.vision_config.image_size
    images = (
        CLIPImageProcessor.from_pretrained(tower)
        if tower and (tower / "preprocessor_config.json").is_file()
        else CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    )
    processor = LongVAProcessor(images, tokenizer, video_token_id=config.video_token_index, tokens_per_frame=config.tokens_per_frame)
    return model, missing, processor


def _load_part(kind: Any, folder: Path) -> Any:
    """A tokenizer or processor from its files."""
    try:
        with _quiet():
            return kind.from_pretrained(folder)
    except (*UNREADABLE, KeyError, TypeError) as error:
        what = "tokenizer" if kind is AutoTokenizer else "processor"
        raise NumProError(
            f"{folder}: the {what} cannot be read ({first_line(error)}): copy its files from the source of the weights"
        ) from error


def _load_weights(folder: Path, load: dict[str, Any], **original: Any) -> tuple[LongVAForConditionalGeneration, set[str]]:
    """The model, and the names of weights that are missing in the folder."""
    try:
        with _quiet():
            loaded: Any = LongVAForConditionalGeneration.from_pretrained(
                folder, output_loading_info=True, ignore_mismatched_sizes=True, **original, **load
            )
    except UNREADABLE as error:
        raise NumProError(f"{folder} cannot be loaded: {first_line(error)}") from error
    model, info = loaded
    if info["mismatched_keys"]:
        shapes = [f"{name}: {tuple(there)} in the files, {tuple(wanted)} by config.json" for name, there, wanted in info["mismatched_keys"]]
        raise NumProError(f"{folder}: weights do not fit config.json: {some(shapes)}")
    if info["unexpected_keys"]:
        raise NumProError(f"{folder}: LongVA does not have these weights: {some(info['unexpected_keys'])}. Is this another model?")
    return model, set(info["missing_keys"])


def _load_tower(model: LongVAForConditionalGeneration, folder: Path) -> None:
    """Fill the vision tower from a CLIP folder (its text half is skipped)."""
    config = read_config(folder)
    if config.get("model_type") not in ("clip", "clip_vision_model"):
        raise NumProError(f"{folder} holds a {config.get('model_type')!r} model; LongVA's vision tower must be a CLIP model")
    try:
        with _quiet():
            loaded: Any = CLIPVisionModel.from_pretrained(folder, output_loading_info=True, dtype="auto")
    except UNREADABLE as error:
        raise NumProError(f"the vision tower {folder} cannot be loaded: {first_line(error)}") from error
    tower, info = loaded
    if info["missing_keys"]:
        raise NumProError(f"the vision tower {folder} lacks weights: {some(info['missing_keys'])}")
    model.model.vision_tower.load_state_dict(tower.state_dict())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' own table of missing and unexpected weights, which are errors or handled here.

    It also warns of the original ``config.json`` when it reads the tokenizer: of the model type, and of how old releases wrote rope.
    """
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(before)
