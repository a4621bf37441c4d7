"""The questions, byte for byte as the reference asks them."""

from __future__ import annotations

MOMENT_SENTENCE = "The red numbers on each frame represent the frame number."
"""What tells the model about the numbers. No space follows it in the moment question: so the models were asked and trained."""

_MOMENT_QUESTION = "During which frames can we see {query}? Answer in the format: 'From Frame x to Frame y'."


def moment_prompt(query: str, *, numbers: bool = True) -> str:
    """The question of moment retrieval.

    Args:
        query: what to look for; put in as it is.
        numbers: False leaves out the sentence about the numbers (the ablation without numbers).
    """
    question = _MOMENT_QUESTION.replace("{query}", query)
    return MOMENT_SENTENCE + question if numbers else question
