"""An adapter's ``adapter_config.json``, of whatever family."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.files import hash_of, sha256_of
from numpro_plugin.weights.record import RECORD, read_record

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "adapter_config.json"
"""The file by which a folder is known as an adapter."""

WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin", "non_lora_trainables.bin")
"""The files with an adapter's weights, as far as it has them."""


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration.

    Raises:
        NumProError: the folder holds no adapter, or one of another kind than LoRA.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise NumProError(f"{folder} is not an adapter: it has no {CONFIG}. Pass the folder that training wrote")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise NumProError(f"{file} is not JSON ({error}): copy it again from where the adapter was trained") from None
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise NumProError(f"{file}: peft_type={kind!r} is not supported; NumPro-FT adapters are 'LORA'")
    return dict(config)


def check_base_model(folder: Path, model: object) -> None:
    """An adapter that records what kind of model it was trained on fits no other: names and shapes alone may match by chance.

    Raises:
        NumProError: it was trained on another kind of model.
    """
    trained_on = (read_adapter_config(folder).get("auto_mapping") or {}).get("base_model_class")
    if trained_on not in (None, type(model).__name__, "LlavaQwenForCausalLM"):
        raise NumProError(f"the adapter {folder} was trained on a {trained_on}, but the model here is a {type(model).__name__}")


def adapter_identities(folder: Path) -> set[str]:
    """What identifies the training in an adapter: its weights, the run that wrote it, and the adapters from which that run started."""
    record = read_record(folder) or {}
    files = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    weights = {f"weights {hash_of(*map(sha256_of, files), length=32)}"} if files else set()
    return weights | ({f"run {record['run']}"} if record.get("run") else set()) | set(record.get("contains") or ())


def refuse_second_time(model: Path, adapter: Path) -> None:
    """Check that an adapter was not merged into a model before, by the model's record.

    Raises:
        NumProError: it was; applied a second time, its changes would count twice.
    """
    contained = set((read_record(model) or {}).get("contains") or ())
    if contained and contained & adapter_identities(adapter):
        raise NumProError(
            f"{model} already contains the adapter {adapter}, by its record ({RECORD}): use this model without the adapter, or the "
            "adapter with its base model"
        )


def refuse_adapter(folder: Path) -> None:
    """An adapter given as a model is an error."""
    if (folder / CONFIG).is_file():
        raise NumProError(f"{folder} is an adapter, not a model: pass it as adapter=... together with the model it was trained on")
