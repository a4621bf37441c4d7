"""`numpro report`: one HTML file in which people look at runs, query by query."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from markupsafe import Markup

from numpro_plugin import __version__
from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, written_whole
from numpro_plugin.views import charts, statistics
from numpro_plugin.views.pictures import Sprite, sprite_or_reason
from numpro_plugin.views.playback import Playback, Videos, playback, report_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpro_plugin.views.runs import Run, Sample

MOST_BYTES = 30_000_000
"""A report of one file stays below this: as many pictures go in as fit."""

MOST_RUNS = 6
"""As many colours as there are that people tell apart."""

_DOTS = 1500
_ABOUT_BYTES = 22_000  # of a video's picture, before it is made

Pictures = int | Literal["all", "none"]


@dataclass(frozen=True)
class Report:
    """What was written."""

    path: Path
    bytes: int
    queries: int
    pictures: int
    """Videos whose frames are shown."""
    videos: int
    """Videos that the queries are about."""
    notes: list[str]


def write_report(
    runs: Sequence[Run],
    path: Path,
    *,
    pictures: Pictures | None = None,
    videos: Videos = "link",
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Report:
    """Write the report of one or more runs.

    Args:
        runs: as `numpro_plugin.views.runs.read_runs` gives them; at most six. Runs of one benchmark are compared with the first of them.
        path: the HTML file.
        pictures: of how many videos frames are shown: a number, ``all`` or ``none``. Default: as many as fit 30 MB. Those of the worst,
            the best and some random queries come first. What does not fit the page lies in a folder beside it.
        videos: how the videos are played, see `numpro_plugin.views.playback.playback`.
        progress: wraps the videos whose pictures are made, to show how far it is.

    Raises:
        NumProError: no run, too many runs, or the file cannot be written.
    """
    if not runs:
        raise NumProError("a report needs at least one run")
    if len(runs) > MOST_RUNS:
        raise NumProError(f"a report shows at most {MOST_RUNS} runs, got {len(runs)}; leave some out")
    check_target(path)
    notes = [note for run in runs for note in run.notes]
    rows, names, content = _content(runs)
    players = [playback(part.video, path, videos) for part in names]
    data = json.dumps({**content, "videos": [_player(part, one) for part, one in zip(names, players, strict=True)]}, ensure_ascii=False)
    room = MOST_BYTES - len(data.encode("utf-8", "surrogatepass")) - 400_000
    wanted = _videos_to_show(rows, names, pictures, room)
    sprites: dict[int, Sprite] = {}
    reasons: dict[int, str] = {}
    for video in progress(wanted):
        sprites[video], reasons[video] = _sprite(rows, names, video)  # type: ignore[assignment]
    sprites = {video: sprite for video, sprite in sprites.items() if sprite is not None}
    inside, outside = _placed(sprites, room)
    folder = report_folder(path)
    for video, sprite in outside.items():
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / f"frames-{video}.jpg") as part:
            part.write_bytes(sprite.jpeg)
    frames = {
        video: {
            "w": sprite.width,
            "h": sprite.height,
            "numbers": sprite.numbers,
            "times": sprite.times_s,
            "url": f"{folder.name}/frames-{video}.jpg" if video in outside else None,
        }
        for video, sprite in sprites.items()
    }
    if len(sprites) < len(names) and pictures != "none":
        notes.append(f"frames are shown for {len(sprites)} of {len(names)} videos (worst, best and random queries first)")
    with written_whole(path) as part, part.open("w", encoding="utf-8", errors="surrogatepass") as file:
        _template().stream(
            title=" · ".join(run.name for run in runs),
            version=__version__,
            runs=[_run_view(run, color) for color, run in enumerate(runs)],
            sections=[_section(name, group) for name, group in _by_benchmark(runs).items()],
            notes=notes,
            style=_asset("report.css"),
            script=_asset("report.js"),
            data=_inert(data),
            frames=_inert(json.dumps({"frames": frames, "reasons": {video: reason for video, reason in reasons.items() if reason}})),
            sprites={video: Markup(base64.b64encode(sprite.jpeg).decode()) for video, sprite in inside.items()},
        ).dump(file)
    return Report(path, path.stat().st_size, len(rows), len(sprites), len(names), notes)


# --- the data of the page ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """One query with its sample in each run that has it."""

    video: int
    samples: list[Sample | None]

    @property
    def any(self) -> Sample:
        return next(sample for sample in self.samples if sample is not None)


class _Part(NamedTuple):
    """A video, or a part of one: what is shown to a model, and played and pictured here."""

    video: str
    start_s: float
    end_s: float | None


def _content(runs: Sequence[Run]) -> tuple[list[_Row], list[_Part], dict[str, Any]]:
    """The rows, the videos, and what the page's script reads: lists, because names of fields would double the size."""
    benchmarks = list(_by_benchmark(runs))
    prompts, reasons = _Numbering(), _Numbering()
    videos: dict[_Part, int] = {}
    rows: list[_Row] = []
    listed: list[list[Any]] = []
    keys = dict.fromkeys((benchmarks.index(run.benchmark), key) for run in runs for key in run.samples)
    for benchmark, key in keys:
        samples = [run.samples.get(key) if run.benchmark == benchmarks[benchmark] else None for run in runs]
        shown = next(_Part(sample.video, sample.start_s, sample.end_s) for sample in samples if sample is not None)
        row = _Row(videos.setdefault(shown, len(videos)), samples)
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
    """[score, span, words, reason, state, prompt, highlights]; state: 0 read, 1 not read, 2 not given."""
    state = 2 if sample.failure else 1 if sample.metrics.get("parse_fail") == 100 else 0
    prompt = sample.prompt.replace(sample.query, "\0") if sample.query else sample.prompt
    return [
        round(sample.score, 2),
        [_short(time) for time in sample.span_s] if sample.span_s else None,
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


def _player(part: _Part, player: Playback) -> dict[str, Any]:
    return {"name": part.video, "url": player.url, "note": player.note, **({"start": part.start_s} if part.start_s else {})}


def _by_benchmark(runs: Sequence[Run]) -> dict[str, list[tuple[int, Run]]]:
    """(colour, run) by benchmark."""
    found: dict[str, list[tuple[int, Run]]] = {}
    for color, run in enumerate(runs):
        found.setdefault(run.benchmark, []).append((color, run))
    return found


# --- pictures ------------------------------------------------------------------------------------------------------------------------


def _videos_to_show(rows: Sequence[_Row], names: Sequence[_Part], pictures: Pictures | None, room: int) -> list[int]:
    """Videos in the order in which their queries are worth looking at: by turns the worst, the best and a random one."""
    if pictures == "none":
        return []
    most = len(names) if pictures == "all" else max(0, room // (_ABOUT_BYTES * 4 // 3)) if pictures is None else pictures
    by_score = sorted(range(len(rows)), key=lambda k: rows[k].any.score)
    shuffled = random.Random(0).sample(range(len(rows)), len(rows))
    turns = (k for turn in zip(by_score, reversed(by_score), shuffled, strict=True) for k in turn)
    return list(dict.fromkeys(rows[k].video for k in turns))[:most]


def _sprite(rows: Sequence[_Row], names: Sequence[_Part], video: int) -> tuple[Sprite | None, str]:
    about = [row for row in rows if row.video == video]
    samples = [sample for row in about for sample in row.samples if sample is not None]
    spans = [span for row in about for span in row.any.truth_s[:4]] + [sample.span_s for sample in samples if sample.span_s]
    settings = next((sample.settings for sample in samples if sample.settings and sample.settings.numbers), None)
    settings = settings or next((sample.settings for sample in samples if sample.settings), None)
    return sprite_or_reason(names[video].video, settings, spans, start_s=names[video].start_s, end_s=names[video].end_s)


def _placed(sprites: dict[int, Sprite], room: int) -> tuple[dict[int, Sprite], dict[int, Sprite]]:
    """Those inside the page, as long as there is room, and those beside it."""
    inside: dict[int, Sprite] = {}
    outside: dict[int, Sprite] = {}
    for video, sprite in sprites.items():
        room -= len(sprite.jpeg) * 4 // 3 + 100
        (inside if room >= 0 else outside)[video] = sprite
    return inside, outside


# --- the page ------------------------------------------------------------------------------------------------------------------------


def _run_view(run: Run, color: int) -> dict[str, Any]:
    return {"name": run.name, "color": color, "task": run.task, "log": str(run.log), "n": len(run.samples), "protocol": run.protocol}


def _section(benchmark: str, group: Sequence[tuple[int, Run]]) -> dict[str, Any]:
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
        pairs = each(lambda run, at=at: _dots([(s.truth_s[0][at], s.span_s[at]) for s in run.samples.values() if s.truth_s and s.span_s]))  # type: ignore[misc]
        title = f"Predicted against true {what}"
        made.append(charts.points(title, pairs, y_label=f"predicted {what}, s", x_label=f"true {what}, s"))
    return made


def _dots(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """All pairs, or a random part of very many, without those off every scale."""
    pairs = [pair for pair in pairs if max(pair) < 1e6]
    return pairs if len(pairs) <= _DOTS else random.Random(0).sample(pairs, _DOTS)


def _template() -> Any:
    import jinja2

    loader = jinja2.FunctionLoader(lambda name: str(_asset(name)))
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html.j2")


def _asset(name: str) -> Markup:
    return Markup((files("numpro_plugin") / "data" / "report" / name).read_text(encoding="utf-8"))


def _inert(written: str) -> Markup:
    """JSON that can stand in a script element: no end tag and no comment can occur in it."""
    return Markup(written.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
