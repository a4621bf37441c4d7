"""Answers outlive a kill; other weights have other answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from numpro_plugin.environment import answers_folder
from numpro_plugin.files import digest, folder_state
from numpro_plugin.inference.answer_log import AnswerLog, clear_answers, kept_answers


def test_answers_are_there_again(tmp_path):
    first = AnswerLog({"model": 1}, tmp_path)
    first.add("a", "From Frame 1\nto Frame 2. é", 7)
    again = AnswerLog({"model": 1}, tmp_path)
    assert again.get("a") == ("From Frame 1\nto Frame 2. é", 7)
    assert again.get("b") is None
    assert AnswerLog({"model": 2}, tmp_path).get("a") is None


@pytest.mark.parametrize("text", ["a\u2028b\x85c\r\nd", "\ud800", "", "é\x00"])
def test_any_text_comes_back_as_it_was(tmp_path, text):
    AnswerLog({}, tmp_path).add("a", text, 1)
    assert AnswerLog({}, tmp_path).get("a") == (text, 1)


def test_many_processes_share_a_folder_and_a_torn_line_is_left_out(tmp_path, caplog):
    logs = [AnswerLog({}, tmp_path) for _ in range(2)]
    for k, log in enumerate(logs):
        log.add(f"key {k}", str(k), k)
    with next(logs[0].folder.glob("*.jsonl")).open("a") as file:
        file.write('{"key": "torn", "te')
    again = AnswerLog({}, tmp_path)
    assert [again.get(f"key {k}").text for k in range(2)] == ["0", "1"]
    assert again.get("torn") is None
    assert "cut off" in caplog.text


def test_what_was_added_survives_a_kill(tmp_path):
    program = (
        "import os, signal, sys\nfrom numpro_plugin.inference.answer_log import AnswerLog\n"
        "log = AnswerLog({}, sys.argv[1])\nlog.add('a', 'x', 1)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    assert AnswerLog({}, tmp_path).get("a").text == "x"


def test_a_month_later_answers_are_forgotten(tmp_path):
    log = AnswerLog({}, tmp_path)
    log.add("a", "x", 1)
    (file,) = log.folder.glob("*.jsonl")
    os.utime(file, (time.time() - 40 * 24 * 3600,) * 2)
    assert AnswerLog({}, tmp_path).get("a") is None


def test_it_is_kept_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPRO_CACHE", str(tmp_path / "c"))
    AnswerLog({"x": 1}).add("a", "x", 1)
    assert answers_folder() == tmp_path / "c" / "answers"
    assert list((tmp_path / "c" / "answers" / digest({"x": 1})).glob("*.jsonl"))


@pytest.mark.parametrize("contents", [True, False])
def test_a_changed_folder_is_another_model(tmp_path, contents):
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(b"1" * (2 << 20))
    before = folder_state(tmp_path, contents=contents)
    assert folder_state(tmp_path, contents=contents) == before
    stat = weights.stat()
    weights.write_bytes(b"2" * (2 << 20))
    if contents:
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # retrained and copied with its times
    else:
        os.utime(weights, ns=(1, 1))
    assert folder_state(tmp_path, contents=contents) != before


def test_a_line_of_any_rubbish_is_left_out(tmp_path, caplog):
    log = AnswerLog({}, tmp_path)
    log.add("a", "x", 1)
    rubbish = ("[" * 100_000, '{"key": "b"}', "null", '{"key": "b", "text": "x", "tokens": 1e999}', "9" * 5000)
    with next(log.folder.glob("*.jsonl")).open("a") as file:
        file.write("\n".join(rubbish) + "\n")
    again = AnswerLog({}, tmp_path)
    assert again.get("a") == ("x", 1)
    assert again.get("b") is None
    assert caplog.text.count("a line is cut off; its question is asked again") == len(rubbish)


def test_fields_of_another_version_are_passed_over(tmp_path):
    folder = AnswerLog({}, tmp_path).folder
    (folder / "other.jsonl").write_text('{"key": "a", "text": "x", "tokens": 1, "of a later version": 2}\n')
    assert AnswerLog({}, tmp_path).get("a") == ("x", 1)


def test_clearing_spares_the_answers_of_a_run_that_may_be_going_on():
    AnswerLog({"run": "old"}).add("a", "x", 1)
    (old,) = kept_answers()
    size = old.stat().st_size
    os.utime(old, (time.time() - 3600,) * 2)
    AnswerLog({"run": "new"}).add("a", "x", 1)
    assert clear_answers() == (1, size)
    assert AnswerLog({"run": "new"}).get("a") == ("x", 1)
    assert AnswerLog({"run": "old"}).get("a") is None
