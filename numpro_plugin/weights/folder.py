"""A model's or an adapter's folder, or a hub id: where it is, and its ``config.json``."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNREADABLE = (OSError, RuntimeError, ValueError, ImportError, AttributeError, SafetensorError, pickle.UnpicklingError, EOFError)
"""What reading weight files may raise."""


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a model folder.

    Raises:
        NumProError: there is none, or it is not a JSON object.
    """
    file = folder / "config.json"
    if not file.is_file():
        what = "a file" if folder.is_file() else "a folder without config.json" if folder.is_dir() else "no such folder"
        raise NumProError(f"{folder} is not a model: {what}. Pass a folder with config.json and weights, or a hub id")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise NumProError(f"{file} is not JSON ({error}): was the download cut off? Copy it again") from None
    if not isinstance(config, dict):
        raise NumProError(f"{file} holds a {type(config).__name__} instead of an object")
    return config


def local_folder(name: str | Path) -> Path:
    """The folder itself, or the downloaded (or cached) files of a hub id such as ``lmms-lab/LongVA-7B-DPO``."""
    place = Path(name).expanduser()
    if place.exists() or isinstance(name, Path) or name.startswith((".", "/", "~")) or name.count("/") != 1:
        return place
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.bin", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises a dozen kinds: no network, no such repository, no permission
        raise NumProError(f"{name} is not a folder here and cannot be downloaded from the hub: {first_line(error)}") from error


def some(names: Iterable[object], count: int = 4) -> str:
    """The first few names, sorted, and the number of the others: for errors."""
    names = sorted(map(str, names))
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def first_line(error: Exception) -> str:
    """An exception's message without its lower lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
