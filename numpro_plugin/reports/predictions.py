"""Anybody's prediction file, known by its content, as a list of one kind of record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from numpro_plugin.benchmarks.text_files import read_json, read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.reports.layouts import KNOWN, by_id, is_by_id, is_keyed, keyed_answers, recognise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpro_plugin.reports.records import Prediction


_T = TypeVar("_T")


def read_predictions(path: Path) -> list[Prediction]:
    """Every prediction of a file, in its order, repeated ids included.

    Raises:
        NumProError: not one of the known layouts, or broken, with the line (of JSON files the position in the list, or the id).
    """
    found = list(_predictions(path))
    if not found:
        raise NumProError(f"{path}: holds no prediction; is the file complete?")
    return found


def _predictions(path: Path) -> Iterable[Prediction]:
    if path.name.removesuffix(".gz").endswith((".jsonl", ".txt", ".log")):
        rows: Iterable[tuple[int, Any]] = read_jsonl(path)
    else:
        content = read_json(path)
        if is_keyed(content):
            yield from _located(path, "", lambda: keyed_answers(content))
            return
        if is_by_id(content):
            for key, value in content.items():
                yield _located(path, f" id {key!r}:", lambda key=key, value=value: by_id(key, value))  # type: ignore[misc]
            return
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            raise NumProError(f"{path}: is not a prediction file of a known layout.\n{KNOWN}")
        rows = enumerate(content)
    for number, row in rows:
        found = _located(path, f"{number}:", lambda row=row: recognise(row))  # type: ignore[misc]
        if found is None:
            keys = ", ".join(list(row)[:8])
            raise NumProError(f"{path}:{number}: is not a prediction of a known layout (keys: {keys:.200}).\n{KNOWN}")
        yield from found


def _located(path: Path, place: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except KeyError as error:
        raise NumProError(f"{path}:{place} the key {error} is missing") from None
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError) as error:
        raise NumProError(f"{path}:{place} {error}") from None
