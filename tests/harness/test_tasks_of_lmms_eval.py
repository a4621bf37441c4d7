"""Tasks of lmms-eval itself through numpro_hf: their own files, questions and scores over rows that are made here."""

from __future__ import annotations

import json
from pathlib import Path

import lmms_eval.tasks
import pytest
from support.harness import evaluate
from support.tiny_families import save_tiny
from support.videos import write_counter_video

from numpro_plugin.harness.hf.model import NumProHF
from numpro_plugin.prompts import NUMBERS_SENTENCE

pytestmark = pytest.mark.slow

TASKS = Path(lmms_eval.tasks.__file__).parent
OPTIONS = ["A. red", "B. green", "C. blue", "D. none"]


DIRECTIONS = ("object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard")
CHOICES = (*DIRECTIONS, "object_rel_distance", "route_planning", "obj_appearance_order")
NUMBERS = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")


def rows_of(video: Path) -> dict[str, tuple[str, str, list[dict]]]:
    """By task: its file, its split, and rows that lead to ``video``: the paths that tasks build may end in an absolute one."""
    asked = {"question": "What colour is it?", "options": OPTIONS, "answer": "A"}
    stem = str(video.with_suffix(""))
    about = {"duration": "short", "domain": "Knowledge", "sub_category": "Law", "task_type": "Counting Problem", "question_id": "1"}
    scene = {"dataset": str(video.parent), "scene_name": video.stem, "id": 0}
    rooms = [{**scene, **asked, "question": f"{kind}?", "question_type": kind, "ground_truth": "A"} for kind in CHOICES]
    rooms += [{**scene, **asked, "question": f"{kind}?", "question_type": kind, "ground_truth": "3"} for kind in NUMBERS]
    long = {"video": str(video), "input": "What colour is it?", "answer": "A", "type": "QA", "length": 60, "id": 0}
    return {
        "videomme": ("videomme/videomme.yaml", "test", [{**asked, **about, "videoID": stem}]),
        "lvbench": ("lvbench/lvbench.yaml", "train", [{**asked, "video_path": str(video)}]),
        "tvbench_action_count": (
            "tvbench/tvbench_action_count.yaml",
            "train",
            [{"question": "How often?", "candidates": ["1", "2"], "answer": "2", "video": str(video)}],
        ),
        "vsibench": ("vsibench/vsibench.yaml", "test", rooms),
        "longtimescope": ("longtimescope/longtimescope.yaml", "test", [long]),
    }


def test_tasks_with_a_list_of_metadata(tmp_path, monkeypatch):
    """Some 260 task files have one; ours have a dict. These five differ in how they name videos, ask and score."""
    from lmms_eval.tasks import TaskManager

    video = tmp_path / "film.mp4"
    write_counter_video(video, [k * 500 for k in range(16)], rate=2)
    folder = tmp_path / "tasks"
    folder.mkdir()
    tasks = rows_of(video)
    for name, (file, split, rows) in tasks.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = f"dataset_path: json\ndataset_name: null\ndataset_kwargs: {{data_files: {{{split}: {folder / name}.jsonl}}}}\n"
        (folder / f"{name}.yaml").write_text(f"include: {TASKS / file}\ntask: local_{name}\n{data}")
    model = NumProHF(str(save_tiny("longva", tmp_path / "model")), dtype="float32", device="cpu", max_new_tokens=2)
    questions: list[str] = []
    kind = type(model._asker.loaded.family)
    encode = kind.encode

    def watched(self, frames, turns, processor):
        questions.append(" ".join(turn["content"] for turn in turns))
        return encode(self, frames, turns, processor)

    monkeypatch.setattr(kind, "encode", watched)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results = evaluate(model, [f"local_{name}" for name in tasks], task_manager=manager, use_cache=str(tmp_path / "cache"))
    assert {name.removeprefix("local_"): len(samples) for name, samples in results["samples"].items()} == {
        name: len(rows) for name, (_, _, rows) in tasks.items()
    }
    for name, samples in results["samples"].items():
        assert isinstance(results["configs"][name]["metadata"], list)
        assert not [sample for sample in samples if sample["filtered_resps"][0].startswith("[LMMS_EVAL_REQUEST_FAILED")]
        assert [metric for metric, value in results["results"][name].items() if "stderr" not in metric and isinstance(value, (int, float))]
    assert len(questions) == sum(len(rows) for _, _, rows in tasks.values())
    assert all(question.count(NUMBERS_SENTENCE) == 1 for question in questions)
