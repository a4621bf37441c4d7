"""Figures about benchmarks and runs as PNG or SVG, drawn by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpro_plugin.reports.compare import Difference

SUFFIXES = (".png", ".svg")

_COLORS = ("#0b62b0", "#d9730d", "#007a5a", "#8a3ffc", "#5b6470", "#b0124f")  # told apart with any colour vision, also by lightness
_PNG_DOTS = 110  # an inch


def check_plot(path: Path) -> None:
    """Raise NumProError now, and not after the work, if a figure of this name cannot be drawn: another suffix, or no matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise NumProError(f"--plot {path}: a figure is a PNG or an SVG file; name it {path.with_suffix('.png')} or .svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise NumProError(f"--plot {path}: needs matplotlib; run: pip install 'numpro-plugin[train]', or pip install matplotlib") from None


def plot_bars(path: Path, title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Groups of bars, one group a figure's name and one bar a row; values in percent stand on the bars.

    Args:
        path: .png or .svg.
        title: above the bars.
        rows: figures in percent by name, by row, as `numpro_plugin.cli.tables.table` prints them.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    figure, axes = _figure(max(6.0, 1.2 + 0.42 * len(names) * (len(rows) + 1)), 4.2)
    wide = 0.84 / len(rows)
    for k, (label, row) in enumerate(rows.items()):
        places = [at + (k - (len(rows) - 1) / 2) * wide for at, name in enumerate(names) if name in row]
        bars = axes.bar(places, list(row.values()), wide, label=_plain(label), color=_COLORS[k % len(_COLORS)], edgecolor="white")
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=1)
    axes.set_xticks(range(len(names)), [_plain(name) for name in names])
    axes.set(ylabel="percent", ylim=(0, 108))
    axes.grid(axis="y", alpha=0.3)
    _finish(figure, path, title, columns=3)


def plot_list(path: Path, title: str, series: Mapping[str, float]) -> None:
    """One bar a row from the left, with its value in percent: for many rows with long names."""
    figure, axes = _figure(8.0, 1.1 + 0.3 * len(series))
    bars = axes.barh([_plain(name) for name in series], list(series.values()), color=_COLORS[0])
    axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    axes.invert_yaxis()
    axes.set(xlabel="percent", xlim=(0, 108))
    axes.grid(axis="x", alpha=0.3)
    _finish(figure, path, title)


def plot_sweep(path: Path, title: str, rows: Mapping[str, tuple[float, float | None]]) -> None:
    """One bar a row, with its value in percent, and a line where its ceiling is."""
    figure, axes = _figure(8.0, 1.1 + 0.34 * len(rows))
    bars = axes.barh([_plain(name) for name in rows], [value for value, _ in rows.values()], color=_COLORS[0], label="score")
    axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    ceilings = [(k, ceiling) for k, (_, ceiling) in enumerate(rows.values()) if ceiling is not None]
    if ceilings:
        places, values = zip(*ceilings, strict=True)
        axes.plot(values, places, "|", color=_COLORS[5], markersize=16, markeredgewidth=2, label="ceiling of shown marks")
    axes.invert_yaxis()
    axes.set(xlabel="percent", xlim=(0, 108))
    axes.grid(axis="x", alpha=0.3)
    _finish(figure, path, title, columns=2)


def plot_differences(path: Path, title: str, differences: Sequence[Difference]) -> None:
    """B minus A of each metric with its interval, around the line of no difference; intervals without 0 are filled."""
    figure, axes = _figure(7.0, 1.3 + 0.36 * len(differences))
    axes.axvline(0, color="#5b6470", linewidth=1)
    for k, one in enumerate(differences):
        change, is_clear = one.b - one.a, not one.low <= 0 <= one.high
        axes.plot([one.low, one.high], [k, k], color=_COLORS[0], linewidth=2)
        axes.plot([change], [k], "o", color=_COLORS[0], markerfacecolor=_COLORS[0] if is_clear else "white")
    axes.set_yticks(range(len(differences)), [f"{_plain(one.metric)}  {one.a:.1f} → {one.b:.1f}" for one in differences])
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set(xlabel="B − A, points of percent; filled: the 95 % interval is without 0")
    axes.grid(axis="x", alpha=0.3)
    _finish(figure, path, title)


def plot_heat_maps(path: Path, title: str, panels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Tables of shares in percent, each cell with its value on a colour from dark (0) to light (100), up to three side by side.

    Args:
        path: .png or .svg.
        title: above the tables.
        panels: values by column, by row, by table; all tables have the same rows and columns.
    """
    from matplotlib.figure import Figure

    rows, columns = (list(names) for names in _names(panels))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    size = min(20.0, 1.2 + across * (0.5 + 0.45 * len(columns))), min(30.0, 0.8 + down * (0.8 + 0.42 * len(rows)))
    figure = Figure(figsize=size, layout="constrained")
    for k, (name, table) in enumerate(panels.items()):
        axes = figure.add_subplot(down, across, k + 1)
        values = [[table[row][column] for column in columns] for row in rows]
        axes.imshow(values, vmin=0, vmax=100, cmap="cividis", aspect="auto")
        for y, line in enumerate(values):
            for x, value in enumerate(line):
                axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=8, color="black" if value > 55 else "white")
        axes.set_xticks(range(len(columns)), [_plain(column) for column in columns], fontsize=8)
        axes.set_yticks(range(len(rows)), [_plain(row) for row in rows] if k % across == 0 else [""] * len(rows), fontsize=8)
        axes.set_title(_plain(name), fontsize=9)
        axes.tick_params(length=0)
    _finish(figure, path, title)


def _names(panels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    table = next(iter(panels.values()))
    return table, next(iter(table.values()))


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(width, 20.0), min(height, 30.0)), layout="constrained")
    return figure, figure.add_subplot()


def _finish(figure: Any, path: Path, title: str, *, columns: int = 0) -> None:
    figure.suptitle(_plain(title), fontsize=11)
    if columns:
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    kind = path.suffix.lower().lstrip(".")
    # Without a date and with fixed ids, equal figures are equal files.
    from matplotlib import rc_context

    with written_whole(path) as part, rc_context({"svg.hashsalt": "numpro", "svg.fonttype": "none"}):
        figure.savefig(part, format=kind, dpi=_PNG_DOTS, metadata={"Date": None} if kind == "svg" else {})


def _plain(text: str) -> str:
    """The text for matplotlib, which reads what stands between dollar signs as a formula."""
    return text.replace("$", r"\$")
