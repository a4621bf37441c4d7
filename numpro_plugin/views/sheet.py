"""`numpro sheet`: a page of frames with their marks in reading order, with the query, the true moment and the answer as bars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from numpro_plugin.answers.reading import read_moment
from numpro_plugin.encoding import NUMBER
from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, written_whole
from numpro_plugin.metrics.moments import query_iou
from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.packets import read_packets
from numpro_plugin.views.lettering import Lettering
from numpro_plugin.views.marks import marked_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from numpro_plugin.encoding import AnswerUnit
    from numpro_plugin.views.runs import Sample, Span

_PAGE, _MARGIN, _GAP = 1280, 36, 14
_COLUMNS, _ROWS = 5, 6
_BAR = 9
_INK, _SOFT, _PAPER, _LINE = "#16191d", "#5b6470", "#ffffff", "#d5d9e0"
_TRUTH, _ANSWER = "#007a5a", "#0b62b0"  # dark green and blue: told apart with any colour vision, and by their places


@dataclass(frozen=True)
class Reading:
    """How an answer was read."""

    spans_s: tuple[Span, ...]
    iou: float | None
    """0 to 1; None without a true moment or without a span."""
    reason: str
    is_read: bool = True
    """False: nobody knows what it means. An answer may be read and name no moment: there is none."""


@dataclass(frozen=True)
class SheetText:
    """What stands on a sheet besides the frames."""

    query: str = ""
    truth_s: tuple[Span, ...] = ()
    """True moments, (start, end) in seconds."""
    answer: str = ""
    """A model's words, such as ``From Frame 1 to Frame 6.``, in the unit that the settings' encoding asks for."""
    reading: Reading | None = None
    """How the words were read, where a log says it; they are read here otherwise."""


def write_sheet(
    video: str | Path,
    path: Path,
    settings: NumProSettings | None = None,
    text: SheetText | None = None,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> list[Path]:
    """Write the sheet of a video as PNG: one page for 30 frames, further pages as ``NAME-2.png``, ``NAME-3.png`` ...

    Args:
        video: the video file.
        path: of the first page.
        settings: how frames are sampled and numbered; the paper's if None.
        text: query, true moments and answer.
        start_s: use the video only from here; all other times count from here.
        end_s: use the video only up to here.

    Raises:
        NumProError: the video cannot be read, or the page cannot be written.
    """
    settings, text = settings or NumProSettings(), text or SheetText()
    if path.suffix.lower() != ".png":
        raise NumProError(f"-o {path}: a sheet is a PNG picture; name it {path.with_suffix('.png')}")
    check_target(path)
    written = []
    for number, page in enumerate(sheet_pages(video, settings, text, start_s=start_s, end_s=end_s), 1):
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with written_whole(target) as part:
            page.save(part, "PNG")
        written.append(target)
    return written


def sheet_pages(
    video: str | Path, settings: NumProSettings, text: SheetText, *, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Image.Image]:
    """The pages of a sheet, one at a time: only the frames of one page are in memory."""
    index = read_packets(video)
    timeline = Timeline(max(0.0, min(index.duration_s, end_s or index.duration_s) - start_s), settings.fps)
    numbers = kept_numbers(timeline.count, settings.max_frames)
    reading = read_answer(text, timeline, unit=settings.encoding.answer)
    pages = -(-len(numbers) // (_COLUMNS * _ROWS))
    for page in range(pages):
        on_page = numbers[page * _COLUMNS * _ROWS : (page + 1) * _COLUMNS * _ROWS]
        times_s = timeline.seconds(on_page)
        pixels = marked_frames(index, on_page, timeline, settings, start_s=start_s)
        where = f"{Path(video).name}  ·  {timeline.duration_s:.1f} s  ·  {settings.fps:g} numbers a second"
        where += f"  ·  {len(numbers)} of {timeline.count} frames"
        where += f"  ·  page {page + 1} of {pages}" if pages > 1 else ""
        where += "" if settings.encoding == NUMBER else f"  ·  encoding {settings.encoding.name}"
        labels = [f"{number}  ·  {time_s:g} s" for number, time_s in zip(on_page.tolist(), times_s.tolist(), strict=True)]
        if settings.encoding.grid is None and (before := settings.encoding.texts(on_page.tolist(), settings.fps)):
            labels = [f"{label}  ·  {written}" if written else label for label, written in zip(labels, before, strict=True)]
        yield _page(pixels, labels, times_s.tolist(), where, text, reading, timeline)


def read_answer(text: SheetText, timeline: Timeline, *, unit: AnswerUnit = "frames") -> Reading | None:
    """The answer on the video's grid, and its IoU with the true moment (the best of several).

    Args:
        text: the answer and the true moments.
        timeline: of the video.
        unit: what the question asked for.
    """
    if text.reading is not None or not text.answer:
        return text.reading
    found = read_moment(text.answer, unit, timeline)
    if found.span_s is None:
        return Reading((), None, found.reason, is_read=False)
    iou = float(query_iou(found.span_s, [list(span) for span in text.truth_s])) if text.truth_s else None
    return Reading((found.span_s,), iou, found.reason)


def text_of_sample(sample: Sample) -> SheetText:
    """What a logged sample says."""
    spans_s = (*sample.spans_s, *((time_s, time_s) for time_s, _ in sample.highlights))
    iou = sample.score / 100 if sample.spans_s and sample.truth_s else None
    is_read = not sample.failure and sample.metrics.get("parse_fail") != 100
    reading = Reading(spans_s, iou, sample.failure or sample.reason, is_read)
    return SheetText(sample.query, tuple(sample.truth_s), sample.text, reading)


def _page(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    labels: Sequence[str],
    times_s: Sequence[float],
    where: str,
    text: SheetText,
    reading: Reading | None,
    timeline: Timeline,
) -> Image.Image:
    title, small = Lettering(28), Lettering(17)
    inner = _PAGE - 2 * _MARGIN
    query_lines = title.wrapped(text.query, inner, 3) if text.query else []
    answer_lines = small.wrapped(f"answer: {text.answer}", inner, 4) if text.answer else []
    wide = (inner - (_COLUMNS - 1) * _GAP) // _COLUMNS
    high = max(1, round(wide * pixels.shape[1] / pixels.shape[2]))
    cell = high + 2 * _BAR + 26
    rows = -(-len(labels) // _COLUMNS)
    bars = _bars(text, reading)
    head = _MARGIN + 38 * len(query_lines) + 30
    height = head + rows * (cell + _GAP) + 24 + len(bars) * 34 + (30 if bars else 0) + 24 * len(answer_lines) + _MARGIN
    page = Image.new("RGB", (_PAGE, height), _PAPER)
    draw = ImageDraw.Draw(page)
    y = float(_MARGIN)
    for line in query_lines:
        title.draw(draw, _MARGIN, y, line, _INK)
        y += 38
    small.draw(draw, _MARGIN, y, where, _SOFT)
    for k, (label, time_s) in enumerate(zip(labels, times_s, strict=True)):
        x, top = _MARGIN + (k % _COLUMNS) * (wide + _GAP), head + (k // _COLUMNS) * (cell + _GAP)
        frame = Image.fromarray(pixels[k])
        page.paste(frame.resize((wide, high), Image.Resampling.LANCZOS) if frame.size != (wide, high) else frame, (x, top))
        for row, (_, color, spans, _) in enumerate(bars):
            if any(min(span) <= time_s <= max(span) for span in spans):
                at = top + high + 2 + row * _BAR
                draw.rectangle((x, at, x + wide - 1, at + _BAR - 3), fill=color)
        small.draw(draw, x, top + high + 2 * _BAR + 2, label, _SOFT)
    y = head + rows * (cell + _GAP) + 12
    y = _timeline(draw, small, y, bars, max([timeline.duration_s, *(max(span) for _, _, spans, _ in bars for span in spans)]))
    for line in answer_lines:
        small.draw(draw, _MARGIN, y, line, _INK)
        y += 24
    return page


_Bar = tuple[str, str, "Sequence[Span]", str]
"""Name, colour, spans and what stands at the end of the line."""


def _bars(text: SheetText, reading: Reading | None) -> list[_Bar]:
    bars: list[_Bar] = []
    if text.truth_s:
        bars.append(("truth", _TRUTH, text.truth_s, _counted(text.truth_s)))
    if reading is not None:
        iou = "" if reading.iou is None else f"  ·  IoU {reading.iou:.2f}"
        end = _counted(reading.spans_s) + iou if reading.spans_s else "none" if reading.is_read else "not read"
        bars.append(("answer", _ANSWER, reading.spans_s, end))
    return bars


def _counted(spans: Sequence[Span]) -> str:
    return f"{len(spans)} moments" if len(spans) > 1 else f"{spans[0][0]:.7g} to {spans[0][1]:.7g} s"


def _timeline(draw: ImageDraw.ImageDraw, small: Lettering, y: float, bars: Sequence[_Bar], duration_s: float) -> float:
    """The bars on one axis; returns where the next line begins."""
    left, right = _MARGIN + 90, _PAGE - _MARGIN - 260
    for name, color, spans, end in bars:
        small.draw(draw, _MARGIN, y + 2, name, color)
        draw.rectangle((left, y + 4, right, y + 22), outline=_LINE)
        for span in spans:
            start, stop = (left + (right - left) * min(1.0, max(0.0, time / duration_s)) for time in (min(span), max(span)))
            draw.rectangle((start, y + 4, max(stop, start + 3), y + 22), fill=color)
        small.draw(draw, right + 14, y + 2, end, _INK)
        y += 34
    if bars:
        for k in range(5):
            label = f"{round(duration_s * k / 4, 1):.7g} s"
            x = left + (right - left) * k / 4 - small.width(label) * k / 4
            small.draw(draw, x, y - 6, label, _SOFT)
        y += 30
    return y
