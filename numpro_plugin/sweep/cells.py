"""The cells of a sweep: encodings x rates x styles, each with the settings that its tasks are run under."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from numpro_plugin.encoding import parse_encoding
from numpro_plugin.environment import settings_from_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import NumberStyle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpro_plugin.settings import NumProSettings


@dataclass(frozen=True)
class Cell:
    """One encoding at one rate in one style: what is evaluated in one go."""

    name: str
    """Also the name of its folder."""

    encoding: str
    """As the user wrote it."""

    variables: tuple[tuple[str, str], ...]
    """``NUMPRO_*`` variables that make it, by name."""

    settings: NumProSettings | None
    """None if the combination is not possible."""

    problem: str | None = None
    """Why it is not."""


def plan_cells(
    encodings: Sequence[str],
    rates: Sequence[str],
    styles: Sequence[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    model_args: str = "",
) -> list[Cell]:
    """All combinations, the encodings of one rate and style side by side; the first is what the others are compared with.

    Args:
        encodings: as for `parse_encoding`.
        rates: numbers per second, or ``auto``.
        styles: each ``KEY=VALUE;KEY=VALUE`` of NumberStyle's fields; none: that of the environment.
        environ: the process's environment if None; its ``NUMPRO_*`` hold where a cell says nothing.
        model_args: of the model; its ``max_frames``, if it has one, is every cell's.

    Raises:
        NumProError: an unknown encoding, rate or style, one that is named twice, or one in ``model_args``.
    """
    environ = os.environ if environ is None else environ
    if decided := re.search(r"(?:^|,)((?:encoding|fps|numbers)=[^,]*)", model_args):
        raise NumProError(f"--model_args {decided[1]}: the cells decide that; name it in --encodings or --fps")
    if limit := re.search(r"(?:^|,)max_frames=([0-9]+)(?:,|$)", model_args):
        environ = {**environ, "NUMPRO_MAX_FRAMES": limit[1]}
    rates = [_rate(rate) for rate in rates]
    for name, values in (("--encodings", encodings), ("--fps", rates), ("--styles", styles)):
        if twice := next((value for value in values if list(values).count(value) > 1), None):
            raise NumProError(f"{name} names {twice!r} twice")
    if not encodings or not rates:
        raise NumProError("a sweep needs at least one encoding and one rate")
    for encoding in encodings:
        parse_encoding(encoding, name="--encodings")
    cells = []
    for style in styles or [""]:
        for rate in rates:
            for encoding in encodings:
                cells.append(_cell(encoding, rate, style, environ, all_styles=len(styles) > 1))
    if all(cell.settings is None for cell in cells):
        raise NumProError(f"none of the cells is possible; {cells[0].name}: {cells[0].problem}")
    return cells


def share_of(cells: Sequence[Cell], share: str | None) -> list[Cell]:
    """The cells of one machine: ``i/n`` is every n-th from the i-th on, counted from 1; None: all.

    Raises:
        NumProError: not such a share.
    """
    if share is None:
        return list(cells)
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", share)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise NumProError(f"--shard {share}: must be i/n with i from 1 to n, for example 1/4")
    return list(cells[int(match[1]) - 1 :: int(match[2])])


def _cell(encoding: str, rate: str, style: str, environ: Mapping[str, str], *, all_styles: bool) -> Cell:
    named = parse_encoding(encoding).name
    variables = {"NUMPRO_ENCODING": named, "NUMPRO_FPS": rate, **_style(style)}
    name = f"{named}@{rate}" + (f" {style}" if all_styles else "")
    ours, problem = None, None
    try:
        ours = settings_from_environment({**_settings_only(environ), **variables})
    except NumProError as error:
        problem = str(error)
    return Cell(re.sub(r"[^\w.+=@-]+", "_", name), encoding, tuple(variables.items()), ours, problem)


def _settings_only(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("NUMPRO_")}


def _rate(text: str) -> str:
    if text == "auto":
        return text
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if not 0 < fps <= 240:
        raise NumProError(f"--fps {text!r} must be above 0 and at most 240 numbers per second, or auto")
    return f"{fps:g}"


def _style(text: str) -> dict[str, str]:
    allowed = [one.name for one in fields(NumberStyle)]
    variables = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = part.partition("=")
        if not equals or key.strip() not in allowed:
            raise NumProError(f"--styles {text!r}: must be KEY=VALUE;KEY=VALUE with keys among {', '.join(allowed)}")
        variables[f"NUMPRO_{key.strip().upper()}"] = value.strip()
    return variables
