"""``status.json`` in an output folder: whether its run is running, stopped, finished or failed. Made for scripts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal

from numpro_plugin.files import write_text_whole

if TYPE_CHECKING:
    from pathlib import Path

STATUS = "status.json"

State = Literal["running", "stopped", "finished", "failed"]


def write_status(folder: Path, state: State, **details: Any) -> None:
    """Write the state of the run. ``details``: JSON values, such as ``step``, ``max_steps``, ``checkpoint``, ``reason``."""
    values = {"state": state, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **details}
    write_text_whole(folder / STATUS, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def read_status(folder: Path) -> dict[str, Any] | None:
    """The content of ``status.json``; None if there is none."""
    file = folder / STATUS
    if not file.is_file():
        return None
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values
