"""Two models in one process: neither changes what the other is shown or how it is scored, in whatever order and way they are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from support.bases import ChatBase, register_bases, write_task
from support.harness import evaluate
from support.tiny_families import save_tiny
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.harness import session, task
from numpro_plugin.harness.hf.model import NumProHF
from numpro_plugin.harness.oracle import NumProOracle

SPANS = {"EVENS": [(4.0, 12.0), (0.5, 3.9), (6.0, 9.0)], "ODDLY": [(20.0, 29.5)]}
ORDERS = pytest.mark.parametrize("order", [("hf", "oracle"), ("oracle", "hf")], ids=" then ".join)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny("longva", tmp_path_factory.mktemp("checkpoints") / "longva")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """32 and 29.5 s: 16 and 15 frames."""
    folder = tmp_path_factory.mktemp("videos")
    for name, seconds in {"EVENS": 32, "ODDLY": 29.5}.items():
        write_counter_video(folder / f"{name}.mp4", [k * 250 for k in range(round(seconds * 4))], rate=4)
    return folder


@pytest.fixture
def table(tmp_path, videos) -> None:
    lines = [f"{name} {start} {end}##a person waits.\n" for name, spans in SPANS.items() for start, end in spans]
    (tmp_path / "charades_sta_test.txt").write_text("".join(lines))
    prepare(BENCHMARKS["charades"], tmp_path / "charades_sta_test.txt", videos=videos, progress=False)


@pytest.fixture(scope="module")
def oracle_alone() -> float:
    """Its mIoU by brute force over all pairs of numbers that are drawn when nothing limits them."""

    def iou(a: tuple[float, float], b: tuple[float, float]) -> float:
        return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))

    pairs = {name: list(combinations_with_replacement(range(0, 2 * count, 2), 2)) for name, count in (("EVENS", 16), ("ODDLY", 15))}
    best = [max(iou(pair, span) for pair in pairs[name]) for name, spans in SPANS.items() for span in spans]
    return 100 * sum(best) / len(best)


def arguments_of(model: str, checkpoint: Path) -> dict[str, str]:
    if model == "oracle":
        return {"model": "numpro_oracle"}
    arguments = f"pretrained={checkpoint},dtype=float32,max_new_tokens=4,max_frames=4,resume=False"
    return {"model": "numpro_hf", "model_args": arguments}


def check(results: dict[str, dict], oracle_alone: float) -> None:
    """Results by model: each as if it had been alone."""
    protocols = {model: result["configs"]["numpro_charades"]["metadata"]["numpro"] for model, result in results.items()}
    assert {model: protocol["settings"]["max_frames"] for model, protocol in protocols.items()} == {"hf": 4, "oracle": 240}
    assert {model: "model" in protocol for model, protocol in protocols.items()} == {"hf": True, "oracle": False}
    assert results["oracle"]["results"]["numpro_charades"]["mIoU,none"] == pytest.approx(oracle_alone)


@ORDERS
@pytest.mark.slow
def test_by_name_with_one_task_manager(order, checkpoint, table, oracle_alone):
    results = {}
    for model in order:
        given = arguments_of(model, checkpoint)
        results[model] = evaluate(given["model"], ["numpro_charades"], model_args=given.get("model_args", ""), device="cpu")
    check(results, oracle_alone)
    numbers = {model: result["samples"]["numpro_charades"][0]["numpro"]["numbers"] for model, result in results.items()}
    assert numbers == {"hf": [0, 5, 10, 15], "oracle": list(range(16))}


@pytest.mark.slow
@ORDERS
def test_model_objects_made_before_their_task_manager(order, checkpoint, table, oracle_alone):
    from lmms_eval.tasks import TaskManager

    def make(model):
        if model == "oracle":
            return NumProOracle()
        return NumProHF(str(checkpoint), dtype="float32", device="cpu", max_new_tokens=4, max_frames=4, resume=False)

    results = {}
    for model in order:
        made = make(model)
        results[model] = evaluate(made, ["numpro_charades"], task_manager=TaskManager())
    check(results, oracle_alone)


def test_a_model_that_never_ran_leaves_nothing_behind(checkpoint, table, oracle_alone):
    """The next model starts anew, whoever made it, even if the last one was not evaluated to its end."""
    NumProHF(str(checkpoint), dtype="float32", device="cpu", max_frames=4, resume=False)
    register_bases()
    ChatBase()
    assert session.current().announcement == session.Announcement()
    assert task.charades_protocol["numpro"]["settings"]["max_frames"] == 240


def test_tasks_that_follow_another_model_are_refused(checkpoint, table):
    first = NumProHF(str(checkpoint), dtype="float32", device="cpu", max_frames=4, resume=False)
    oracle = NumProOracle()
    second = NumProHF(str(checkpoint), dtype="float32", device="cpu", max_frames=5, resume=False)
    with pytest.raises(NumProError, match=r"numpro_charades was loaded for another model \(the task has max_frames=5, the model 4\)"):
        evaluate(first, ["numpro_charades"])
    session.begin(second._session.announcement)
    with pytest.raises(NumProError, match="numpro_charades was loaded for another model; in one process, finish"):
        evaluate(oracle, ["numpro_charades"])


def test_settings_are_fixed_when_a_task_is_loaded(table, monkeypatch):
    """A variable that changes afterwards changes neither the question nor the scores."""
    question, score, protocol = task.moment_text, task.moment_results, task.charades_protocol["numpro"]
    doc = {"id": "0", "query": "a dog", "video": "EVENS", "duration_s": 32.0, "spans_s": [[4.0, 12.0]]}
    before = question(doc), score(doc, ["From Frame 2 to Frame 6."])
    monkeypatch.setenv("NUMPRO_FPS", "2")
    monkeypatch.setenv("NUMPRO_COLOR", "blue")
    assert (question(doc), score(doc, ["From Frame 2 to Frame 6."])) == before
    assert before[1]["mIoU"] == 100
    assert before[1]["numpro"]["settings"] == protocol["settings"]
    assert "blue" in task.moment_text(doc)
    assert task.moment_results(doc, ["From Frame 2 to Frame 6."])["numpro"]["settings"]["fps"] == 2


@pytest.mark.slow
def test_the_prompts_of_a_wrapped_base_end_with_its_evaluation(tmp_path, videos):
    """The prompts that tasks have for a base are used for that base alone, also by a task manager that serves another model next."""
    from lmms_eval.tasks import TaskManager

    register_bases()
    folder = write_task(tmp_path / "task", [{"kind": "video", "what": videos / "EVENS.mp4"}])
    manager = TaskManager(include_path=str(folder), include_defaults=False, model_name="numpro")
    evaluate("numpro", ["foreign"], model_args="base=numpro_test_both", task_manager=manager, device="cpu")
    assert ChatBase.seen[0][0].endswith("Both: Question 0?")
    assert manager.model_name == "numpro"
    evaluate("numpro_test_both", ["foreign"], task_manager=manager, device="cpu")
    assert ChatBase.seen[0][0] == "All: Question 0?"


def lmms_eval(folder: Path, order, checkpoint: Path, *launcher: str) -> dict[str, dict]:
    """The command with a list of runs; each model's results."""
    runs = [
        {**arguments_of(model, checkpoint), "tasks": "numpro_charades", "batch_size": "1", "output_path": str(folder / model)}
        for model in order
    ]
    (folder / "two.yaml").write_text(json.dumps(runs))
    command = [sys.executable, *launcher, "-m", "lmms_eval", "--config", str(folder / "two.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    files = {model: list((folder / model).rglob("*results.json")) for model in order}
    assert all(len(found) == 1 for found in files.values()), done.stderr[-3000:]
    return {model: json.loads(found[0].read_text()) for model, found in files.items()}


@pytest.mark.slow
@ORDERS
def test_a_list_of_runs_on_the_command_line(order, checkpoint, table, oracle_alone, tmp_path):
    check(lmms_eval(tmp_path, order, checkpoint), oracle_alone)


@pytest.mark.slow
# One order: what two processes add is their launch, and both orders are tried above.
def test_a_list_of_runs_in_two_processes(checkpoint, table, oracle_alone, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    check(lmms_eval(tmp_path, ("hf", "oracle"), checkpoint, *launcher), oracle_alone)
