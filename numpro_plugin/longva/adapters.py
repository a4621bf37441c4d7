"""NumPro-FT adapters for LongVA: folders of the reference, unchanged, and PEFT folders written for the new model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file

from numpro_plugin.errors import NumProError
from numpro_plugin.internals.of_peft import check_target_module_exists
from numpro_plugin.internals.of_transformers import source_of
from numpro_plugin.longva.checkpoint import new_name
from numpro_plugin.weights.adapter import check_base_model, read_adapter_config
from numpro_plugin.weights.folder import UNREADABLE, first_line, local_folder, some

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel

    from numpro_plugin.longva.modeling import LongVAForConditionalGeneration

PROJECTOR = "model.multi_modal_projector"
NON_LORA = "non_lora_trainables.bin"
"""The file in which the reference keeps the fully trained projector."""

_PREFIX = "base_model.model."
_LORA = re.compile(r"^(?P<module>.+?)\.lora_\w+(\..+)?$")


def load_adapter(
    model: LongVAForConditionalGeneration, folder: str | Path, *, merge: bool = False, trainable: bool = False
) -> LongVAForConditionalGeneration | PeftModel:
    """Put an adapter (a folder or hub id) on a LongVA model.

    Names of the original model (``model.layers...``, ``model.vision_tower.vision_tower.vision_model...``) become the new ones. A trained
    projector, from ``non_lora_trainables.bin`` or from PEFT's ``modules_to_save``, becomes PEFT's ``modules_to_save``, so that
    ``save_pretrained`` writes the whole adapter and ``disable_adapter`` switches all of it off. With ``merge`` the adapter is added to the
    weights and a plain LongVA model is returned; ``model`` itself is changed either way.

    Raises:
        NumProError: an adapter whose names, shapes or number of layers are not the model's.
    """
    place = local_folder(folder)
    settings = read_adapter_config(place)
    check_base_model(place, model)
    weights = _read_weights(place)
    lora = {name: tensor for name, tensor in weights.items() if _LORA.match(name)}
    full = {name: tensor for name, tensor in weights.items() if name not in lora}
    modules = sorted({_module_of(name) for name in lora})
    _check(model, place, settings, lora, full, modules)
    # The weights themselves say which modules are adapted: exact names instead of the suffixes and patterns of adapter_config.json.
    settings |= {
        "base_model_name_or_path": source_of(model.config),
        "target_modules": modules,
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "modules_to_save": [PROJECTOR.rpartition(".")[2]] if full else None,
        "inference_mode": not trainable,
        "task_type": None,  # PEFT's class for causal LMs does not forward pixels
    }
    for key in ("rank_pattern", "alpha_pattern"):
        settings[key] = {new_name(name): value for name, value in (settings.get(key) or {}).items()}
    known = set(LoraConfig.__dataclass_fields__)
    adapted: Any = get_peft_model(model, LoraConfig(**{key: value for key, value in settings.items() if key in known}))
    outcome: Any = set_peft_model_state_dict(adapted, {_PREFIX + name: tensor for name, tensor in weights.items()})
    lost = [name for name in outcome.missing_keys if ".lora_" in name or ".modules_to_save." in name]
    if lost or outcome.unexpected_keys:
        raise NumProError(f"{place}: PEFT did not take all weights; missing: {some(lost)}; unexpected: {some(outcome.unexpected_keys)}")
    adapted.train(model.training)
    return adapted.merge_and_unload() if merge else adapted


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the adapter by the new model's names (without PEFT's prefix)."""
    files = [file for name in ("adapter_model.safetensors", "adapter_model.bin") if (file := folder / name).is_file()][:1]
    if not files:
        raise NumProError(f"{folder}: adapter_model.safetensors (or .bin) is missing: was training stopped before it was written?")
    files += [file] if (file := folder / NON_LORA).is_file() else []
    weights: dict[str, torch.Tensor] = {}
    original = False
    for file in files:
        try:
            state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
            if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
                raise ValueError("it holds other things than tensors")
        except UNREADABLE as error:
            raise NumProError(f"{file} cannot be read as a file of tensors: {first_line(error)}") from error
        for name, tensor in state.items():
            bare = name.removeprefix(_PREFIX)
            renamed = new_name(bare)
            original = original or renamed != bare
            weights[renamed] = tensor
    # The reference always writes both files. Without the second the projector would silently stay the base model's.
    if original and not any(name.startswith(PROJECTOR) for name in weights) and not (folder / NON_LORA).is_file():
        raise NumProError(
            f"{folder}: {NON_LORA} (the trained projector) is missing beside {files[0].name}: copy it from where it was trained"
        )
    return weights


def _module_of(name: str) -> str:
    found = _LORA.match(name)
    assert found is not None
    return found["module"]


def _check(
    model: LongVAForConditionalGeneration,
    folder: Path,
    settings: dict[str, Any],
    lora: dict[str, torch.Tensor],
    full: dict[str, torch.Tensor],
    modules: list[str],
) -> None:
    """Check names, shapes and number of layers against the model."""
    base = source_of(model.config) or "the model"
    other = f"; it was trained on {settings.get('base_model_name_or_path')!r}, the model here is {base}"
    linear = {name: module for name, module in model.named_modules() if isinstance(getattr(module, "weight", None), torch.Tensor)}
    parameters = dict(model.named_parameters())
    if absent := [name for name in modules if name not in linear]:
        raise NumProError(f"{folder}: the adapter is for a model with {some(absent)}, which the model here lacks{other}")
    for name, tensor in lora.items():
        rows, columns = linear[_module_of(name)].weight.shape  # (out, in)
        if (".lora_A" in name and tensor.shape[1] != columns) or (".lora_B" in name and tensor.shape[0] != rows):
            raise NumProError(f"{folder}: {name} is {tuple(tensor.shape)}, but the model's weight there is {rows} x {columns}{other}")
    for name, tensor in full.items():
        if not name.startswith(PROJECTOR + ".") or name not in parameters:
            raise NumProError(f"{folder}: {name} is neither LoRA nor the projector: this is not a NumPro-FT adapter for LongVA")
        if tensor.shape != parameters[name].shape:
            raise NumProError(f"{folder}: {name} is {tuple(tensor.shape)}, the model's {tuple(parameters[name].shape)}{other}")
    if full and (lacking := [name for name in parameters if name.startswith(PROJECTOR) and name not in full]):
        raise NumProError(f"{folder}: the projector is incomplete; missing: {some(lacking)}")
    if settings.get("layers_to_transform") is not None or not settings.get("target_modules"):
        return
    # An adapter for a model with fewer layers fits by name and shape. But its own rule then matches modules that it has no weights
    # for; if the rule is a list of exact names, the adapter has weights for the first layers only.
    depth = model.config.text_config.num_hidden_layers
    layers = {int(name.split(".")[3]) for name in modules if name.startswith("model.language_model.layers.")}
    if layers and layers == set(range(len(layers))) and len(layers) < depth:
        raise NumProError(f"{folder}: the adapter is for a model with {len(layers)} layers, fewer than the {depth} here{other}")
    rule = LoraConfig(target_modules=settings["target_modules"], exclude_modules=settings.get("exclude_modules"))
    for part in ("model.language_model.layers.", "model.vision_tower."):
        if any(name.startswith(part) for name in modules):
            wanted = [name for name in linear if name.startswith(part) and check_target_module_exists(rule, name)]
            if lacking := [name for name in wanted if name not in lora and name not in modules]:
                raise NumProError(f"{folder}: the adapter has no weights for {some(lacking)}: it is incomplete or for another model{other}")
