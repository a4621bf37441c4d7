"""Text of strangers, made safe to show."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with control characters, marks of writing direction and lone surrogates as escapes; line breaks and tabs stay.

    Queries, paths and answers come from files of strangers: an escape code among them must not reach the terminal.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
