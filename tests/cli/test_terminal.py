"""What commands write: escapes, JSON, tables, broken pipes, and what is checked before anything slow is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.cli.main import main
from numpro_plugin.cli.tables import table
from numpro_plugin.cli.terminal import shortened
from numpro_plugin.printable import printable


@given(st.text(st.characters()))
def test_printable_text_cannot_steer_a_terminal(text):
    shown = printable(text)
    assert all(c in "\n\t" or (ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0) for c in shown)
    assert shown.encode("utf-8").decode() == shown
    assert printable(shown) == shown


def test_printable_keeps_what_is_harmless():
    assert printable("caf\u00e9 \u4e2d\n\t\U0001f600") == "caf\u00e9 \u4e2d\n\t\U0001f600"
    assert printable("\x1b[2J\x07\ud800\x9b\u202e\u200f") == "\\x1b[2J\\x07\\ud800\\x9b\\u202e\\u200f"


def test_shortened_to_the_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert shortened("x" * 100, 30) == "x" * 27 + "..."
    monkeypatch.setenv("COLUMNS", "200")
    assert shortened("x" * 100, 30) == "x" * 100


def test_table():
    rows = {"a": {"mIoU": 1.0, "R@0.5": 100.0}, "long name": {"mIoU": 22.345}}
    assert table(rows) == "               mIoU     R@0.5\na              1.00    100.00\nlong name     22.34"
    assert table(rows, ["R@0.5"]).splitlines()[0].split() == ["R@0.5"]


@pytest.fixture
def logs(tmp_path):
    for name, score in (("a", 20.0), ("b", 60.0)):
        sample = {"doc_id": 0, "mIoU": score, "numpro": {"id": "1\x1b[31m", "query": "q\x1b]0;title\x07\ud800" + "y" * 300}}
        (tmp_path / f"samples_{name}.jsonl").write_text(json.dumps(sample) + "\n")
    return [str(tmp_path / "samples_a.jsonl"), str(tmp_path / "samples_b.jsonl")]


def test_escape_codes_do_not_reach_the_terminal(logs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["compare", *logs]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\\x1b[31m" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert main(["compare", logs[0], logs[1] + "\x1b[2J"]) == 1
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["compare", "score", "cache"])
def test_json_on_standard_output_stands_alone(logs, tmp_path, capsys, verb):
    (tmp_path / "p.json").write_text('[{"id": 1, "response": "From Frame 1 to Frame 2.", "gt_start": 2, "gt_end": 4}]')
    arguments = {"compare": logs, "score": ["moment", str(tmp_path / "p.json")], "cache": ["info"]}[verb]
    assert main([verb, *arguments, "--json", "-"]) == 0
    alone = capsys.readouterr().out
    assert main([verb, *arguments, "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads(alone) == json.loads((tmp_path / "out.json").read_text())
    assert "written: " in capsys.readouterr().out
    assert main([verb, *arguments, "--json", "/dev/null"]) == 0


def test_json_has_no_word_for_a_figure_that_does_not_exist(tmp_path, capsys):
    rows = [{"qid": 1, "vid": "v", "query": "q", "duration": 60, "relevant_windows": [[0, 5], [9, 12]]}]
    for name, more in (("t.jsonl", {}), ("p.jsonl", {"pred_relevant_windows": [[0, 5, 1], [8, 12, 0.5]]})):
        (tmp_path / name).write_text(json.dumps({**rows[0], **more}))
    assert main(["score", "moment", str(tmp_path / "p.jsonl"), "--truth", str(tmp_path / "t.jsonl"), "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert content["metrics"]["MR-long-mAP"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "moment", "p.json"],
        ["compare", "a", "b"],
        ["ceiling", "charades"],
        ["cache", "clear"],
        ["demo"],
        ["ask", "v.mp4", "q", "--model", "m"],
    ],
)
def test_a_place_for_json_that_cannot_be_written_is_named_first(tmp_path, capsys, arguments):
    assert main([*arguments, "--json", str(tmp_path / "nowhere" / "x.json")]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    assert main([*arguments, "--json", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_number_writes_mp4_only(tmp_path, capsys):
    assert main(["number", "v.mp4", "-o", str(tmp_path / "x.webm")]) == 1
    assert "x.mp4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dtype", "int8"], "--dtype 'int8' is unknown; allowed: auto"),
        (["--fps", "0"], "fps=0.0"),
        (["--batch-size", "0"], "--batch-size 0"),
        ([], "no/such.mp4"),
    ],
)
def test_ask_checks_its_arguments_without_torch(arguments, words):
    program = "import sys; from numpro_plugin.cli.main import main; code = main(sys.argv[1:]); print(code, 'torch' in sys.modules)"
    command = [sys.executable, "-c", program, "ask", "no/such.mp4", "a person", "--model", "none", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 False"
    assert words in done.stderr


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(logs):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "numpro_plugin.cli", "compare", *logs], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_output_is_no_error(logs):
    command = [sys.executable, "-m", "numpro_plugin.cli", "compare", *logs]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


COMPLETED_BY_BASH = r"""
complete_line() {
  COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMP_KEY=9; read -ra COMP_WORDS <<< "$1"; COMPREPLY=()
  _python_argcomplete "${1%% *}"
  echo "${COMPREPLY[*]}"
}
for line in "$@"; do complete_line "$line"; done
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_choices():
    argcomplete = pytest.importorskip("argcomplete")
    lines = {
        "numpro sc": ["score"],
        "numpro score m": ["moment"],
        "numpro score moment x.json --comp": ["--compatible"],
        "numpro score moment x.json --compatible time": ["timechat", "timelens"],
        "numpro prepare did": ["didemo"],
        "numpro-train sh": ["shards"],
    }
    script = argcomplete.shellcode(["numpro", "numpro-train"]) + COMPLETED_BY_BASH
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script, "bash", *lines], env=environ, capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == list(lines.values())
    assert done.stderr == ""


def test_ctrl_c_while_modules_are_loaded_has_no_traceback():
    script = """
import sys
class Stopping:
    def find_spec(self, name, *_):
        if name == "numpro_plugin.cli.data":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stopping())
from numpro_plugin.cli.__main__ import main
sys.exit(main())
"""
    ended = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "numpro: stopped\n")
