"""The commands as people type them, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from support.annotations import write_official
from support.digits import read_number
from support.tiny_qwen import save_tiny_qwen2_5_vl
from support.videos import write_counter_video

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.video.sampling import sample_frames

BIN = Path(sys.executable).parent
VERBS = ("demo", "ask", "prepare", "check", "ceiling", "number", "cache", "tasks-path", "score", "compare")


def call(*command, **environ):
    name, *arguments = map(str, command)
    return subprocess.run(
        [str(BIN / name), *arguments], env={**os.environ, **environ}, capture_output=True, text=True, timeout=300, check=False
    )


def numpro(*arguments, **environ):
    return call("numpro", *arguments, **environ)


@pytest.fixture
def charades(tmp_path):
    """One video of 31 s with two queries, in the official layout."""
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "AAAAA.mp4", [k * 100 for k in range(310)], rate=10)
    annotations = tmp_path / "charades_sta_test.txt"
    annotations.write_text("AAAAA 4.0 12.0##a person opens a door.\nAAAAA 10.0 31.5##a person sits.\n")
    return ["charades", "--annotations", annotations, "--videos", tmp_path / "videos"]


def test_help_names_every_command_and_loads_nothing_heavy():
    shown = numpro("--help").stdout
    assert all(verb in shown for verb in VERBS)
    program = "import sys; from numpro_plugin.cli import main as cli; cli._parser(); print([m for m in sys.modules if m in %r])"
    heavy = ("torch", "transformers", "lmms_eval", "datasets", "av", "cv2", "scipy", "PIL", "decord", "pyarrow")
    assert subprocess.run([sys.executable, "-c", program % (heavy,)], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help(verb):
    done = numpro(verb, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: numpro {verb}")


@pytest.mark.slow
def test_prepare_check_and_evaluate(charades, tmp_path):
    """prepare -> check -> lmms-eval with nothing but a plain install -> results and samples on disk."""
    done = numpro("prepare", *charades)
    assert done.returncode == 0, done.stderr
    assert "charades test: 2 of 2 queries, 1 of 1 videos used" in done.stdout
    assert "end after their video: 1 (normal, kept)" in done.stdout
    assert "reading videos: 100%" in done.stderr
    assert numpro("check", "charades").returncode == 0

    out = tmp_path / "out"
    run = call("lmms-eval", "--model", "numpro_oracle", "--tasks", "numpro_charades", "--output_path", out, "--log_samples")
    assert run.returncode == 0, run.stderr[-3000:]
    assert re.search(r"numpro_charades\s*\|none\s*\|\s*0\|mIoU\s*\|↑\s*\|\s*9\d\.\d{4}", run.stdout)
    results = json.loads(next(out.rglob("*_results.json")).read_text())
    assert results["configs"]["numpro_charades"]["metadata"]["numpro"]["n_used"] == 2
    samples = [json.loads(line) for line in next(out.rglob("*_samples_numpro_charades.jsonl")).read_text().splitlines()]
    assert [sample["numpro"]["parsed"] for sample in samples] == [[2, 6], [5, 15]]

    (tmp_path / "videos" / "AAAAA.mp4").unlink()
    done = numpro("check", "charades")
    assert done.returncode == 1
    assert "missing: 1" in done.stdout


@pytest.mark.slow
def test_missing_table_is_the_last_word_of_lmms_eval():
    run = call("lmms-eval", "--model", "numpro_oracle", "--tasks", "numpro_charades")
    assert "run: numpro prepare charades --annotations FILE --videos DIR" in (run.stdout + run.stderr)
    assert "Failed to import" not in run.stdout + run.stderr


@pytest.mark.slow
def test_a_stock_model_from_the_command_line(charades, tmp_path):
    assert numpro("prepare", *charades).returncode == 0
    folder = save_tiny_qwen2_5_vl(tmp_path / "tiny")
    run = call(
        *("lmms-eval", "--model", "qwen2_5_vl", "--model_args", f"pretrained={folder},device_map=cpu", "--device", "cpu"),
        *("--batch_size", 1, "--tasks", "numpro_charades,numpro_charades_plain", "--gen_kwargs", "max_new_tokens=4"),
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert all(f"|{metric}" in run.stdout for metric in ("R@0.3", "R@0.5", "R@0.7", "mIoU", "parse_fail", "request_fail"))


def test_prepare_explains_what_is_wrong(charades, tmp_path):
    (tmp_path / "charades_sta_test.txt").write_text("nonsense\n")
    done = numpro("prepare", *charades)
    assert done.returncode == 1
    assert "charades_sta_test.txt:1: is not 'VIDEO START END##QUERY'" in done.stderr
    assert "Traceback" not in done.stderr
    assert numpro("prepare", "charades", "--annotations", "x").returncode == 2


def test_prepare_into_another_folder_says_how_to_use_it(charades, tmp_path):
    done = numpro("prepare", *charades, "--out", tmp_path / "elsewhere")
    assert f'export NUMPRO_DATA="{tmp_path / "elsewhere"}"' in done.stdout
    assert (tmp_path / "elsewhere/charades/test.parquet").exists()


@pytest.mark.parametrize("name", ["charades", "didemo", "activitynet", "qvhighlights", "custom"])
def test_prepare_says_where_the_files_are(name):
    shown = numpro("prepare", name, "--help").stdout
    assert BENCHMARKS[name].sources in shown
    assert ("--majority" in shown) == (name == "didemo")
    assert ("--durations" in shown) == (name == "charades")


@pytest.mark.slow
def test_score_ceiling_and_compare(tmp_path):
    files = write_official(tmp_path)
    assert numpro("prepare", "qvhighlights", "--annotations", files["qvhighlights"], "--without-videos").returncode == 0
    done = numpro("ceiling", "qvhighlights", "--fps", 0.5, "--json", tmp_path / "ceiling.json")
    assert re.search(r"0\.5 numbers a second +100\.00 +100\.00 +100\.00 +100\.00", done.stdout)
    assert json.loads((tmp_path / "ceiling.json").read_text())["0.5"]["mIoU"] == 100

    submission = tmp_path / "submission.jsonl"
    submission.write_text('{"qid": 11, "pred_relevant_windows": [[4, 8, 1.0]], "pred_saliency_scores": [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]}\n')
    done = numpro("score", "moment", submission, "--truth", files["qvhighlights"], "--json", tmp_path / "score.json")
    assert re.search(r"mIoU +50\.00", done.stdout)
    assert "queries: 2, not predicted: 1, repeated: 0, without truth: 0, not understood: 0" in done.stdout
    assert json.loads((tmp_path / "score.json").read_text())["metrics"]["mIoU"] == 50
    done = numpro("score", "highlight", submission, "--truth", files["qvhighlights"], "--compatible", "moment_detr")
    assert re.search(r"HL-min-VeryGood-Hit1 +100\.00", done.stdout)
    done = numpro("score", "moment", submission)
    assert (done.returncode, "give --truth FILE" in done.stderr, "Traceback" in done.stderr) == (1, True, False)

    for name, score in (("a", 20.0), ("b", 60.0)):
        sample = {"doc_id": 0, "mIoU": score, "numpro": {"id": "11", "query": "A boat on a lake"}}
        (tmp_path / f"samples_{name}.jsonl").write_text(json.dumps(sample) + "\n")
    done = numpro("compare", tmp_path / "samples_a.jsonl", tmp_path / "samples_b.jsonl")
    assert re.search(r"mIoU +20\.00 +60\.00 +\+40\.00   \[\+40\.00, \+40\.00\]", done.stdout)
    assert "20.00 ->  60.00  A boat on a lake" in done.stdout


@pytest.mark.slow
def test_number(tmp_path):
    video = write_counter_video(tmp_path / "a.mp4", [k * 100 for k in range(100)], rate=10)
    out = tmp_path / "out.mp4"
    done = numpro("number", video, "-o", out, "--fps", 1)
    assert done.stdout.strip() == f"{out}: 10 frames, numbers 0 to 9, of 10.00 s of video"
    assert [read_number(f) for f in sample_frames(out, fps=1, frame_size=None).pixels] == list(range(10))
    done = numpro("number", video, "-o", out)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert (
        numpro("number", video, "-o", out, "--force", "--position", "top_left", "--color", "#00f", "--frame-size", "64x48").returncode == 0
    )
    assert read_clip_info(out).settings["frame_size"] == [64, 48]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--color", "reddish"], "'reddish'"),
        (["--frame-size", "big"], "--frame-size='big' must be pixels as N or WIDTHxHEIGHT"),
        (["--fps", "0"], "fps=0.0"),
        (["--position", "left"], "bottom_left"),
        (["--end", "-3"], "end_s"),
    ],
)
def test_number_explains_what_is_wrong(tmp_path, arguments, message):
    video = write_counter_video(tmp_path / "a.mp4", [0, 100, 200], rate=10)
    done = numpro("number", video, "-o", tmp_path / "out.mp4", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_nothing_of_the_users_is_overwritten(tmp_path):
    video = write_counter_video(tmp_path / "a.mp4", [0, 100, 200], rate=10)
    before = video.read_bytes()
    done = numpro("number", video, "-o", video, "--force")
    assert (done.returncode, video.read_bytes() == before) == (1, True)
    assert "is the video itself" in done.stderr
    done = numpro("demo", "--out", tmp_path)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    done = numpro("number", video, "-o", tmp_path / "nowhere" / "x.mp4")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_number_of_a_bad_file_leaves_nothing(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"rubbish" * 100)
    done = numpro("number", tmp_path / "bad.mp4", "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert "bad.mp4: cannot be opened as a video" in done.stderr
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.slow
def test_number_writes_to_its_output_and_touches_nothing_else(tmp_path):
    video = write_counter_video(tmp_path / "a.mp4", [k * 100 for k in range(40)], rate=10)
    out, link, target = tmp_path / "out.mp4", tmp_path / "link.mp4", tmp_path / "target.mp4"
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out.mp4.part").symlink_to(tmp_path / "precious")
    assert numpro("number", video, "-o", out).returncode == 0
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "out.mp4.part").is_symlink()
    target.write_text("old")
    link.symlink_to(target)
    assert numpro("number", video, "-o", link).returncode == 1
    assert numpro("number", video, "-o", link, "--force").returncode == 0
    assert link.is_symlink()
    assert read_clip_info(target).numbers == (0, 1)
    os.mkfifo(tmp_path / "fifo")
    for place, kind in (("/dev/null", "device"), (tmp_path / "fifo", "FIFO"), (tmp_path, "folder")):
        done = numpro("number", video, "-o", place, "--force")
        assert (done.returncode, f"is a {kind}, and only a regular file can be written" in done.stderr) == (1, True)


def test_cache_clear_keeps_what_is_in_use(tmp_path):
    cache = tmp_path / "c"
    (cache / "clips").mkdir(parents=True)
    (cache / "answers/x").mkdir(parents=True)
    for name in ("clips/old.mp4", "clips/new.mp4", "answers/x/old.jsonl", "answers/x/new.jsonl"):
        (cache / name).write_text("x")
        if "old" in name:
            os.utime(cache / name, (0, 0))
    done = numpro("cache", "clear", NUMPRO_CACHE=str(cache))
    assert "removed 1 clips" in done.stdout
    assert "removed answers of 1 runs" in done.stdout
    assert "kept: 1 clips and answers of 1 runs that were used in the last 15 minutes" in done.stdout
    assert sorted(path.stem for path in cache.rglob("*.[mj]*")) == ["new", "new", "usage"]


def test_cache(tmp_path):
    cache = str(tmp_path / "c")
    assert "0 clips, 0.00 GB, limit 50 GB (NUMPRO_CACHE_GB)" in numpro("cache", "info", NUMPRO_CACHE=cache).stdout
    assert "no limit" in numpro("cache", "info", NUMPRO_CACHE=cache, NUMPRO_CACHE_GB="0").stdout
    assert "removed 0 clips" in numpro("cache", "clear", NUMPRO_CACHE=cache).stdout


def test_tasks_path_holds_the_tasks():
    folder = Path(numpro("tasks-path").stdout.strip())
    assert {"numpro_charades.yaml", "numpro_charades_plain.yaml", "_moment.yaml"} <= {path.name for path in folder.iterdir()}


def test_entry_point_is_installed():
    assert [e.value for e in entry_points(group="lmms_eval.models") if e.name == "numpro"] == ["numpro_plugin.harness.register:register"]


@pytest.mark.slow
def test_demo(tmp_path):
    done = numpro("demo", "--videos", 12, "--out", tmp_path / "demo", "--json", tmp_path / "demo.json")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "demo.json").read_text())
    scores = {name: row["mIoU"] for name, row in found["scores"].items()}
    assert scores["tiny model, with numbers"] > scores["tiny model, without"] + 15
    for name, score in scores.items():
        assert re.search(rf"^{name}\s.*\b{score:.2f}\b", done.stdout, re.MULTILINE)
    assert len(list((tmp_path / "demo/videos").glob("*.mp4"))) == 12
    assert found["queries"] == len((tmp_path / "demo/queries.jsonl").read_text().splitlines())
