"""What commands write: text that cannot steer the terminal, and JSON to a file or to standard output."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from numpro_plugin.encoding import PRESETS
from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, write_text_whole
from numpro_plugin.printable import printable

JSON_HELP: dict[str, Any] = {"metavar": "FILE", "help": "write the figures, unrounded; - prints them and nothing else"}
ENCODING_HELP = f"how time is shown and asked for: {', '.join(PRESETS)}, or fields such as drawn=seconds,answer=seconds (default: number)"


def say(text: str = "") -> None:
    """Print a text of whatever origin, also where the terminal's encoding lacks some of its characters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding))


def shortened(text: str, used: int) -> str:
    """The text on one line, cut to what the terminal (or $COLUMNS) leaves after ``used`` columns, 20 at least."""
    line = " ".join(printable(text).split())
    room = max(20, shutil.get_terminal_size((120, 24)).columns - used)
    return line if len(line) <= room else line[: room - 3] + "..."


def path_or_place(text: str) -> Path | str:
    """An argument that is a path of this machine, or a place on the hub, whose slashes a path would lose."""
    return text if text.startswith("hf:") else Path(text)


def check_json_target(target: str | os.PathLike[str] | None) -> None:
    """Raise NumProError now, and not after the work, if ``--json`` names a place that cannot be written."""
    if target is None or str(target) == "-":
        return
    folder = Path(target).resolve().parent
    if not folder.is_dir():
        raise NumProError(f"--json {target}: the folder {folder} does not exist; create it or name another, - prints the JSON")
    if Path(target).is_dir():
        raise NumProError(f"--json {target}: is a folder; name a file in it, - prints the JSON")
    if not Path(target).exists() and not os.access(folder, os.W_OK):
        raise NumProError(f"--json {target}: the folder {folder} cannot be written to; name another, - prints the JSON")


def check_new_file(path: Path, force: bool, name: str = "") -> None:
    """Raise NumProError now, and not after the work, if a file cannot be written, or exists and ``force`` was not given.

    ``name`` is the flag that named the file.
    """
    check_target(path)
    if path.exists() and not force:
        raise NumProError(f"{name} {path}".strip() + " exists; choose another name or give --force")


def finish(text: str, target: str | os.PathLike[str] | None, content: Any) -> None:
    """Print the text and write the JSON if it was asked for; with ``-`` print the JSON alone."""
    if target is None or str(target) != "-":
        say(text)
    write_json(target, content)


def write_json(target: str | os.PathLike[str] | None, content: Any) -> None:
    """Write what ``--json`` asks for, whole or not at all: nothing without a target, to standard output with ``-``."""
    if target is None:
        return
    written = json.dumps(_finite(content), indent=1, allow_nan=False)
    if str(target) == "-":
        print(written)
        return
    if Path(target).exists() and not Path(target).is_file():  # a pipe of the shell's, `--json >(jq .)`, or a device
        Path(target).write_text(written + "\n", encoding="utf-8")
    else:
        write_text_whole(target, written + "\n")
    say(f"\nwritten: {target}")


def _finite(content: Any) -> Any:
    """The content with null for what is no number: JSON has no word for it, and most programs refuse the one that Python writes."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
