"""One request of the page: a video and queries -> moments, numbered frames, and files to download."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from numpro_plugin.errors import NumProError
from numpro_plugin.files import write_text_whole
from numpro_plugin.inference.found_moments import moments_of
from numpro_plugin.inference.localize import Localized, localize
from numpro_plugin.showing import show_video
from numpro_plugin.video.packets import PacketIndex, read_packets
from numpro_plugin.views import moments as lists
from numpro_plugin.views.cut import cut_moment
from numpro_plugin.views.page.playback import playable_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpro_plugin.app.models import AppModel
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.views.moments import Moment

MOST_QUERIES = 20
"""Of one request: more would keep the others waiting."""

_MOST_WIDE = 224  # pixels of a frame in the page


@dataclass(frozen=True)
class FramePicture:
    """A picture that the model saw."""

    number: int
    """Of its (first) frame."""
    time_s: float
    """Of that frame, seconds of the video."""
    end_s: float
    """Where the next picture's time begins, or the video ends."""
    source: str
    """JPEG as a data URI, scaled down to 224 pixels of width."""
    text: str = ""
    """What was written before it for the model."""


@dataclass(frozen=True)
class Found:
    """All that the page shows of a request."""

    video: str
    """The file's name."""
    duration_s: float
    moments: tuple[Moment, ...]
    """One a query, in their order."""
    frames: tuple[FramePicture, ...]
    clips: tuple[Path | None, ...]
    """The moment of each query as a file that browsers play."""
    downloads: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What could not be written, and why."""


def read_queries(text: str) -> list[str]:
    """The queries of a text, one a line; blank lines do not count.

    Raises:
        NumProError: there is none, or there are more than ``MOST_QUERIES``.
    """
    queries = [line.strip() for line in text.splitlines() if line.strip()]
    if not queries:
        raise NumProError("Say what to look for: one query a line, such as: a person opens a door")
    if len(queries) > MOST_QUERIES:
        raise NumProError(f"{len(queries)} queries are too many for one request; at most {MOST_QUERIES}, one a line")
    return queries


def find(
    video: Path,
    queries: Sequence[str],
    model: AppModel,
    folder: Path,
    *,
    ask: Callable[..., list[Localized]] = localize,
) -> Found:
    """Ask the model, and write clips and lists.

    Args:
        video: the video file.
        queries: what to look for.
        model: who is asked.
        folder: where the files go; exists.
        ask: stands in for ``localize`` in tests.

    Raises:
        NumProError: the video cannot be read, or is too long for the model.
    """
    index = read_packets(video)
    answers = ask(index, list(queries), model.loaded, model.settings, batch_size=4)
    rows = [moment for answer in answers for moment in moments_of(answer)]
    shown = tuple(lists.lasting(row, 1 / model.settings.fps, index.duration_s) for row in rows)
    notes: list[str] = []
    cuts = [_cut(index, folder / f"clip-{k}.mp4", moment, notes) for k, moment in enumerate(shown, 1)]
    written = [cut for cut in cuts if cut is not None] + _lists(index, video.name, folder, rows, shown, notes)
    clips = tuple(None if cut is None else playable_file(cut, folder / "played") for cut in cuts)
    frames = frame_pictures(index, model.settings)
    return Found(video.name, index.duration_s, shown, frames, clips, tuple(written), tuple(notes))


def frame_pictures(index: PacketIndex, settings: NumProSettings) -> tuple[FramePicture, ...]:
    """The pictures as the model sees them, scaled down."""
    shown = show_video(index, settings)
    numbers = shown.pictures.numbers.tolist()
    times_s = [shown.pictures.timeline.seconds(number) for number in numbers]
    ends_s = [*times_s[1:], max(index.duration_s, times_s[-1])]
    texts = shown.texts or ("",) * len(numbers)
    sources = [_data_uri(pixels) for pixels in shown.pictures.pixels]
    return tuple(map(FramePicture, numbers, times_s, ends_s, sources, texts))


def _data_uri(pixels: object) -> str:
    picture = Image.fromarray(pixels)  # type: ignore[arg-type]
    picture.thumbnail((_MOST_WIDE, 4 * _MOST_WIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _cut(index: PacketIndex, path: Path, moment: Moment, notes: list[str]) -> Path | None:
    if moment.start_s is None or moment.end_s is None:
        return None
    try:
        return cut_moment(index, path, moment.start_s, moment.end_s).path
    except NumProError as error:
        notes.append(f"{path.name} was not written: {error}")
        return None


def _lists(index: PacketIndex, name: str, folder: Path, rows: Sequence[Moment], shown: Sequence[Moment], notes: list[str]) -> list[Path]:
    texts: dict[str, Callable[[], str]] = {"moments.csv": lambda: lists.as_csv(rows)}
    if lists.found(shown):
        texts["moments.edl"] = lambda: lists.as_edl(shown, name, lists.frame_rate_of(index))
        texts["moments.srt"] = lambda: lists.as_srt(shown)
    written = []
    for target, text in texts.items():
        try:
            write_text_whole(folder / target, text())
        except NumProError as error:
            notes.append(f"{target} was not written: {error}")
        else:
            written.append(folder / target)
    return written
