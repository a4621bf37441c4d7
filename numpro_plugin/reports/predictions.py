"""Anybody's prediction file, known by its content, as records of one kind. One row of it is in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from numpro_plugin.benchmarks.text_files import file_kind, read_json_entries, read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.reports.layouts import KNOWN, by_id, is_keyed, is_of_id, keyed_answers, recognise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpro_plugin.reports.records import Prediction


_T = TypeVar("_T")


def read_predictions(path: Path) -> Iterator[Prediction]:
    """Every prediction of a file, in its order, repeated ids included.

    Raises:
        NumProError: not one of the known layouts, or broken, with the line (of JSON files the position in the list, or the id).
    """
    empty = True
    kind = file_kind(path)
    if kind in ("csv", "tsv", "parquet"):
        raise NumProError(f"{path}: predictions are JSON or JSON lines (.json, .jsonl, .gz may follow), not {kind}.\n{KNOWN}")
    rows = _of_lines(path) if kind in ("jsonl", "txt", "log") else _of_json(path)
    for row in rows:
        empty = False
        yield row
    if empty:
        raise NumProError(f"{path}: holds no prediction; is the file complete?")


def _of_lines(path: Path) -> Iterator[Prediction]:
    for number, row in read_jsonl(path):
        yield from _recognised(path, number, row)


def _of_json(path: Path) -> Iterator[Prediction]:
    """A list of rows, or an object by key (TimeLens's) or by id (TimeChat's and TRACE's)."""
    ids = answers = 0
    for key, row in read_json_entries(path):
        if isinstance(key, int) and isinstance(row, dict):
            yield from _recognised(path, key, row)
        elif isinstance(key, str) and is_keyed({key: row}):
            yield from _located(path, "", lambda key=key, row=row: keyed_answers({key: row}))  # type: ignore[misc]
        elif isinstance(key, str) and is_of_id(row):
            ids, answers = ids + 1, answers + bool(row)
            yield _located(path, f" id {key!r}:", lambda key=key, row=row: by_id(key, row))  # type: ignore[misc]
        else:
            raise NumProError(f"{path}: is not a prediction file of a known layout.\n{KNOWN}")
    if ids and not answers:
        raise NumProError(f"{path}: is not a prediction file of a known layout.\n{KNOWN}")


def _recognised(path: Path, number: int, row: dict[str, Any]) -> list[Prediction]:
    found = _located(path, f"{number}:", lambda: recognise(row))
    if found is None:
        keys = ", ".join(list(row)[:8])
        raise NumProError(f"{path}:{number}: is not a prediction of a known layout (keys: {keys:.200}).\n{KNOWN}")
    return found


def _located(path: Path, place: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except KeyError as error:
        raise NumProError(f"{path}:{place} the key {error} is missing") from None
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError) as error:
        raise NumProError(f"{path}:{place} {error}") from None
