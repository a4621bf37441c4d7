"""Some 2,150 answers in the manner of the models of the field; what a careful person reads was written down before they were parsed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from numpro_plugin import parse_highlights, parse_moment
from numpro_plugin.answers.moments import parse_moment_reference

ANSWERS = json.loads(Path(__file__).with_name("model_answers.json").read_text(encoding="utf-8"))


def read(case):
    answer = parse_moment(case["text"], last_number=case.get("last_number"))
    return ["s", *answer.span] if answer.unit == "seconds" else answer.span and list(answer.span)


def test_moments():
    wrong = [(case, read(case)) for case in ANSWERS["moments"] if read(case) != case["want"]]
    assert not wrong


def test_highlights():
    for case in ANSWERS["highlights"]:
        answer = parse_highlights(case["text"])
        assert ([list(answer.frames), list(answer.scores)] if answer.frames else None) == case["want"], case


def test_never_wrong_where_the_reference_is_right():
    """Neither with nor without the last number of the video."""
    right = [case for case in ANSWERS["moments"] if case["want"] and parse_moment_reference(case["text"]).span == tuple(case["want"])]
    assert len(right) > 250
    assert not [case for case in right for last in (None, 200) if read({**case, "last_number": last}) != case["want"]]


@pytest.mark.parametrize("kind", ["moments", "highlights"])
def test_blanks_and_quotes_around_an_answer_change_nothing(kind):
    """The texts of a kind in other blanks: what is read is the same."""
    parse = parse_moment if kind == "moments" else parse_highlights
    for case in ANSWERS[kind][::5]:
        last = {"last_number": case["last_number"]} if "last_number" in case else {}
        before, after = (parse(text, **last) for text in (case["text"], f"  {case['text']} \n"))
        fields = ("spans", "unit") if kind == "moments" else ("frames", "scores")
        assert [getattr(before, field) for field in fields] == [getattr(after, field) for field in fields], case["text"]
