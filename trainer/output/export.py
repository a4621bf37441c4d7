"""The files of a training result: the record, the model card, and a full checkpoint merged from base model and adapter."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.errors import NumProError
from numpro_plugin.files import folder_written_whole
from numpro_plugin.weights.adapter import adapter_identities
from numpro_plugin.weights.folder import local_folder
from numpro_plugin.weights.record import RECORD, read_record

from .model_card import model_card

if TYPE_CHECKING:
    from ..recipe.record import Recipe
    from ..shards.index import ShardIndex

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "deepspeed", "datasets")


def training_record(recipe: Recipe, index: ShardIndex, *, processes: int, deepspeed: str = "none") -> dict[str, Any]:
    """The record that is stored with the weights: settings, recipe, data, number of processes, versions.

    ``deepspeed``: a value of ``deepspeed_used``.
    """
    return {
        "settings": recipe.numpro.to_dict(),
        "base": recipe.model,
        "tuning": recipe.tuning,
        "data": {
            "files": [os.path.basename(file) for file in index.files],
            "videos": len(index.conversations),
            "samples": index.samples,
            "fingerprint": index.fingerprint,
            "unreadable": {},
            "unreadable_in_epoch": 0,
        },
        "processes": processes,
        "deepspeed": deepspeed,
        "recipe": recipe.to_dict(),
        "versions": {"numpro-plugin": __version__, "python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record and, if it has settings, the model card made from it."""
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if record["settings"] is not None:
        model_card(record).save(folder / "README.md")


def merge(base: str | Path, adapter: str | Path, out: str | Path) -> Path:
    """Merge an adapter into its base model and write a full checkpoint to ``out``, which ``load_model`` opens like any other.

    ``adapter``: from this project or the paper's code. Its record, if it has one, is copied. The checkpoint's record also says which
    adapters it contains.

    Raises:
        NumProError: ``out`` exists, or the adapter does not fit the base model, or was already merged into it.
    """
    from numpro_plugin.families import load_model

    folder = Path(out)
    if folder.exists():
        raise NumProError(f"{folder} already exists: choose another folder")
    adapter_folder = local_folder(adapter)
    record = read_record(adapter_folder) or {"settings": None, "base": str(base), "versions": {"numpro-plugin": __version__, **_versions()}}
    loaded = load_model(base, adapter_folder, merge=True)
    contains = adapter_identities(adapter_folder) | set((read_record(local_folder(base)) or {}).get("contains") or ())
    with folder_written_whole(folder) as part:
        loaded.model.save_pretrained(part)
        loaded.processor.save_pretrained(part)
        write_record(part, {**record, "tuning": "merged", "contains": sorted(contains)})
    return folder
