"""Answers of a base that are kept: which of the requests are answered already, and what is worth keeping of a new answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lmms_eval.api.instance import GenerationResult, TokenCounts, unwrap_generation_output

from numpro_plugin.harness import session
from numpro_plugin.harness.lmms import document, protocol_of
from numpro_plugin.harness.wrap.keys import request_key
from numpro_plugin.inference.answer_log import AnswerKey, AnswerLog, LoggedAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmms_eval.api.instance import Instance

    from numpro_plugin.settings import NumProSettings


class KeptAnswers:
    """The answer log of a base.

    Args:
        log: None keeps nothing.
        settings: of the clips that are made for tasks that are not NumPro's.
        chat: whether the base takes messages.
    """

    def __init__(self, log: AnswerLog | None, settings: NumProSettings, *, chat: bool) -> None:
        self._log = log
        self._settings = settings
        self._chat = chat

    def keys(self, model: Any, request_type: str, requests: Sequence[Instance]) -> list[AnswerKey | None]:
        """A key for each request; None for those that are not kept."""
        if self._log is None:
            return [None] * len(requests)
        asked: Counter[tuple[Any, ...]] = Counter()
        keys = []
        for request in requests:
            same = (request.task_name, request.doc_id, request.idx)
            # A task may ask the same several times; lmms-eval adds copies so that every process has as many requests.
            repeat = asked[same] % max(1, int(request.repeats or 1))
            asked[same] += 1
            keys.append(request_key(model, request, request_type, chat=self._chat, settings=self._settings, repeat=repeat))
        return keys

    def known(self, request_type: str, keys: Sequence[AnswerKey | None]) -> dict[int, Any]:
        """The answers that are there, by index, as a base gives them."""
        if self._log is None:
            return {}
        found = {k: self._log.get(key) for k, key in enumerate(keys) if key is not None}
        answers = {k: _given(answer, request_type) for k, answer in found.items() if answer is not None}
        self._log.report(len(answers), len(keys))
        return answers

    def add(self, model: Any, request: Instance, request_type: str, key: AnswerKey | None, answer: Any) -> None:
        """Keep a new answer, if it has a key and is one."""
        if self._log is None or key is None or _was_blank(model, request):
            return
        if (kept := _to_keep(answer, request_type)) is not None:
            self._log.add(key, kept)


def _was_blank(model: Any, request: Instance) -> bool:
    """Whether a request of NumPro's tasks was shown the clip that stands for a video that cannot be read, or nobody knows.

    Answers about such clips on other tasks are replaced by failures.
    """
    if protocol_of(request) is None:
        return False
    doc, evaluation = document(model, request), session.current()
    return not evaluation.was_asked(doc) or evaluation.problem(doc) is not None


def _to_keep(answer: Any, request_type: str) -> LoggedAnswer | None:
    if request_type == "loglikelihood":
        likelihood, greedy = answer
        return LoggedAnswer([float(likelihood), bool(greedy)])
    text, counts = unwrap_generation_output(answer)
    if not isinstance(text, str) or answer is None:
        return None
    return LoggedAnswer(text, *((counts.output_tokens, counts.input_tokens, counts.reasoning_tokens) if counts else ()))


def _given(answer: LoggedAnswer, request_type: str) -> Any:
    if request_type == "loglikelihood":
        return tuple(answer.text)
    counts = TokenCounts(answer.input_tokens, answer.tokens, answer.reasoning_tokens)
    return GenerationResult(str(answer.text), counts if any(count is not None for count in counts.to_dict().values()) else None)
