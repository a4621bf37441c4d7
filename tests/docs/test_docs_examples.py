"""What can run offline in the documentation is run: Python blocks, commands that need no weights, the scripts of examples/."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.annotations import write_official
from support.pages import PAGES, ROOT, Block, Command, blocks, commands
from support.todays import TODAYS, vue_tr_row, write_one

from numpro_plugin.cli import main as numpro
from numpro_plugin.demo.rendering import Event, render_video
from numpro_plugin.demo.world import tiny_model_folder
from numpro_plugin.trainer import cli as numpro_train

PREDICTION = {
    **{"id": 0, "video": "AAAAA.mp4", "query": "a person opens a door.", "response": "From Frame 2 to Frame 6."},
    **{"gt_start": 4.0, "gt_end": 12.0, "duration": 20},
}
"""As NumPro's own script writes them."""

MADE = ROOT / "tests" / "data" / "made_by_0_1_0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader of the pages stands: the files that they speak of, made up here."""
    place = tmp_path / "reader"
    (place / "Charades_v1_480").mkdir(parents=True)
    render_video(place / "holiday.mp4", [Event("circle", "yellow", 4.0, 12.0)], duration_s=20.0, fps=4, size=(160, 120))
    shutil.copy(place / "holiday.mp4", place / "Charades_v1_480" / "AAAAA.mp4")
    write_official(place)
    (place / "Charades_v1_test.csv").write_text("id,length\nAAAAA,20.0\n")
    shutil.copytree(place / "Charades_v1_480", place / "kitchen")
    (place / "kitchen.csv").write_text("video,query,start_time,end_time\nAAAAA.mp4,a yellow circle,0:04,12\n")
    shutil.copytree(place / "kitchen", place / "my_videos")
    shutil.copy(place / "kitchen.csv", place / "queries.csv")
    (place / "predictions.json").write_text(json.dumps([PREDICTION]))
    (place / "soccer.jsonl").write_text(json.dumps({"path": "a.mp4", "caption": "a goal", "moments": [[50, 175]], "seconds": 90}) + "\n")
    shutil.copy(write_one(place, "vue_tr", "VUE-TR_ground_truth.json", [vue_tr_row(0, [[4, 8]])]), place)
    shutil.copy(write_one(place, "tvgbench", *TODAYS["tvgbench"]), place)
    (place / "results_Vidi.json").write_text(json.dumps([{"query_id": 0, "query": "a boat 0", "answer": [[4, 9]]}]))
    windows = {"qid": 11, "query": "A boat on a lake", "vid": "vid1_0.0_20.0", "pred_saliency_scores": [0.1] * 10}
    submission = [windows, {**windows, "qid": 12, "query": "Two men talk"}]
    (place / "submission.jsonl").write_text("".join(json.dumps(row) + "\n" for row in submission))
    shutil.copytree(MADE / "shards", place / "shards" / "numpro")
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "python")], ids=str)
def test_python_block(block: Block, folder: Path):
    """It runs, and prints what the comments beside its ``print`` calls say."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, str(block), "exec"), {})
    wanted = [line.partition("  # ")[2] for line in block.text.splitlines() if line.startswith("print(")]
    assert printed.getvalue().splitlines() == wanted


def needs_nothing(command: Command) -> bool:
    """Whether a command needs neither weights nor a cluster nor files that the folder does not have."""
    verbs = {"prepare", "ceiling", "check", "number", "score", "cache"}
    ours = command.words[0] == "numpro" and command.words[1] in verbs
    return ours and not any("..." in word or word.startswith(("/data", "hf:")) for word in command.words)


PAGES_WITH_COMMANDS = [page for page in PAGES if any(map(needs_nothing, commands(page)))]


@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS)
def test_commands_run_in_the_order_of_the_page(page: str, folder: Path, capsys: pytest.CaptureFixture[str]):
    for command in filter(needs_nothing, commands(page)):
        code = numpro.main(list(command.words[1:]))
        assert code == 0, f"{command}: {capsys.readouterr().err}"


def test_pages_with_commands_are_found():
    assert set(PAGES_WITH_COMMANDS) >= {"README.md", "docs/benchmarks.md", "docs/evaluate.md", "docs/metrics.md", "docs/your_videos.md"}


def test_the_recipe_is_shown_as_the_page_says(capsys: pytest.CaptureFixture[str]):
    assert numpro_train.main(["run", "longva_7b", "--show"]) == 0
    assert "rank: 64" in capsys.readouterr().out


@pytest.mark.slow
def test_the_picture_is_what_the_command_beside_it_makes(tmp_path: Path):
    run_example("numbered_strip.py", tmp_path / "strip.png")
    made, shown = (np.asarray(Image.open(path), dtype=float) for path in (tmp_path / "strip.png", ROOT / "docs" / "numbered_strip.png"))
    assert made.shape == shown.shape
    assert abs(made - shown).mean() < 1  # another release of x264 may differ by a grey level


@pytest.mark.slow
def test_a_strip_of_ones_own_video(folder: Path):
    run_example("numbered_strip.py", "strip.png", "--video", "holiday.mp4", "--frames", 6)
    assert Image.open(folder / "strip.png").size == (5 * 246 - 6, 2 * 246 - 6)


@pytest.mark.slow
def test_finding_a_moment_in_python(folder: Path):
    printed = run_example("find_moment.py", "holiday.mp4", "a yellow circle", "--model", tiny_model_folder(), "--dtype", "float32")
    assert re.fullmatch(r"'.*'(: \d+\.\d to \d+\.\d s| names no frames: .*)", printed.strip())


def run_example(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_plan_on_the_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]):
    (shown,) = blocks("docs/plan.md", "text")
    assert numpro_train.main(["plan", "longva_7b"]) == 0
    assert capsys.readouterr().out.split() == shown.text.split()


def test_examples_for_clusters_are_shell():
    for script in (ROOT / "examples").glob("*.slurm"):
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
