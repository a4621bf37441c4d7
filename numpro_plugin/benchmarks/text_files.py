"""Text files that people bring: read safely, with errors that name file and line.

Lines may end in any of the three ways, a byte order mark is dropped, and a name ending in ``.gz`` means gzip. What a packed file may
grow to is limited, because a few kilobytes can unpack to terabytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import stat
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from numpro_plugin.environment import unpacked_limit_gb
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO, TextIO

_DELIMITERS = (",", ";", "\t")
_BLANKS = re.compile(r"[ \t\n\r]*")
_CHUNK = 1 << 20
_LONGEST_WORD = 12  # of JSON's own, which a chunk may end in: an escaped pair of surrogates; -Infinity is shorter


def file_kind(path: Path) -> str:
    """The extension in lower case without the dot and without ``.gz``: ``jsonl`` for ``A.JSONL.gz``; empty if there is none."""
    stem, dot, kind = path.name.lower().removesuffix(".gz").rpartition(".")
    return kind if dot and stem else ""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a UTF-8 text file, without their line ends.

    Raises:
        NumProError: no such file, not a file, not UTF-8, a damaged gzip file, or one that unpacks to more than the limit.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            yield number, line.removesuffix("\n")


def first_character(path: Path) -> str:
    """The first character of a text file that is not blank; empty if there is none. Raises NumProError as `read_lines`."""
    with _opened(path) as file:
        while chunk := file.read(_CHUNK):
            if found := chunk.lstrip(" \t\n\r")[:1]:
                return found
    return ""


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        NumProError: as `read_lines`, and if the content is not JSON (half-written files are not), with the line.
    """
    with _opened(path) as file:
        text = file.read()
    return _parse(text, path, None)


def read_json_entries(path: Path) -> Iterator[tuple[int | str, Any]]:
    """The entries of a JSON file, one in memory at a time: of a list by position from 0, of an object by key.

    Raises:
        NumProError: as `read_json`, and if the file holds neither a list nor an object.
    """
    with _opened(path) as file:
        text = _JsonText(file, path)
        opening = text.peek()
        if opening not in ("[", "{"):
            text.value()
            raise NumProError(f"{path}: holds neither a list nor an object")
        closing = "]" if opening == "[" else "}"
        text.skip(opening)
        keys: set[int | str] = set()
        for position in itertools.count():
            if text.peek() == closing and position == 0:
                break
            key: int | str = position
            if opening == "{":
                if text.peek() != '"':
                    text.fail("a key in quotation marks expected")
                key = text.value()
                if key in keys:
                    text.fail(f"the key {key!r} occurs twice")
                keys.add(key)
                text.skip(":")
            yield key, text.value()
            if text.peek() == closing:
                break
            text.skip(",")
        text.skip(closing)
        if text.peek():
            text.fail("there is more after its end")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered lines (from 1) of a JSON-lines file, each an object; empty lines are skipped.

    Raises:
        NumProError: as `read_lines`, and for a line that is not a JSON object.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        if line.strip() in ("[", "{"):
            raise NumProError(f"{path}:{number}: one JSON value goes over several lines here, so this is not JSON lines; name it .json")
        value = _parse(line, path, number)
        if not isinstance(value, dict):
            hint = "; if the file is a single JSON list, name it .json" if isinstance(value, list) else ""
            raise NumProError(f"{path}:{number}: is not a JSON object but {type(value).__name__}{hint}")
        yield number, value


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a file with a header and commas, semicolons or tabs between the cells: (line where the row ends, cell by column).

    Cells are stripped. A first column without a name (the index that data frames write) is left out.

    Raises:
        NumProError: as `read_lines`; two columns of one name, a row with more or fewer cells than the header, an unclosed quotation mark.
    """
    with _opened(path, newline="") as file:
        reader = None
        try:
            first_lines = []
            for line in file:
                first_lines.append(line)
                if line.strip():
                    break
            delimiter = max(_DELIMITERS, key=(first_lines or [""])[-1].count)
            reader = csv.reader(itertools.chain(first_lines, file), delimiter=delimiter, strict=True)
            header: list[str] | None = None
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = _checked_header(path, cells)
                elif len(cells) != len(header):
                    raise NumProError(
                        f"{path}:{reader.line_num}: has {len(cells)} cells but the header names {len(header)} columns; "
                        "put text that contains the separator between quotation marks"
                    )
                else:
                    yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=True) if name}
        except csv.Error as error:
            raise NumProError(
                f"{path}:{reader.line_num if reader else 1}: cannot be read ({error}); is a quotation mark not closed?"
            ) from None


def _checked_header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if "" in names[1:] or len(set(names)) < len(names):
        raise NumProError(f"{path}:1: each column needs a name of its own, got {', '.join(map(repr, names))}")
    return names


def _parse(text: str, path: Path, line: int | None) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if line is None and error.msg == "Extra data" and text[error.pos] in "{[" and error.lineno > 1:
            problem = "a second value begins here, so this is not JSON but JSON lines; name it .jsonl"
            raise NumProError(f"{path}:{error.lineno}: {problem}") from None
        part = "file" if line else "download"
        raise NumProError(f"{path}:{line or error.lineno}: is not JSON ({error.msg}); is the {part} complete?") from None
    except (RecursionError, ValueError) as error:
        raise _unusable(path, line or 1, error) from None


def _unusable(path: Path, line: int, error: Exception) -> NumProError:
    """The error of JSON that Python cannot hold: a key that occurs twice, or more digits or levels than its limits."""
    if isinstance(error, RecursionError):
        problem = "is nested too deeply"
    else:
        problem = "holds an integer with thousands of digits" if "digits" in str(error) else str(error)
    return NumProError(f"{path}:{line}: {problem}; use the file as it was downloaded, or mend it by hand")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in one object")
    return content


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeated_keys)  # `json.loads` would make one for every line


class _JsonText:
    """The text of a JSON file, of which only what the next value needs is in memory."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file, self._path = file, path
        self._text, self._at, self._line, self._ended = "", 0, 1, False

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._read_on()

    def skip(self, expected: str) -> None:
        """Go past one character."""
        if self.peek() != expected:
            self.fail(f"{expected!r} expected")
        self._at += 1

    def value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # What is only cut off fails at the end of the text, or (a string) at its own beginning.
                cut = error.pos > len(self._text) - _LONGEST_WORD or error.msg.startswith("Unterminated string")
                if self._ended or not cut:
                    self._at = error.pos
                    self.fail(error.msg)
            except (RecursionError, ValueError) as error:
                raise _unusable(self._path, self._line_here(), error) from None
            else:
                if end + len("e-") < len(self._text) or self._ended:  # otherwise a number may go on
                    self._at = end
                    return value
            self._read_on()

    def fail(self, reason: str) -> NoReturn:
        """Raise the error of a text that is not JSON, with its line."""
        raise NumProError(f"{self._path}:{self._line_here()}: is not JSON ({reason}); is the download complete?")

    def _line_here(self) -> int:
        return self._line + self._text.count("\n", 0, self._at)

    def _read_on(self) -> None:
        """As much again as is needed already, so that a long value is not tried too often."""
        rest = self._text[self._at :]
        self._line = self._line_here()
        more = self._file.read(max(_CHUNK, len(rest)))
        self._text, self._at, self._ended = rest + more, 0, not more


class _Limited(io.RawIOBase):
    """An unpacked gzip file that ends with an error where it exceeds a limit."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__()
        self._file, self._path, self._count, self._limit_gb = file, path, 0, unpacked_limit_gb()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._count += len(data)
        if self._count > self._limit_gb * 1e9 > 0:
            raise NumProError(
                f"{self._path}: unpacks to more than {self._limit_gb:g} GB; if the file is meant to be so large, "
                "raise the limit with NUMPRO_UNPACKED_GB (0: no limit)"
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _opened(path: Path, *, newline: str | None = None) -> Iterator[TextIO]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NumProError(f"{path}: is {'a folder' if path.is_dir() else 'not a regular file'}; give the annotation file itself")
        with open(path, "rb") as raw, _unpacked(raw, path) as file, io.TextIOWrapper(file, "utf-8-sig", newline=newline) as text:
            yield text
    except FileNotFoundError:
        raise NumProError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise NumProError(_not_utf8(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        hint = "; the gzip file is damaged: download it again" if path.suffix == ".gz" else ""
        raise NumProError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}){hint}") from None


@contextmanager
def _unpacked(raw: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    if path.suffix.lower() != ".gz":
        yield raw
        return
    with gzip.open(raw) as file, io.BufferedReader(_Limited(file, path), 1 << 16) as limited:  # type: ignore[arg-type]
        yield limited


def _not_utf8(path: Path) -> str:
    """Where and why a file is not UTF-8; it is read a second time, by lines, only for this."""
    with open(path, "rb") as raw, _unpacked(raw, path) as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(b"\x1f\x8b"):
                return f"{path}: is a gzip file; add .gz to its name"
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                return f"{path}: is UTF-16; save it as UTF-8"
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                where = f"byte {line[error.start]:#04x} at column {error.start + 1}"
                return f"{path}:{number}: is not UTF-8 ({where}); use the official file as it was downloaded, or save yours as UTF-8"
    return f"{path}: is not UTF-8; save it as UTF-8"
