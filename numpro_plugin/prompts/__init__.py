"""What a model is asked: the field's wordings (`wording`), and the question that settings make of them (`questions`)."""

from numpro_plugin.prompts.wording import (
    HIGHLIGHT_ANSWER_TOKENS,
    MOMENT_ANSWER_TOKENS,
    NUMBERS_PHRASE,
    NUMBERS_SENTENCE,
    SET_ANSWER_TOKENS,
    SetQuestion,
    highlight_prompt,
    moment_prompt,
    numbers_sentence,
    set_prompt,
)

__all__ = [
    "HIGHLIGHT_ANSWER_TOKENS",
    "MOMENT_ANSWER_TOKENS",
    "NUMBERS_PHRASE",
    "NUMBERS_SENTENCE",
    "SET_ANSWER_TOKENS",
    "SetQuestion",
    "highlight_prompt",
    "moment_prompt",
    "numbers_sentence",
    "set_prompt",
]
