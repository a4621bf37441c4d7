"""Nested records: their keys in dotted form, access by key, and plain values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, get_type_hints

from numpro_plugin.encoding import TimeEncoding
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping


def keys_of(kind: type) -> list[str]:
    """All keys of a dataclass and its nested dataclasses, in dotted form."""
    keys = []
    for name, hint in get_type_hints(kind).items():
        inner = isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint is not TimeEncoding  # which is written as one word
        keys += [f"{name}.{key}" for key in keys_of(hint)] if inner else [name]
    return keys


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flattened: dict[str, Any] = {}
    for name, value in values.items():
        flattened |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flattened


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a value by its dotted key; missing sections are created.

    Raises:
        NumProError: a section in the key is a value.
    """
    *sections, last = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise NumProError(f"unknown key {key!r} in the recipe: {section!r} is a value and has no keys of its own")
        values = inner
    values[last] = value


def plain(value: Any) -> Any:
    """A value with dataclasses as dicts and tuples as lists, at every depth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value
