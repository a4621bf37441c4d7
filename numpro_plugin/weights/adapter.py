"""An adapter's ``adapter_config.json``, of whatever family."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "adapter_config.json"
"""The file by which a folder is known as an adapter."""


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


def refuse_adapter(folder: Path) -> None:
    """An adapter given as a model is an error."""
    if (folder / CONFIG).is_file():
        raise NumProError(f"{folder} is an adapter, not a model: pass it as adapter=... together with the model it was trained on")
