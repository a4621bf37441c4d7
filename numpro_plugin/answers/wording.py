"""Letters, digits and dashes in one spelling, and no long runs of anything: what every parser of answers begins with."""

from __future__ import annotations

import re
import unicodedata

Steps = tuple[tuple[re.Pattern[str], str], ...]
"""Patterns and what each is replaced by, in the order in which they are applied."""


def steps(*pairs: tuple[str, str]) -> Steps:
    """The pairs with their patterns compiled."""
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


def respell(text: str, spellings: Steps) -> str:
    """The text after all steps."""
    for pattern, replacement in spellings:
        text = pattern.sub(replacement, text)
    return text


_DASH = re.compile(r"[\u2010-\u2015\u2212~∼～〜〰→⟶➜➔⇒➡]|[-=]{1,2}>|-{2,}")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff]")
_THOUSANDS = re.compile(r"(?<![\d,.])(\d{1,3}),(\d{3})(?!\d|,\d)")


def fold(text: str) -> str:
    """The text in one case, with ASCII letters and digits where Unicode knows them for equivalent."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()


def unify_dashes(text: str) -> str:
    """Every dash, tilde and arrow is "-"."""
    return _DASH.sub("-", text)


def join_thousands(text: str) -> str:
    """1,007 is one number; 99,100 are two neighbours of a list."""
    return _THOUSANDS.sub(lambda m: m[0] if int(m[2]) == int(m[1]) + 1 else m[1] + m[2], text)


_LONG_NUMBER = re.compile(r"(?P<point>(?<=\.))?(?<!\d)\d{16,}")
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_RULER = re.compile(r"([#*_=~`-])\1{3,}")


def compact(text: str) -> str:
    """No long runs of blanks, empty lines, rulers or digits: what a pattern must step over is short, so that time grows with the length."""
    text = _RULER.sub(r"\1\1\1", _LINES.sub("\n\n", _BLANKS.sub(" ", text.replace("\r", "\n"))))
    return _LONG_NUMBER.sub(_short_number, text)


def _short_number(match: re.Match[str]) -> str:
    if match["point"] is not None:
        return match[0][:15]
    digits = match[0].lstrip("0") or "0"
    return digits if len(digits) < 16 else "9" * 16
