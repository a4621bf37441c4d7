"""Through lmms-eval itself: what users run, in process; the command line is run once per kind of model in test_command_line.py."""

from __future__ import annotations

import json
import os
import re
import warnings

import pytest
from support.annotations import write_official
from support.digits import read_number
from support.harness import evaluate
from support.tiny_qwen import save_tiny_qwen2_5_vl, watch_qwen
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings, __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.clips import clip
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.harness import task as task_functions
from numpro_plugin.harness.register import register, tasks_path
from numpro_plugin.reports.compare import compare_runs
from numpro_plugin.reports.score import score_highlights, score_moments

TASKS = ["numpro_charades", "numpro_charades_plain"]
MOMENTS = ["numpro_charades", "numpro_didemo", "numpro_activitynet", "numpro_qvhighlights"]
GROUP = [*MOMENTS, "numpro_qvhighlights_hd"]
METRICS = ["R@0.3", "R@0.5", "R@0.7", "mIoU", "parse_fail", "request_fail"]


def run(model="numpro_oracle", tasks=TASKS, **options):
    return evaluate(model, tasks, **options)


def scores(results, task="numpro_charades"):
    return {metric: results["results"][task][f"{metric},none"] for metric in METRICS}


def make_table(tmp_path, seconds: dict[str, float], lines: list[str]):
    (tmp_path / "videos").mkdir(exist_ok=True)
    for name, length in seconds.items():
        write_counter_video(tmp_path / "videos" / f"{name}.mp4", [k * 100 for k in range(round(length * 10))], rate=10)
    annotations = tmp_path / "charades_sta_test.txt"
    annotations.write_text("\n".join(lines) + "\n")
    return prepare(CHARADES, annotations, videos=tmp_path / "videos", progress=False)


@pytest.fixture
def table(tmp_path):
    """Videos of 32, 29.5 and 0.4 s: 16, 15 and 1 frames."""
    lines = [
        "EVENS 4.0 12.0##a person opens a door.",
        "EVENS 0.5 3.9##a person walks in.",
        "ODDLY 20.0 29.5##a person sits down.",
        "SHORT 0.0 0.4##a person blinks.",
    ]
    return make_table(tmp_path, {"EVENS": 32, "ODDLY": 29.5, "SHORT": 0.4}, lines)


class Scripted:
    """A chat or simple model that says what it is told to and keeps what it was shown."""

    def __new__(cls, answers, *, simple):
        from lmms_eval.api.model import lmms

        class Model(lmms):
            is_simple = simple

            def __init__(self):
                super().__init__()
                self.clips, self.texts = [], []

            def generate_until(self, requests):
                replies = iter(answers) if not callable(answers) else None
                given = []
                for request in requests:
                    if simple:
                        text, _, doc_to_visual, doc_id, task, split = request.args
                        doc = self.task_dict[task][split][doc_id]
                        (clip,) = doc_to_visual(doc)
                    else:
                        _, doc_to_messages, _, doc_id, task, split = request.args
                        doc = self.task_dict[task][split][doc_id]
                        (message,) = doc_to_messages(doc)
                        clip, text = message["content"][0]["url"], message["content"][1]["text"]
                    self.clips.append(clip)
                    self.texts.append(text)
                    given.append(next(replies) if replies else answers(doc))
                return given

            def loglikelihood(self, requests):
                raise NotImplementedError

            def generate_until_multi_round(self, requests):
                raise NotImplementedError

        return Model()


@pytest.mark.slow
@pytest.mark.parametrize("simple", [True, False])
def test_simple_and_chat_models_get_the_clip_and_the_question(table, simple):
    model = Scripted(["From Frame 2 to Frame 6."] * 8, simple=simple)
    results = run(model)
    assert {read_clip_info(clip).settings["numbers"] for clip in model.clips} == {True, False}
    assert [t for t in model.texts if t.startswith("The red numbers on each frame represent the frame number.During")].__len__() == 4
    numbered = [clip for clip, text in zip(model.clips, model.texts, strict=True) if text.startswith("The red")]
    assert all(read_clip_info(clip).settings["numbers"] for clip in numbered)
    assert len(set(model.clips)) == 6  # three videos, with and without numbers
    sample = results["samples"]["numpro_charades"][0]
    assert (sample["R@0.7"], sample["mIoU"]) == (100.0, 100.0)
    assert sample["numpro"]["numbers"] == list(range(16))
    assert sample["numpro"]["parsed"] == [2, 6]
    assert sample["numpro"]["span_s"] == [4, 12]
    assert sample["numpro"]["truth_s"] == [[4, 12]]
    assert (sample["numpro"]["video"], sample["numpro"]["duration_s"]) == (sample["doc"]["video"], 32)
    assert NumProSettings.from_dict(sample["numpro"]["settings"]) == NumProSettings()
    assert results["samples"]["numpro_charades_plain"][0]["numpro"]["settings"]["numbers"] is False
    assert sample["numpro"]["iou"] == 1


@pytest.mark.slow
def test_every_kind_of_answer_is_counted(table):
    answers = [
        "From Frame 2 to Frame 6.",
        "From 0.5 to 3.9 seconds.",
        "[LMMS_EVAL_REQUEST_FAILED after 3 retries] too many requests",
        "I cannot tell.",
    ]
    results = run(Scripted(answers, simple=False), ["numpro_charades"])
    assert scores(results) == {"R@0.3": 25, "R@0.5": 25, "R@0.7": 25, "mIoU": 25, "parse_fail": 50, "request_fail": 25}
    logged = [sample["numpro"] for sample in results["samples"]["numpro_charades"]]
    assert logged[1]["unit"] == "seconds"
    assert logged[1]["parsed"] == [0.5, 3.9]
    assert "the task asks for frames" in logged[1]["reason"]
    assert "the request failed" in logged[2]["reason"]
    assert logged[3]["reason"] == "the answer has no number"
    json.dumps(logged, allow_nan=False)


@pytest.mark.parametrize(
    ("answer", "miou", "parse_fail"),
    [
        ("From Frame 9 to Frame 0", 16.3889, 0),  # 0 to 18 s: IoU 8/18, 3.4/18, 0 and 0.4/18
        ("From Frame " + "9" * 400 + " to Frame 3", 0, 0),
        ("from nan to inf", 0, 100),
        ("", 0, 100),
        ("From Frame 0 to Frame 500", 0.5325, 0),  # 0 to 1000 s: IoU 8, 3.4, 9.5 and 0.4 thousandths
    ],
)
@pytest.mark.slow
def test_unusual_answers_do_not_stop_the_run(table, answer, miou, parse_fail):
    results = run(Scripted(lambda doc: answer, simple=False), ["numpro_charades"])
    assert (round(scores(results)["mIoU"], 4), scores(results)["parse_fail"]) == (miou, parse_fail)
    json.dumps(results["samples"]["numpro_charades"][0]["numpro"], allow_nan=False)


@pytest.mark.slow
def test_oracle_reads_the_numbers(table):
    results = run()
    assert scores(results)["R@0.5"] == 75  # the video of one frame has no second number
    assert scores(results)["parse_fail"] == 0
    assert scores(results, "numpro_charades_plain") == {"R@0.3": 0, "R@0.5": 0, "R@0.7": 0, "mIoU": 0, "parse_fail": 100, "request_fail": 0}


@pytest.mark.slow
def test_protocol_is_in_the_results(table, monkeypatch):
    monkeypatch.setenv("NUMPRO_FPS", "1")
    monkeypatch.setenv("NUMPRO_COLOR", "blue")
    results = run()
    metadata = results["configs"]["numpro_charades"]["metadata"]["numpro"]
    assert (metadata["n_used"], metadata["n_expected"], metadata["split"], metadata["benchmark"]) == (4, 4, "test", "charades")
    assert metadata["settings"]["fps"] == 1
    assert metadata["settings"]["style"]["color"] == "blue"
    assert metadata["prompt_id"] == "moment"
    assert metadata["numpro_version"] == __version__
    plain = results["configs"]["numpro_charades_plain"]["metadata"]["numpro"]
    assert plain["prompt_id"] == "moment_plain"
    assert plain["settings"]["numbers"] is False
    json.dumps(metadata)


@pytest.mark.slow
def test_missing_videos_show_in_the_results(tmp_path, table):
    (tmp_path / "videos" / "ODDLY.mp4").unlink()
    prepare(CHARADES, tmp_path / "charades_sta_test.txt", videos=tmp_path / "videos", allow_missing=True, progress=False)
    metadata = run()["configs"]["numpro_charades"]["metadata"]["numpro"]
    assert (metadata["n_used"], metadata["n_expected"]) == (3, 4)


def test_missing_table_says_which_command_to_run():
    with pytest.raises(
        NumProError, match=r"there is no table .*test\.parquet; run: numpro prepare charades --annotations FILE --videos DIR"
    ):
        run()


@pytest.mark.slow
def test_table_without_videos_is_only_for_the_oracle(tmp_path):
    annotations, durations = tmp_path / "charades_sta_test.txt", tmp_path / "d.csv"
    annotations.write_text("AAAAA 4.0 12.0##a person opens a door.\n")
    durations.write_text("id,length\nAAAAA,31\n")
    prepare(CHARADES, annotations, durations=durations, progress=False)
    results = run()
    assert scores(results)["mIoU"] == 100
    assert scores(results, "numpro_charades_plain")["parse_fail"] == 100
    with pytest.raises(NumProError, match="made without videos"):
        run(Scripted([""], simple=True))


@pytest.mark.slow
def test_a_video_that_is_damaged_later_counts_as_a_failed_request(tmp_path, table):
    (tmp_path / "videos" / "ODDLY.mp4").write_bytes(b"rubbish" * 1000)
    model = Scripted(lambda doc: "From Frame 10 to Frame 15.", simple=False)
    results = run(model, ["numpro_charades"])
    assert scores(results)["request_fail"] == 25
    assert read_clip_info(model.clips[2]).numbers == ()
    sample = results["samples"]["numpro_charades"][2]
    assert sample["mIoU"] == 0
    assert "cannot be opened as a video" in sample["numpro"]["reason"]


@pytest.mark.slow
def test_each_query_is_scored_by_what_the_model_was_shown(tmp_path, table):
    """A video that comes and goes during a run: blank for the first query, real for the second."""
    video = tmp_path / "videos" / "EVENS.mp4"
    data = video.read_bytes()
    video.write_bytes(b"rubbish" * 1000)

    def answer(doc):
        video.write_bytes(data)
        return "From Frame 2 to Frame 6." if doc["id"] == "0" else "From Frame 0 to Frame 2."

    samples = run(Scripted(answer, simple=False), ["numpro_charades"])["samples"]["numpro_charades"]
    assert [(s["request_fail"], s["mIoU"] > 0) for s in samples[:2]] == [(100, False), (0, True)]


def test_a_repaired_or_replaced_video_changes_the_protocol(tmp_path, table):
    before = task_functions.charades_protocol["numpro"]["videos_state"]
    assert task_functions.charades_protocol["numpro"]["videos_state"] == before
    os.utime(tmp_path / "videos" / "ODDLY.mp4", ns=(1, 1))
    assert task_functions.charades_protocol["numpro"]["videos_state"] != before


@pytest.mark.slow
def test_each_video_is_numbered_once_and_a_second_run_decodes_nothing(table, monkeypatch):
    decoded = []
    original = clip.sampled_frames
    monkeypatch.setattr(clip, "sampled_frames", lambda video, *args, **options: decoded.append(video) or original(video, *args, **options))
    first = run(tasks=["numpro_charades"])
    assert len(decoded) == 3  # four queries over three videos
    second = run(tasks=["numpro_charades"])
    assert len(decoded) == 3
    assert scores(first) == scores(second)


def test_wrong_environment_stops_at_once(table, monkeypatch):
    monkeypatch.setenv("NUMPRO_FONTSIZE", "60")
    with pytest.raises(Exception, match="NUMPRO_FONTSIZE is unknown; did you mean NUMPRO_FONT_SIZE"):
        run()


def test_a_changed_lmms_eval_gets_a_warning_not_a_crash(monkeypatch):
    import lmms_eval.tasks

    monkeypatch.delattr(lmms_eval.tasks, "TaskManager")
    with pytest.warns(UserWarning, match=re.escape('--include_path "$(numpro tasks-path)"')):
        manifests = register()
    assert {m.model_id for m in manifests} == {"numpro", "numpro_hf", "numpro_oracle"}


@pytest.mark.slow
def test_include_path_and_entry_point_together():
    from lmms_eval.tasks import TaskManager

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register()
        register()
    for include in (None, str(tasks_path()), ["/nowhere"]):
        known = set(TaskManager(include_path=include).all_tasks)
        assert {*GROUP, *(f"{task}_plain" for task in GROUP), "numpro_custom", "numpro_custom_plain", "numpro", "numpro_plain"} <= known


def test_settings_change_the_requests_cache_key(table, monkeypatch):
    """lmms-eval's response cache knows a task's metadata but no pixels."""
    seen = set()
    for color in ("red", "blue"):
        monkeypatch.setenv("NUMPRO_COLOR", color)
        seen.add(json.dumps(task_functions.charades_protocol, sort_keys=True))
    assert len(seen) == 2


@pytest.mark.slow
def test_oracle_takes_no_arguments(table):
    with pytest.raises(NumProError, match="numpro_oracle has no argument pretrained"):
        run(model_args="pretrained=x")


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory):
    return save_tiny_qwen2_5_vl(tmp_path_factory.mktemp("qwen") / "tiny")


@pytest.fixture
def frames_seen(monkeypatch):
    return watch_qwen(monkeypatch)


def run_qwen(folder, **options):
    return run(
        "qwen2_5_vl",
        ["numpro_charades"],
        model_args=f"pretrained={folder},device_map=cpu",
        device="cpu",
        batch_size=1,
        gen_kwargs="max_new_tokens=4",
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("force_simple", [False, True])
def test_the_right_numbers_reach_a_stock_model(table, tiny_qwen, frames_seen, force_simple):
    """lmms-eval's own qwen2_5_vl, chat and simple: every number, once, in order, read back from its input pixels."""
    results = run_qwen(tiny_qwen, force_simple=force_simple)
    read = sorted([read_number(frame) for frame in frames] for frames in frames_seen)
    assert read == [[0, 0], [*range(15), 14], [*range(16)], [*range(16)]]
    assert results["n-samples"]["numpro_charades"]["effective"] == 4


@pytest.mark.shared
@pytest.mark.parametrize("force_simple", [False, True])
@pytest.mark.slow
def test_real_video_through_a_stock_model(shared, tmp_path, tiny_qwen, frames_seen, force_simple):
    prepare(
        CHARADES, shared / "annotations/charades_sta/charades_sta_test.txt", videos=shared / "videos", allow_missing=True, progress=False
    )
    run_qwen(tiny_qwen, force_simple=force_simple)
    assert len(frames_seen) == 2
    for frames in frames_seen:
        assert [read_number(frame) for frame in frames] == list(range(16))


@pytest.mark.shared
@pytest.mark.slow
def test_oracle_on_a_real_video(shared):
    prepare(
        CHARADES, shared / "annotations/charades_sta/charades_sta_test.txt", videos=shared / "videos", allow_missing=True, progress=False
    )
    results = run(tasks=["numpro_charades"])
    samples = {s["doc"]["query"] if "doc" in s else s["doc_id"]: s for s in results["samples"]["numpro_charades"]}
    assert [s["numpro"]["parsed"] for s in samples.values()] == [[0, 5], [1, 6]]
    assert [s["numpro"]["iou"] for s in samples.values()] == pytest.approx([9.6 / 10, 10 / 10.4])
    assert scores(results)["mIoU"] == pytest.approx(100 * (9.6 / 10 + 10 / 10.4) / 2)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("fps", ["0.5", "1", "2"])
def test_oracle_reaches_the_ceiling(shared, fps, monkeypatch):
    """The whole official test split: what integer numbers can reach at best, to the last digit of the golden file."""
    folder = shared / "annotations/charades_sta"
    prepare(CHARADES, folder / "charades_sta_test.txt", durations=folder / "Charades_v1_test.csv", progress=False)
    monkeypatch.setenv("NUMPRO_FPS", fps)
    results = run(tasks=["numpro_charades"])
    golden = json.loads((shared / "golden/ceiling.json").read_text())["results"]["charades_sta_test"][fps]["best_visible"]
    ours = scores(results)
    assert {name: round(ours[name], 4) for name in ("mIoU", "R@0.3", "R@0.5", "R@0.7")} == {
        k: v for k, v in golden.items() if k != "counts"
    }
    samples = results["samples"]["numpro_charades"]
    assert len(samples) == 3720
    for threshold, count in golden["counts"].items():
        assert sum(sample[f"R@{threshold}"] == 100 for sample in samples) == count


@pytest.fixture
def every_table(tmp_path):
    """A table without videos of every benchmark, from small files in the official formats."""
    files = write_official(tmp_path)
    (tmp_path / "durations.csv").write_text("id,length\nAAAAA,31\n")
    for name in ("charades", "activitynet", "didemo", "qvhighlights"):
        durations = tmp_path / "durations.csv" if name == "charades" else None
        prepare(BENCHMARKS[name], files[name], durations=durations, progress=False)
    return files


@pytest.mark.slow
def test_the_groups_run_every_benchmark_without_averaging(every_table):
    results = run(tasks=["numpro"])
    assert set(GROUP) <= set(results["results"])
    assert {name for name, value in results["results"].get("numpro", {}).items() if isinstance(value, float)} == set()
    assert scores(results, "numpro_qvhighlights")["mIoU"] == 100
    assert scores(results, "numpro_didemo")["parse_fail"] == 0
    metadata = {task: results["configs"][task]["metadata"]["numpro"] for task in GROUP}
    assert metadata["numpro_activitynet"]["split"] == "val_2"
    assert metadata["numpro_didemo"]["truth"] == "official"
    assert metadata["numpro_qvhighlights_hd"]["prompt_id"] == "highlight_zeroshot"
    assert results["configs"]["numpro_qvhighlights_hd"]["generation_kwargs"]["max_new_tokens"] == 512


@pytest.mark.slow
def test_highlights_need_saliency_scores_in_the_table(every_table, tmp_path):
    rows = [json.loads(line) for line in every_table["qvhighlights"].read_text().splitlines()]
    windows_alone = [{key: row[key] for key in ("qid", "vid", "query", "duration", "relevant_windows")} for row in rows]
    (tmp_path / "windows_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in windows_alone))
    prepare(BENCHMARKS["qvhighlights"], tmp_path / "windows_val.jsonl", progress=False)
    model = Scripted([], simple=False)
    with pytest.raises(NumProError, match=r"val\.parquet: the table has no saliency scores, .* alone with --tasks numpro_qvhighlights$"):
        run(model, ["numpro_qvhighlights", "numpro_qvhighlights_hd_plain"])
    assert not model.texts
    assert scores(run(tasks=["numpro_qvhighlights"]), "numpro_qvhighlights")["mIoU"] == 100


@pytest.mark.slow
def test_highlights_follow_the_prompt_kind(every_table, monkeypatch):
    monkeypatch.setenv("NUMPRO_PROMPT", "ft")
    results = run(tasks=["numpro_qvhighlights_hd"])
    assert results["configs"]["numpro_qvhighlights_hd"]["generation_kwargs"]["max_new_tokens"] == 1024
    metadata = results["configs"]["numpro_qvhighlights_hd"]["metadata"]["numpro"]
    assert metadata["prompt_id"] == "highlight_ft"
    assert "Now I will give you the sentence query: {query}." in metadata["prompt"]
    sample = results["samples"]["numpro_qvhighlights_hd"][0]
    assert sample["numpro"]["frames"] == [2, 3, 7, 8]
    assert sample["HIT@1"] == 100


def test_another_split_by_environment(every_table, monkeypatch):
    monkeypatch.setenv("NUMPRO_SPLIT", "val_1")
    with pytest.raises(NumProError, match=r"no table .*val_1\.parquet; run: numpro prepare activitynet .*NUMPRO_SPLIT=val_1"):
        run(tasks=["numpro_activitynet"])


@pytest.mark.slow
def test_didemo_sees_thirty_seconds_and_scores_by_three_annotators(tmp_path):
    (tmp_path / "videos").mkdir()
    files = write_official(tmp_path)
    for name, seconds in (("111@N01_222_abc", 65), ("111@N01_333_def", 25)):
        write_counter_video(tmp_path / "videos" / f"{name}.mp4", [k * 100 for k in range(seconds * 10)], rate=10)
    prepare(BENCHMARKS["didemo"], files["didemo"], videos=tmp_path / "videos", progress=False)
    model = Scripted(lambda doc: "From Frame 3 to Frame 7.", simple=False)
    results = run(model, ["numpro_didemo"])
    assert [read_clip_info(clip).numbers[-1] for clip in model.clips] == [14, 12]
    sample = results["samples"]["numpro_didemo"][0]
    assert sample["numpro"]["annotators_s"] == [[0, 5], [5, 15], [5, 15], [25, 30]]
    assert sample["numpro"]["iou"] == pytest.approx((8 / 10 + 8 / 10 + 0) / 3)


@pytest.mark.slow
def test_custom_queries_are_scored_where_they_are_annotated(tmp_path):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "my film.mp4", [k * 100 for k in range(100)], rate=10)
    files = write_official(tmp_path)
    prepare(BENCHMARKS["custom"], files["custom"], videos=tmp_path / "videos", progress=False)
    results = run(Scripted(["From Frame 1 to Frame 3.", "no"], simple=True), ["numpro_custom"])
    first, second = results["samples"]["numpro_custom"]
    assert first["mIoU"] == pytest.approx(100 * 4 / 4.5)
    assert "mIoU" not in second
    assert second["parse_fail"] == 100
    assert results["results"]["numpro_custom"]["mIoU,none"] == pytest.approx(100 * 4 / 4.5)
    assert results["results"]["numpro_custom"]["parse_fail,none"] == 50


@pytest.mark.slow
def test_sample_logs_can_be_scored_and_compared_again(every_table, tmp_path):
    results = run(tasks=["numpro_didemo", "numpro_qvhighlights_hd"])
    for task, score in (("numpro_didemo", score_moments), ("numpro_qvhighlights_hd", score_highlights)):
        log = tmp_path / f"samples_{task}.jsonl"
        log.write_text("".join(json.dumps(sample, default=str) + "\n" for sample in results["samples"][task]))
        again = score(log)
        if task == "numpro_didemo":
            assert again.metrics["mIoU"] == pytest.approx(scores(results, task)["mIoU"])
        else:
            assert again.metrics["HL-min-VeryGood-mAP"] == pytest.approx(results["results"][task]["mAP,none"])
        assert compare_runs(log, log).n == 2


@pytest.mark.slow
@pytest.mark.shared
def test_oracle_reaches_the_ceilings_of_all_benchmarks(shared, monkeypatch):
    golden = json.loads((shared / "golden/ceiling.json").read_text())["results"]
    folder = shared / "annotations"
    files = {
        "didemo": ("didemo/test_data.json", "didemo_test_official_top3"),
        "activitynet": ("activitynet_captions/val_2.json", "activitynet_val_2"),
        "qvhighlights": ("qvhighlights/highlight_val_release.jsonl", "qvhighlights_val"),
    }
    for name, (file, _) in files.items():
        prepare(BENCHMARKS[name], folder / file, progress=False)
    monkeypatch.setenv("NUMPRO_MAX_FRAMES", "1000")  # the golden ceilings know no limit of frames
    results = run(tasks=[*(f"numpro_{name}" for name in files), "numpro_qvhighlights_hd"], log_samples=False)
    for name, (_, key) in files.items():
        expected = golden[key]["0.5"]["best_visible"]
        ours = scores(results, f"numpro_{name}")
        assert {k: round(ours[k], 4) for k in ("mIoU", "R@0.3", "R@0.5", "R@0.7")} == {k: v for k, v in expected.items() if k != "counts"}
    expected = json.loads((shared / "golden/metrics/numpro_hd_synthetic/oracle_val_expected.json").read_text())["metrics"]
    highlights = results["results"]["numpro_qvhighlights_hd"]
    for rule, suffix in (("M2_identity", ""), ("M1_timechat_literal", "_timechat")):
        for level, name in (("VeryGood", ""), ("Good", "_Good"), ("Fair", "_Fair")):
            assert round(highlights[f"mAP{name}{suffix},none"], 2) == expected[rule][f"HL-min-{level}-mAP"]
            assert round(highlights[f"HIT@1{name}{suffix},none"], 2) == expected[rule][f"HL-min-{level}-Hit1"]


def test_settings_are_read_when_a_task_is_loaded(monkeypatch):
    monkeypatch.setenv("NUMPRO_FPS", "1")
    question, plain = task_functions.moment_text, task_functions.moment_text_plain
    monkeypatch.setenv("NUMPRO_FPS", "2")
    assert question.__self__.settings == NumProSettings(fps=1)
    assert plain.__self__.settings == NumProSettings(fps=1, numbers=False)
