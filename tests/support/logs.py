"""Logs of lmms-eval as it writes them, made from a few values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from pathlib import Path

SMALL = NumProSettings(fps=1.0, frame_size=(64, 64))


def moment_sample(
    key: str, video: str, query: str, *, truth: tuple[float, float], span: tuple[float, float] | None, **other: Any
) -> dict[str, Any]:
    """A logged moment on a video of ten seconds, scored as the task scores it. ``other`` replaces or adds fields of the row."""
    iou = 0.0
    if span is not None:
        overlap = max(0.0, min(truth[1], span[1]) - max(truth[0], span[0]))
        iou = overlap / (max(truth[1], span[1]) - min(truth[0], span[0]))
    logged = {
        "id": key,
        "video": video,
        "duration_s": 10.0,
        "query": query,
        "settings": SMALL.to_dict(),
        "fps": SMALL.fps,
        "numbers": list(range(Timeline(10.0, SMALL.fps).count)),
        "truth_s": [list(truth)],
        "span_s": None if span is None else list(span),
        "iou": iou,
        "reason": "frames, from 'From Frame x to Frame y'" if span else "no range between the numbers of the answer (7)",
    }
    words = f"From Frame {span[0]:g} to Frame {span[1]:g}." if span else "In frame 7, I think"
    row: dict[str, Any] = {"doc_id": 0, "filtered_resps": words, "input": f"During which frames can we see {query}?"}
    row |= {f"R@{t}": 100.0 * (iou >= t) for t in (0.3, 0.5, 0.7)}
    row |= {"mIoU": 100.0 * iou, "parse_fail": 0.0 if span else 100.0, "request_fail": 0.0, "numpro": logged}
    return {**row, **other}


def highlight_sample(key: str, video: str, query: str) -> dict[str, Any]:
    """A logged highlight answer on a video of ten seconds: clips 1 and 2 are relevant, frames 2 and 4 were named."""
    logged = {
        "id": key,
        "video": video,
        "duration_s": 10.0,
        "query": query,
        "settings": SMALL.to_dict(),
        "fps": 1.0,
        "numbers": list(range(10)),
    }
    logged |= {"clips": 5, "relevant_clip_ids": [1, 2], "saliency_scores": [[4, 4, 4], [2, 3, 4]], "frames": [2, 4], "scores": [4.5, 3.0]}
    row = {"doc_id": 0, "filtered_resps": "The highlight frames are 2, 4 with scores 4.5, 3.0", "input": "", "mAP": 75.0, "HIT@1": 100.0}
    return {**row, "parse_fail": 0.0, "request_fail": 0.0, "numpro": {**logged, "reason": "frames and scores"}}


def write_run(
    folder: Path, task: str, samples: list[dict[str, Any]], *, model_args: str = "pretrained=org/model-7b", date: str = "20260101_000000"
) -> Path:
    """The output folder of a run: samples and results. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{date}_samples_{task}.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({**sample, "doc_id": k}) + "\n" for k, sample in enumerate(samples))
    results = {
        "results": {},
        "config": {"model": "numpro_hf", "model_args": model_args},
        "configs": {task: {"metadata": {"version": 1, "numpro": {"settings": SMALL.to_dict(), "numpro_version": "0.1.0"}}}},
        "total_evaluation_time_seconds": "12.5",
    }
    (folder / f"{date}_results.json").write_text(json.dumps(results))
    return folder
