"""What an adapter was trained with: the record that training writes beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings

RECORD = "numpro.json"
"""Name of the record in an adapter's, a merged model's or a checkpoint's folder."""


def read_record(folder: str | Path) -> dict[str, Any] | None:
    """The training record (settings, recipe, data, versions); None for folders that this project did not write.

    ``folder``: a folder or hub id. ``settings`` is None where an adapter without a record was merged.

    Raises:
        NumProError: a record that cannot be read.
    """
    place = Path(folder)
    if not place.is_dir():
        from numpro_plugin.weights.folder import local_folder

        place = local_folder(folder)
    file = place / RECORD
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not isinstance(record.get("settings"), dict | None if record.get("contains") else dict):
            raise ValueError("it has no settings")
    except (ValueError, UnicodeDecodeError) as error:
        raise NumProError(f"{file} cannot be read ({error}): copy it again from where the adapter was trained") from None
    return record


def numpro_settings_of(folder: str | Path) -> NumProSettings | None:
    """The settings that the adapter (or merged model) in ``folder`` was trained with; None for the reference's adapters and others."""
    record = read_record(folder)
    return None if record is None or record["settings"] is None else NumProSettings.from_dict(record["settings"])
