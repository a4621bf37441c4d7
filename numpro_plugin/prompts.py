"""The questions, byte for byte as the reference asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpro_plugin.settings import PromptKind

NUMBERS_SENTENCE = "The red numbers on each frame represent the frame number."
"""What tells the model about the numbers."""

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


MOMENT_ANSWER_TOKENS = 128
"""The most tokens of an answer to a question of moment retrieval."""

HIGHLIGHT_ANSWER_TOKENS: dict[PromptKind, int] = {"zeroshot": 512, "ft": 1024}
"""The most tokens of an answer to a question of highlight detection, by kind of prompt, as in the reference."""


def moment_prompt(query: str, *, numbers: bool = True, color: str = "red") -> str:
    """The question of moment retrieval.

    Args:
        query: what to look for; put in as it is.
        numbers: False leaves out the sentence about the numbers (the ablation without numbers).
        color: of the numbers, see `numbers_sentence`.
    """
    question = _MOMENT.replace("{query}", query)
    # No space follows the sentence here: so the models were asked and trained.
    return numbers_sentence(color) + question if numbers else question


def highlight_prompt(query: str, *, kind: PromptKind = "zeroshot", numbers: bool = True, color: str = "red") -> str:
    """The question of highlight detection, worded for untrained models or for NumPro-FT.

    Args:
        query: what to look for; put in as it is.
        kind: ``zeroshot`` or ``ft``.
        numbers: False leaves out the sentence about the numbers.
        color: of the numbers, see `numbers_sentence`.
    """
    question = _HIGHLIGHT[kind].replace("{query}", query)
    return f"{numbers_sentence(color)} {question}" if numbers else question


SAID_OF_NUMBERS = "numbers on each frame represent the frame number"
"""By this one sees that a question says it already, whatever the colour."""


def numbers_sentence(color: str = "red") -> str:
    """The sentence for numbers of another colour; of a colour without a name (``#12ab34``) nothing is said."""
    named = color if color.isalpha() else ""
    return " ".join(f"The {named} numbers on each frame represent the frame number.".split())
