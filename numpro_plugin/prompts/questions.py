"""The question of a task, made from the settings: what is shown, what is asked, and in which unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.encoding import NUMBER, PLAIN, PRESETS
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts.wording import highlight_prompt, moment_prompt, numbers_sentence, set_prompt
from numpro_plugin.timeline import kept_numbers

if TYPE_CHECKING:
    from numpro_plugin.encoding import AnswerUnit, TimeEncoding
    from numpro_plugin.prompts.wording import SetQuestion
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.timeline import Timeline

TIMELENS_QUESTION = (
    "Please find the visual event described by the sentence '{query}', determining its starting and ending times. The format should be: "
    "'The event happens in <start time> - <end time> seconds'."
)
"""TimeLens's, byte for byte."""

_CLOCK_QUESTION = TIMELENS_QUESTION.replace("<start time> - <end time> seconds", "<start time> - <end time>', with times as 'mm:ss")

TIMELENS_STAMPS = (
    "You are given a video with multiple frames. The numbers before each video frame indicate its sampling timestamp (in seconds)."
)
"""TimeLens's, byte for byte: what the time stamps before the frames mean."""

_GRID_QUESTION = (
    "This video has {end} frames in total. During which frames can we see {query}? Answer strictly in the format of 'from x to y'."
)
"""T2SGrid's, after all grids."""

_TEXT = PRESETS["text"].encoding
_BAR = "The bar below each frame shows how much of the video has passed, and the number beside it is the time in seconds."
_STAMPS = {
    "number": TIMELENS_STAMPS.replace("its sampling timestamp (in seconds)", "its frame number"),
    "seconds": TIMELENS_STAMPS,
    "clock": TIMELENS_STAMPS.replace("numbers", "times").replace("sampling timestamp (in seconds)", "sampling timestamp (minutes:seconds)"),
}


def moment_question(query: str, settings: NumProSettings, timeline: Timeline | None = None) -> str:
    """The moment retrieval question.

    Args:
        query: what to look for. TimeLens's question takes it without a full stop and with single spaces, as its authors do.
        settings: how time is shown and asked for.
        timeline: of the video; only a grid's question speaks of its length, and says ``{end}`` without it.
    """
    encoding = settings.encoding
    if encoding in (NUMBER, PLAIN):
        return moment_prompt(query, numbers=encoding.draws, color=settings.style.color)
    if encoding.answer == "frames":
        if encoding.grid is not None:
            question = _GRID_QUESTION.replace("{end}", "{end}" if timeline is None else str(_last_number(settings, timeline)))
            question = question.replace("{query}", query)
        else:
            question = moment_prompt(query, numbers=False)
    else:
        asked = TIMELENS_QUESTION if encoding.answer == "seconds" else _CLOCK_QUESTION
        question = asked.replace("{query}", " ".join(query.split()).removesuffix(".") if query != "{query}" else query)
    return " ".join([*shown_sentences(encoding, color=settings.style.color, fps=settings.fps, unit=encoding.answer), question])


def moments_question(query: str, settings: NumProSettings, question: SetQuestion) -> str:
    """A question for all moments of a query; TimeLens2's, in the unit of the settings' encoding."""
    encoding = settings.encoding
    if encoding in (NUMBER, PLAIN):
        return set_prompt(query, question, numbers=encoding.draws, color=settings.style.color)
    if encoding == _TEXT:
        return set_prompt(query, question, unit="seconds", numbers=False, stamps=True)  # its own beginning speaks of the time stamps
    asked = set_prompt(query, question, unit=encoding.answer, numbers=False)
    return " ".join([*shown_sentences(encoding, color=settings.style.color, fps=settings.fps, unit=encoding.answer), asked])


def highlights_question(query: str, settings: NumProSettings) -> str:
    """The highlight detection question, whose answers are frame numbers.

    Raises:
        NumProError: the encoding asks for another unit.
    """
    encoding = settings.encoding
    check_highlights(encoding)
    if encoding in (NUMBER, PLAIN):
        return highlight_prompt(query, kind=settings.prompt, numbers=encoding.draws, color=settings.style.color)
    asked = highlight_prompt(query, kind=settings.prompt, numbers=False)
    return " ".join([*shown_sentences(encoding, color=settings.style.color, fps=settings.fps, unit="frames"), asked])


def check_highlights(encoding: TimeEncoding) -> None:
    """Raise NumProError if highlights cannot be asked for in an encoding."""
    if encoding.answer != "frames":
        raise NumProError(
            f"highlight detection asks for frame numbers, but encoding {encoding.name} asks for {encoding.answer}: "
            "use an encoding with answer=frames, such as number or text_number"
        )


def shown_sentences(encoding: TimeEncoding, *, color: str, fps: float, unit: AnswerUnit | None) -> list[str]:
    """What a model is told about the marks that it is shown, one sentence each.

    Args:
        encoding: how time is shown.
        color: of what is drawn; see `numbers_sentence`.
        fps: numbers per second, for the time of a number.
        unit: what the answer is asked in; where that is a time and frame numbers are shown, a sentence says when number k is shown. None:
            not known.
    """
    sentences = []
    if encoding.text in _STAMPS and encoding.grid is None:
        sentences.append(_STAMPS[encoding.text])
    if encoding.drawn == "number":
        sentences.append(numbers_sentence(color))
    elif encoding.drawn == "seconds":
        sentences.append(numbers_sentence(color).replace("represent the frame number", "represent its time in seconds"))
    elif encoding.drawn == "clock":
        sentences.append(numbers_sentence(color).replace("represent the frame number", "represent its time as minutes:seconds"))
    elif encoding.drawn == "bar":
        sentences.append(_BAR)
    if encoding.shows_numbers and unit in ("seconds", "clock"):
        sentences.append(rate_sentence(fps))
    return sentences


def rate_sentence(fps: float) -> str:
    """When a frame number is shown: "Number k is shown at 2k seconds." at 0.5 numbers a second."""
    step_s = 1 / fps
    if step_s == 1:
        return "Number k is shown at k seconds."
    if fps == int(fps):
        return f"Number k is shown at k/{fps:g} seconds."
    return f"Number k is shown at {step_s:.6g}k seconds."


def _last_number(settings: NumProSettings, timeline: Timeline) -> int:
    return int(kept_numbers(timeline.count, settings.max_frames)[-1])
