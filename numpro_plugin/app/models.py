"""The models that the page offers, loaded and with the settings that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError
from numpro_plugin.printable import printable
from numpro_plugin.weights.folder import read_config

if TYPE_CHECKING:
    from numpro_plugin.families import Loaded
    from numpro_plugin.settings import NumProSettings

DEMO_NAME = "tiny model (demo)"


@dataclass(frozen=True)
class AppModel:
    """A loaded model."""

    name: str
    """As the page shows it."""
    loaded: Loaded
    settings: NumProSettings
    """How frames are sampled and numbered for it."""


def check_folders(folders: list[str], adapter: str | None) -> None:
    """Raise NumProError, before anything slow starts, if a folder is no model. What may be the id of a hub is not looked up yet."""
    for folder in [*folders, *([adapter] if adapter else [])]:
        if not folder.strip():
            raise NumProError("--model and --adapter need a folder or hub id, got an empty name")
    if repeated := [folder for k, folder in enumerate(folders) if folder in folders[:k]]:
        raise NumProError(f"--model {repeated[0]} is given twice")
    for folder in folders:
        place = Path(folder).expanduser()
        if place.exists() or not _may_be_hub_id(folder):
            read_config(place)
    if adapter and not Path(adapter).expanduser().is_dir() and not _may_be_hub_id(adapter):
        raise NumProError(f"--adapter {adapter}: no such folder; give an adapter's folder or hub id")


def _may_be_hub_id(name: str) -> bool:
    return not name.startswith((".", "/", "~")) and name.count("/") == 1


def load_models(
    folders: list[str],
    adapter: str | None = None,
    *,
    demo: bool = False,
    fps: float | None = None,
    max_frames: int | None = None,
    dtype: str = "auto",
    device: str | None = None,
) -> list[AppModel]:
    """Load the models.

    Args:
        folders: folders or hub ids.
        adapter: folder or hub id of an adapter on the only model.
        demo: offer the included tiny model too.
        fps: numbers per second; None: the model's own, else 0.5.
        max_frames: most frames of a video; None: the model's own, else 240.
        dtype: auto, bfloat16, float16 or float32.
        device: see ``device_map``.

    Raises:
        NumProError: see ``load_model`` and ``settings_for``.
    """
    from transformers.utils import logging as transformers_logging

    from numpro_plugin.families import family_at, load_model
    from numpro_plugin.inference.device import device_map
    from numpro_plugin.inference.localize import settings_for

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place = device_map(device)
    models = [_demo_model()] if demo else []
    for folder in folders:
        settings = settings_for(family_at(folder), folder, adapter, fps=fps, max_frames=max_frames)
        loaded = load_model(folder, adapter, dtype=dtype, device_map=place, merge=adapter is not None)
        name = folder if adapter is None else f"{folder} + {adapter}"
        models.append(AppModel(printable(name), loaded, settings))
    return models


def _demo_model() -> AppModel:
    from numpro_plugin.demo.world import SETTINGS, tiny_model_folder
    from numpro_plugin.families import load_model

    return AppModel(DEMO_NAME, load_model(tiny_model_folder(), dtype="float32"), SETTINGS)
