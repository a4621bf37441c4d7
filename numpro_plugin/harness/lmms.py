"""What lmms-eval's response cache (``--use_cache``) may do with numpro_hf."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from numpro_plugin.harness.hf.questions import is_ours

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance


def guard_response_cache(kind: type) -> None:
    """Let the cache serve models of this kind NumPro's own tasks only, and have it call them in every process.

    The cache's keys know a task's metadata. Those of our tasks hold settings and adapter; of other tasks it would serve answers to other
    pixels or of another adapter (the answer log knows better). And it does not call a model that has nothing left to answer, while those
    in other processes wait for it.
    """
    from lmms_eval.caching.response_cache import ResponseCache

    original = ResponseCache.execute
    if getattr(original, "_numpro", False):
        return

    @wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Instance]) -> list[Any]:
        if not isinstance(lm, kind) or reqtype != "generate_until":
            answers: list[Any] = original(self, lm, reqtype, requests)
            return answers
        ours = [k for k, request in enumerate(requests) if is_ours(request)]
        others = [k for k, request in enumerate(requests) if not is_ours(request)]
        made: list[Any] = [None] * len(requests)
        before = lm.calls  # type: ignore[attr-defined]
        cached = original(self, lm, reqtype, [requests[k] for k in ours])
        if lm.calls == before:  # type: ignore[attr-defined]
            lm.generate_until([])  # type: ignore[attr-defined]
        asked = lm.generate_until([requests[k] for k in others])  # type: ignore[attr-defined]
        for places, part in ((ours, cached), (others, asked)):
            for k, answer in zip(places, part, strict=True):
                made[k] = answer
        return made

    execute._numpro = True  # type: ignore[attr-defined]
    ResponseCache.execute = execute
