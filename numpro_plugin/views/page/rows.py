"""The queries of a report: one row for each, with its answer in every run, as the page's script reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.views.runs import Run, Sample


@dataclass(frozen=True)
class Row:
    """One query with its sample in each run that has it."""

    video: int
    samples: list[Sample | None]

    @property
    def any(self) -> Sample:
        """Its sample in the first run that has it."""
        return next(sample for sample in self.samples if sample is not None)


class Part(NamedTuple):
    """A video, or a part of one: what is shown to a model, and played and pictured here."""

    video: str
    start_s: float
    end_s: float | None


def page_rows(runs: Sequence[Run]) -> tuple[list[Row], list[Part], dict[str, Any]]:
    """The rows, the videos, and what the page's script reads: lists, because names of fields would double the size."""
    benchmarks = list(by_benchmark(runs))
    prompts, reasons = _Numbering(), _Numbering()
    videos: dict[Part, int] = {}
    rows: list[Row] = []
    listed: list[list[Any]] = []
    keys = dict.fromkeys((benchmarks.index(run.benchmark), key) for run in runs for key in run.samples)
    for benchmark, key in keys:
        samples = [run.samples.get(key) if run.benchmark == benchmarks[benchmark] else None for run in runs]
        shown = next(Part(sample.video, sample.start_s, sample.end_s) for sample in samples if sample is not None)
        row = Row(videos.setdefault(shown, len(videos)), samples)
        rows.append(row)
        first = row.any
        answers = [None if sample is None else _answer(sample, prompts, reasons) for sample in samples]
        spans = [[_short(t) for t in span] for span in first.truth_s]
        saliency = [_short(value) for value in first.saliency]
        listed.append([benchmark, key, first.query, row.video, spans, _short(first.length_s), answers, saliency])
    content = {
        "benchmarks": benchmarks,
        "runs": [{"name": run.name, "benchmark": benchmarks.index(run.benchmark), "kind": run.kind} for run in runs],
        "rows": listed,
        "prompts": list(prompts),
        "reasons": list(reasons),
    }
    return rows, list(videos), content


def _answer(sample: Sample, prompts: _Numbering, reasons: _Numbering) -> list[Any]:
    """[score, spans, words, reason, state, prompt, highlights]; state: 0 read, 1 not read, 2 not given."""
    state = 2 if sample.failure else 1 if sample.metrics.get("parse_fail") == 100 else 0
    prompt = sample.prompt.replace(sample.query, "\0") if sample.query else sample.prompt
    return [
        round(sample.score, 2),
        [[_short(time) for time in span] for span in sample.spans_s],
        sample.text,
        reasons[sample.failure or sample.reason],
        state,
        prompts[prompt],
        [[_short(time), _short(score)] for time, score in sample.highlights],
    ]


class _Numbering(dict[str, int]):
    """Texts by the order in which they were first seen."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def _short(value: float) -> float:
    """Milliseconds are enough for a picture; JSON has no infinity."""
    return round(max(-1e9, min(1e9, value)), 3)


def by_benchmark(runs: Sequence[Run]) -> dict[str, list[tuple[int, Run]]]:
    """(colour, run) by benchmark."""
    found: dict[str, list[tuple[int, Run]]] = {}
    for color, run in enumerate(runs):
        found.setdefault(run.benchmark, []).append((color, run))
    return found
