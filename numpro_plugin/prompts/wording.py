"""The questions, byte for byte those of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpro_plugin.settings import PromptKind

NUMBERS_SENTENCE = "The red numbers on each frame represent the frame number."
"""Tells the model what the numbers mean."""

_MOMENT = "During which frames can we see {query}? Answer in the format: 'From Frame x to Frame y'."
_EXAMPLE = (
    "'The highlight frames are in the 80, 81, 82, 83, 84, 85, 86, 87, 88, 89 frames. "
    "Their saliency scores are 1.3, 1.5, 2.6, 3.0, 2.9, 4.0, 3.7, 3.2, 2.1, 2.3'"
)
_SCALE = "on a scale from 1 to 5. If the video content more related to the query, the saliency score should be higher. "
_HIGHLIGHT: dict[PromptKind, str] = {
    "zeroshot": (
        "Please find the highlight contents in the video described by the query {query}. Determine the highlight frames and its "
        f"saliency score {_SCALE}The output format should be like: {_EXAMPLE}."
    ),
    "ft": (
        "Please find the highlight contents in the video described by a sentence query, determining the highlight frames and its "
        f"saliency score {_SCALE}The output format should be like: {_EXAMPLE}. "
        "Now I will give you the sentence query: {query}. Please return the query-based highlight frames and salient scores."
    ),
}


SetQuestion = Literal["retrieval", "grounding", "single"]
"""TimeLens2's questions for all moments: of VUE-TR, of MomentSeeker, and of Ego4D-NLQ, which asks for one."""

_STAMPED = "You are given a video as a sequence of frames.\nThe timestamp (in seconds) is shown before each frame.\n"
_PAIRS = "Output format MUST be a JSON array of [start, end] pairs, e.g. [[0, 3.5], [10, 12]].\n"
_SETS: dict[SetQuestion, str] = {
    "retrieval": (
        "You are given a video.\nTask: temporal retrieval.\n"
        f'Given the query: "{{query}}", return ALL time spans (in seconds) where the query is relevant.\n{_PAIRS}'
    ),
    "grounding": (
        "You are given a video.\nTask: temporal grounding.\n"
        f'Given the query: "{{query}}", return ALL time spans (in seconds) where the query is grounded in the video.\n{_PAIRS}'
    ),
    "single": (
        "You are given a video.\nTask: temporal grounding.\n"
        'Given the query: "{query}", return the time span (in seconds) where the query is grounded in the video.\n'
        "Output format MUST be [[start, end]].\n"
    ),
}

MOMENT_ANSWER_TOKENS = 128
"""Token limit of an answer to a moment retrieval question."""

SET_ANSWER_TOKENS = 512
"""Token limit of an answer that lists all moments; a pair of numbers takes about eight."""

HIGHLIGHT_ANSWER_TOKENS: dict[PromptKind, int] = {"zeroshot": 512, "ft": 1024}
"""Token limit of an answer to a highlight detection question, by kind of prompt; the reference's values."""


def moment_prompt(query: str, *, numbers: bool = True, color: str = "red") -> str:
    """The moment retrieval question.

    Args:
        query: what to look for; inserted unchanged.
        numbers: False leaves out the sentence about the numbers (the ablation without numbers).
        color: of the numbers, see `numbers_sentence`.
    """
    question = _MOMENT.replace("{query}", query)
    # No space after the sentence: the models were prompted and trained this way.
    return numbers_sentence(color) + question if numbers else question


def set_prompt(
    query: str,
    question: SetQuestion,
    *,
    unit: Literal["frames", "seconds", "clock"] = "frames",
    numbers: bool = True,
    color: str = "red",
    stamps: bool = False,
) -> str:
    """The question for all moments of a query: TimeLens2's, byte for byte in seconds, and the same in frame numbers or clock times.

    Args:
        query: what to look for; inserted unchanged.
        question: which of its three.
        unit: what the answer counts. In frames "(in seconds)" becomes "(in frame numbers)", and the example has whole numbers.
        numbers: False leaves out the sentence about the numbers; in other units than frames there is none.
        color: of the numbers, see `numbers_sentence`.
        stamps: whether the time in seconds is written before each frame; the question then begins as TimeLens2's does for such input.
    """
    asked = _SETS[question]
    if unit == "frames":
        asked = asked.replace("(in seconds)", "(in frame numbers)").replace("3.5", "3")
    elif unit == "clock":
        asked = asked.replace("(in seconds)", '(as "mm:ss")').replace("[[0, 3.5], [10, 12]]", '[["00:00", "00:03"], ["00:10", "00:12"]]')
    if stamps:
        asked = asked.replace("You are given a video.\n", _STAMPED)
    asked = asked.replace("{query}", query)
    return f"{numbers_sentence(color)} {asked}" if numbers and unit == "frames" else asked


def highlight_prompt(query: str, *, kind: PromptKind = "zeroshot", numbers: bool = True, color: str = "red") -> str:
    """The highlight detection question, worded for untrained models or for NumPro-FT.

    Args:
        query: what to look for; inserted unchanged.
        kind: ``zeroshot`` or ``ft``.
        numbers: False leaves out the sentence about the numbers.
        color: of the numbers, see `numbers_sentence`.
    """
    question = _HIGHLIGHT[kind].replace("{query}", query)
    return f"{numbers_sentence(color)} {question}" if numbers else question


NUMBERS_PHRASE = "numbers on each frame represent the frame number"
"""A question that contains this already explains the numbers, whatever their colour."""


def numbers_sentence(color: str = "red") -> str:
    """The sentence about the numbers with their colour; a colour without a name (``#12ab34``) is left out."""
    named = color if color.isalpha() else ""
    return " ".join(f"The {named} numbers on each frame represent the frame number.".split())
