"""Which prediction belongs to which query's truth, how repeated ids count, and whether a truth file is the right one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpro_plugin.benchmarks.annotations import Query
    from numpro_plugin.reports.records import Prediction

Repeats = Literal["first", "last", "each"]

_TOLERANCE_S = 0.05  # files written in half precision are off by up to 0.0125 s


@dataclass(frozen=True)
class Pair:
    """One query with what was predicted for it."""

    truth: Query
    predictions: tuple[Prediction, ...]
    """All of this query, in the file's order; more than one only if its id is repeated."""
    prediction: Prediction | None
    """The one that counts; None if nothing was predicted."""


def pair_up(
    predictions: Path, found: Sequence[Prediction], truth: Path | None, known: Mapping[str, Query] | None, *, repeats: Repeats
) -> tuple[list[Pair], dict[str, int]]:
    """Pairs in the truth's order (the predictions' without a truth file), and how many were what.

    Args:
        predictions: the file, for messages.
        found: its rows.
        truth: the truth file, for messages; None if the rows bring their own.
        known: the truth file's queries by id.
        repeats: which row of a repeated id counts; ``"each"`` makes every row a query of its own.

    Raises:
        NumProError: the truth is missing, of another split, or contradicts the one that the predictions state themselves.
    """
    if known is None:
        rows = _own_queries(found, repeats)
        known = {p.id: p.truth for p in rows if p.truth is not None}
        if not known:
            raise NumProError(f"{predictions}: does not state the truth; give --truth FILE (the benchmark's official annotation file)")
    else:
        rows = _by_content(found, known)
    grouped: dict[str, list[Prediction]] = {}
    for row in rows:
        grouped.setdefault(row.id, []).append(row)
    shared = [key for key in grouped if key in known]
    if truth is not None:
        _check_truth(predictions, truth, {key: grouped[key][0] for key in grouped}, known, shared)
    pairs = []
    for key, query in known.items():
        rows_of = grouped.get(key, [])
        counted = rows_of if repeats == "each" else rows_of[:1] if repeats == "first" else rows_of[-1:]
        pairs += [Pair(query, tuple(rows_of), row) for row in counted] or [Pair(query, (), None)]
    counts = {
        "not predicted": len(known) - len(shared),
        "repeated": len(rows) - len(grouped),
        "without truth": len(grouped) - len(shared),
    }
    return pairs, counts


def _own_queries(found: Sequence[Prediction], repeats: Repeats) -> list[Prediction]:
    """Rows that state their own truth: those that share an id but not query and truth (the id is the video's) get ids of their own."""
    contents: dict[str, dict[object, str]] = {}
    rows = []
    for position, row in enumerate(found):
        seen = contents.setdefault(row.id, {})
        content = position if repeats == "each" else (_words(row.query), row.truth.spans_s if row.truth else None)
        key = seen.setdefault(content, row.id if not seen else f"{row.id} (row {position})")
        rows.append(row if key == row.id else replace(row, id=key))
    return rows


def _by_content(found: Sequence[Prediction], known: Mapping[str, Query]) -> list[Prediction]:
    """Rows under the truth's ids. Where no id is one of the truth's, video and query say which is meant."""
    if any(row.id in known for row in found):
        return list(found)
    by_content: dict[tuple[str, str], list[Query]] = {}
    for query in known.values():
        by_content.setdefault((_stem(query.video), _words(query.query)), []).append(query)
    rows = []
    for row in found:
        candidates = by_content.get((_stem(row.truth.video or row.id), _words(row.truth.query)), []) if row.truth else []
        same = [query for query in candidates if row.truth and _same_spans(row.truth, query)]
        rows.append(replace(row, id=(same or candidates)[0].id) if candidates else row)
    return rows


def _check_truth(
    predictions: Path, truth: Path, by_id: Mapping[str, Prediction], known: Mapping[str, Query], shared: Sequence[str]
) -> None:
    if not shared:
        raise NumProError(
            f"{truth}: none of the {len(by_id)} ids of {predictions} is in it (such as {next(iter(by_id))!r}); "
            "is it another split or benchmark?"
        )
    other = [key for key in shared if by_id[key].query is not None and _words(by_id[key].query) != _words(known[key].query)]
    if len(other) > len(shared) / 2:
        key = other[0]
        raise NumProError(
            f"{truth}: is of another split than {predictions}: {len(other)} of {len(shared)} shared ids ask for something else "
            f"(id {key}: {known[key].query!r}, predicted for {by_id[key].query!r}){_shift_hint(by_id, known)}"
        )
    own = {key: stated for key in shared if (stated := by_id[key].truth) is not None and stated.spans_s and known[key].spans_s}
    differing = [key for key, stated in own.items() if not _same_spans(stated, known[key])]
    if differing:
        key = differing[0]
        raise NumProError(
            f"{truth}: contradicts {predictions}, which states the truth itself: {len(differing)} of {len(own)} shared ids differ "
            f"(id {key}: {_spans(known[key])} in the truth file, {_spans(own[key])} in the predictions){_shift_hint(by_id, known)}; "
            "give the truth file that these predictions were made for, or omit --truth to score by the truth they state"
        )


def _shift_hint(by_id: Mapping[str, Prediction], known: Mapping[str, Query]) -> str:
    """Words about ids that count from another start than the truth's, if that explains everything."""
    for shift in (1, -1):
        moved = [
            (row, known.get(str(int(key) - shift))) for key, row in by_id.items() if key.removeprefix("-").isdecimal() and len(key) < 12
        ]
        fits = [
            query is not None
            and (row.query is None or _words(row.query) == _words(query.query))
            and (row.truth is None or _same_spans(row.truth, query))
            for row, query in moved
        ]
        if fits and all(fits) and len(fits) == len(by_id):
            return f"; every row would fit with {-shift:+d} added to its id: the ids count from another start than the truth's"
    return ""


def _same_spans(one: Query, other: Query) -> bool:
    mine, theirs = (sorted(tuple(sorted(span)) for span in query.spans_s) for query in (one, other))
    return len(mine) == len(theirs) and all(
        abs(a - b) <= _TOLERANCE_S for m, t in zip(mine, theirs, strict=True) for a, b in zip(m, t, strict=True)
    )


def _spans(query: Query) -> str:
    shown = ", ".join(f"{start:g} - {end:g} s" for start, end in query.spans_s[:3])
    return shown + (", ..." if len(query.spans_s) > 3 else "")


def _stem(video: str) -> str:
    name = PurePath(video).name
    return name.rsplit(".", 1)[0] if name.lower().endswith((".mp4", ".mkv", ".webm", ".avi", ".mov")) else name


def _words(query: str | None) -> str:
    return " ".join((query or "").lower().strip(" .").split())
