"""Answers outlive a kill; other weights have other answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from numpro_plugin.environment import answers_folder
from numpro_plugin.files import digest, file_identity, folder_state
from numpro_plugin.inference.answer_log import AnswerKey, AnswerLog, LoggedAnswer, answer_key, clear_answers, kept_answers

A, B = AnswerKey("a"), AnswerKey("b")


def test_answers_are_there_again(tmp_path):
    first = AnswerLog({"model": 1}, tmp_path)
    first.add(A, LoggedAnswer("From Frame 1\nto Frame 2. é", 7))
    again = AnswerLog({"model": 1}, tmp_path)
    assert again.get(A) == LoggedAnswer("From Frame 1\nto Frame 2. é", 7)
    assert again.get(B) is None
    assert AnswerLog({"model": 2}, tmp_path).get(A) is None


@pytest.mark.parametrize("text", ["a\u2028b\x85c\r\nd", "\ud800", "", "é\x00"])
def test_any_text_comes_back_as_it_was(tmp_path, text):
    AnswerLog({}, tmp_path).add(A, LoggedAnswer(text, 1))
    assert AnswerLog({}, tmp_path).get(A) == LoggedAnswer(text, 1)


def test_many_processes_share_a_folder_and_a_torn_line_is_left_out(tmp_path, caplog):
    logs = [AnswerLog({}, tmp_path) for _ in range(2)]
    for k, log in enumerate(logs):
        log.add(AnswerKey(f"key {k}"), LoggedAnswer(str(k), k))
    with next(logs[0].folder.glob("*.jsonl")).open("a") as file:
        file.write('{"key": "torn", "te')
    again = AnswerLog({}, tmp_path)
    assert [again.get(AnswerKey(f"key {k}")).text for k in range(2)] == ["0", "1"]
    assert again.get(AnswerKey("torn")) is None
    assert "cut off" in caplog.text


def test_what_was_added_survives_a_kill(tmp_path):
    program = (
        "import os, signal, sys\nfrom numpro_plugin.inference.answer_log import AnswerKey, AnswerLog, LoggedAnswer\n"
        "log = AnswerLog({}, sys.argv[1])\nlog.add(AnswerKey('a'), LoggedAnswer('x', 1))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    assert AnswerLog({}, tmp_path).get(A).text == "x"


def test_a_month_later_answers_are_forgotten(tmp_path):
    log = AnswerLog({}, tmp_path)
    log.add(A, LoggedAnswer("x", 1))
    (file,) = log.folder.glob("*.jsonl")
    os.utime(file, (time.time() - 40 * 24 * 3600,) * 2)
    assert AnswerLog({}, tmp_path).get(A) is None


NO_ANSWERS = [
    "[LMMS_EVAL_REQUEST_FAILED after 3 retries] busy",
    "[LMMS_EVAL_BUDGET_EXCEEDED]",
    "Error: can only concatenate",
    [float("-inf"), False],
    [float("nan"), True],
]


@pytest.mark.parametrize("text", NO_ANSWERS)
def test_what_is_no_answer_is_neither_kept_nor_given_back(tmp_path, text, caplog):
    log = AnswerLog({}, tmp_path)
    log.add(A, LoggedAnswer(text, 1))
    assert (log.get(A), list(log.folder.iterdir())) == (None, [])
    (log.folder / "of an earlier version.jsonl").write_text(json.dumps({"key": "a", "text": text, "tokens": 1}) + "\n")
    assert AnswerLog({}, tmp_path).get(A) is None
    assert not caplog.text


def test_whether_an_empty_text_is_an_answer_depends_on_who_was_asked(tmp_path):
    for empty in (True, False):
        log = AnswerLog({}, tmp_path / str(empty), empty=empty)
        log.add(A, LoggedAnswer(" ", 1))
        assert (log.get(A) is not None) is empty


def test_answers_of_any_kind_and_their_counts(tmp_path):
    log = AnswerLog({}, tmp_path)
    log.add(A, LoggedAnswer([-1.5, True]))
    log.add(B, LoggedAnswer("x", 3, 700, 2))
    again = AnswerLog({}, tmp_path)
    assert (again.get(A), again.get(B)) == (([-1.5, True], None, None, None), ("x", 3, 700, 2))


def test_an_answer_about_a_replaced_file_is_not_kept(tmp_path, caplog):
    video, other = tmp_path / "a.mp4", tmp_path / "b.mp4"
    keys = []
    for path in (video, other):
        path.write_text("1")
        keys.append(answer_key([path.name], [file_identity(path)]))
    video.write_text("22")
    log = AnswerLog({}, tmp_path / "log")
    for key in (*keys, keys[0]):
        log.add(key, LoggedAnswer("x", 1))
    video.unlink()
    log.add(keys[0], LoggedAnswer("x", 1))
    assert [log.get(key) is not None for key in keys] == [False, True]
    assert caplog.text.count(f"{video} was replaced during the run; answers about it are not kept for a later run") == 1


def test_a_folder_that_cannot_be_written_to_costs_the_log_not_the_run(tmp_path, caplog):
    (tmp_path / "a file").write_text("")
    log = AnswerLog({}, tmp_path / "a file")
    for key in (A, B):
        log.add(key, LoggedAnswer("x", 1))
    assert log.get(A) == LoggedAnswer("x", 1)  # within the run
    assert caplog.text.count("answers cannot be kept there (Not a directory); a run that is stopped starts again") == 1


def test_it_is_kept_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPRO_CACHE", str(tmp_path / "c"))
    AnswerLog({"x": 1}).add(A, LoggedAnswer("x", 1))
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
    log.add(A, LoggedAnswer("x", 1))
    rubbish = ("[" * 100_000, '{"key": "b"}', "null", '{"key": "b", "text": "x", "tokens": 1e999}', "9" * 5000)
    with next(log.folder.glob("*.jsonl")).open("a") as file:
        file.write("\n".join(rubbish) + "\n")
    again = AnswerLog({}, tmp_path)
    assert again.get(A) == LoggedAnswer("x", 1)
    assert again.get(B) is None
    assert caplog.text.count("a line is cut off; its question is asked again") == len(rubbish)


def test_fields_of_another_version_are_passed_over(tmp_path):
    folder = AnswerLog({}, tmp_path).folder
    (folder / "other.jsonl").write_text('{"key": "a", "text": "x", "tokens": 1, "of a later version": 2}\n')
    assert AnswerLog({}, tmp_path).get(A) == LoggedAnswer("x", 1)


def test_clearing_spares_the_answers_of_a_run_that_may_be_going_on():
    AnswerLog({"run": "old"}).add(A, LoggedAnswer("x", 1))
    (old,) = kept_answers()
    size = old.stat().st_size
    os.utime(old, (time.time() - 3600,) * 2)
    AnswerLog({"run": "new"}).add(A, LoggedAnswer("x", 1))
    assert clear_answers() == (1, size)
    assert AnswerLog({"run": "new"}).get(A) == LoggedAnswer("x", 1)
    assert AnswerLog({"run": "old"}).get(A) is None
