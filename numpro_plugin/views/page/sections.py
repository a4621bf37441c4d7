"""The tables and charts of a report, one section for each benchmark."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from numpro_plugin.views.page import charts, statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

    from numpro_plugin.views.runs import Run

_DOTS = 1500
"""Dots of a run in a chart, at most."""


def section(benchmark: str, group: Sequence[tuple[int, Run]]) -> dict[str, Any]:
    """Tables and charts of one benchmark."""
    runs = [run for _, run in group]
    figures = [statistics.metric_figures(run) for run in runs]
    compared = [(run.name, color, *statistics.metric_differences(runs[0], run)) for color, run in group[1:]]
    score = "IoU" if runs[0].kind == "moment" else "mAP"
    return {
        "benchmark": benchmark,
        "metrics": list(dict.fromkeys(name for one in figures for name in one)),
        "figures": [(run.name, color, len(run.samples), one) for (color, run), one in zip(group, figures, strict=True)],
        "differences": [one for one in compared if one[2]],
        "apart": [name for name, _, shared, _ in compared if not shared],
        "first": runs[0].name,
        "charts": _charts(group, score) if any(run.samples for run in runs) else [],
        "unread": [(run.name, color, statistics.unread_answers(run)) for color, run in group],
        "costs": [(run.name, color, costs) for color, run in group if (costs := statistics.cost(run))],
    }


def _charts(group: Sequence[tuple[int, Run]], score: str) -> list[Markup]:
    colors = range(max(color for color, _ in group) + 1)
    by_color = dict(group)

    def each(of: Callable[[Run], list[Any]]) -> list[list[Any]]:
        return [of(by_color[color]) if color in by_color else [] for color in colors]

    made = [
        charts.bars(
            f"Queries by {score}",
            [f"{5 * k}–{5 * k + 5}" for k in range(20)],
            each(statistics.score_histogram),
            y_label="queries",
            x_label=f"{score} in percent",
        ),
        charts.lines(
            f"Recall by {score} threshold", each(statistics.recall_curve), y_label="queries in percent", x_label=f"{score} at least"
        ),
    ]
    if score != "IoU":
        return made
    for title, groups, x_label in (
        ("Mean IoU by length of the true moment", statistics.scores_by_length, "length of the true moment"),
        ("Mean IoU by position of the true moment", statistics.scores_by_position, "middle of the true moment in its video"),
    ):
        found = each(groups)
        labels = [group.label for group in next(groups_of for groups_of in found if groups_of)]
        means = [[group.mean for group in groups_of] for groups_of in found]
        made.append(charts.bars(title, labels, means, y_label="mIoU", x_label=x_label))
    for at, what in enumerate(("start", "end")):
        made.append(_times(each(lambda run, at=at: _pairs(run, at)), what))  # type: ignore[misc]
    return made


def _pairs(run: Run, at: int) -> list[tuple[float, float, float]]:
    """(true time, predicted time, length of the video), of starts (0) or ends (1)."""
    return [(one.truth_s[0][at], one.span_s[at], one.length_s) for one in run.samples.values() if one.truth_s and one.span_s]


def _times(series: list[list[tuple[float, float, float]]], what: str) -> Markup:
    """Predicted against true times. One answer far beyond the videos must not press all others into a corner."""
    longest = max((max(true, length) for run in series for true, _, length in run), default=1.0)
    is_beyond = any(predicted > longest for run in series for _, predicted, _ in run)
    dots = [[(true, min(predicted, longest)) for true, predicted, _ in run] for run in series]
    dots = [run if len(run) <= _DOTS else random.Random(0).sample(run, _DOTS) for run in dots]
    x_label = f"true {what}, s" + (f"; later answers are at {longest:.4g} s" if is_beyond else "")
    return charts.points(f"Predicted against true {what}", dots, y_label=f"predicted {what}, s", x_label=x_label)
