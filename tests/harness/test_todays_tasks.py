"""The tasks of today's benchmarks through lmms-eval: questions, parts of files, sets of moments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.digits import read_number
from support.harness import evaluate
from support.tiny_qwen import save_tiny_qwen2_5_vl, watch_qwen
from support.todays import TODAYS, tvgbench_row, vue_tr_row, write_one, write_todays
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.demo.world import tiny_model_folder
from numpro_plugin.harness import task
from numpro_plugin.harness.hf import model as hf
from numpro_plugin.harness.results import set_results
from numpro_plugin.prompts import set_prompt
from numpro_plugin.reports.ceiling import ceilings

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("tvgbench", "vue_tr", "momentseeker", "ego4d_nlq")


def prepared(tmp_path) -> dict[str, Any]:
    """Tables of small files; those of MomentSeeker need their videos."""
    files = write_todays(tmp_path)
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "sport_12.mp4", [k * 500 for k in range(100)], rate=2)
    where = {"momentseeker": tmp_path / "videos"}
    return {
        name: prepare(BENCHMARKS[name], files[name], videos=where.get(name), progress=False)[0]
        for name in ["timelens_charades", "timelens_activitynet", "timelens_qvhighlights", *KINDS]
    }


@pytest.mark.parametrize("name", TODAYS)
def test_every_benchmark_has_its_two_tasks(name):
    """They name its table, its protocol and, where all moments are asked for, its question; all of it can be had."""
    for twin in ("", "_plain"):
        text = (ROOT / "tasks" / f"numpro_{name}{twin}.yaml").read_text()
        kind = "set" if BENCHMARKS[name].set_question else "moment"
        named = re.findall(r"!function numpro_plugin\.harness\.task\.(\w+)", text)
        wanted = [f"{name}_table", *([f"{name}_text{twin}"] if kind == "set" else []), f"{name}_protocol{twin}"]
        assert (named, f"include: _{kind}{twin}.yaml\n" in text) == (wanted, True)
        assert all(hasattr(task, function) for function in named)


@pytest.mark.slow
def test_the_oracle_reaches_the_ceiling_of_a_task_of_each_kind(tmp_path):
    tables = prepared(tmp_path)
    found = evaluate("numpro_oracle", ["numpro_timelens", *(f"numpro_{name}" for name in KINDS)])["results"]
    for name in ["timelens_charades", "timelens_activitynet", "timelens_qvhighlights", *KINDS]:
        scores = {metric.removesuffix(",none"): value for metric, value in found[f"numpro_{name}"].items()}
        ceiling = ceilings(tables[name], [0.5])[0.5]
        assert {metric: scores[metric] for metric in ceiling} == pytest.approx(ceiling), name
        assert scores["parse_fail"] == 0


class Scripted:
    """A chat model that answers by query and keeps what it was shown."""

    def __new__(cls, answers: dict[str, str]) -> Any:
        from lmms_eval.api.model import lmms

        class Model(lmms):
            is_simple = False

            def __init__(self) -> None:
                super().__init__()
                self.shown: dict[str, tuple[str, str]] = {}

            def generate_until(self, requests: list[Any]) -> list[str]:
                given = []
                for request in requests:
                    _, doc_to_messages, _, doc_id, task, split = request.args
                    doc = self.task_dict[task][split][doc_id]
                    (message,) = doc_to_messages(doc)
                    self.shown[f"{task} {doc['id']}"] = message["content"][0]["url"], message["content"][1]["text"]
                    given.append(answers[doc["id"]])
                return given

            def loglikelihood(self, requests: list[Any]) -> Any:
                raise NotImplementedError

            def generate_until_multi_round(self, requests: list[Any]) -> Any:
                raise NotImplementedError

        return Model()


@pytest.mark.slow
def test_only_the_part_is_shown_and_answers_count_from_its_start(tmp_path):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "AAAAA.mp4", [k * 100 for k in range(300)], rate=10)
    path = write_one(tmp_path, "x", "tvgbench.json", [tvgbench_row("2.0-8.0", 10.25, 22.25), tvgbench_row("4.0-8.0")])
    prepare(BENCHMARKS["tvgbench"], path, videos=tmp_path / "videos", progress=False)
    model = Scripted({"0": "From Frame 1 to Frame 4.", "1": "From Frame 2 to Frame 4."})
    results = evaluate(model, ["numpro_tvgbench"])
    assert results["results"]["numpro_tvgbench"]["mIoU,none"] == 100
    part, whole = (read_clip_info(clip) for clip, _ in model.shown.values())
    assert (part.numbers, part.times_s) == (tuple(range(6)), (10.25, 12.25, 14.25, 16.25, 18.25, 20.25))
    assert len(whole.numbers) == 15
    logged = results["samples"]["numpro_tvgbench"][0]["numpro"]
    assert (logged["start_s"], logged["end_s"], logged["duration_s"], logged["span_s"]) == (10.25, 22.25, 12, [2, 8])
    json.dumps(logged, allow_nan=False)


@pytest.mark.slow
def test_sets_are_asked_for_and_scored(tmp_path):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "AAAAAAAAAAA.mp4", [k * 500 for k in range(121)], rate=2)
    truths = [[[4, 8], [20, 24]], [[4, 8], [20, 24]], [], [], [], [[4, 8]]]
    answers = [
        "[[2, 4], [10, 12]]",
        "From Frame 10 to Frame 12.",
        "[]",
        "[[1, 2]]",
        "I cannot tell.",
        "[LMMS_EVAL_REQUEST_FAILED after 3 retries] x",
    ]
    path = write_one(tmp_path, "x", "VUE-TR_ground_truth.json", [vue_tr_row(k, truth) for k, truth in enumerate(truths)])
    prepare(BENCHMARKS["vue_tr"], path, videos=tmp_path / "videos", progress=False)
    model = Scripted({str(k): answer for k, answer in enumerate(answers)})
    results = evaluate(model, ["numpro_vue_tr", "numpro_vue_tr_plain"])
    samples = results["samples"]["numpro_vue_tr"]
    assert [sample["mIoU_set"] for sample in samples] == [100, 50, 100, 0, 0, 0]
    assert [sample["parse_fail"] for sample in samples] == [0, 0, 0, 0, 100, 0]
    assert [sample.get("mIoU") for sample in samples] == [100, 100, None, None, None, 0]
    assert [round(sample["MR-full-mAP"]) for sample in samples if "MR-full-mAP" in sample] == [100, 50, 0]
    scores = results["results"]["numpro_vue_tr"]
    assert (scores["mIoU_set,none"], scores["R1_set@0.5,none"], scores["R1_set@0.7,none"]) == pytest.approx((250 / 6, 50, 100 / 3))
    assert (scores["mIoU,none"], scores["request_fail,none"]) == pytest.approx((200 / 3, 100 / 6))
    assert samples[0]["numpro"]["spans_s"] == [[4, 8], [20, 24]]
    protocol = results["configs"]["numpro_vue_tr"]["metadata"]["numpro"]
    assert (protocol["task"], protocol["prompt_id"]) == ("set", "set_retrieval")
    asked, plain = model.shown["numpro_vue_tr 0"][1], model.shown["numpro_vue_tr_plain 0"][1]
    assert asked == protocol["prompt"].replace("{query}", "a boat 0")
    assert asked == f"The red numbers on each frame represent the frame number. {plain}"
    json.dumps(samples[0]["numpro"], allow_nan=False)


@pytest.mark.slow
def test_own_queries_are_asked_for_as_sets(tmp_path):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "a.mp4", [k * 500 for k in range(60)], rate=2)
    rows = [{"video": "a.mp4", "query": f"a boat {k}", "spans": spans} for k, spans in enumerate([[[4, 8], [20, 24]], []])]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    prepare(BENCHMARKS["custom"], path, videos=tmp_path / "videos", progress=False)
    model = Scripted({"0": "[[2, 4], [10, 12]]", "1": "[]"})
    results = evaluate(model, ["numpro_custom_sets"])
    assert [sample["mIoU_set"] for sample in results["samples"]["numpro_custom_sets"]] == [100, 100]
    told = results["configs"]["numpro_custom_sets"]["metadata"]["numpro"]
    assert (told["benchmark"], told["task"], told["prompt_id"]) == ("custom", "set", "set_retrieval")
    assert model.shown["numpro_custom_sets 1"][1] == told["prompt"].replace("{query}", "a boat 1")
    path.write_text("\n".join(json.dumps({**row, "spans": []}) for row in rows))
    prepare(BENCHMARKS["custom"], path, videos=tmp_path / "videos", force=True, progress=False)
    with pytest.raises(NumProError, match="no query has an annotated span, so sets cannot be scored"):
        evaluate(model, ["numpro_custom_sets"])


VUE_TR_ASKS = (
    'You are given a video.\nTask: temporal retrieval.\nGiven the query: "a {query}", return ALL time spans (in seconds) where the query '
    "is relevant.\nOutput format MUST be a JSON array of [start, end] pairs, e.g. [[0, 3.5], [10, 12]].\n"
)
MOMENTSEEKER_ASKS = VUE_TR_ASKS.replace("temporal retrieval", "temporal grounding").replace("is relevant", "is grounded in the video")
EGO4D_ASKS = (
    'You are given a video.\nTask: temporal grounding.\nGiven the query: "a {query}", return the time span (in seconds) where the query is '
    "grounded in the video.\nOutput format MUST be [[start, end]].\n"
)


@pytest.mark.parametrize(("question", "words"), [("retrieval", VUE_TR_ASKS), ("grounding", MOMENTSEEKER_ASKS), ("single", EGO4D_ASKS)])
def test_timelens2s_questions_byte_for_byte(question, words):
    assert set_prompt("a {query}", question, unit="seconds") == words
    in_frames = set_prompt("a {query}", question, numbers=False)
    assert in_frames == words.replace("(in seconds)", "(in frame numbers)").replace("3.5", "3")


@pytest.mark.parametrize("answer", ["[[0, 9" + "9" * 400 + "]]", "[[9, 0]]", "[[nan, inf]]", "[[0.5, 1.25], [3, 4]]", ""])
def test_odd_sets_never_stop_the_run(answer):
    doc = {"id": "0", "video": "v", "query": "q", "duration_s": 20.0, "spans_s": [[0.0, 18.0]]}
    scores = set_results(doc, [answer], NumProSettings(), video_problem=None)
    assert 0 <= scores["mIoU_set"] <= 100
    json.dumps(scores, allow_nan=False)


@pytest.fixture
def asked(monkeypatch):
    """What numpro_hf asks its model, video by video."""
    found: list[Any] = []
    original = hf.Asker.ask
    monkeypatch.setattr(hf.Asker, "ask", lambda self, work: original(self, found.extend(work) or work))
    return found


@pytest.mark.slow
@pytest.mark.shared
def test_a_tiny_model_on_a_real_video(shared, tmp_path, asked):
    """A task of each kind: whole files in seconds, a part of a file, and sets."""
    charades = {"Y1HGC": {"duration": 30.7, "spans": [[0.2, 9.8]], "queries": ["a person walks in a doorway drinking some coffee."]}}
    cut = tvgbench_row("1.7-8.0", 4.0, 20.0, path="./videos/Y1HGC.mp4", question="person drinking a glass of water.")
    wanted = {
        "timelens_charades": write_one(tmp_path, "c", "charades-timelens.json", charades),
        "tvgbench": write_one(tmp_path, "t", "tvgbench.json", [cut]),
        "vue_tr": write_one(tmp_path, "v", "VUE-TR_ground_truth.json", [{**vue_tr_row(0, [[0.2, 9.8]]), "video_id": "Y1HGC"}]),
    }
    for name, path in wanted.items():
        prepare(BENCHMARKS[name], path, videos=shared / "videos", progress=False)
    tasks = [f"numpro_{name}" for name in wanted]
    results = evaluate("numpro_hf", tasks, model_args=f"pretrained={tiny_model_folder()},dtype=float32,device=cpu", batch_size=1)
    for name in tasks:
        (sample,) = results["samples"][name]
        assert sample["request_fail"] == 0
        assert sample["filtered_resps"][0]
    logged = results["samples"]["numpro_tvgbench"][0]["numpro"]
    assert (logged["duration_s"], logged["numbers"]) == (16, list(range(8)))
    assert sorted((one.start_s, one.end_s, one.frames) for one in asked if one.start_s) == [(4, 20, 8)]


@pytest.fixture
def two_lengths(tmp_path, monkeypatch):
    """Videos of 10 and 30 s under at most 20 frames: 2 numbers a second and one every two seconds."""
    monkeypatch.setenv("NUMPRO_FPS", "auto")
    monkeypatch.setenv("NUMPRO_MAX_FRAMES", "20")
    (tmp_path / "videos").mkdir()
    for name, seconds in (("AAAAA", 10), ("BBBBB", 30)):
        write_counter_video(tmp_path / "videos" / f"{name}.mp4", [k * 250 for k in range(seconds * 4)], rate=4)
    content = {
        name: {"duration": length, "spans": [span], "queries": ["a man sits"]}
        for name, length, span in (("AAAAA", 10, [3.4, 6]), ("BBBBB", 30, [3.4, 6]))
    }
    path = write_one(tmp_path, "t", "charades-timelens.json", content)
    return prepare(BENCHMARKS["timelens_charades"], path, videos=tmp_path / "videos", progress=False)[0]


@pytest.mark.slow
def test_the_rate_may_follow_each_videos_length(two_lengths):
    model = Scripted({"AAAAA:0": "From Frame 7 to Frame 12.", "BBBBB:0": "From Frame 2 to Frame 3."})
    results = evaluate(model, ["numpro_timelens_charades"])
    short, long = results["samples"]["numpro_timelens_charades"]
    assert [(one["numpro"]["fps"], len(one["numpro"]["numbers"]), one["numpro"]["span_s"]) for one in (short, long)] == [
        (2, 20, [3.5, 6]),
        (0.5, 15, [4, 6]),
    ]
    clips = [read_clip_info(clip) for clip, _ in model.shown.values()]
    assert [(len(clip.numbers), clip.settings["fps"]) for clip in clips] == [(20, 2), (15, 0.5)]
    assert short["numpro"]["settings"]["fps"] == 2
    assert results["configs"]["numpro_timelens_charades"]["metadata"]["numpro"]["settings"]["fps"] == "auto"


@pytest.mark.slow
def test_the_oracle_and_a_local_model_follow_the_rate(two_lengths, asked):
    found = evaluate("numpro_oracle", ["numpro_timelens_charades"])["results"]["numpro_timelens_charades"]
    ceiling = ceilings(two_lengths, ["auto"], max_frames=20)["auto"]
    assert {name: found[f"{name},none"] for name in ceiling} == pytest.approx(ceiling)
    assert ceiling["mIoU"] == pytest.approx(100 * (2.5 / 2.6 + 2 / 2.6) / 2)
    arguments = f"pretrained={tiny_model_folder()},dtype=float32,device=cpu"
    evaluate("numpro_hf", ["numpro_timelens_charades"], model_args=arguments, batch_size=1)
    assert sorted((one.settings.fps, one.frames) for one in asked) == [(0.5, 15), (2, 20)]


@pytest.mark.slow
def test_every_number_reaches_a_wrapped_model_at_each_videos_rate(two_lengths, tmp_path, monkeypatch):
    """The wrapped reader is set to the finest rate; a clip of another rate arrives whole, in order, all the same."""
    seen = watch_qwen(monkeypatch)
    arguments = f"base=qwen2_5_vl,pretrained={save_tiny_qwen2_5_vl(tmp_path / 'tiny')},device_map=cpu"
    evaluate("numpro", ["numpro_timelens_charades"], model_args=arguments, device="cpu", batch_size=1, gen_kwargs="max_new_tokens=4")
    read = sorted([read_number(frame) for frame in frames] for frames in seen)
    assert read == [[*range(15), 14], [*range(20)]]
