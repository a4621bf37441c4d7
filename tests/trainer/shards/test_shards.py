"""Shards: what is in them, and that they do not depend on how they were made."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.videos import read_counter, write_counter_video

from numpro_plugin import NumProError, Timeline, sample_frames
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.instructions.conversations import Conversation, TrainingVideo, TurnTemplate
from numpro_plugin.trainer.shard_format import ShardInfo, shown_numbers
from numpro_plugin.trainer.shards.jobs import Job
from numpro_plugin.trainer.shards.make import make_shards
from numpro_plugin.trainer.shards.rows import FrameOptions, make_row
from numpro_plugin.trainer.shards.workers import make_rows

COMMAND = str(Path(sys.executable).parent / "numpro-train")
SMALL = FrameOptions(frame_size=(96, 48))
RATE = 4
LENGTHS_S = {"a": 31, "b": 8, "c": 15, "d": 21, "e": 6, "f": 12, "g": 3, "h": 9}


def conversation(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Eight videos; frame k shows k in bars, four frames a second."""
    folder = tmp_path_factory.mktemp("videos")
    for name, length_s in LENGTHS_S.items():
        write_counter_video(folder / f"{name}.mp4", [k * 1000 // RATE for k in range(length_s * RATE)], rate=RATE)
    return folder


def rows_for(names, source="anet"):
    return [
        {"video": name, "source": source, "conversations": conversation("<video>\nWhen?", f"From 0 to {k % 2}.")}
        for k, name in enumerate(names)
    ]


@pytest.fixture
def instruct(tmp_path):
    """Twelve rows over the eight videos."""
    path = tmp_path / "instruct.json"
    path.write_text(json.dumps(rows_for("abcdefghabcd")))
    return path


def content(folder):
    """Everything that counts in a folder of shards, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def shard_rows(folder):
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.fixture(scope="module")
def uninterrupted(videos, tmp_path_factory):
    """The shards of `instruct`, three videos a file, made in one go in one process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "instruct.json").write_text(json.dumps(rows_for("abcdefghabcd")))
    make_shards(
        [folder / "instruct.json"], folder / "out", videos={"anet": videos}, options=SMALL, rows_per_file=3, workers=0, progress=False
    )
    return folder / "out"


def test_a_row_holds_the_frames_on_the_grid_and_the_conversations(uninterrupted, videos):
    assert [path.name for path in sorted(uninterrupted.glob("*.parquet"))] == [f"anet-0000{k}-of-00003.parquet" for k in range(3)]
    rows = shard_rows(uninterrupted)
    assert [row["video"] for row in rows] == list("abcdefgh")
    for row in rows:
        length_s = LENGTHS_S[row["video"]]
        assert (row["source"], row["duration_s"], row["fps"]) == ("anet", length_s, 0.5)
        frames = [np.asarray(Image.open(BytesIO(frame))) for frame in row["frames"]]
        assert [read_counter(frame) for frame in frames] == [2 * RATE * k for k in range(-(-length_s // 2))]
        # as sampled, without numbers
        sampled = sample_frames(videos / f"{row['video']}.mp4", frame_size=(96, 48)).pixels
        assert np.abs(np.array(frames).astype(int) - sampled).mean() < 2
        assert shown_numbers(row).tolist() == list(range(len(frames)))
    first = rows[0]["conversations"]
    assert [[turn["content"] for turn in conversation] for conversation in first] == [["When?", "From 0 to 0."], ["When?", "From 0 to 0."]]
    numbers = [{"start": start, "end": start + 1, "time_s": 0.0} for start in (5, 10)]
    assert first[0][1] == {"role": "assistant", "content": "From 0 to 0.", "numbers": numbers, "spans_s": [[0.0, 0.0]]}
    assert first[0][0] == {"role": "user", "content": "When?", "numbers": [], "spans_s": None}
    info = ShardInfo.of(pq.read_schema(uninterrupted / "anet-00000-of-00003.parquet"), "file")
    assert info == ShardInfo(fps=0.5, frame_size=(96, 48), max_frames=240, times=True)


def test_datasets_reads_shards(uninterrupted):
    import datasets

    files = str(uninterrupted / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train")
    assert loaded.to_list() == shard_rows(uninterrupted)
    streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    assert [row["video"] for row in streamed] == list("abcdefgh")


def test_the_manifest(uninterrupted):
    manifest = json.loads((uninterrupted / "manifest.json").read_text())
    assert manifest["complete"]
    assert manifest["settings"]["frame_size"] == [96, 48]
    anet = manifest["sources"]["anet"]
    expected = {
        "rows_in": 12,
        "videos_in": 8,
        "rows_written": 8,
        "conversations": 12,
        "answers_with_spans": 12,
        "rows_skipped": 0,
        "thinned": 0,
    }
    assert {key: anet[key] for key in expected} == expected
    assert anet["frames"] == sum(-(-length_s // 2) for length_s in LENGTHS_S.values())
    assert anet["files"] == {name: len(data) for name, data in content(uninterrupted).items()}


def test_jobs_that_share_the_work_make_the_same_files(uninterrupted, videos, instruct, tmp_path):
    """In any order, by processes side by side, each unit once."""
    out, seen = tmp_path / "out", []
    for i in (2, 0, 1):
        before = set(content(out))
        manifest = make_shards(
            [instruct],
            out,
            videos={"anet": videos},
            options=SMALL,
            rows_per_file=3,
            shard=(i, 3),
            workers=2 if i == 0 else 0,
            progress=False,
        )
        seen.append(set(content(out)) - before)
        assert manifest["complete"] == (len(seen) == 3)
    assert [len(new) for new in seen] == [1, 1, 1]
    assert content(out) == content(uninterrupted)
    assert sources(out) == sources(uninterrupted)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_without_duplicates_or_losses(uninterrupted, videos, instruct, tmp_path):
    out = tmp_path / "out"
    command = [COMMAND, "shards", str(instruct), "--videos", f"anet={videos}", "--out", str(out), "--frame-size", "96x48"]
    command += ["--rows-per-file", "3", "--workers", "1"]
    # Killed a little after the first file is there, then after the second; the third run may end.
    dice = random.Random(0)
    for kill_after in ("anet-00000", "anet-00001"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list(out.glob(f"{kill_after}*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.02))
        workers = children(process.pid)
        process.kill()
        process.wait()
        alive = still_alive(workers, within_s=10)
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        assert not alive
    for left in (".anet-00002-of-00003.0.elsewhere-1.part", ".manifest.json.0123456789ab.part"):
        (out / left).write_bytes(b"what a killed run leaves behind")
    last = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert last.returncode == 0, last.stderr
    assert content(out) == content(uninterrupted)
    assert sources(out) == sources(uninterrupted)
    assert leftovers(out) == []


@pytest.mark.parametrize(("theirs", "mine"), [((0, 1), (0, 1)), ((0, 2), (0, 1)), ((1, 2), (1, 3))])
def test_two_runs_never_make_the_same_file(videos, instruct, tmp_path, theirs, mine):
    out = tmp_path / "out"
    (out / "units").mkdir(parents=True)
    part = out / ".anet-00000-of-00003.parquet.0123456789ab.part"
    with Job(out, theirs, 3):
        part.write_bytes(b"being written")
        who = rf"another `numpro-train shards` \(process {os.getpid()} on .*as --shard {theirs[0]}/{theirs[1]}"
        with pytest.raises(NumProError, match=who):
            make_shards([instruct], out, videos={"anet": videos}, options=SMALL, rows_per_file=3, shard=mine, workers=0, progress=False)
        assert sorted(path.name for path in out.iterdir()) == [part.name, "units"]
    assert list((out / "units").iterdir()) == []


def test_a_run_beside_another_leaves_its_unfinished_files_alone(uninterrupted, videos, instruct, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(uninterrupted, out)
    part = out / ".anet-00001-of-00003.parquet.0123456789ab.part"
    part.write_bytes(b"being written")
    more = {"videos": {"anet": videos}, "options": SMALL, "rows_per_file": 3, "workers": 0, "progress": False}
    with Job(out, (1, 2), 3):
        assert make_shards([instruct], out, shard=(0, 2), **more)["complete"]
        assert part.exists()
    (out / "units" / ".job-1-of-2.lock").write_text("what a killed run leaves behind")
    assert make_shards([instruct], out, **more)["complete"]
    assert not part.exists()
    assert leftovers(out) == []


def test_a_file_system_without_locks_is_worked_on_with_a_warning(uninterrupted, videos, instruct, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available")))
    more = {"videos": {"anet": videos}, "options": SMALL, "rows_per_file": 3, "workers": 0, "progress": False}
    make_shards([instruct], tmp_path / "out", **more)
    assert "has no locks" in caplog.text
    assert content(tmp_path / "out") == content(uninterrupted)


def test_a_full_disk_is_named_and_what_was_done_is_kept(uninterrupted, videos, instruct, tmp_path, monkeypatch):
    write_table, written = pq.ParquetWriter.write_table, []

    def fails_at_the_second(writer, *arguments, **more):
        written.append(writer)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "Error writing bytes to file")
        write_table(writer, *arguments, **more)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fails_at_the_second)
    out, more = tmp_path / "out", {"videos": {"anet": videos}, "options": SMALL, "rows_per_file": 3, "workers": 0, "progress": False}
    with pytest.raises(OSError, match=rf"Error writing bytes to file: '{out}/anet-00001-of-00003.parquet'"):
        make_shards([instruct], out, **more)
    assert (list(content(out)), leftovers(out)) == (["anet-00000-of-00003.parquet"], [])
    make_shards([instruct], out, **more)
    assert content(out) == content(uninterrupted)


def sources(folder):
    """What its manifest says of the sources."""
    return json.loads((folder / "manifest.json").read_text())["sources"]


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] if Path(f"/proc/{pid}").exists() else []


def still_alive(pids, within_s):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not (
            alive := [pid for pid in pids if Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text()]
        ):
            return []
        time.sleep(0.05)
    return alive


def test_what_is_done_is_not_done_again_and_what_is_damaged_is(uninterrupted, videos, instruct, tmp_path):
    out = tmp_path / "out"
    make = lambda: make_shards(  # noqa: E731
        [instruct], out, videos={"anet": videos}, options=SMALL, rows_per_file=3, workers=0, progress=False
    )
    make()
    first, second, third = sorted(out.glob("*.parquet"))
    second.write_bytes(b"cut short")
    third.unlink()
    written = first.stat().st_mtime_ns
    assert make()["complete"]
    assert first.stat().st_mtime_ns == written
    assert content(out) == content(uninterrupted)


def test_left_out_videos_are_named_counted_and_an_error(videos, instruct, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    for name in "abcde":
        (tmp_path / "videos" / f"{name}.mp4").symlink_to(videos / f"{name}.mp4")
    Image.new("RGB", (64, 48)).save(tmp_path / "videos" / "f.mp4", format="JPEG")
    (tmp_path / "videos" / "g.mp4").touch()
    command = ["shards", str(instruct), "--videos", f"anet={tmp_path / 'videos'}", "--out", str(tmp_path / "out"), "--frame-size", "96x48"]
    command += ["--rows-per-file", "3", "--workers", "0"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "anet: 3 of 12 rows (25.0 %) are left out" in printed.err
    assert "--retry-skipped, or accept it with --allow-skipped FRACTION (now 0.01)" in printed.err
    assert "left out, is a picture (JPEG), not a video: 1" in printed.out
    skipped = sources(tmp_path / "out")["anet"]["skipped_videos"]
    assert {name: one["rows"] for name, one in skipped.items()} == {"f": 1, "g": 1, "h": 1}
    assert "is a picture" in skipped["f"]["reason"]
    assert "the file is empty" in skipped["g"]["reason"]
    assert skipped["h"]["reason"] == "no file of this name in its folder"
    assert [row["video"] for row in shard_rows(tmp_path / "out")] == list("abcde")
    assert main([*command, "--allow-skipped", "0.25"]) == 0
    # The missing videos arrive.
    for name in "fgh":
        (tmp_path / "videos" / f"{name}.mp4").unlink(missing_ok=True)
        (tmp_path / "videos" / f"{name}.mp4").symlink_to(videos / f"{name}.mp4")
    assert main(command) == 1
    assert main([*command, "--retry-skipped"]) == 0
    assert [row["video"] for row in shard_rows(tmp_path / "out")] == list("abcdefgh")


def test_answers_beyond_the_video_leave_out_their_conversation_only(videos, tmp_path, capsys):
    rows = [
        {"video": "b", "source": "anet", "conversations": conversation("When?", f"From 1 to {n}.")} for n in (3, 4, 40)
    ]  # numbers 0 to 3
    rows += [{"video": "g", "source": "anet", "conversations": conversation("When?", "From 1 to 7, 2 men.")}]
    (tmp_path / "instruct.json").write_text(json.dumps(rows))
    command = ["shards", str(tmp_path / "instruct.json"), "--videos", f"anet={videos}", "--frame-size", "96x48", "--workers", "0"]
    assert main([*command, "--out", str(tmp_path / "strict")]) == 1
    assert "1 of these only name the number after a video's last (its end, rounded up): --past-last 1" in capsys.readouterr().err
    anet = sources(tmp_path / "strict")["anet"]
    assert (anet["rows_in"], anet["conversations"], anet["rows_skipped"], anet["rows_written"]) == (4, 1, 3, 1)
    assert [(one["row"], one["video"]) for one in anet["skipped_rows"]] == [
        (f"instruct.json[{k}]", v) for k, v in ((1, "b"), (2, "b"), (3, "g"))
    ]
    assert "names frame 40, but the video's last number is 3" in anet["skipped_rows"][1]["reason"]
    assert anet["skipped_videos"] == {"g": {"reason": "none of its conversations can be used", "rows": 0}}
    assert main([*command, "--out", str(tmp_path / "kept"), "--past-last", "1", "--allow-skipped", "0.5"]) == 0
    anet = sources(tmp_path / "kept")["anet"]
    assert (anet["conversations"], anet["past_last"]) == (2, 1)
    (row,) = shard_rows(tmp_path / "kept")
    assert [conversation[1]["content"] for conversation in row["conversations"]] == ["From 1 to 3."] * 2


def test_what_was_changed_and_what_was_left_out_is_counted_and_printed(videos, tmp_path, capsys):
    """Rows of another project, with everything that can go wrong in one of them."""
    rows = [
        {
            "messages": [{"role": "system", "content": "Be brief."}, *swift("In which seconds?", "From 9 to 4.2 seconds.")],
            "videos": ["a.mp4"],
        },
        {"messages": swift("When?", "20 - 40.5 seconds."), "videos": ["anet/a.mp4"]},
        {"messages": swift("When?", "50 - 60 seconds."), "videos": ["a.mp4"]},
        {"messages": swift("When?", "1 - 2 s"), "videos": ["a.mp4", "b.mp4"]},
        {"messages": swift("When?", "1 - 2 s"), "images": ["a.jpg"]},
        {"messages": swift("When?", ""), "videos": ["a.mp4"]},
        {"messages": swift("When?", "1 - 2 s"), "videos": ["nowhere.mp4"]},
    ]
    (tmp_path / "swift.json").write_text("\n".join(map(json.dumps, rows)))
    command = [
        "shards",
        str(tmp_path / "swift.json"),
        "--videos",
        f"anet={videos}",
        "--out",
        str(tmp_path / "out"),
        "--frame-size",
        "96x48",
    ]
    assert main([*command, "--workers", "0", "--allow-skipped", "0.8"]) == 0
    anet = sources(tmp_path / "out")["anet"]
    assert {key: anet[key] for key in ("rows_in", "conversations", "rows_skipped", "spans_beyond_end")} == {
        **{"rows_in": 7, "conversations": 2, "rows_skipped": 5, "spans_beyond_end": 1}
    }
    assert list(anet["remarks"].values()) == [1, 1, 1]
    printed = capsys.readouterr().out
    for remark in anet["remarks"]:
        assert f"  {remark}: 1" in printed
    for reason in ("is about N videos", "has an image where a video is expected", "turn N (assistant) is empty", "a span starts at N s"):
        assert f"left out, {reason}" in printed
    assert "times after their video's end (normal; they became its last number): 1" in printed
    (row,) = shard_rows(tmp_path / "out")
    assert [(talk[1]["content"], talk[1]["spans_s"]) for talk in row["conversations"]] == [
        ("From frame 2 to frame 5.", [[4.2, 9.0]]),
        ("Frames 10 - 15.", [[20.0, 40.5]]),
    ]


def swift(question, answer):
    return [{"role": "user", "content": f"<video>{question}"}, {"role": "assistant", "content": answer}]


def test_parts_of_videos_and_thinned_ones(videos, tmp_path):
    meta = {"split": [9.0, 30.0], "duration": 17.0, "token": {"<s0>": 2.0, "<e0>": 8.9}}
    rows = [{"id": "a", "source": "anet", "conversations": conversation("When?", "From <s0> to <e0>."), "meta": meta}, *rows_for("a")]
    (tmp_path / "stage3.json").write_text(json.dumps(rows))
    options = replace(SMALL, fps=1.0, max_frames=5)
    manifest = make_shards(
        [tmp_path / "stage3.json"], tmp_path / "out", videos={"anet": videos}, options=options, workers=0, progress=False
    )
    part, whole = shard_rows(tmp_path / "out")
    assert (part["video"], part["duration_s"], part["fps"]) == ("a@9-30", 21.0, 1.0)
    kept = shown_numbers(part).tolist()
    assert kept == np.linspace(0, 20, 5).astype(int).tolist()
    assert [read_counter(np.asarray(Image.open(BytesIO(f)))) for f in part["frames"]] == [RATE * (9 + k) for k in kept]
    assert part["conversations"][0][1]["content"] == "From 2 to 9."
    assert whole["video"] == "a"
    assert manifest["sources"]["anet"]["thinned"] == 2
    assert manifest["sources"]["anet"]["other_lengths"] == {"a@9-30": "is 21.00 s, annotated 17.00 s"}


def test_files_end_at_a_size_too(videos, instruct, tmp_path):
    out = tmp_path / "out"
    make_shards([instruct], out, videos={"anet": videos}, options=SMALL, rows_per_file=100, file_mb=0.02, workers=0, progress=False)
    names = {path.name for path in out.glob("*.parquet")}
    assert {"anet-00000-of-00001.parquet", "anet-00000-of-00001.1.parquet", "anet-00000-of-00001.2.parquet"} <= names
    assert sorted(row["video"] for row in shard_rows(out)) == list("abcdefgh")
    for path in out.glob("*.parquet"):
        sizes = [sum(map(len, row["frames"])) for row in pq.read_table(path).to_pylist()]
        assert len(sizes) == 1 or sum(sizes) <= 20_000


def test_a_folder_keeps_to_one_kind_of_shards(uninterrupted, videos, instruct, tmp_path):
    make = lambda out, **changes: make_shards(  # noqa: E731
        [instruct], out, **{"videos": {"anet": videos}, "options": SMALL, "rows_per_file": 3, "workers": 0, "progress": False, **changes}
    )
    out = tmp_path / "out"
    make(out)
    with pytest.raises(NumProError, match="holds shards made with quality 95, now it is 80; choose another folder"):
        make(out, options=replace(SMALL, quality=80))
    with pytest.raises(NumProError, match="made with rows_per_file 3, now it is 4"):
        make(out, rows_per_file=4)
    instruct.write_text(json.dumps(rows_for("ab")))
    with pytest.raises(NumProError, match=r"made with inputs .*, now it is .*\(changed since\)"):
        make(out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "old.parquet").touch()
    with pytest.raises(NumProError, match="old.parquet is in .*, but no manifest.json that says how it was made"):
        make(tmp_path / "other")
    (out / "manifest.json").write_text("{")
    with pytest.raises(NumProError, match="cannot be read"):
        make(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "3/3"], "the first is 0/3 and the last 2/3"),
        (["--shard", "one"], "'one' is not I/N"),
        (["--videos", "videos"], "'videos' is not SOURCE=DIR"),
        (["--frame-size", "big"], "must be pixels as N or WIDTHxHEIGHT"),
        (["--frame-size", "8"], "each 16 to 4096 pixels"),
        (["--fps", "0"], "must be above 0"),
        (["--jpeg-quality", "101"], "JPEG quality must be 1 to 100"),
        (["--max-frames", "0"], "must be an integer, 1 or more"),
        (["--past-last", "-1"], "past_last must be 0 or more"),
        (["--rows-per-file", "0"], "at least one row"),
        (["--workers", "-1"], "workers must be 0"),
        (["--allow-skipped", "5"], "must be a fraction, 0 to 1"),
    ],
)
def test_wrong_options(videos, instruct, tmp_path, arguments, message, capsys):
    command = ["shards", str(instruct), "--out", str(tmp_path / "out"), "--workers", "0", "--videos", f"anet={videos}", *arguments]
    try:
        code = main(command)
    except SystemExit as stopped:  # argparse's own
        code = int(str(stopped.code))
    assert code in {1, 2}
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_a_source_that_cannot_be_part_of_a_file_name(videos, tmp_path):
    (tmp_path / "instruct.json").write_text(json.dumps(rows_for("a", source="../anet")))
    with pytest.raises(NumProError, match=r"source '../anet' becomes part of file names"):
        make_shards([tmp_path / "instruct.json"], tmp_path / "out", videos={"../anet": videos}, progress=False)


@dataclass(frozen=True)
class Deadly(TrainingVideo):
    """Ends the process that takes it in."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_a_process_that_dies_costs_its_video_only(videos):
    talk = [Conversation("row", (TurnTemplate("user", ("When?",)), TurnTemplate("assistant", ("From ", 0, " to ", 1, "."))))]
    work = [
        (Deadly if name in "bf" else TrainingVideo)("anet", name, str(videos / f"{name}.mp4"), 0.0, None, None, talk) for name in "abcdefg"
    ]
    made = list(make_rows(work, SMALL, workers=2))
    assert [one.row["video"] if one.row else None for one in made] == ["a", None, "c", "d", "e", None, "g"]
    assert all("the process that reads it dies" in made[k].skipped for k in (1, 5))
    assert made[0].row == make_row(work[0], SMALL).row


def test_damage_is_reported_by_video(videos, tmp_path):
    data = (videos / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    talk = [Conversation("row", (TurnTemplate("user", ("When?",)), TurnTemplate("assistant", ("Then.",))))]
    made = make_row(TrainingVideo("anet", "a", str(tmp_path / "a.mp4"), 0.0, None, None, talk), SMALL)
    assert made.row is not None or made.skipped
    assert made.warnings or str(tmp_path / "a.mp4") in made.skipped


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray: pip install numpro-plugin[ray]")
def test_ray_makes_the_same_files(uninterrupted, videos, instruct, tmp_path):
    command = [COMMAND, "shards", str(instruct), "--videos", f"anet={videos}", "--out", str(tmp_path / "out"), "--frame-size", "96x48"]
    run = subprocess.run([*command, "--rows-per-file", "3", "--engine", "ray"], capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert content(tmp_path / "out") == content(uninterrupted)

    assert sources(tmp_path / "out") == sources(uninterrupted)


def test_ray_that_is_not_installed(videos, instruct, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NumProError, match=r"pip install 'numpro-plugin\[ray\]'"):
        make_shards([instruct], tmp_path / "out", videos={"anet": videos}, options=SMALL, engine="ray", progress=False)


def test_the_command_loads_nothing_heavy():
    program = "import sys; from numpro_plugin.trainer import cli; cli._parser(); print([m for m in sys.modules if m in %r])"
    heavy = ("torch", "transformers", "lmms_eval", "datasets", "av", "cv2", "numpy", "pyarrow", "ray")
    assert subprocess.run([sys.executable, "-c", program % (heavy,)], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    workers = "import sys; import numpro_plugin.trainer.shards.workers; print([m for m in sys.modules if m in %r])"
    heavy = ("torch", "transformers", "lmms_eval")
    assert subprocess.run([sys.executable, "-c", workers % (heavy,)], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.shared
def test_real_videos(shared, tmp_path):
    """Every odd container and codec of the shared folder becomes a row whose numbers fit its length."""
    names = [path.name for path in (shared / "videos").iterdir() if path.suffix in {".mp4", ".mkv", ".avi", ".webm"}]
    rows = [{"video": name, "source": "real", "conversations": conversation("When?", "From frame 0 to frame 0.")} for name in sorted(names)]
    (tmp_path / "instruct.json").write_text(json.dumps(rows))
    options = FrameOptions(frame_size=(96, 48))
    manifest = make_shards([tmp_path / "instruct.json"], tmp_path / "out", videos={"real": shared / "videos"}, options=options, workers=0)
    real = manifest["sources"]["real"]
    assert real["rows_skipped"] == 0
    for row in shard_rows(tmp_path / "out"):
        assert len(row["frames"]) == Timeline(row["duration_s"]).count
