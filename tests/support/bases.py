"""Base models for the wrapper that answer nothing clever but keep what they were shown, and a foreign task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from lmms_eval.api.model import lmms
from lmms_eval.models import MODEL_REGISTRY_V2
from lmms_eval.models.registry_v2 import ModelManifest


class SimpleBase(lmms):
    """Takes text and visuals; ``seen`` has (text, visuals) by request, ``options`` what the last one was constructed with."""

    seen: ClassVar[list[tuple[str, list[Any]]]] = []
    options: ClassVar[dict[str, Any]] = {}
    limits: ClassVar[list[int]] = []

    def __init__(self, pretrained="x", batch_size=1, device="cpu", max_num_frames=8, fps=None, min_pixels=200704, **kwargs):
        super().__init__()
        options = {"pretrained": pretrained, "batch_size": batch_size, "device": device, "max_num_frames": max_num_frames}
        SimpleBase.options = {**options, "fps": fps, "min_pixels": min_pixels, **kwargs}
        self.max_num_frames = max_num_frames
        SimpleBase.seen, SimpleBase.limits = [], []

    def generate_until(self, requests):
        for request in requests:
            text, _, doc_to_visual, doc_id, task, split = request.args
            SimpleBase.seen.append((text, doc_to_visual(self.task_dict[task][split][doc_id])))
            SimpleBase.limits.append(self.max_num_frames)
        return [f"answer to {request.args[0]}" for request in requests]

    def loglikelihood(self, requests):
        for request in requests:
            text, _, doc_to_visual, doc_id, task, split = request.args
            SimpleBase.seen.append((text, doc_to_visual(self.task_dict[task][split][doc_id])))
        return [(-1.0, True)] * len(requests)

    def generate_until_multi_round(self, requests):
        results = []
        for request in requests:
            text, _, doc_to_visual, doc_to_text, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            SimpleBase.seen.append((text, doc_to_visual(doc)))
            visuals, text, *_ = doc_to_text(doc, round_idx=1, previous_output=["one"], previous_round_info=None)
            SimpleBase.seen.append((text, visuals))
            results.append(["one", "two"])
        return results


class ChatBase(SimpleBase):
    """Takes messages; ``seen`` has (all texts, contents) by request."""

    is_simple = False

    def generate_until(self, requests):
        for request in requests:
            _, doc_to_messages, options, doc_id, task, split = request.args
            options["top_p"] = None  # as real bases do, who write their defaults into the request's own options
            messages = doc_to_messages(self.task_dict[task][split][doc_id])
            contents = [c for message in messages for c in message["content"]]
            SimpleBase.seen.append((" | ".join(c["text"] for c in contents if c["type"] == "text"), contents))
            SimpleBase.limits.append(self.max_num_frames)
        return [f"answer {k}" for k in range(len(requests))]

    def generate_until_multi_round(self, requests):
        for request in requests:
            _, doc_to_messages, _, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            for round_ in ({}, {"round_idx": 1, "previous_output": ["one"], "previous_round_info": None}):
                messages = doc_to_messages(doc, **round_)
                contents = [c for message in (messages[0] if round_ else messages) for c in message["content"]]
                SimpleBase.seen.append((" | ".join(c["text"] for c in contents if c["type"] == "text"), contents))
        return [["one", "two"]] * len(requests)


def register_bases() -> None:
    for name, chat in (("numpro_test_both", True), ("numpro_test_simple", False)):
        manifest = ModelManifest(
            name, simple_class_path="support.bases.SimpleBase", chat_class_path="support.bases.ChatBase" if chat else None
        )
        MODEL_REGISTRY_V2.register_manifest(manifest, overwrite=True)


FUNCTIONS = """
from PIL import Image

def visuals(doc, lmms_eval_specific_kwargs=None):
    kind, what = doc["kind"], doc["what"]
    if kind == "segment":
        return [{"type": "video", "path": what, "video_start": doc["start"], "video_end": doc["end"]}]
    if kind == "image":
        return [Image.open(what)]
    if kind == "frames":
        return [[Image.open(path) for path in what.split()]]
    if kind == "sound":
        return [{"array": [0.0, 0.1], "sampling_rate": 8000}]
    if kind == "odd":
        return [3.5]
    return what.split() if kind == "videos" else [what]

def text(doc, lmms_eval_specific_kwargs=None, round_idx=None, **_):
    if round_idx is not None:
        return visuals(doc), "and then?", False, ["one"], None
    return (lmms_eval_specific_kwargs or {}).get("pre_prompt", "") + doc["question"]

def results(doc, results):
    text = results[0]
    text = text[0] if isinstance(text, list) else text
    return {"good": float("FAILED" not in str(text))}
"""
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: {kind}
doc_to_visual: !function functions.visuals
doc_to_text: !function functions.text
doc_to_target: question
process_results: !function functions.results
generation_kwargs: {{max_new_tokens: 4, temperature: 0, do_sample: false}}
lmms_eval_specific_kwargs:
  default: {{pre_prompt: "All: "}}
  qwen2_5_vl: {{pre_prompt: "Qwen: "}}
  numpro_test_both: {{pre_prompt: "Both: "}}
metric_list:
  - {{metric: good, aggregation: mean, higher_is_better: true}}
"""


def write_task(folder: Path, rows: list[dict[str, Any]], *, name: str = "foreign", kind: str = "generate_until") -> Path:
    """A task folder for ``include_path``; a row has kind, what and maybe start and end."""
    folder.mkdir(exist_ok=True)
    full = [{"start": 0.0, "end": 0.0, "question": f"Question {k}?", **row, "what": str(row["what"])} for k, row in enumerate(rows)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in full))
    (folder / "functions.py").write_text(FUNCTIONS)
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, rows=folder / f"{name}.jsonl", kind=kind))
    return folder
