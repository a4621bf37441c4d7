from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.answers.failures import BUDGET_EXCEEDED, REQUEST_FAILED, failure_reason, response_failure

MARKED = {
    "[LMMS_EVAL_REQUEST_FAILED after 3 retries] too many requests": "request failed",
    "[LMMS_EVAL_REQUEST_FAILED] NumPro: from frame 0 to frame 1": "request failed",
    "\n [LMMS_EVAL_BUDGET_EXCEEDED]": "token budget",
    "[GENERATION_FAILED] out of memory": "generation failed",
    "[SAFETY_BLOCKED:finish_reason=SAFETY]": "safety filter",
}
SUSPECTED = {
    'Error: can only concatenate str (not "NoneType") to str': "text of an error",
    "Error code: 429 - {'error': {'message': 'Rate limit: from 0 to 1'}}": "text of an error",
    "openai.RateLimitError: from 3 to 9 requests": "text of an error",
    "requests.exceptions.ConnectionError: HTTPConnectionPool": "text of an error",
    "[ERROR] video not found": "text of an error",
    "error: quota exceeded": "text of an error",
    '{"error": {"message": "overloaded", "code": 503}}': "text of an error",
    "Traceback (most recent call last):\n  File": "text of an error",
    "content_filter": "content filter",
    "The response was filtered: it triggers the content management policy.": "content filter",
    '{"finish_reason": "content_filter", "content": ""}': "content filter",
}
ANSWERS = [
    "From Frame 3 to Frame 9.",
    "Not visible.",
    "None",
    "The screen says Error: 404 from Frame 3 to Frame 9.",
    "An error occurs from Frame 3 to Frame 9.",
    "<think>Frame 0",
    "Terror: the man runs from Frame 3 to Frame 9.",
    '{"errors": 0, "start": 3, "end": 9}',
    "The log [LMMS_EVAL_REQUEST_FAILED] is shown from Frame 3 to Frame 9.",
    "The content filter is switched on from Frame 3 to Frame 9.",
    "He installs a content filter. " * 30 + "From Frame 3 to Frame 9.",
]


@pytest.mark.parametrize("text", MARKED)
def test_marks_of_a_failed_request(text):
    assert MARKED[text] in failure_reason(text)
    assert failure_reason(text, certain=True, empty=False) == failure_reason(text)


@pytest.mark.parametrize("text", SUSPECTED)
def test_texts_of_errors_are_no_certain_failures(text):
    assert SUSPECTED[text] in failure_reason(text)
    assert failure_reason(text, certain=True) is None


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text):
    assert failure_reason(text) is None


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_a_failure_of_servers_only(text):
    assert failure_reason(text) == "the answer is empty"
    assert failure_reason(text, empty=False) is None


@pytest.mark.parametrize(("value", "reason"), [(None, "null"), (7, "int"), (["a"], "list"), (float("nan"), "float")])
def test_what_is_no_text_is_never_an_answer(value, reason):
    assert reason in failure_reason(value, certain=True, empty=False)


@given(st.text(), st.booleans(), st.booleans())
def test_a_mark_at_the_beginning_is_always_a_failure(text, certain, empty):
    for mark in REQUEST_FAILED, BUDGET_EXCEEDED:
        assert failure_reason(mark + text, certain=certain, empty=empty)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("From Frame 3 to Frame 9.", None),
        (None, "null"),
        ("Error: no", "text of an error"),
        (["one", "two"], None),
        (["one", "[LMMS_EVAL_REQUEST_FAILED] no"], "request failed"),
        (["one", None], "null"),
        ([["one", "Error: no"]], "text of an error"),
        (("From Frame 3 to Frame 9.", {"input_tokens": None}), None),
        ((None, {"input_tokens": 3}), "null"),
        ((-1.5, True), None),
        ([0, None], None),
        (-1.5, None),
        ((float("-inf"), False), "log-likelihood is -inf"),
        ([float("nan"), False], "log-likelihood is nan"),
        (float("inf"), "log-likelihood is inf"),
        ({"image": None}, None),
    ],
)
def test_responses_of_every_type_of_request(response, reason):
    found = response_failure(response)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize("response", ["", ["one", " "], []])
def test_an_empty_response_is_a_failure_of_servers_only(response):
    assert response_failure(response) == "the answer is empty"
    assert response_failure(response, empty=False) is None


def test_a_reason_is_one_short_line():
    reason = failure_reason("[LMMS_EVAL_REQUEST_FAILED]\n" + "a b\n" * 50_000)
    assert len(reason) < 300
    assert "\n" not in reason
