"""What the page shows of a request, as HTML. Every text of a stranger is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.app.finding import Found, FramePicture
    from numpro_plugin.views.moments import Moment

WAITING = (
    '<div class="np np-waiting">Here you will see when each query happens, as a bar on the time axis of the video, with the clip to play '
    "and download. The frames that the model saw follow below.</div>"
)
"""What stands in the place of the answer before the first one."""

_COLORS = 6

_ROW = Markup(
    '<div class="np-row"><div class="np-query" dir="auto"><b class="np-key np-c{color}">{k}</b> {query}</div>'
    '<div class="np-times">{times}</div><div class="np-axis" role="img" aria-label="{label}">{bar}</div>'
    '<div class="np-words" dir="auto">the model: {words}</div></div>'
)
_BAR = Markup('<span class="np-bar np-c{color}" style="left:{left:.3f}%;width:{width:.3f}%"></span>')
_FRAME = Markup(
    '<figure class="np-frame{small}"><img src="{source}" alt="frame {number}, {time:g} s">'
    '<div class="np-marks">{marks}</div><figcaption>{number} · {time:g} s{inside}{text}</figcaption></figure>'
)


def problem(message: str) -> str:
    """A message about what went wrong."""
    return str(Markup('<div class="np-problem" role="alert" dir="auto">{}</div>').format(printable(message)))


def problem_of(error: Exception, video: Path | None) -> str:
    """An error's message, with the video by its name alone: where it lies on the server is nobody's business."""
    message = str(error)
    return problem(message if video is None else message.replace(str(video), video.name))


def timeline(found: Found) -> str:
    """The moments on the video's axis, the model's words, and notes."""
    rows = Markup("").join(_row(k, moment, found.duration_s) for k, moment in enumerate(found.moments))
    ticks = Markup("").join(Markup("<span>{:.3g} s</span>").format(found.duration_s * k / 4) for k in range(5))
    notes = Markup("").join(Markup('<div class="np-note" dir="auto">{}</div>').format(printable(note)) for note in found.notes)
    head = Markup('<div class="np-video" dir="auto">{} · {:.1f} s</div>').format(printable(found.video), found.duration_s)
    return str(Markup('<div class="np np-found">{}{}<div class="np-ticks">{}</div>{}</div>').format(head, rows, ticks, notes))


def frames(found: Found) -> str:
    """The numbered frames; a frame within a moment has that moment's bar under it."""
    pictures = Markup("").join(_frame(picture, found.moments) for picture in found.frames)
    head = Markup("<h3>What the model saw</h3><p>{} frames. The bars under them are the moments above.</p>").format(len(found.frames))
    return str(Markup('<div class="np">{}<div class="np-frames">{}</div></div>').format(head, pictures))


def span_text(moment: Moment) -> str:
    """The moment's times, or that there is none."""
    if moment.start_s is None or moment.end_s is None:
        return f"no moment found: {moment.reason}"
    return f"{moment.start_s:.1f} to {moment.end_s:.1f} s"


def _row(k: int, moment: Moment, duration_s: float) -> Markup:
    bar: Markup | str = ""
    if moment.start_s is not None and moment.end_s is not None and duration_s > 0:
        left, right = (min(100.0, max(0.0, 100 * time_s / duration_s)) for time_s in (moment.start_s, moment.end_s))
        bar = _BAR.format(color=k % _COLORS, left=left, width=max(0.5, right - left))
    times = span_text(moment)
    query, words = printable(moment.query), printable(moment.text) or "(nothing)"
    return _ROW.format(color=k % _COLORS, k=k + 1, query=query, label=f"{query}: {times}", bar=bar, times=times, words=words)


def _frame(picture: FramePicture, moments: Sequence[Moment]) -> Markup:
    inside = [k for k, moment in enumerate(moments) if _is_inside(picture, moment)]
    marks = Markup("").join(
        Markup('<span class="np-c{}"></span>').format(k % _COLORS) if k in inside else Markup("<span></span>") for k in range(len(moments))
    )
    named = " · in " + ", ".join(str(k + 1) for k in inside) if inside else ""
    return _FRAME.format(
        small=" np-in" if inside else "",
        source=picture.source,
        number=picture.number,
        time=picture.time_s,
        marks=marks,
        inside=named,
        text=f" · {printable(picture.text).strip()}" if picture.text.strip() else "",
    )


def _is_inside(picture: FramePicture, moment: Moment) -> bool:
    """Whether the moment has part of the time for which the picture stands."""
    if moment.start_s is None or moment.end_s is None:
        return False
    return moment.start_s <= picture.time_s <= moment.end_s or picture.time_s <= moment.start_s < picture.end_s


STYLE = """
.gradio-container { max-width: 1280px !important; margin: 0 auto; }
.np { --soft: #555d68; --c0: #0b62b0; --c1: #c2500a; --c2: #007a5a; --c3: #8046a0; --c4: #6d6200; --c5: #a3275c; }
.dark .np { --soft: #a5aebb; --c0: #5fb0f0; --c1: #f38b45; --c2: #38c99c; --c3: #cf9be6; --c4: #d6c544; --c5: #f08ab5; }
.np-c0 { --c: var(--c0); } .np-c1 { --c: var(--c1); } .np-c2 { --c: var(--c2); }
.np-c3 { --c: var(--c3); } .np-c4 { --c: var(--c4); } .np-c5 { --c: var(--c5); }
.np-video, .np-times, .np-words, .np-ticks, .np-frame figcaption { color: var(--soft); }
.np-video, .np-query, .np-words, .np-problem, .np-note { overflow-wrap: anywhere; }
.np-row { margin: 10px 0; display: flex; flex-wrap: wrap; gap: 2px 12px; }
.np-query { flex: 1 1 60%; } /* a long reason for no moment goes to a line of its own */
.np-axis, .np-words { flex-basis: 100%; }
#demo input, #model input { text-overflow: ellipsis; padding-right: 28px; } /* the arrow stands there */
#downloads button[aria-label="Remove this file"] { display: none; } /* gradio's, which takes a file out of the list */
.np-key { color: var(--c); }
.np-axis { position: relative; height: 18px; border: 1px solid var(--border-color-primary); border-radius: 4px; }
.np-bar { position: absolute; top: 0; bottom: 0; background: var(--c); border-radius: 3px; }
.np-times { font-variant-numeric: tabular-nums; font-size: 13px; align-self: center; }
.np-words { font-size: 13px; }
.np-ticks { display: flex; justify-content: space-between; font-size: 12px; }
.np-problem { border: 2px solid #c0392b; border-radius: 6px; padding: 10px 12px; }
.np-waiting { border: 1px dashed var(--border-color-primary); border-radius: 6px; padding: 16px; color: var(--soft); }
.np-note { border-left: 3px solid #c2500a; padding-left: 8px; margin-top: 6px; }
.np-frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 8px; max-height: 620px; overflow: auto; }
.np-frame { margin: 0; }
.np-frame img { width: 100%; display: block; border-radius: 4px; image-rendering: auto; }
.np-marks { display: flex; flex-direction: column; gap: 1px; margin: 2px 0; }
.np-marks span { height: 5px; border-radius: 2px; background: var(--c, transparent); }
.np-frame figcaption { font-size: 12px; font-variant-numeric: tabular-nums; }
.np-frame.np-in figcaption { color: var(--body-text-color); font-weight: 600; }
"""
"""The page's own CSS. The colours are told apart with any colour vision; numbers say the same."""
