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
from numpro_plugin.views.page.playback import Playback, Videos, playback, report_folder
from numpro_plugin.views.page.rows import Part, Row, by_benchmark, page_rows
from numpro_plugin.views.page.sections import section
from numpro_plugin.views.pictures import Sprite, sprite_or_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.views.runs import Run, Span

MOST_BYTES = 30_000_000
"""A report of one file stays below this: as many pictures go in as fit."""

MOST_RUNS = 6
"""As many colours as there are that people tell apart."""

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
        videos: how the videos are played, see `numpro_plugin.views.page.playback.playback`.
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
    rows, names, content = page_rows(runs)
    players = [playback(part.video, path, videos) for part in names]
    data = json.dumps({**content, "videos": [_player(part, one) for part, one in zip(names, players, strict=True)]}, ensure_ascii=False)
    room = MOST_BYTES - len(data.encode("utf-8", "surrogatepass")) - 400_000
    sprites, reasons = _sprites(rows, names, progress(_videos_to_show(rows, names, pictures, room)))
    inside, outside = _placed(sprites, room)
    urls = _written(outside, report_folder(path))
    pictured = len({look.video for look in sprites})
    if pictured < len(names) and pictures != "none":
        notes.append(f"frames are shown for {pictured} of {len(names)} videos (worst, best and random queries first)")
    frames: dict[int, list[dict[str, Any]]] = {}
    for look, sprite in sprites.items():
        frames.setdefault(look.video, []).append(_frames(look, sprite, urls.get(look)))
    with written_whole(path) as part, part.open("w", encoding="utf-8", errors="surrogatepass") as file:
        _template().stream(
            title=" · ".join(run.name for run in runs),
            version=__version__,
            runs=[_run_view(run, color) for color, run in enumerate(runs)],
            sections=[section(name, group) for name, group in by_benchmark(runs).items()],
            notes=notes,
            style=_asset("report.css"),
            script=_asset("report.js"),
            data=_inert(data),
            frames=_inert(json.dumps({"frames": frames, "reasons": reasons})),
            sprites={look.name: Markup(base64.b64encode(sprite.jpeg).decode()) for look, sprite in inside.items()},
        ).dump(file)
    return Report(path, path.stat().st_size, len(rows), pictured, len(names), notes)


def _player(part: Part, player: Playback) -> dict[str, Any]:
    return {"name": part.video, "url": player.url, "note": player.note, **({"start": part.start_s} if part.start_s else {})}


def _videos_to_show(rows: Sequence[Row], names: Sequence[Part], pictures: Pictures | None, room: int) -> list[int]:
    """Videos in the order in which their queries are worth looking at: by turns the worst, the best and a random one."""
    if pictures == "none":
        return []
    fitting = max(0, room // (_ABOUT_BYTES * 4 // 3 * _most_looks(rows)))
    most = len(names) if pictures == "all" else fitting if pictures is None else pictures
    by_score = sorted(range(len(rows)), key=lambda k: rows[k].any.score)
    shuffled = random.Random(0).sample(range(len(rows)), len(rows))
    turns = (k for turn in zip(by_score, reversed(by_score), shuffled, strict=True) for k in turn)
    return list(dict.fromkeys(rows[k].video for k in turns))[:most]


class Look(NamedTuple):
    """How some of the runs showed a video."""

    video: int
    number: int
    """Among the looks of this video, from 0."""
    runs: tuple[int, ...]

    @property
    def name(self) -> str:
        """Unique in the page."""
        return f"{self.video}-{self.number}"


def _most_looks(rows: Sequence[Row]) -> int:
    """In how many ways the runs showed a video, at most."""
    return max((len(_looks([row])) for row in rows), default=1) or 1


def _looks(about: Sequence[Row]) -> dict[NumProSettings, list[int]]:
    """The ways in which runs showed a video, with the runs; a run without numbers shows frames without numbers."""
    same_pixels: dict[str, NumProSettings] = {}
    looks: dict[NumProSettings, list[int]] = {}
    for row in about:
        for run, sample in enumerate(row.samples):
            if sample is None or sample.settings is None:
                continue
            pixels = json.dumps(sample.settings.pixel_dict(), sort_keys=True)
            runs = looks.setdefault(same_pixels.setdefault(pixels, sample.settings), [])
            if run not in runs:
                runs.append(run)
    return looks


def _sprites(rows: Sequence[Row], names: Sequence[Part], videos: Iterable[int]) -> tuple[dict[Look, Sprite], dict[int, str]]:
    """The pictures of videos, one for each way in which runs showed them, and of those without one the reason."""
    about: dict[int, list[Row]] = {}
    for row in rows:
        about.setdefault(row.video, []).append(row)
    sprites: dict[Look, Sprite] = {}
    reasons: dict[int, str] = {}
    for video in videos:
        part = names[video]
        looks: list[tuple[NumProSettings | None, list[int]]] = [*_looks(about[video]).items()]
        for number, (settings, runs) in enumerate(looks or [(None, [])]):
            sprite, reason = sprite_or_reason(part.video, settings, _spans(about[video]), start_s=part.start_s, end_s=part.end_s)
            if sprite is None:
                reasons[video] = reason
                break
            sprites[Look(video, number, tuple(runs))] = sprite
    return sprites, reasons


def _spans(about: Sequence[Row]) -> list[Span]:
    """What frames are chosen for: the first true moments of each query, and the first answers of each run."""
    truths = [span for row in about for span in row.any.truth_s[:4]]
    return truths + [span for row in about for sample in row.samples if sample is not None for span in sample.spans_s[:4]]


def _frames(look: Look, sprite: Sprite, url: str | None) -> dict[str, Any]:
    """What the page's script needs to show a sprite; ``url`` only if it lies beside the page."""
    size = {"w": sprite.width, "h": sprite.height, "numbers": sprite.numbers, "times": sprite.times_s, "shown": sprite.shown}
    return {"name": look.name, "runs": look.runs, **size, "url": url}


def _written(sprites: dict[Look, Sprite], folder: Path) -> dict[Look, str]:
    """Write sprites beside the page; where the page finds them."""
    urls = {}
    for look, sprite in sprites.items():
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / f"frames-{look.name}.jpg") as part:
            part.write_bytes(sprite.jpeg)
        urls[look] = f"{folder.name}/frames-{look.name}.jpg"
    return urls


def _placed(sprites: dict[Look, Sprite], room: int) -> tuple[dict[Look, Sprite], dict[Look, Sprite]]:
    """Those inside the page, as long as there is room, and those beside it."""
    inside: dict[Look, Sprite] = {}
    outside: dict[Look, Sprite] = {}
    for look, sprite in sprites.items():
        room -= len(sprite.jpeg) * 4 // 3 + 100
        (inside if room >= 0 else outside)[look] = sprite
    return inside, outside


def _run_view(run: Run, color: int) -> dict[str, Any]:
    return {"name": run.name, "color": color, "task": run.task, "log": str(run.log), "n": len(run.samples), "protocol": run.protocol}


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
