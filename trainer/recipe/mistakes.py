"""Errors about a recipe: they name the key, the value, what is allowed and the nearest known name."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any, get_type_hints

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import ValidationError

_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_EXPECTED = "Input should be "


def check_known(given: Collection[str], known: Collection[str]) -> None:
    """Check that all given keys are known.

    Raises:
        NumProError: for the first unknown key; the message names the nearest known one.
    """
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or [k for k in sorted(known) if k.endswith("." + key)][:1]
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(sorted(known))}"
            raise NumProError(f"unknown key {key!r} in the recipe{hint}")


def explain(error: ValidationError, record: type) -> NumProError:
    """The first of pydantic's errors about a record as an error of this project.

    Args:
        error: the exception that pydantic raised.
        record: the dataclass that was built. The message names both bounds of its field, not only the violated one.
    """
    first = error.errors()[0]
    details = first.get("ctx", {})
    if isinstance(details.get("error"), NumProError):  # from this project's own checks, for example of two keys
        return details["error"]
    path, value, reason = list(first["loc"]), first["input"], first["msg"]
    if first["type"] == "missing":  # an item of a tuple; the input is the whole tuple
        path, reason = path[:-1], "has too few values"
    elif not _BOUNDS.keys().isdisjoint(details):
        reason = f"must be {_range(_bounds(record, path) or details)}"
    elif first["type"] == "literal_error":
        near = difflib.get_close_matches(str(value), details["expected"].replace("'", "").replace(" or ", ", ").split(", "), n=1)
        reason = f"must be {details['expected']}{f'; did you mean {near[0]!r}?' if near else ''}"
    elif reason.startswith(_EXPECTED):
        reason = f"must be {reason.removeprefix(_EXPECTED)}"
    return NumProError(f"{'.'.join(map(str, path))}={value!r} {reason}")


def _bounds(record: type, path: list[Any]) -> dict[str, Any]:
    """The bounds of a field by their short names, ``{"ge": 0, "le": 1}``; empty for the bounds of an item of a field."""
    *sections, name = path
    for section in sections:
        record = get_type_hints(record)[section]
        if not dataclasses.is_dataclass(record):
            return {}
    metadata = record.__pydantic_fields__[name].metadata  # type: ignore[attr-defined]
    return {short: getattr(bound, short) for bound in metadata for short in _BOUNDS if hasattr(bound, short)}


def _range(bounds: dict[str, Any]) -> str:
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    return " and ".join(f"{words} {bounds[short]}" for short, words in _BOUNDS.items() if short in bounds)
