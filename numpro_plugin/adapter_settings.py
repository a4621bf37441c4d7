"""What an adapter was trained on, kept beside its weights: an adapter is evaluated on the kind of frames that it knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SETTINGS_FILE = "numpro.json"
"""In an adapter's folder: ``{"settings": NumProSettings.to_dict(), ...}``."""


def write_adapter_settings(folder: Path, settings: NumProSettings, **more: Any) -> None:
    """Put the settings, and whatever plain values belong to them, beside an adapter's weights."""
    said: Mapping[str, Any] = {"settings": settings.to_dict(), **more}
    (folder / SETTINGS_FILE).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def numpro_settings_of(folder: Path) -> NumProSettings | None:
    """The settings that an adapter was trained with; None if it says nothing, as the reference's adapters do.

    Raises:
        NumProError: the file is there but cannot be read.
    """
    file = folder / SETTINGS_FILE
    if not file.is_file():
        return None
    try:
        return NumProSettings.from_dict(json.loads(file.read_text(encoding="utf-8"))["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise NumProError(f"{file} cannot be read ({error}): copy it from where the adapter was trained") from error
