"""Requests that were not answered: marked where a model returns, and neither kept in nor served from lmms-eval's response cache.

What counts as no answer is defined in `numpro_plugin.answers.failures`. lmms-eval marks a request that failed in the text of its answer;
what its models do not mark is marked here, so that scores, logs of samples, reports and caches all see it. Both parts hold for every model.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from numpro_plugin.answers.failures import failure_reason, response_failure
from numpro_plugin.harness import session
from numpro_plugin.harness.lmms import document, failed_answer, patch, protocol_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lmms_eval.api.instance import Instance

log = logging.getLogger(__name__)

LMMS_EVAL_CLIENTS = frozenset(
    ("async_openai", "batch_gpt4", "claude", "gemini", "gpt4o_audio", "gpt4v", "litellm", "openai", "qwen_vl_api", "reka", "srt_api")
)
"""Modules of lmms-eval whose models ask a server."""

_ADDRESSES = frozenset(("base_url", "api_base", "api_key", "api_url"))
"""Arguments that make any other model one that asks a server."""

_GENERATING = ("generate_until", "generate_until_multi_round", "generate_visual_cot")


def asks_a_server(model_class: type) -> bool:
    """Whether a model's answers come from a server: it then sends nothing (null, an empty text) where it withholds an answer."""
    for ancestor in inspect.getmro(model_class):
        if ancestor.__module__.startswith("lmms_eval.models.") and ancestor.__module__.rpartition(".")[2] in LMMS_EVAL_CLIENTS:
            return True
        constructor = vars(ancestor).get("__init__")
        if inspect.isfunction(constructor) and _ADDRESSES & inspect.signature(constructor).parameters.keys():
            return True
    return False


# ---------------------------------------------------------------- marks


def mark_failures(model_class: type) -> None:
    """Have a model mark what it does not mark itself, whatever task it answers: null.

    In answers to NumPro's own tasks it also marks an empty text, if it comes from a server, and whatever was said about a blank clip.
    On other tasks an empty text may be right.
    """

    def marking(original: Callable[..., Any]) -> Callable[..., Any]:
        def generate(self: Any, requests: list[Instance], *args: Any, **kwargs: Any) -> list[Any]:
            answers = list(original(self, requests, *args, **kwargs))
            served = asks_a_server(type(self))
            marked = [_marked(self, request, answer, served=served) for request, answer in zip(requests, answers, strict=False)]
            if count := sum(new is not old for new, old in zip(marked, answers, strict=False)):
                log.warning(
                    "%d of %d requests got no answer (null, an empty text, or a blank clip was shown); they failed", count, len(answers)
                )
            return marked + answers[len(marked) :]

        return generate

    for name in _GENERATING:
        if hasattr(model_class, name):
            patch(model_class, name, marking)


def _marked(model: Any, request: Instance, answer: Any, *, served: bool) -> Any:
    ours = protocol_of(request) is not None
    if ours and (problem := session.current().problem(document(model, request))):
        return _with_text(answer, partial(_failed, reason=problem))
    return _with_text(answer, partial(_filled, empty=ours and served))


def _failed(text: str | None, *, reason: str) -> str:
    """A text that is a mark already, else a mark."""
    return text if text and failure_reason(text, certain=True, empty=False) else failed_answer(reason)


def _filled(text: str | None, *, empty: bool) -> str:
    """A text as it is, and a mark in the place of one that is missing."""
    if text is None or (empty and not text.strip()):
        return failed_answer(str(failure_reason(text)))
    return text


def _with_text(answer: Any, change: Callable[[str | None], str]) -> Any:
    """An answer, of whatever form models give it, with its texts changed; the same object if none is."""
    if answer is None or isinstance(answer, str):
        return change(answer)
    if hasattr(answer, "token_counts"):  # lmms-eval's GenerationResult
        text = change(answer.text)
        return answer if text is answer.text else replace(answer, text=text)
    if isinstance(answer, list):
        texts = [_with_text(part, change) for part in answer]
        return answer if all(new is old for new, old in zip(texts, answer, strict=True)) else texts
    if isinstance(answer, tuple) and answer:
        text = _with_text(answer[0], change)
        return answer if text is answer[0] else (text, *answer[1:])
    return answer


# ---------------------------------------------------------------- lmms-eval's response cache


def guard_response_cache() -> None:
    """Have lmms-eval's response cache (``--use_cache``) take stored failures for missing, and store no new ones.

    Its log (``*.audit.jsonl``) has the failures too; what it puts back into the database from there is not served either.
    """
    from lmms_eval.caching.response_cache import ResponseCache

    patch(ResponseCache, "execute", _executing)
    patch(ResponseCache, "_lookup", _looking_up)
    patch(ResponseCache, "_store", _storing)
    patch(ResponseCache, "merge_shards", _merging)


def _executing(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The one patch of what calls the model. It also sees to models whose processes share their work (``called_in_every_process``), which
    the cache would not call where nothing is left to ask, and to those whose answers to other tasks its keys cannot tell apart
    (``caches_other_tasks``)."""

    def execute(self: Any, lm: Any, reqtype: str, requests: list[Instance]) -> list[Any]:
        self.numpro_served = asks_a_server(type(lm))
        cached = list(range(len(requests)))
        if not getattr(lm, "caches_other_tasks", True):
            cached = [k for k in cached if protocol_of(requests[k]) is not None]
        caller = _Caller(lm)
        answers: dict[int, Any] = dict(zip(cached, original(self, caller, reqtype, [requests[k] for k in cached]), strict=True))
        if not caller.called and getattr(lm, "called_in_every_process", False):
            getattr(lm, reqtype)([])
        if not getattr(lm, "caches_other_tasks", True):
            others = [k for k in range(len(requests)) if k not in answers]
            answers |= zip(others, getattr(lm, reqtype)([requests[k] for k in others]), strict=True)
        return [answers[k] for k in range(len(requests))]

    return execute


class _Caller:
    """Stands for a model and notes whether it was called."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.called = False

    def __getattr__(self, name: str) -> Any:
        self.called = True
        return getattr(self._model, name)


def _failure(cache: Any, response: Any) -> str | None:
    return response_failure(response, empty=getattr(cache, "numpro_served", True))


def _looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
    def lookup(self: Any, cache_key: str) -> Any:
        found = original(self, cache_key)
        if found is not None and _failure(self, found) is None:
            return found
        with self.db:  # what is in the way in this process's own database may hide an answer in the shared one
            removed = self.db.execute("DELETE FROM responses WHERE cache_key = ?", (cache_key,)).rowcount
        if removed:
            found = original(self, cache_key)
        return None if _failure(self, found) else found

    return lookup


def _storing(original: Callable[..., None]) -> Callable[..., None]:
    def store(
        self: Any, cache_key: str, request_type: str, task_name: str, doc_id: int | str, idx: int, gen_kwargs: dict[str, Any], response: Any
    ) -> None:
        if _failure(self, response) is None:
            original(self, cache_key, request_type, task_name, doc_id, idx, gen_kwargs, response)

    return store


def _merging(original: Callable[[list[str], str], int]) -> Callable[[list[str], str], int]:
    """The cache keeps what is in the merged database and leaves out what is new under the same key: failures would stay for ever."""

    def merge_shards(shard_paths: list[str], output_path: str) -> int:
        merged = 0
        for shard in filter(os.path.exists, shard_paths):
            keys = _keys(shard)
            _remove_failures(output_path, keys, empty=True)  # an empty answer too: if a local model gave it, it is in the shard again
            merged += original([shard], output_path)
            _remove_failures(output_path, keys, empty=False)
        return merged

    return merge_shards


def _keys(database: str) -> list[str]:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return [key for (key,) in connection.execute("SELECT cache_key FROM responses")]


def _remove_failures(database: str, keys: Iterable[str], *, empty: bool) -> None:
    if not os.path.exists(database):
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        for key in keys:
            rows: Sequence[tuple[str]] = connection.execute("SELECT response FROM responses WHERE cache_key = ?", (key,)).fetchall()
            if any(response_failure(_read(text), empty=empty) for (text,) in rows):
                connection.execute("DELETE FROM responses WHERE cache_key = ?", (key,))


def _read(stored: str) -> Any:
    try:
        return json.loads(stored)
    except ValueError:
        return stored
