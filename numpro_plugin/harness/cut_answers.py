"""Answers that used up their token limit, so that they may have been cut off: reported once for each call of a model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lmms_eval.api.instance import unwrap_generation_output

from numpro_plugin.harness.lmms import generation_options, protocol_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmms_eval.api.instance import Instance

log = logging.getLogger(__name__)


def report_cut_answers(requests: Sequence[Instance], answers: Sequence[Any], *, limit: int | None = None) -> None:
    """Warn if answers have as many tokens as they may have. Answers of models that do not count tokens are left out.

    Args:
        requests: what was asked; their generation options have the limits.
        answers: as a model of lmms-eval gives them, one a request.
        limit: in place of the requests' own.
    """
    cut, of_ours = 0, False
    for request, answer in zip(requests, answers, strict=True):
        _, counts = unwrap_generation_output(answer)
        most = limit or generation_options(request).get("max_new_tokens")
        if counts is not None and counts.output_tokens and isinstance(most, int) and counts.output_tokens >= most:
            cut += 1
            of_ours = of_ours or protocol_of(request) is not None
    if cut:
        remedy = "; NUMPRO_MAX_NEW_TOKENS raises the limit of NumPro's tasks" if of_ours else ""
        log.warning("%d of %d answers used all the tokens that they may have, so they may be cut off%s", cut, len(requests), remedy)
