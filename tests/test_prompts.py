"""The questions, byte for byte: models were trained with them and published figures depend on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from numpro_plugin.prompts import highlight_prompt, moment_prompt

SENTENCE = "The red numbers on each frame represent the frame number."
MOMENT = "During which frames can we see a person opens the door.? Answer in the format: 'From Frame x to Frame y'."
ZERO_SHOT = (
    "Please find the highlight contents in the video described by the query a person opens the door.. Determine the highlight frames "
    "and its saliency score on a scale from 1 to 5. If the video content more related to the query, the saliency score should be higher. "
    "The output format should be like: 'The highlight frames are in the 80, 81, 82, 83, 84, 85, 86, 87, 88, 89 frames. "
    "Their saliency scores are 1.3, 1.5, 2.6, 3.0, 2.9, 4.0, 3.7, 3.2, 2.1, 2.3'."
)
FINE_TUNED = (
    "Please find the highlight contents in the video described by a sentence query, determining the highlight frames and its saliency "
    "score on a scale from 1 to 5. If the video content more related to the query, the saliency score should be higher. "
    "The output format should be like: 'The highlight frames are in the 80, 81, 82, 83, 84, 85, 86, 87, 88, 89 frames. "
    "Their saliency scores are 1.3, 1.5, 2.6, 3.0, 2.9, 4.0, 3.7, 3.2, 2.1, 2.3'. Now I will give you the sentence query: "
    "a person opens the door.. Please return the query-based highlight frames and salient scores."
)
QUERY = "a person opens the door."


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (moment_prompt(QUERY), SENTENCE + MOMENT),  # without a space between them
        (moment_prompt(QUERY, numbers=False), MOMENT),
        (highlight_prompt(QUERY), f"{SENTENCE} {ZERO_SHOT}"),
        (highlight_prompt(QUERY, kind="zeroshot", numbers=False), ZERO_SHOT),
        (highlight_prompt(QUERY, kind="ft"), f"{SENTENCE} {FINE_TUNED}"),
        (highlight_prompt(QUERY, kind="ft", numbers=False), FINE_TUNED),
    ],
)
def test_byte_for_byte(asked: str, wanted: str):
    assert asked.encode() == wanted.encode()


@pytest.mark.parametrize(
    ("color", "sentence"),
    [
        ("blue", "The blue numbers on each frame represent the frame number."),
        ("#12ab34", "The numbers on each frame represent the frame number."),
    ],
)
def test_the_sentence_names_the_colour_that_is_drawn(color: str, sentence: str):
    assert moment_prompt(QUERY, color=color) == sentence + MOMENT
    assert highlight_prompt(QUERY, kind="ft", color=color) == f"{sentence} {FINE_TUNED}"


def test_queries_are_put_in_as_they_are():
    assert "see {0} %s {query}?" in moment_prompt("{0} %s {query}")
    for kind in ("zeroshot", "ft"):
        assert "query: {0} %s {query}." in highlight_prompt("{0} %s {query}", kind=kind).replace("query {0}", "query: {0}")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mr", "hd"])
def test_as_the_reference_asks(shared: Path, name: str):
    golden = json.loads((shared / f"golden/longva/prompt_{name}_real.json").read_text())
    question = moment_prompt(golden["query"]) if name == "mr" else highlight_prompt(golden["query"], kind="ft")
    system, _, rest = golden["prompt"].partition("<image>\n")
    assert rest == f"{question}<|im_end|>\n<|im_start|>assistant\n"
    assert system == "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
