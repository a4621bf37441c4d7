"""The answers of a held-out evaluation as a log of lmms-eval's, which `numpro report` and the other views read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from numpro_plugin.files import write_text_whole
from numpro_plugin.metrics.moments import THRESHOLDS, recall_name

from ..batches.encoded import Shown, conversation_in, query_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from numpro_plugin.answers.reading import Reading, Span
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.timeline import Timeline

    from ..batches.collator import RawSample
    from ..recipe.record import Recipe

TASK = "numpro_held_out"
FOLDER = "held_out"
"""In the output folder; it has a folder for each evaluation, ``step_200``."""


def answer_row(
    raw: RawSample,
    text: str,
    answer: Reading,
    *,
    truth_s: Span,
    iou: float,
    numbers: NDArray[Any],
    timeline: Timeline,
    settings: NumProSettings,
) -> dict[str, Any]:
    """A line of the log: one answer.

    Args:
        raw: the sample whose first question was asked.
        text: the model's words.
        answer: how they were read.
        truth_s: the annotated span, seconds.
        iou: of the two, 0 to 1.
        numbers: of the frames that were shown, (N,).
        timeline: of the video.
        settings: of the recipe.
    """
    row = raw.row or {}
    turns = row["conversations"][raw.conversation]
    asked = next(k for k, turn in enumerate(turns) if turn["role"] == "user")
    logged = {
        "id": raw.id,
        "video": row["video"],
        "duration_s": row["duration_s"],
        "query": query_of(turns[asked]["content"]),
        "fps": row["fps"],
        "numbers": numbers.tolist(),
        "truth_s": [list(truth_s)],
        "parsed": answer.span,
        "unit": answer.unit,
        "span_s": answer.span_s,
        "reason": answer.reason,
        "iou": iou,
    }
    scores = {recall_name(threshold): 100.0 * (iou >= threshold) for threshold in THRESHOLDS} | {"mIoU": 100.0 * iou}
    question = conversation_in(turns, settings, Shown(timeline, numbers))[asked]["content"]
    failures = {"parse_fail": 100.0 * (answer.span_s is None), "request_fail": 0.0}
    return {"input": question, "filtered_resps": text, **scores, **failures, "numpro": logged}


def write_answers(
    output: Path, rows: Sequence[dict[str, Any]], recipe: Recipe, *, step: int, scores: dict[str, float], seconds: float
) -> Path:
    """Write the answers of the evaluation after ``step``, which took ``seconds``; returns their folder."""
    folder = output / FOLDER / f"step_{step}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = recipe.numpro.to_dict()
    lines = [{"doc_id": k, **row, "numpro": {**row["numpro"], "settings": settings}} for k, row in enumerate(rows)]
    write_text_whole(folder / f"samples_{TASK}.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    results = {
        "results": {TASK: scores},
        "configs": {TASK: {"metadata": {"numpro": settings}, "generation_kwargs": {"max_new_tokens": recipe.run.max_new_tokens}}},
        "config": {"model": f"{output.name}, step {step}"},
        "total_evaluation_time_seconds": seconds,
    }
    write_text_whole(folder / "results.json", json.dumps(results, indent=2) + "\n")
    return folder
