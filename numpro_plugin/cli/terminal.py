"""What commands write: text that cannot steer the terminal, and JSON to a file or to standard output."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import os

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

JSON_HELP: dict[str, Any] = {"metavar": "FILE", "help": "write the figures, unrounded; - prints them and nothing else"}


def printable(text: str) -> str:
    """The text with control characters, turns of writing direction and lone surrogates as escapes; line breaks and tabs stay.

    Queries, paths and answers come from files of strangers: an escape code among them must not reach the terminal.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def say(text: str = "") -> None:
    """Print a text of whatever origin, also where the terminal's encoding lacks some of its characters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding))


def shortened(text: str, used: int) -> str:
    """The text on one line, cut to what the terminal (or $COLUMNS) leaves after ``used`` columns, 20 at least."""
    line = " ".join(printable(text).split())
    room = max(20, shutil.get_terminal_size((120, 24)).columns - used)
    return line if len(line) <= room else line[: room - 3] + "..."


def check_json_target(target: str | os.PathLike[str] | None) -> None:
    """Raise NumProError now, and not after the work, if ``--json`` names a place that cannot be written."""
    if target is None or str(target) == "-":
        return
    folder = Path(target).resolve().parent
    if not folder.is_dir():
        raise NumProError(f"--json {target}: the folder {folder} does not exist; create it or name another, - prints the JSON")
    if Path(target).is_dir():
        raise NumProError(f"--json {target}: is a folder; name a file in it, - prints the JSON")


def finish(text: str, target: str | os.PathLike[str] | None, content: Any) -> None:
    """Print the text and write the JSON if it was asked for; with ``-`` print the JSON alone."""
    written = json.dumps(content, indent=1)
    if target is not None and str(target) == "-":
        print(written)
        return
    say(text)
    if target is not None:
        Path(target).write_text(written + "\n", encoding="utf-8")
        say(f"\nwritten: {target}")
