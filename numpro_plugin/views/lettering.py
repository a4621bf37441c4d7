"""Text on pictures in any script: the font that comes along, and for what it lacks a font of the system."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import ImageDraw

_FALLBACKS = (
    "notosanscjk",
    "notosansjp",
    "notosanssc",
    "sourcehansans",
    "wqy",
    "droidsansfallback",
    "ipag",
    "takao",
    "unifont",
    "arialuni",
)
"""Beginnings of the file names of fonts that hold Chinese, Japanese and Korean, in lower case and without - and _."""

_MISSING = "\uffff"  # a character that no font has: what a font draws for it is its sign for a missing one


class Lettering:
    """Draws text of one size. Characters that no font on this machine has become ``?`` and not boxes."""

    def __init__(self, size: int) -> None:
        self.size = size
        paths = [Path(str(files("numpro_plugin") / "data" / "DejaVuSans-Bold.ttf")), *_system_fonts()]
        self._fonts = [ImageFont.truetype(str(path), size) for path in paths]
        self._of: dict[str, int | None] = {}

    def width(self, text: str) -> float:
        """Of a line of text, in pixels."""
        return sum(font.getlength(piece) for piece, font in self._runs(text))

    def draw(self, on: ImageDraw.ImageDraw, x: float, y: float, text: str, fill: str) -> None:
        """Draw a line of text, its upper left corner at (x, y)."""
        for piece, font in self._runs(text):
            on.text((x, y), piece, font=font, fill=fill)
            x += font.getlength(piece)

    def wrapped(self, text: str, width: float, most: int) -> list[str]:
        """The text in at most ``most`` lines of this width in pixels; what does not fit ends in ``…``."""
        lines: list[str] = []
        line = ""
        for piece in _pieces(" ".join(text.split())):
            if line and self.width(line + piece) > width:
                lines.append(line.rstrip())
                line = piece.lstrip()
            else:
                line += piece
            while self.width(line) > width and len(line) > 1:  # a word that is wider than a line
                cut = next(k for k in range(len(line), 0, -1) if k == 1 or self.width(line[:k]) <= width)
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line.rstrip())
        if len(lines) <= most:
            return lines
        last = lines[most - 1]
        while last and self.width(last + "…") > width:
            last = last[:-1]
        return [*lines[: most - 1], last + "…"]

    def _runs(self, text: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """The text cut where the font changes."""
        run, at = "", 0
        for character in text:
            found = self._font_of(character)
            shown, of = ("?", 0) if found is None else (character, found)
            if of != at and run:
                yield run, self._fonts[at]
                run = ""
            run, at = run + shown, of
        if run:
            yield run, self._fonts[at]

    def _font_of(self, character: str) -> int | None:
        """The first font that has the character."""
        if character not in self._of:
            self._of[character] = next((k for k, font in enumerate(self._fonts) if _has(font, character)), None)
        return self._of[character]


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    if character.isspace():
        return True
    glyph, missing = font.getmask(character), font.getmask(_MISSING)
    return glyph.size != missing.size or bytes(glyph) != bytes(missing)


def _pieces(text: str) -> Iterator[str]:
    """Words with the blank before them; scripts without blanks are cut after every character."""
    word = ""
    for character in text:
        if character == " " or ord(character) >= 0x2E80:
            yield word
            word = ""
        word += character
    yield word


@lru_cache(maxsize=1)
def _system_fonts() -> tuple[Path, ...]:
    """Fonts of the system that hold what the own font lacks, best first."""
    homes = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts", Path.home() / ".local/share/fonts"]
    if sys.platform == "darwin":
        homes += [Path("/System/Library/Fonts"), Path("/Library/Fonts")]
    if sys.platform == "win32":
        homes.append(Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts")
    found = []
    for home in homes:
        for file in home.rglob("*"):
            name = file.stem.lower().replace("-", "").replace("_", "")
            rank = next((k for k, start in enumerate(_FALLBACKS) if name.startswith(start)), None)
            if rank is not None and file.suffix.lower() in {".ttf", ".ttc", ".otf"}:
                found.append((rank, "bold" not in name, str(file), file))
    return tuple(file for *_, file in sorted(found)[:3])
