"""numpro_hf through lmms-eval: every family on real files, what the model sees, what is asked how often, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.digits import read_number
from support.harness import evaluate
from support.tiny_families import FAMILIES, pixels_of, save_tiny
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.clips.clip import write_clip
from numpro_plugin.families import load_model
from numpro_plugin.harness.hf import model as hf
from numpro_plugin.harness.hf import processes
from numpro_plugin.harness.hf.model import NumProHF
from numpro_plugin.harness.hf.processes import balanced_shares, run_in_all
from numpro_plugin.inference.generation import Generator
from numpro_plugin.numbering import NumberStyle
from numpro_plugin.weights.record import RECORD

CHARADES = [
    "EVENS 4.0 12.0##a person opens a door.",
    "EVENS 0.5 3.9##a person walks in.",
    "EVENS 6.0 9.0##a person laughs.",
    "ODDLY 20.0 29.5##a person sits down.",
    "SHORT 0.0 0.4##a person blinks.",
]
HIGHLIGHTS = {
    "qid": 1,
    "vid": "EVENS",
    "query": "A door",
    "duration": 32,
    "relevant_windows": [[4, 8]],
    "relevant_clip_ids": [2, 3],
    "saliency_scores": [[4, 3, 4], [2, 2, 1]],
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: save_tiny(name, root / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """32, 29.5 and 0.4 s: 16, 15 and 1 frames; 80 s: 40 frames."""
    folder = tmp_path_factory.mktemp("videos")
    for name, seconds in {"EVENS": 32, "ODDLY": 29.5, "SHORT": 0.4, "LARGE": 80}.items():
        write_counter_video(folder / f"{name}.mp4", [k * 250 for k in range(round(seconds * 4))], rate=4)
    return folder


@pytest.fixture
def tables(tmp_path, videos) -> None:
    write_tables(tmp_path, videos, CHARADES, HIGHLIGHTS)


def write_tables(folder: Path, videos: Path, lines: list[str], highlights: dict) -> None:
    (folder / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    (folder / "highlight_val_release.jsonl").write_text(json.dumps(highlights) + "\n")
    prepare(BENCHMARKS["charades"], folder / "charades_sta_test.txt", videos=videos, progress=False)
    prepare(BENCHMARKS["qvhighlights"], folder / "highlight_val_release.jsonl", videos=videos, progress=False)


def model_of(folder: Path, **arguments) -> NumProHF:
    return NumProHF(str(folder), **{"dtype": "float32", "device": "cpu", "max_new_tokens": 4, **arguments})


def run(model, *tasks: str, **options):
    return evaluate(model, tasks or ["numpro_charades"], **options)


def answers(results, task: str = "numpro_charades") -> list[str]:
    return [sample["resps"][0][0] for sample in sorted(results["samples"][task], key=lambda sample: sample["doc_id"])]


def seen_by(model: NumProHF) -> list[list[int | None]]:
    """The numbers on the frames of every video that goes into the model from now on."""
    seen: list[list[int | None]] = []
    generator, loaded = model._asker.generator, model._asker.loaded
    original = generator._placed

    def look(inputs):
        if "pixel_values_videos" in inputs:
            seen.append([read_number(frame) for frame in pixels_of(loaded, inputs)])
        return original(inputs)

    generator._placed = look
    return seen


def texts_of(model: NumProHF, monkeypatch) -> list[str]:
    """Every question that is encoded from now on."""
    texts: list[str] = []
    kind = type(model._asker.loaded.family)
    original = kind.encode
    monkeypatch.setattr(kind, "encode", lambda self, video, text, processor: texts.append(text) or original(self, video, text, processor))
    return texts


# --- every family ------------------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_every_family_on_a_real_video(family, checkpoints, shared, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "Y1HGC.mp4").symlink_to(shared / "videos" / "Y1HGC.mp4")
    lines = ["Y1HGC 0.2 9.8##a person walks in a doorway drinking some coffee.", "Y1HGC 1.7 12.1##person drinking a glass of water."]
    write_tables(tmp_path, videos, lines, {**HIGHLIGHTS, "vid": "Y1HGC", "duration": 30})
    model = model_of(checkpoints[family], batch_size=2)
    seen = seen_by(model)
    results = run(model, "numpro_charades", "numpro_qvhighlights_hd")
    # Moments of both queries in one go, the highlight question on its own: its prompt differs, but the video is the same.
    assert seen == [list(range(16))]
    assert results["n-samples"]["numpro_charades"]["effective"] == 2
    assert results["results"]["numpro_qvhighlights_hd"]["parse_fail,none"] == 100  # random weights
    settings = results["configs"]["numpro_charades"]["metadata"]["numpro"]["settings"]
    side = {"qwen3_vl": 320, "llava_onevision": 384}.get(family, 336)
    assert settings["frame_size"] == [side, side]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_batches_and_sharing_change_no_answer(family, checkpoints, tables):
    wanted = answers(run(model_of(checkpoints[family], share_prefix=False, resume=False)))
    assert len(set(wanted)) > 1
    for options in ({"batch_size": 3, "share_prefix": False}, {"batch_size": "auto"}, {"batch_size": 1}, {"batch_size": 2, "workers": 0}):
        assert answers(run(model_of(checkpoints[family], resume=False, **options))) == wanted, options


@pytest.mark.slow
def test_plain_tasks_show_the_same_frames_without_numbers(checkpoints, tmp_path, videos, monkeypatch):
    write_tables(tmp_path, videos, CHARADES[::-1], HIGHLIGHTS)
    model = model_of(checkpoints["longva"])
    seen = seen_by(model)
    texts = texts_of(model, monkeypatch)
    run(model, "numpro_charades_plain")
    assert seen == [[None] * 16, [None] * 15, [None]]  # longest first
    assert len(texts) == 5
    assert not any("red numbers" in turn["content"] for turns in texts for turn in turns)


@pytest.mark.slow
def test_no_clip_is_made(checkpoints, tables):
    run(model_of(checkpoints["longva"]))
    assert not list(Path(os.environ["NUMPRO_CACHE"]).rglob("*.mp4"))


# --- settings and protocol ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_max_frames_of_the_model_is_in_the_protocol(checkpoints, tables, caplog):
    model = model_of(checkpoints["longva"], max_frames=5)
    seen = seen_by(model)
    results = run(model)
    assert seen[0] == [0, 3, 7, 11, 15]
    metadata = results["configs"]["numpro_charades"]["metadata"]["numpro"]
    assert metadata["settings"]["max_frames"] == 5
    assert "5 of 5 answers used all the tokens that they may have" in caplog.text  # random weights find no end
    assert results["samples"]["numpro_charades"][0]["numpro"]["numbers"] == [0, 3, 7, 11, 15]
    assert metadata["model"]["adapter"] is None


@pytest.mark.slow
def test_the_encoding_of_the_model_is_in_the_protocol_and_twins_keep_their_own(checkpoints, tables, monkeypatch):
    model = model_of(checkpoints["longva"], max_frames=5, encoding="drawn:seconds;text:native;answer:seconds")
    seen = seen_by(model)
    results = run(model, "numpro_charades", "numpro_charades_plain")
    assert [0, 6, 14, 22, 30] in seen  # seconds
    assert [None] * 5 in seen
    protocols = {task: config["metadata"]["numpro"] for task, config in results["configs"].items()}
    assert {task: protocol["encoding"] for task, protocol in protocols.items()} == {
        "numpro_charades": "seconds",
        "numpro_charades_plain": "plain",
    }
    assert protocols["numpro_charades"]["model"]["encoding"] == "seconds"
    monkeypatch.setenv("NUMPRO_ENCODING", "clock")
    with pytest.raises(NumProError, match=r"NUMPRO_ENCODING=clock differs from encoding=seconds of the model .*longva"):
        model_of(checkpoints["longva"], encoding="seconds")
    with pytest.raises(NumProError, match="encoding='second' is unknown; allowed: number"):
        model_of(checkpoints["longva"], encoding="second")


@pytest.mark.slow
def test_settings_that_contradict_each_other_are_named(checkpoints, tables, monkeypatch):
    monkeypatch.setenv("NUMPRO_MAX_FRAMES", "8")
    with pytest.raises(NumProError, match=r"NUMPRO_MAX_FRAMES=8 differs from max_frames=5 of the model .*longva"):
        run(model_of(checkpoints["longva"], max_frames=5))
    monkeypatch.delenv("NUMPRO_MAX_FRAMES")
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "448")
    with pytest.raises(NumProError, match=r"NUMPRO_FRAME_SIZE=448 differs from frame_size=\(336, 336\)"):
        run(model_of(checkpoints["longva"]))
    model = model_of(checkpoints["qwen2_vl"])  # takes any multiple of 28
    assert run(model)["configs"]["numpro_charades"]["metadata"]["numpro"]["settings"]["frame_size"] == [448, 448]


@pytest.fixture(scope="module")
def adapter(checkpoints, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    loaded = load_model(checkpoints["longva"], dtype="float32")
    torch.manual_seed(1)
    adapted = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=loaded.family.lora_modules(loaded.model)))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_an_adapter_changes_the_answers_and_the_wrong_wording_gets_a_warning(checkpoints, adapter, tables, monkeypatch, caplog):
    base = answers(run(model_of(checkpoints["longva"])))
    assert answers(run(model_of(checkpoints["longva"], adapter=str(adapter)))) != base
    assert "NUMPRO_PROMPT" not in caplog.text
    run(model_of(checkpoints["longva"], adapter=str(adapter)), "numpro_qvhighlights_hd")
    assert caplog.text.count("NUMPRO_PROMPT=zeroshot); use NUMPRO_PROMPT=ft") == 1
    caplog.clear()
    monkeypatch.setenv("NUMPRO_PROMPT", "ft")
    run(model_of(checkpoints["longva"], adapter=str(adapter)), "numpro_qvhighlights_hd")
    assert "NUMPRO_PROMPT" not in caplog.text
    run(model_of(checkpoints["longva"]), "numpro_qvhighlights_hd")
    assert "use NUMPRO_PROMPT=zeroshot" in caplog.text


def test_an_adapter_for_other_frames_is_refused(checkpoints, adapter, tables, monkeypatch):
    record = adapter / RECORD
    record.write_text(json.dumps({"settings": NumProSettings(fps=1.0).to_dict()}))
    try:
        with pytest.raises(NumProError, match=r"trained with fps=1.0, the tasks are set to fps=0.5: set the NUMPRO_\* variables"):
            model_of(checkpoints["longva"], adapter=str(adapter))
        record.write_text(json.dumps({"settings": NumProSettings(style=NumberStyle(color="blue"), prompt="ft").to_dict()}))
        monkeypatch.setenv("NUMPRO_COLOR", "blue")
        model_of(checkpoints["longva"], adapter=str(adapter))
    finally:
        record.unlink()


# --- runs that stop, and runs of many processes --------------------------------------------------------------------------------------


def count_questions(monkeypatch) -> list[int]:
    asked: list[int] = []
    for name in ("batch", "one_video"):
        original = getattr(Generator, name)

        def counting(self, samples, options, original=original, name=name):
            if name == "batch" or len(samples) > 1:
                asked.append(len(samples))
            return original(self, samples, options)

        monkeypatch.setattr(Generator, name, counting)
    return asked


KILLED = """
import os, signal, sys
from lmms_eval.evaluator import simple_evaluate
from numpro_plugin.inference import answer_log
from numpro_plugin.harness.hf.model import NumProHF
original, count = answer_log.AnswerLog.add, []
def add(self, *arguments):
    original(self, *arguments)
    count.append(arguments)
    if len(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
answer_log.AnswerLog.add = add
model = NumProHF(sys.argv[1], dtype="float32", device="cpu", max_new_tokens=4)
simple_evaluate(model=model, tasks=["numpro_charades"], bootstrap_iters=0)
"""


@pytest.mark.slow
def test_a_killed_run_is_continued(checkpoints, tables, monkeypatch):
    folder = checkpoints["longva"]
    wanted = answers(run(model_of(folder, resume=False)))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    asked = count_questions(monkeypatch)
    assert answers(run(model_of(folder))) == wanted
    assert sum(asked) == len(CHARADES) - 3
    asked.clear()
    assert answers(run(model_of(folder, batch_size=2))) == wanted
    assert asked == []
    run(model_of(folder, max_new_tokens=3))  # another question
    assert sum(asked) == len(CHARADES)


@pytest.mark.slow
def test_a_retrained_adapter_is_asked_again(checkpoints, adapter, tables, monkeypatch, tmp_path):
    """Neither our own log nor lmms-eval's cache serves the answers of the adapter that was at this path before."""
    asked = count_questions(monkeypatch)
    folder = checkpoints["longva"]
    options = {"use_cache": str(tmp_path / "responses")}
    arguments = f"pretrained={folder},adapter={adapter},dtype=float32,max_new_tokens=4"
    first = answers(run("numpro_hf", model_args=arguments, device="cpu", batch_size=1, **options))
    assert sum(asked) == len(CHARADES)
    run("numpro_hf", model_args=arguments, device="cpu", batch_size=1, **options)
    assert sum(asked) == len(CHARADES)
    weights = adapter / "adapter_model.safetensors"
    before = weights.read_bytes()
    try:
        adapted = load_model(folder, adapter, dtype="float32").model
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.5)
        adapted.save_pretrained(adapter)
        second = answers(run("numpro_hf", model_args=arguments, device="cpu", batch_size=1, **options))
    finally:
        weights.write_bytes(before)
    assert sum(asked) == 2 * len(CHARADES)
    assert first != second


@pytest.mark.slow
def test_equal_questions_are_asked_once(checkpoints, tmp_path, videos, monkeypatch):
    write_tables(tmp_path, videos, [*CHARADES, CHARADES[0].replace("4.0 12.0", "20.0 24.0")], HIGHLIGHTS)
    asked = count_questions(monkeypatch)
    replies = answers(run(model_of(checkpoints["longva"])))
    assert replies[0] == replies[5]
    assert sum(asked) == 5


@pytest.mark.slow
def test_two_processes_give_what_one_gives(checkpoints, tables, tmp_path):
    """Data parallel by torchrun. Queries of one video stay together though lmms-eval deals them out in turn."""
    model = ["--model", "numpro_hf", "--model_args", f"pretrained={checkpoints['longva']},dtype=float32,max_new_tokens=4,resume=False"]
    task = ["--tasks", "numpro_charades", "--batch_size", "2", "--output_path", str(tmp_path / "out"), "--log_samples"]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "lmms_eval"]
    done = subprocess.run(
        [sys.executable, *launch, *model, *task], capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    (log,) = (tmp_path / "out").rglob("*samples_numpro_charades.jsonl")
    two = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(two) == len(CHARADES), done.stderr[-3000:]
    one = run(model_of(checkpoints["longva"], batch_size=2))
    (results,) = (tmp_path / "out").rglob("*results.json")
    scores = json.loads(results.read_text())["results"]["numpro_charades"]
    metrics = [name for name in scores if name.endswith(",none") and "_stderr" not in name]
    assert len(metrics) >= 6
    assert {name: scores[name] for name in metrics} == {name: one["results"]["numpro_charades"][name] for name in metrics}
    assert ["".join(sample["filtered_resps"]) for sample in sorted(two, key=lambda sample: sample["doc_id"])] == answers(one)
    totals = [int(number) for number in re.findall(r"numpro_hf: 100%\D+?(\d+)/\d+", done.stderr.replace("\r", "\n"))]
    assert max(totals) == 3  # the video with three queries is one process's


@pytest.mark.slow
def test_a_process_whose_answers_are_all_cached_still_takes_part(checkpoints, tables, tmp_path, monkeypatch):
    """lmms-eval's response cache would not call its model, and the others would wait for ever."""
    calls, original = [], NumProHF.generate_until
    monkeypatch.setattr(NumProHF, "generate_until", lambda self, requests: calls.append(len(requests)) or original(self, requests))
    arguments = f"pretrained={checkpoints['longva']},dtype=float32,device=cpu,max_new_tokens=4,resume=False"
    first, second = (answers(run("numpro_hf", model_args=arguments, use_cache=str(tmp_path / "cache"))) for _ in range(2))
    assert calls == [len(CHARADES), 0, 0, 0]  # NumPro's own tasks through the cache, then those of others past it
    assert first == second


def test_a_failure_in_one_process_is_a_failure_in_all(monkeypatch):
    monkeypatch.setattr(processes, "_gathered", lambda item: [item, (None, "the disk is full")])
    with pytest.raises(NumProError, match="process 1 failed: the disk is full"):
        run_in_all(lambda: 1)
    with pytest.raises(ZeroDivisionError):
        run_in_all(lambda: 1 // 0)


def test_work_is_shared_evenly():
    assert balanced_shares([5, 1, 1, 1, 2], 2) == [[0], [4, 1, 2, 3]]
    assert balanced_shares([], 3) == [[], [], []]
    parts = balanced_shares([3.0] * 10, 4)
    assert sorted(index for part in parts for index in part) == list(range(10))
    assert {len(part) for part in parts} == {2, 3}


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_unreadable_video_is_reported_and_scored_as_unanswered(checkpoints, tables, tmp_path, videos, caplog):
    table = tmp_path / "moved"
    table.mkdir()
    for file in videos.iterdir():
        (table / file.name).write_bytes(file.read_bytes())
    write_tables(tmp_path, table, CHARADES, HIGHLIGHTS)
    (table / "ODDLY.mp4").write_bytes(b"rubbish" * 1000)
    results = run(model_of(checkpoints["longva"]))
    assert results["results"]["numpro_charades"]["request_fail,none"] == 20
    assert "ODDLY.mp4" in caplog.text
    assert answers(results)[3].startswith("[LMMS_EVAL_REQUEST_FAILED")
    assert "ODDLY.mp4" in results["samples"]["numpro_charades"][3]["numpro"]["reason"]


def test_a_context_that_is_too_short_stops_at_the_first_question(checkpoints, tmp_path, videos, monkeypatch):
    write_tables(tmp_path, videos, [*CHARADES, "LARGE 0.0 8.0##a person waits."], HIGHLIGHTS)
    model = model_of(checkpoints["longva"])
    monkeypatch.setattr(model._asker.loaded.model.config.text_config, "max_position_embeddings", 800)
    asked = count_questions(monkeypatch)
    with pytest.raises(NumProError, match=r"LARGE\.mp4: 40 frames .* the largest max_frames that fits is 3\d"):
        run(model)
    assert asked == []  # longest first, so nothing was spent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pretrained": ""}, "numpro_hf needs a model"),
        ({"pretrained": "/nowhere/at/all"}, "is not a model: no such folder"),
        ({"max_frame": 3}, "has no argument max_frame; its arguments are: pretrained, adapter, dtype"),
        ({"max_frames": 0}, "max_frames=0 of the model"),
        ({"max_new_tokens": "many"}, "max_new_tokens='many'"),
        ({"workers": "x"}, "workers='x' must be an integer"),
        ({"share_prefix": "no"}, "share_prefix='no' and resume=True must be True or False"),
        ({"token_budget": "abc"}, "token_budget='abc' must be an integer"),
        ({"dtype": "int3"}, "dtype='int3' is unknown; allowed: auto"),
        ({"batch_size": "few"}, "batch_size='few' must be an integer, 1 or more, or 'auto'"),
    ],
)
def test_wrong_arguments_are_named(checkpoints, arguments, message):
    with pytest.raises(NumProError, match=message):
        NumProHF(**{"pretrained": str(checkpoints["longva"]), "device": "cpu", **arguments})


def test_an_adapter_for_another_base_is_refused(checkpoints, adapter):
    with pytest.raises(NumProError, match="was trained on a LongVAForConditionalGeneration, .* is a Qwen2VLForConditionalGeneration"):
        model_of(checkpoints["qwen2_vl"], adapter=str(adapter))


FOREIGN = """
import json
def visual(doc):
    return json.loads(doc["visuals"])
def text(doc):
    return doc["question"]
def messages(doc):
    return json.loads(doc["messages"]) or [
        {"role": "user", "content": [*({"type": "video", "url": v} for v in visual(doc)), {"type": "text", "text": doc["question"]}]}
    ]
def results(doc, results):
    return {"length": len(results[0])}
"""
FOREIGN_TASK = """
task: foreign_qa
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: generate_until
doc_to_visual: !function foreign.visual
doc_to_text: !function foreign.text
doc_to_messages: !function foreign.messages
doc_to_target: question
process_results: !function foreign.results
generation_kwargs: {max_new_tokens: 4}
metric_list: [{metric: length, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture
def foreign(tmp_path):
    """Runs a foreign task on rows of (visuals, question) or messages."""
    from lmms_eval.tasks import TaskManager

    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "foreign.py").write_text(FOREIGN)
    (tmp_path / "tasks" / "foreign_qa.yaml").write_text(FOREIGN_TASK.replace("ROWS", str(tmp_path / "rows.jsonl")))
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)

    def ask(model, *rows, **options):
        docs = [
            {"visuals": json.dumps(shown), "question": question, "messages": "[]"}
            if isinstance(shown := row[0], list) and isinstance(question := row[1], str)
            else {"visuals": "[]", "question": "", "messages": json.dumps(row)}
            for row in rows
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        return answers(run(model, "foreign_qa", task_manager=manager, **options), "foreign_qa")

    return ask


@pytest.mark.slow
def test_foreign_tasks_are_numbered_if_they_show_one_video(checkpoints, videos, foreign, monkeypatch):
    monkeypatch.setenv("NUMPRO_COLOR", "darkred")
    model = model_of(checkpoints["longva"])
    texts = texts_of(model, monkeypatch)
    seen = seen_by(model)
    evens, oddly = str(videos / "EVENS.mp4"), str(videos / "ODDLY.mp4")
    system = {"role": "system", "content": "Be brief."}
    part = {"type": "video", "url": oddly, "start_time": 10.0, "end_time": 20.0}
    asked = {"role": "user", "content": [{"type": "text", "text": "Look:"}, part, {"type": "text", "text": "Who?"}]}
    assert len(foreign(model, ([evens], "What happens?"), [system, asked])) == 2
    assert [len(numbers) for numbers in seen] == [16, 5]
    sentence = "The darkred numbers on each frame represent the frame number."
    assert sorted([turn["content"] for turn in turns] for turns in texts) == [
        ["Be brief.", f"{sentence} Look:\nWho?"],
        [f"{sentence} What happens?"],
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (lambda video: ([video, video], "Two?"), "one video each, this one shows 2; run it with --model numpro"),
        (lambda video: ([], "None?"), "one video each, this one shows 0"),
        (lambda video: [{"role": "user", "content": [{"type": "image", "url": "x.png"}]}], "one video each, this one shows image"),
        (lambda video: [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}], "has turns of 'assistant'"),
    ],
)
def test_what_is_not_one_question_about_one_video_is_refused(checkpoints, videos, foreign, row, message):
    with pytest.raises(NumProError, match=message):
        foreign(model_of(checkpoints["longva"]), row(str(videos / "SHORT.mp4")))


@pytest.mark.slow
def test_an_unreadable_video_does_not_end_the_run_of_a_foreign_task(checkpoints, videos, tmp_path, foreign):
    """And neither the failure nor answers made with other settings come out of lmms-eval's response cache."""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"rubbish" * 1000)
    rows = ([str(broken)], "A?"), ([str(tmp_path / "none.mp4")], "B?"), ([str(videos / "EVENS.mp4")], "C?")
    options = {"use_cache": str(tmp_path / "cache")}
    first = foreign(model_of(checkpoints["longva"]), *rows, **options)
    assert [text.startswith("[LMMS_EVAL_REQUEST_FAILED") for text in first] == [True, True, False]
    broken.write_bytes((videos / "ODDLY.mp4").read_bytes())
    os.environ["NUMPRO_FPS"] = "2"
    try:
        model = model_of(checkpoints["longva"])
        seen = seen_by(model)
        second = foreign(model, *rows, **options)
    finally:
        del os.environ["NUMPRO_FPS"]
    assert [text.startswith("[LMMS_EVAL_REQUEST_FAILED") for text in second] == [False, True, False]
    assert [len(numbers) for numbers in seen] == [64, 59]


@pytest.mark.slow
def test_a_numbered_clip_is_not_numbered_again(checkpoints, tmp_path, videos):
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(videos / "EVENS.mp4", clips / "EVENS.mp4")
    write_tables(tmp_path, clips, CHARADES[:1], HIGHLIGHTS)
    (text,) = answers(run(model_of(checkpoints["longva"])))
    assert "is already a NumPro clip" in text


@pytest.mark.slow
def test_a_merged_model_is_known_by_its_record(checkpoints, tables, tmp_path, monkeypatch, caplog):
    merged = tmp_path / "merged"
    shutil.copytree(checkpoints["longva"], merged)
    trained = NumProSettings(fps=1.0, prompt="ft", numbers=False)
    (merged / RECORD).write_text(json.dumps({"settings": trained.to_dict()}))
    with pytest.raises(NumProError, match=r"merged was trained with fps=1.0, the tasks are set to fps=0.5"):
        model_of(merged)
    monkeypatch.setenv("NUMPRO_FPS", "1")
    monkeypatch.setenv("NUMPRO_PROMPT", "ft")
    run(model_of(merged), "numpro_qvhighlights_hd")
    assert "use NUMPRO_PROMPT" not in caplog.text
    assert caplog.text.count("was trained without numbers, but the task draws them") == 1


def test_model_args_override_flags_of_the_command_line(checkpoints):
    model = NumProHF.create_from_arg_string(
        f"pretrained={checkpoints['longva']},batch_size=3,dtype=bf16,device=cpu",
        {"batch_size": 1, "max_batch_size": None, "device": "cuda"},
    )
    assert model._asker.generator.batch_size == 3
    assert NumProHF.create_from_arg_string({"pretrained": str(checkpoints["longva"]), "device": "cpu"})._asker is not None
    assert model._asker.loaded.model.dtype == torch.bfloat16


def test_the_default_device_is_the_cpu_where_there_is_no_gpu(checkpoints):
    assert NumProHF(str(checkpoints["longva"])).device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert hf.DEFAULT_TOKEN_BUDGET > 240 * 144
