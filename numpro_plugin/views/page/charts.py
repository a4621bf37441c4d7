"""Charts as SVG that takes its colours from the page: bars, lines and points, one class of colour per run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 18, 10, 40
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


def bars(title: str, labels: Sequence[str], series: Sequence[Sequence[float | None]], *, y_label: str, x_label: str) -> Markup:
    """Groups of bars, one bar a run.

    Args:
        title: what the chart shows; a screen reader reads it.
        labels: of the groups.
        series: for each run one value per group, None where there is none.
        y_label: what the values are.
        x_label: what the groups are.
    """
    top = _round_up(max((value for values in series for value in values if value is not None), default=1.0))
    wide = _PLOT_WIDTH / max(1, len(labels))
    thin = 0.8 * wide / max(1, len(series))
    parts = [_frame(title, y_label, x_label, [f"{top * k / 4:g}" for k in range(5)])]
    every = max(1, -(-len(labels) // 7))
    for k, label in enumerate(labels):
        if k % every == 0:
            parts.append(_text(_LEFT + (k + 0.5) * wide, _TOP + _PLOT_HEIGHT + 14, label, "middle"))
    for run, values in enumerate(series):
        for k, value in enumerate(values):
            if value:
                high = _PLOT_HEIGHT * value / top
                x = _LEFT + k * wide + 0.1 * wide + run * thin
                parts.append(
                    f'<rect class="run{run}" x="{x:.1f}" y="{_TOP + _PLOT_HEIGHT - high:.1f}" width="{thin:.1f}" height="{high:.1f}">'
                    f"<title>{escape(labels[k])}: {value:.4g}</title></rect>"
                )
    return _svg(title, parts)


def lines(title: str, series: Sequence[Sequence[tuple[float, float]]], *, y_label: str, x_label: str) -> Markup:
    """One line a run through (x in 0..1, y in 0..100)."""
    parts = [_frame(title, y_label, x_label, ["0", "25", "50", "75", "100"])]
    for k in range(5):
        parts.append(_text(_LEFT + _PLOT_WIDTH * k / 4, _TOP + _PLOT_HEIGHT + 14, f"{k / 4:g}", "middle"))
    for run, points in enumerate(series):
        if points:
            path = " ".join(f"{_LEFT + _PLOT_WIDTH * x:.1f},{_TOP + _PLOT_HEIGHT * (1 - y / 100):.1f}" for x, y in points)
            parts.append(f'<polyline class="run{run}" points="{path}"/>')
    return _svg(title, parts)


def points(title: str, series: Sequence[Sequence[tuple[float, float]]], *, y_label: str, x_label: str) -> Markup:
    """One dot per (x, y), both in seconds on equal axes, with the diagonal on which both agree."""
    top = _round_up(max((value for run in series for pair in run for value in pair), default=1.0))
    parts = [_frame(title, y_label, x_label, [f"{top * k / 4:g}" for k in range(5)])]
    for k in range(5):
        parts.append(_text(_LEFT + _PLOT_WIDTH * k / 4, _TOP + _PLOT_HEIGHT + 14, f"{top * k / 4:g}", "middle"))
    parts.append(f'<path class="diagonal" d="M{_LEFT} {_TOP + _PLOT_HEIGHT}L{_LEFT + _PLOT_WIDTH} {_TOP}"/>')
    for run, pairs in enumerate(series):
        dots = "".join(f"M{_LEFT + _PLOT_WIDTH * x / top:.1f} {_TOP + _PLOT_HEIGHT * (1 - y / top):.1f}h0" for x, y in pairs)
        if dots:
            parts.append(f'<path class="dots run{run}" d="{dots}"/>')
    return _svg(title, parts)


def _frame(title: str, y_label: str, x_label: str, ticks: Sequence[str]) -> str:
    """Grid lines with the values of the vertical axis, and what both axes are."""
    parts = []
    for k, tick in enumerate(ticks):
        y = _TOP + _PLOT_HEIGHT * (1 - k / (len(ticks) - 1))
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}h{_PLOT_WIDTH}"/>{_text(_LEFT - 5, y + 4, tick, "end")}')
    parts.append(_text(_LEFT + _PLOT_WIDTH / 2, _HEIGHT - 6, x_label, "middle"))
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(11 {_TOP + _PLOT_HEIGHT / 2}) rotate(-90)">{escape(y_label)}</text>'
    )
    return "".join(parts)


def _svg(title: str, parts: Sequence[str]) -> Markup:
    inside = "".join(map(str, parts))
    return Markup(f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">{inside}</svg>')


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="label" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _round_up(value: float) -> float:
    """The next value that four equal steps divide into round ones."""
    step = 1.0
    while step * 4 * 10 <= value:
        step *= 10
    while step * 4 / 10 >= value > 0:
        step /= 10
    for factor in (1, 2, 2.5, 3, 4, 5, 10):
        if step * factor * 4 >= value:
            return step * factor * 4
    return step * 40
