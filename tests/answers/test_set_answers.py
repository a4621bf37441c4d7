from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.answers.sets import parse_set
from numpro_plugin.answers.writing import set_words

NUMBERS = st.integers(0, 500)
SPANS = st.lists(st.tuples(NUMBERS, NUMBERS).map(lambda ends: tuple(sorted(ends))), min_size=1, max_size=12, unique=True)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("[[3, 9], [12, 15]]", ((3, 9), (12, 15))),
        ("```json\n[[3, 9], [12, 15]]\n```", ((3, 9), (12, 15))),
        ("The query is relevant in [[3, 9], [12, 15]].", ((3, 9), (12, 15))),
        ("From Frame 3 to Frame 9, from Frame 12 to Frame 15.", ((3, 9), (12, 15))),
        ("<think>maybe [[1, 2]]</think>[[3, 9]]", ((3, 9),)),
        ("[[3, 9], [3, 9]]", ((3, 9),)),
        ("[]", ()),
        ("[[]]", ()),
        ("```json\n[ ]\n```", ()),
        ("<think>frames 3 to 5? no.</think>\n[]", ()),
        ("The video does not show it.", ()),
        ("", None),
        ("I cannot tell.", None),
        ("[[start, end]]", None),
        ("It happens from 3.0 seconds to 9.5 seconds.", None),
    ],
)
def test_answers(text, spans):
    assert parse_set(text).spans == spans


@given(SPANS)
def test_what_is_asked_for_is_read_back(spans):
    assert list(parse_set(set_words(spans, "frames", 1.0)).spans) == spans


def test_to_the_end():
    assert parse_set("From Frame 3 to the end.", last_number=15).spans == ((3, 15),)
    assert "the task asks for frames" in parse_set("From 3.0 seconds to 9.5 seconds").reason
