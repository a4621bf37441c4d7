"""Videos of the inputs, merged in a temporary file: what goes in comes out, and memory stays small."""

from __future__ import annotations

import pickle
import sqlite3
import tracemalloc
from dataclasses import replace

import pytest

from numpro_plugin import NumProError
from numpro_plugin.trainer.instructions import merged
from numpro_plugin.trainer.instructions.conversations import Conversation, Highlights, TimePoint, TrainingVideo, TurnTemplate
from numpro_plugin.trainer.instructions.merged import MergedVideos, SelectedVideos


def talk(k, *parts, unsure=(), remarks=()):
    turns = TurnTemplate("user", (f"When {k}?",)), TurnTemplate("assistant", parts or (f"Answer {k}.",))
    return Conversation(f"file[{k}]", turns, unsure, remarks)


def video(name, *talks, source="anet", start_s=0.0, end_s=None, annotated_s=None):
    return TrainingVideo(source, name, f"/videos/{name}.mp4", start_s, end_s, annotated_s, list(talks))


def merge(*videos):
    made = MergedVideos()
    for one in videos:
        made.add(one)
    return made


def test_what_goes_in_comes_out():
    first = video("a", talk(0, "From ", TimePoint(0.1 + 0.2, is_start=True), " to ", 7, "."), annotated_s=31)
    scored = talk(1, Highlights((3, 9), (4.5, 1.0)), unsure=("at 5",), remarks=("system turns, left out",) * 2)
    second = replace(video("\udcff é \n", scored, start_s=2.5, end_s=10), path=None)
    found = merge(first, second)
    assert list(found) == [first, second]
    assert [found[1], found[0]] == [second, first]
    with pytest.raises(IndexError, match="position 2 of 2 videos"):
        found[2]


def test_rows_about_one_video_or_one_part_of_it_are_merged_in_the_order_of_the_inputs():
    found = merge(
        video("b", talk(0)),
        video("a", talk(1), source="other"),
        video("b", talk(2), talk(3)),
        video("b", talk(4), start_s=2, end_s=5),
        video("a", talk(5)),
        video("b", talk(6), start_s=2.0, end_s=5.0),
    )
    assert [(one.source, one.name, one.end_s, [said.row for said in one.conversations]) for one in found] == [
        ("anet", "b", None, ["file[0]", "file[2]", "file[3]"]),
        ("other", "a", None, ["file[1]"]),
        ("anet", "b", 5, ["file[4]", "file[6]"]),
        ("anet", "a", None, ["file[5]"]),
    ]
    assert {source: list(positions) for source, positions in found.by_source.items()} == {"anet": [0, 2, 3], "other": [1]}


def test_a_video_that_is_left_out_keeps_the_rest():
    found = merge(video("a", talk(0)), video("b", talk(1), talk(2)))
    found.leave_out(1, "is evaluated")
    assert list(found) == [video("a", talk(0)), replace(video("b", talk(1), talk(2)), left_out="is evaluated")]


def test_selected_videos_are_a_tuple_in_another_process():
    found = merge(*(video(name, talk(name)) for name in "abcd"))
    selected = SelectedVideos(found, [3, 1])
    assert len(selected) == 2
    assert pickle.loads(pickle.dumps(selected)) == tuple(selected) == (found[3], found[1])


def test_memory_does_not_grow_with_the_rows():
    found = merge(video("first", talk(0)))
    tracemalloc.start()
    for k in range(2000):
        found.add(video(f"video {k}", talk(k)))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 2001
    assert held / 2000 < 50  # bytes a row, where the names alone take more


def test_a_full_folder_for_temporary_files_is_named(monkeypatch):
    connect = sqlite3.connect

    def small(*args, **options):
        file = connect(*args, **options)
        file.execute("PRAGMA max_page_count = 20")
        return file

    monkeypatch.setattr(merged.sqlite3, "connect", small)
    with pytest.raises(NumProError, match=r"more than \d+ videos do not fit .*full.* set TMPDIR"):
        merge(*(video(f"video {k}", talk(k)) for k in range(2000)))
