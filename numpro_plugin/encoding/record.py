"""TimeEncoding: how time is shown to a model and asked for, and the presets that people type."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from numpro_plugin.encoding.grid import Grid, grid_of
from numpro_plugin.encoding.marks import RANGES, STAMPS, MarkKind, mark_of, whole_seconds
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Drawn = Literal["number", "seconds", "clock", "bar", "none"]
Text = Literal["native", "number", "seconds", "clock", "none"]
AnswerUnit = Literal["frames", "seconds", "clock"]

_UNIT_OF: dict[str, AnswerUnit] = {"number": "frames", "seconds": "seconds", "clock": "clock", "bar": "seconds"}


@dataclass(frozen=True)
class TimeEncoding:
    """How time is shown and asked for. The defaults are NumPro's: the frame number is drawn, and the answer names two of them.

    Raises:
        NumProError: an unknown value, or a combination in which the model is asked for what it is not shown.
    """

    drawn: Drawn = "number"
    """What is drawn on each frame. ``bar``: the frame stands above a strip with the video's progress and the time in seconds."""

    text: Text = "native"
    """What is written before each frame (or grid). ``native``: what the family's own processor writes, if anything; every other value
    replaces that."""

    answer: AnswerUnit = "frames"
    """What the answer is asked in, and how it is read."""

    layout: str = "frames"
    """``frames``, or ``COLUMNSxROWS/STRIDE``: grids of so many frames that begin STRIDE frames apart. ``4x3`` is ``4x3/12``: no overlap."""

    def __post_init__(self) -> None:
        for name, allowed in (("drawn", Drawn), ("text", Text), ("answer", AnswerUnit)):
            if getattr(self, name) not in get_args(allowed):
                raise NumProError(f"encoding: {name}={getattr(self, name)!r} is unknown; allowed: {', '.join(get_args(allowed))}")
        grid = grid_of(self.layout)
        if grid is not None:
            object.__setattr__(self, "layout", f"{grid.columns}x{grid.rows}/{grid.stride}")  # 4x3 and 4x3/12 are one layout, in hashes too
        if problem := self._problem(grid):
            raise NumProError(f"encoding {_written(self)} is not possible: {problem}")

    def _problem(self, grid: Grid | None) -> str | None:
        shown = {self.drawn, self.text}
        if self.answer == "frames" and "number" not in shown and shown & {"seconds", "clock", "bar"}:
            unit = _UNIT_OF[self.text if self.drawn == "none" else self.drawn]
            return f"it shows time, but no frame numbers to answer with; use answer={unit}"
        if grid is not None and self.text == "native":
            return "no family's own processor writes times before grids; use text=number, seconds, clock or none"
        if grid is not None and self.drawn == "bar":
            return "a bar below each frame of a grid is too small to read; use layout=frames"
        return None

    @property
    def grid(self) -> Grid | None:
        """The layout as a grid; None if frames are shown one by one."""
        return grid_of(self.layout)

    @property
    def draws(self) -> bool:
        """Whether anything is drawn."""
        return self.drawn != "none"

    @property
    def shows_numbers(self) -> bool:
        """Whether frame numbers are drawn or written."""
        return "number" in (self.drawn, self.text)

    @property
    def name(self) -> str:
        """The preset's name, or the fields written out as `parse_encoding` reads them."""
        return next((name for name, preset in PRESETS.items() if preset.encoding == self), _written(self))

    def marks(self, kind: MarkKind, numbers: Sequence[int], fps: float) -> list[str]:
        """How the times of frames are written: `number`, `seconds` or `clock` marks, one a frame.

        Args:
            kind: of the marks.
            numbers: of the frames on the grid.
            fps: numbers per second.
        """
        if kind == "number":
            return [str(number) for number in numbers]
        return [mark_of(kind, number / fps) for number in numbers]

    def texts(self, numbers: Sequence[int], fps: float) -> tuple[str, ...] | None:
        """What is written before each picture (frame or grid); None leaves it to the family's own processor.

        Args:
            numbers: of all frames that are shown.
            fps: numbers per second.
        """
        if self.text == "native":
            return None
        grid = self.grid
        count = len(numbers) if grid is None else len(grid.parts(len(numbers)))
        if self.text == "none":
            return ("",) * count
        marks = self.marks(self.text, numbers, fps)
        if grid is None:
            return tuple(STAMPS[self.text].format(mark=mark) for mark in marks)
        return tuple(RANGES[self.text].format(first=marks[part[0]], last=marks[part[-1]]) for part in grid.parts(len(numbers)))

    @property
    def shows_time(self) -> bool:
        """Whether anything is drawn or written that an answer can be read from."""
        return self.draws or self.text not in ("native", "none")

    def answer_times(self, numbers: Sequence[int], fps: float) -> list[float]:
        """The times in seconds that an answer in the asked unit can name by what is shown, ascending, each once; none if nothing is shown.

        A mark is as exact as it is written: a clock counts whole seconds, and seconds have thousandths at most. In a grid every frame
        counts, also where only the first and the last of them are named before it.

        Args:
            numbers: of all frames that are shown, ascending.
            fps: numbers per second.
        """
        if not self.shows_time:
            return []
        times = [number / fps for number in numbers]
        if {self.drawn, self.text} <= {"clock", "native", "none"} or self.answer == "clock":
            times = [float(whole_seconds(time_s)) for time_s in times]
        elif self.answer == "seconds":
            times = [float(mark_of("seconds", time_s)) for time_s in times]
        return list(dict.fromkeys(times))

    def check_rate(self, fps: float, *, automatic: bool = False) -> None:
        """Raise NumProError if two neighbouring frames would carry the same clock time.

        Args:
            fps: numbers per second; where they follow each video's length (``fps=auto``) the most that there can be.
            automatic: whether they do.
        """
        if fps > 1 and "clock" in (self.drawn, self.text):
            rate = f"fps=auto goes up to {fps:g} numbers per second, where" if automatic else f"at fps={fps:g}"
            raise NumProError(
                f"encoding {self.name} shows whole seconds (mm:ss), but {rate} frames are {1 / fps:.3g} s apart, so two of them "
                f"would carry one clock time: use fps=1 or less, or seconds in place of the clock"
            )

    def to_dict(self) -> dict[str, str]:
        """The record as plain values; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TimeEncoding:
        """Read what `to_dict` wrote. Raises NumProError for keys or values that do not exist."""
        _check_keys(values)
        return cls(**values)


def _check_keys(values: Mapping[str, Any]) -> None:
    known = [f.name for f in fields(TimeEncoding)]
    if unknown := [key for key in values if key not in known]:
        raise NumProError(f"unknown field(s) of an encoding: {', '.join(map(str, unknown))}; allowed: {', '.join(known)}")
    if bad := [key for key, value in values.items() if not isinstance(value, str)]:
        raise NumProError(f"encoding: {bad[0]}={values[bad[0]]!r} must be a word")


def _written(encoding: TimeEncoding) -> str:
    parts = [f"drawn={encoding.drawn}", f"text={encoding.text}", f"answer={encoding.answer}"]
    return ",".join(parts + ([] if encoding.layout == "frames" else [f"layout={encoding.layout}"]))


def drawn_kind(encoding: TimeEncoding) -> MarkKind | None:
    """What kind of mark is drawn as letters on the frame; None if none is (or a bar)."""
    return cast("MarkKind", encoding.drawn) if encoding.drawn in get_args(MarkKind) else None


class Preset(NamedTuple):
    """An encoding that has a name."""

    encoding: TimeEncoding
    source: str
    """Where it comes from, and how far it is from that."""


NUMBER = TimeEncoding()
PLAIN = TimeEncoding(drawn="none")

PRESETS: dict[str, Preset] = {
    "number": Preset(NUMBER, "NumPro (CVPR 2025): the frame number drawn on each frame"),
    "plain": Preset(PLAIN, "NumPro's control: the same frames and question, nothing drawn"),
    "native": Preset(
        TimeEncoding(drawn="none", answer="seconds"),
        "TimeLens's question for models that were not trained for it; the published figures have their own rate and pixel budget",
    ),
    "seconds": Preset(TimeEncoding(drawn="seconds", answer="seconds"), "drawn time stamps, as in the ablation of TimeLens"),
    "clock": Preset(TimeEncoding(drawn="clock", answer="clock"), "drawn clock times; no published figures"),
    "text": Preset(
        TimeEncoding(drawn="none", text="seconds", answer="seconds"),
        "TimeLens (CVPR 2026): a time stamp written before each frame; the stamp's exact form is unverified",
    ),
    "text_number": Preset(TimeEncoding(drawn="none", text="number"), "written frame numbers, as in the ablation of TimeLens"),
    "number+text": Preset(TimeEncoding(text="number"), "frame numbers drawn and written; not published"),
    "seconds+text": Preset(TimeEncoding(drawn="seconds", text="seconds", answer="seconds"), "time stamps drawn and written; not published"),
    "bar": Preset(
        TimeEncoding(drawn="bar", answer="seconds"),
        "after VTimeCoT (ICCV 2025), whose code is not published: an approximation without its highlighted segments",
    ),
    "grid": Preset(
        TimeEncoding(drawn="none", text="number", layout="4x3/6"),
        "T2SGrid (CVPR 2026) as on Charades-STA; there each frame of a grid has 336 x 336 pixels (frame_size 1344x1008) at 1 fps",
    ),
}
"""Names that people type, with every field and the source of each."""
