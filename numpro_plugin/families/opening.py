"""Opening a checkpoint whose classes transformers finds by itself, with an adapter on it if one is given."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.weights.adapter import check_base_model
from numpro_plugin.weights.folder import UNREADABLE, first_line, some

if TYPE_CHECKING:
    from pathlib import Path


def checkpoint_config(folder: Path) -> Any:
    """The configuration of a checkpoint. Raises NumProError if it cannot be read."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder)
    except (*UNREADABLE, KeyError, TypeError) as error:
        raise NumProError(f"{folder} cannot be loaded: {first_line(error)}") from error


def open_checkpoint(folder: Path, adapter: Path | None, *, merge: bool, trainable: bool, **options: Any) -> tuple[Any, Any]:
    """The model and its processor.

    Raises:
        NumProError: it cannot be loaded, weights are missing, or the adapter does not fit.
    """
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, **options)
        model, info = loaded
        processor = AutoProcessor.from_pretrained(folder)
    except (*UNREADABLE, KeyError, TypeError) as error:
        raise NumProError(f"{folder} cannot be loaded: {first_line(error)}") from error
    if info["missing_keys"]:
        raise NumProError(f"{folder}: weights are missing: {some(info['missing_keys'])}. Is every shard of the checkpoint there?")
    if adapter is not None:
        check_base_model(adapter, model)
        try:
            model = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
        except (*UNREADABLE, KeyError, TypeError) as error:
            raise NumProError(f"the adapter {adapter} does not fit {folder}: {first_line(error)}") from error
        model = model.merge_and_unload() if merge else model
    return model.eval(), processor
