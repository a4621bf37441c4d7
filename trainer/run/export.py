"""What training leaves behind: the adapter's record and model card, and a full checkpoint merged from base and adapter."""

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
from numpro_plugin.weights.record import RECORD, read_record

if TYPE_CHECKING:
    from ..recipe.record import Recipe
    from ..shards.index import ShardIndex

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "deepspeed", "datasets")


def training_record(recipe: Recipe, index: ShardIndex, *, processes: int, deepspeed: str = "none") -> dict[str, Any]:
    """What is stored with the weights: settings, recipe, data, how it runs (``deepspeed``: see ``deepspeed_used``), versions."""
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
    """The record and, made from it, the model card."""
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(record), encoding="utf-8")


def model_card(record: dict[str, Any]) -> str:
    """The card of an adapter or fully tuned model, in Markdown with the hub's header."""
    import yaml

    settings, data, recipe = record["settings"], record["data"], record["recipe"]
    lora = record["tuning"] == "lora"
    header = {"base_model": record["base"], "library_name": "peft" if lora else "transformers", "tags": ["numpro", "temporal-grounding"]}
    style = settings["style"]
    drawn = (
        f"drawn in {style['color']}, {style['position'].replace('_', ' ')}, size {style['font_size']:g} for a frame 336 pixels high"
        if settings["numbers"]
        else "not drawn (the ablation without numbers)"
    )
    how = f"pretrained={record['base']},adapter=THIS_FOLDER" if lora else "pretrained=THIS_FOLDER"
    unreadable = data["unreadable"]
    lines = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n",
        f"# NumPro-FT of {record['base']}\n",
        f"{'LoRA and the trained projector' if lora else 'All parameters tuned'}, for videos whose frames carry their numbers.\n",
        "## Use it as it was trained\n",
        f"- {settings['fps']:g} frames a second, {settings['frame_size'][0]} x {settings['frame_size'][1]} pixels, at most "
        f"{settings['max_frames']} frames",
        f"- numbers {drawn}",
        f"- `lmms-eval --model numpro_hf --model_args {how} --tasks numpro_charades` with `NUMPRO_PROMPT=ft`\n",
        "## Data\n",
        f"{data['samples']} conversations about {data['videos']} videos, from {len(data['files'])} files: {', '.join(data['files'][:20])}"
        + (" ..." if len(data["files"]) > 20 else "")
        + f". {len(unreadable)} could not be used"
        + (f": {'; '.join(f'{k} ({v})' for k, v in list(unreadable.items())[:20])}.\n" if unreadable else ".\n"),
        f"## Recipe\n\n{record['processes']} process(es).\n",
        f"```yaml\n{yaml.safe_dump(recipe, sort_keys=False)}```\n",
        "## Versions\n",
        ", ".join(f"{name} {number}" for name, number in record["versions"].items()) + "\n",
    ]
    return "\n".join(lines)


def merge(base: str | Path, adapter: str | Path, out: str | Path) -> Path:
    """Base model + adapter -> a full checkpoint in ``out`` that ``load_model`` opens like any other.

    ``adapter``: of this project or of NumPro's own code. What it was trained with goes with it.

    Raises:
        NumProError: ``out`` is there already, or the adapter does not fit the base.
    """
    from numpro_plugin.families import load_model

    place = Path(out)
    if place.exists():
        raise NumProError(f"{place} is there already: choose another folder")
    record = read_record(adapter)
    loaded = load_model(base, adapter, merge=True)
    with folder_written_whole(place) as part:
        loaded.model.save_pretrained(part)
        loaded.processor.save_pretrained(part)
        if record is not None:
            write_record(part, {**record, "tuning": "merged"})
    return place
