"""Records within records: their keys with dots, values by key, and plain values."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any, get_type_hints

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def keys_of(kind: type) -> list[str]:
    """All keys of a dataclass and of the dataclasses in it, with dots."""
    keys = []
    for name, hint in get_type_hints(kind).items():
        inner = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        keys += [f"{name}.{key}" for key in keys_of(hint)] if inner else [name]
    return keys


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        made |= flat(value, f"{before}{name}.") if isinstance(value, dict) and value else {f"{before}{name}": value}
    return made


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a value by its key with dots; sections that are not there yet are made."""
    *sections, last = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise NumProError(f"unknown key {key!r} in the recipe: {section!r} is a value, it has no keys below it")
        values = inner
    values[last] = value


def plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def check_known(given: Collection[str], known: Collection[str]) -> None:
    """A key that does not exist is an error that names the nearest one there is."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or [k for k in sorted(known) if k.endswith("." + key)][:1]
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(known))}"
            raise NumProError(f"unknown key {key!r} in the recipe{hint}")


def check_ranges(section: str, record: Any, **ranges: tuple[float, float | None]) -> None:
    """Fields that must lie between two values, both included; None: no upper end."""
    for key, (least, most) in ranges.items():
        value = getattr(record, key)
        if not value >= least or (most is not None and value > most):  # NaN is neither
            limit = f"at least {least}" if most is None else f"{least} to {most}"
            raise NumProError(f"{section}.{key}={value!r} must be {limit}")
