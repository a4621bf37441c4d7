"""What counts as no answer: a text that stands for a request that failed. The harness, the reports and every cache ask here."""

from __future__ import annotations

import math
import re

REQUEST_FAILED = "[LMMS_EVAL_REQUEST_FAILED"
"""How the text begins that lmms-eval's API models return for a request without an answer."""

BUDGET_EXCEEDED = "[LMMS_EVAL_BUDGET_EXCEEDED"
"""How the text begins that lmms-eval's API models return for a request that the token budget left no room for."""

_MARKS = {
    REQUEST_FAILED: "the request failed",
    BUDGET_EXCEEDED: "the token budget was spent before this request was made",
    "[GENERATION_FAILED]": "the generation failed",
    "[SAFETY_BLOCKED": "the server's safety filter withheld the answer",
}
_FILTERED = re.compile(r"\bcontent[_ ]?filter(?:ed|ing)?\b|\bcontent management policy\b", re.IGNORECASE)
_NAMES_A_FRAME = re.compile(r"\bframes?\W{0,3}\d", re.IGNORECASE)
_LONGEST_FILTER_NOTICE = 300  # characters; a longer text that speaks of a content filter is prose
# "Error: ...", "[ERROR] ...", "openai.RateLimitError: ...", "Error code: 429 - {...}", and what null becomes in lmms-eval's async client.
_EXCEPTION = re.compile(
    r"(?:[A-Za-z_][\w.]{0,80})??(?:Error|ERROR|Exception)(?: code)?:"
    r"|error(?: code)?:"
    r"|\[(?:Error|ERROR)\]"
    r"|\{\s*\"error\"\s*:"
    r"|Traceback \(most recent call last\):"
    r"|can only concatenate str \(not \"NoneType\"\) to str"
)


def failure_reason(text: object, *, certain: bool = False, empty: bool = True) -> str | None:
    """Why ``text`` is no answer of a model, or None if it is one (readable or not).

    Args:
        text: what came back for a request: usually a string, None where a server sent null.
        certain: leave out what a model may have written itself ("Error: ..." can be a true answer to a question about a screen).
        empty: whether an empty text is a failure. It is for a server (a filtered answer arrives empty); a local model that writes
            nothing has answered, and its answer cannot be read.
    """
    if text is None:
        return "null came in place of an answer"
    if not isinstance(text, str):
        return f"the answer is not a text but {type(text).__name__}"
    head = text.strip()
    if not head:
        return "the answer is empty" if empty else None
    for mark, reason in _MARKS.items():
        if head.startswith(mark):
            return f"{reason}: {_excerpt(head)}"
    if certain:
        return None
    if _EXCEPTION.match(head):
        return f"the answer is the text of an error: {_excerpt(head)}"
    if len(head) <= _LONGEST_FILTER_NOTICE and _FILTERED.search(head) and not _NAMES_A_FRAME.search(head):
        return f"the server's content filter withheld the answer: {_excerpt(head)}"
    return None


def response_failure(response: object, *, empty: bool = True) -> str | None:
    """Why a response to a request of any type is no answer, or None if it is one, or is of a kind that cannot be judged.

    Args:
        response: a text; the texts of several rounds; a text with its counts of tokens; a log-likelihood, alone or with whether it is
            greedy. Lists come from JSON where tuples went in.
        empty: as for `failure_reason`.
    """
    if response is None or isinstance(response, str):
        return failure_reason(response, empty=empty)
    if isinstance(response, float) and not math.isfinite(response):
        return f"the log-likelihood is {response}"
    if isinstance(response, (list, tuple)):
        if not response:
            return "the answer is empty" if empty else None
        parts = response[:1] if isinstance(response[0], (int, float)) else response
        return next((reason for part in parts if (reason := response_failure(part, empty=empty))), None)
    return None


def _excerpt(text: str) -> str:
    line = " ".join(text[:400].split())
    return line if len(line) <= 200 else f"{line[:200]}..."
