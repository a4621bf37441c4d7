"""Which query a prediction is about, how repeated ids count, and whether a truth file is the right one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from numpro_plugin.errors import NumProError
from numpro_plugin.reports.predictions import read_predictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpro_plugin.benchmarks.annotations import Query
    from numpro_plugin.reports.records import Prediction

Repeats = Literal["first", "last", "each"]

_TOLERANCE_S = 0.05  # files written in half precision are off by up to 0.0125 s


@dataclass
class _Tally:
    """How many ids were compared in some respect, how many differ, and in what the first of these does."""

    compared: int = 0
    differing: int = 0
    example: str = ""

    def add(self, difference: str | None) -> None:
        """Count one comparison; None if nothing differs."""
        self.compared += 1
        if difference is not None:
            self.differing += 1
            self.example = self.example or difference


class Matching:
    """Finds the query of each prediction while they are read one by one, and compares what the two files say about it.

    Args:
        predictions: the file, for messages.
        truth: the truth file, for messages; None if the predictions state the truth themselves.
        known: the truth file's queries by id.
        repeats: which row of a repeated id counts; with ``"each"`` every row that states its own truth is a query of its own.
    """

    def __init__(self, predictions: Path, truth: Path | None, known: Mapping[str, Query], *, repeats: Repeats) -> None:
        self._predictions, self._truth, self._repeats = predictions, truth, repeats
        self.queries: dict[str, Query] = dict(known)
        """By id: those of the truth file, or those that the predictions have stated so far."""
        self._by_content = _by_content(known.values())
        self._ids_of: dict[str, dict[object, str]] = {}
        self._seen: set[str] = set()
        self._first_id = ""
        self._rows = self._shared = 0
        self._words, self._spans, self._saliency = _Tally(), _Tally(), _Tally()

    def query_of(self, row: Prediction) -> Query | None:
        """The query that a prediction is about; None if no truth is known for it."""
        key = self._own_id(row) if self._truth is None else self._known_id(row)
        query = self.queries.get(key)
        self._rows += 1
        self._first_id = self._first_id or key
        if key not in self._seen:
            self._seen.add(key)
            if query is not None:
                self._shared += 1
                if self._truth is not None:
                    self._compare(row, query)
        return query

    def finish(self) -> dict[str, int]:
        """How many were what, once all predictions have been read.

        Raises:
            NumProError: the truth is missing, of another split, or contradicts the one that the predictions state themselves.
        """
        if self._truth is not None:
            self._check(self._truth)
        elif not self.queries:
            raise NumProError(
                f"{self._predictions}: does not state the truth; give --truth FILE (the benchmark's official annotation file)"
            )
        return {
            "not predicted": len(self.queries) - self._shared,
            "repeated": self._rows - len(self._seen),
            "without truth": len(self._seen) - self._shared,
        }

    def _own_id(self, row: Prediction) -> str:
        """The id of a row that states its own truth: rows that share one but not query and truth (it is the video's) get their own."""
        ids = self._ids_of.setdefault(row.id, {})
        content = self._rows if self._repeats == "each" else (_words(row.query), row.truth.spans_s if row.truth else None)
        key = ids.setdefault(content, row.id if not ids else f"{row.id} (row {self._rows})")
        if row.truth is not None:
            self.queries.setdefault(key, row.truth if row.truth.id == key else replace(row.truth, id=key))
        return key

    def _known_id(self, row: Prediction) -> str:
        """The truth's id of a row. Where the row's own is not among them, video and query say which is meant."""
        if row.id in self.queries or row.truth is None:
            return row.id
        stated = row.truth
        candidates = self._by_content.get((_stem(stated.video or row.id), _words(stated.query)), [])
        same = [query for query in candidates if _same_spans(stated, query)]
        return (same or candidates)[0].id if candidates else row.id

    def _compare(self, row: Prediction, query: Query) -> None:
        if row.query is not None:
            differs = _words(row.query) != _words(query.query)
            self._words.add(f"id {query.id}: {query.query!r}, predicted for {row.query!r}" if differs else None)
        if row.truth is None:
            return
        if row.truth.spans_s and query.spans_s:
            differs = not _same_spans(row.truth, query)
            text = f"id {query.id}: {_spans(query)} in the truth file, {_spans(row.truth)} in the predictions"
            self._spans.add(text if differs else None)
        if all(one.extra.get("relevant_clip_ids") is not None for one in (row.truth, query)):
            self._saliency.add(_other_saliency(row.truth, query))

    def _check(self, truth: Path) -> None:
        if not self._shared:
            raise NumProError(
                f"{truth}: none of the {len(self._seen)} ids of {self._predictions} is in it (such as {self._first_id!r}); "
                "is it another split or benchmark?"
            )
        if self._words.differing > self._shared / 2:
            raise NumProError(
                f"{truth}: is of another split than {self._predictions}: {self._words.differing} of {self._shared} shared ids ask for "
                f"something else ({self._words.example}){self._shift_hint()}"
            )
        for stated in (self._spans, self._saliency):
            if stated.differing:
                raise NumProError(
                    f"{truth}: contradicts {self._predictions}, which states the truth itself: {stated.differing} of {stated.compared} "
                    f"shared ids differ ({stated.example}){self._shift_hint()}; give the truth file that these predictions were made for, "
                    "or omit --truth to score by the truth they state"
                )

    def _shift_hint(self) -> str:
        """Words about ids that count from another start than the truth's, if that explains everything; reads the file once more."""
        shifts = {1, -1}
        for row in read_predictions(self._predictions):
            is_number = row.id.removeprefix("-").isdecimal() and len(row.id) < 12
            shifts = {shift for shift in shifts if is_number and _fits(row, self.queries.get(str(int(row.id) - shift)))}
            if not shifts:
                return ""
        return f"; every row would fit with {-max(shifts):+d} added to its id: the ids count from another start than the truth's"


def _by_content(queries: Iterable[Query]) -> dict[tuple[str, str], list[Query]]:
    found: dict[tuple[str, str], list[Query]] = {}
    for query in queries:
        found.setdefault((_stem(query.video), _words(query.query)), []).append(query)
    return found


def _fits(row: Prediction, query: Query | None) -> bool:
    """Whether nothing that a prediction states differs from a query's truth."""
    if query is None or (row.query is not None and _words(row.query) != _words(query.query)):
        return False
    return row.truth is None or not row.truth.spans_s or _same_spans(row.truth, query)


def _same_spans(one: Query, other: Query) -> bool:
    mine, theirs = (sorted(tuple(sorted(span)) for span in query.spans_s) for query in (one, other))
    return len(mine) == len(theirs) and all(
        abs(a - b) <= _TOLERANCE_S for m, t in zip(mine, theirs, strict=True) for a, b in zip(m, t, strict=True)
    )


def _other_saliency(stated: Query, known: Query) -> str | None:
    """In what two truths about highlights differ; None if in nothing."""
    if (clips := known.extra.get("clips")) != (own := stated.extra.get("clips")):
        return f"id {known.id}: {clips} clips in the truth file, {own} in the predictions"
    ratings = [dict(zip(one.extra["relevant_clip_ids"], map(tuple, one.extra["saliency_scores"]), strict=True)) for one in (known, stated)]
    for clip in sorted({*ratings[0], *ratings[1]}):
        theirs, mine = (rating.get(clip) for rating in ratings)
        if theirs != mine:
            return f"id {known.id}: clip {clip} has scores {_scores(theirs)} in the truth file, {_scores(mine)} in the predictions"
    return None


def _scores(three: tuple[float, ...] | None) -> str:
    return ", ".join(f"{score:g}" for score in three) if three else "of no annotator"


def _spans(query: Query) -> str:
    shown = ", ".join(f"{start:g} - {end:g} s" for start, end in query.spans_s[:3])
    return shown + (", ..." if len(query.spans_s) > 3 else "")


def _stem(video: str) -> str:
    name = PurePath(video).name
    return name.rsplit(".", 1)[0] if name.lower().endswith((".mp4", ".mkv", ".webm", ".avi", ".mov")) else name


def _words(query: str | None) -> str:
    return " ".join((query or "").lower().strip(" .").split())
