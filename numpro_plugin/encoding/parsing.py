"""An encoding as people write it: a preset's name, or its fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.encoding.record import PRESETS, TimeEncoding
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_encoding(text: str, *, name: str = "encoding") -> TimeEncoding:
    """A preset's name, or fields written out: ``drawn=seconds,text=clock,answer=seconds``.

    Fields that are not written are ``drawn=none``, ``text=native``, ``answer=frames`` and ``layout=frames``. Where commas and equals signs
    mean something else (lmms-eval's ``--model_args``), semicolons and colons do: ``drawn:seconds;answer:seconds``.

    Args:
        text: as the user wrote it.
        name: of the option, variable or key, for errors.

    Raises:
        NumProError: an unknown preset or field, or a combination that is not possible.
    """
    text = text.strip()
    if text in PRESETS:
        return PRESETS[text].encoding
    pairs = [re.split(r"[=:]", part.strip(), maxsplit=1) for part in re.split(r"[,;]", text)]
    if any(len(pair) != 2 for pair in pairs):
        raise NumProError(
            f"{name}={text!r} is unknown; allowed: {', '.join(PRESETS)}, or fields such as drawn=seconds,text=clock,answer=seconds"
        )
    keys = [key.strip() for key, _ in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise NumProError(f"{name}={text!r} says {twice} twice")
    values = {"drawn": "none"} | {key.strip(): value.strip() for key, value in pairs}
    try:
        return TimeEncoding.from_dict(values)
    except NumProError as error:
        raise NumProError(f"{name}={text!r}: {error}") from error


def parse_encodings(text: str, *, name: str = "encodings") -> dict[str, TimeEncoding]:
    """Several encodings by what they are called: ``native,number,drawn=seconds,answer=seconds``.

    Fields of one that is written out stand together: it ends before a preset's name, or before a field that it already has. With semicolons
    (``drawn:seconds;answer:seconds``) it is one part of the list. Arguments and errors as of `parse_encoding`; besides, none may be
    there twice.
    """
    written: list[list[str]] = []
    for part in (part.strip() for part in text.split(",")):
        key = re.split(r"[=:]", part)[0]
        last = [one for one in written[-1] if one not in PRESETS and ";" not in one] if written else []
        fields_before = [re.split(r"[=:]", one)[0].strip() for one in last]
        if part in PRESETS or ";" in part or not fields_before or key == part or key.strip() in fields_before:
            written.append([part])
        else:
            written[-1].append(part)
    found: dict[str, TimeEncoding] = {}
    for parts in written:
        encoding = parse_encoding(",".join(parts), name=name)
        if encoding in found.values():
            raise NumProError(f"{name}={text!r} has {encoding.name} twice")
        found[encoding.name] = encoding
    return found


def encoding_of(values: Mapping[str, Any] | str) -> TimeEncoding:
    """The encoding of a record: what `TimeEncoding.to_dict` wrote, or a name as for `parse_encoding`. Raises NumProError as these do."""
    return parse_encoding(values) if isinstance(values, str) else TimeEncoding.from_dict(values)
