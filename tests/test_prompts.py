from __future__ import annotations

import json

import pytest

from numpro_plugin.prompts import NUMBERS_SENTENCE, moment_prompt


def test_byte_for_byte():
    assert moment_prompt("a person opens the door.") == (
        "The red numbers on each frame represent the frame number.During which frames can we see a person opens the door.? "
        "Answer in the format: 'From Frame x to Frame y'."
    )


def test_plain_leaves_out_only_the_sentence():
    assert NUMBERS_SENTENCE + moment_prompt("x", numbers=False) == moment_prompt("x")


def test_queries_are_put_in_as_they_are():
    assert "see {0} %s {query}?" in moment_prompt("{0} %s {query}")


@pytest.mark.shared
def test_as_the_reference_asks(shared):
    golden = json.loads((shared / "golden/longva/prompt_mr_real.json").read_text())
    assert moment_prompt(golden["query"]) in golden["prompt"]
    assert golden["prompt"].split("<image>\n")[1].split("<|im_end|>")[0] == moment_prompt(golden["query"])
