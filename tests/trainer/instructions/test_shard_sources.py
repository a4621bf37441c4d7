"""Instruction files and tables -> videos with conversations; every unusable row is named with its reason."""

from __future__ import annotations

import json

import pytest
from support.annotations import write_official
from support.todays import tvgbench_row, write_one
from support.videos import write_counter_video

from numpro_plugin import NumProError, Timeline, parse_highlights, parse_moment
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.prompts import NUMBERS_SENTENCE, highlight_prompt, moment_prompt
from numpro_plugin.trainer.instructions.conversations import NumberingNotes, RowError, numbered_turns
from numpro_plugin.trainer.instructions.sources import read_inputs
from numpro_plugin.trainer.instructions.video_files import VideoFiles

GRID = Timeline(31.0)  # numbers 0 to 15


def conversation(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def read(tmp_path, rows, **folders):
    path = tmp_path / "instruct.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    if not folders:
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / "a.mp4").touch()
        folders = {"anet": tmp_path / "videos"}
    return read_inputs([str(path)], VideoFiles(folders))


def texts(template, timeline=GRID, **options):
    turns = numbered_turns(template, timeline, set(range(timeline.count)), NumberingNotes(), **options)
    for one in turns:
        assert all(one["content"][place["start"] : place["end"]].isdigit() for place in one["numbers"])
    return [one["content"] for one in turns]


def numbers(template, timeline=GRID, **options):
    turns = numbered_turns(template, timeline, set(range(timeline.count)), NumberingNotes(), **options)
    return [[int(one["content"][place["start"] : place["end"]]) for place in one["numbers"]] for one in turns]


def test_rows_of_one_video_become_one(tmp_path):
    rows = [
        {"video": "a", "source": "anet", "conversations": conversation("<video>\nWhen?", "From 3 to 09.")},
        {"video": "b", "source": "anet", "conversations": conversation("When?\n<image>", "Never.")},
        {
            "video": "a",
            "source": "anet",
            "conversations": conversation("What is in frame 4?", "A cat.") + conversation("And then, 2 dogs?", "No."),
        },
    ]
    work = read(tmp_path, rows)
    assert [(video.name, len(video.conversations)) for video in work.videos] == [("a", 2), ("b", 1)]
    first, second = work.videos[0].conversations
    assert (first.row, second.row) == ("instruct.json[0]", "instruct.json[2]")
    assert texts(first) == ["When?", "From 3 to 9."]  # numbers as they are drawn
    assert numbers(first) == [[], [3, 9]]
    assert texts(second) == ["What is in frame 4?", "A cat.", "And then, 2 dogs?", "No."]
    assert numbers(second) == [[4], [], [], []]
    assert (first.unsure, second.unsure) == ((), ("And then, 2 dogs?",))
    assert texts(work.videos[1].conversations[0]) == ["When?", "Never."]
    assert work.videos[0].path == str(tmp_path / "videos" / "a.mp4")
    assert work.videos[1].path is None


def test_an_answer_of_bare_numbers_counts_where_frames_were_asked_for(tmp_path):
    asked = {
        "video": "a",
        "source": "anet",
        "conversations": conversation("During which frames?", "3 - 9") + conversation("How many?", "2"),
    }
    assert numbers(read(tmp_path, [asked]).videos[0].conversations[0]) == [[], [3, 9], [], [2]]
    other = {"video": "a", "source": "anet", "conversations": conversation("How many?", "2")}
    assert numbers(read(tmp_path, [other]).videos[0].conversations[0]) == [[], []]


def test_frames_beyond_the_video(tmp_path):
    rows = [{"video": "a", "source": "anet", "conversations": conversation("When?", f"From 3 to {n}.")} for n in (15, 16, 17)]
    last, after, beyond = read(tmp_path, rows).videos[0].conversations
    assert numbers(last) == [[], [3, 15]]
    with pytest.raises(RowError, match=r"names the number after the last, 16, but the video's last is 15 \(31.00 s\)"):
        texts(after)
    assert numbers(after, past_last=1) == [[], [3, 15]]
    with pytest.raises(RowError, match="names frame 17, but the video's last number is 15"):
        texts(beyond, past_last=1)


def test_numbers_of_instructions_on_another_grid(tmp_path):
    """Instructions speak of one number in two seconds; on a finer grid the same moments have other numbers."""
    row = {"video": "a", "source": "anet", "conversations": conversation("When?", "From 3 to 15.")}
    template = read(tmp_path, [row]).videos[0].conversations[0]
    assert numbers(template, Timeline(31.0, 1)) == [[], [6, 30]]
    assert numbers(template, Timeline(31.0, 0.25)) == [[], [2, 7]]


VTIMELLM = {
    "id": "a",
    "source": "anet",
    "conversations": conversation("<video>\nWhat happens from <s1> to <e1>?", "From <s0> to <e0>, 2 men sit, at <s10> one falls."),
    "meta": {"split": [10.0, 41.0], "duration": 31.0, "token": {"<s0>": 0, "<e0>": 9.4, "<s1>": 12.9, "<e1>": 33.0, "<s10>": 6.0}},
}


def test_times_of_vtimellm_become_numbers(tmp_path):
    video = read(tmp_path, [VTIMELLM]).videos[0]
    assert (video.name, video.start_s, video.end_s, video.annotated_s) == ("a@10-41", 10.0, 41.0, 31.0)
    template = video.conversations[0]
    assert texts(template) == [
        f"{NUMBERS_SENTENCE} What happens from 6 to 15?",
        "From 0 to 5, 2 men sit, at 3 one falls.",
    ]
    assert numbers(template) == [list(GRID.span_numbers(12.9, 33.0)), [*GRID.span_numbers(0, 9.4), 3]]
    assert numbers(template, Timeline(31.0, 1)) == [[13, 30], [0, 9, 6]]
    notes = NumberingNotes()
    numbered_turns(template, GRID, set(), notes)
    assert notes.spans_beyond_end == 1  # 33 s: normal, the last number
    with pytest.raises(RowError, match=r"a span starts at 12.9 s, but the video ends at 8.00 s"):
        texts(template, Timeline(8.0))


def test_spans_of_vtimellm_with_their_ends_the_wrong_way_round(tmp_path):
    row = {**VTIMELLM, "conversations": conversation("When?", "From <s0> to <e0>."), "meta": {"token": {"<s0>": 20.0, "<e0>": 4.0}}}
    assert numbers(read(tmp_path, [row]).videos[0].conversations[0]) == [[], [2, 10]]


def test_the_same_video_in_parts_and_whole(tmp_path):
    other = {**VTIMELLM, "meta": {**VTIMELLM["meta"], "split": [0, 31.0]}}
    whole = {"id": "a", "source": "anet", "conversations": conversation("<video>\nWhat is it?", "From 1 to 2, a film.")}  # without meta
    work = read(tmp_path, [VTIMELLM, other, whole, VTIMELLM])
    assert [(video.name, len(video.conversations)) for video in work.videos] == [("a@10-41", 2), ("a@0-31", 1), ("a", 1)]
    assert numbers(work.videos[2].conversations[0]) == [[], []]  # VTimeLLM's texts speak of no frames


GOOD = {"video": "a", "source": "anet", "conversations": conversation("When?", "From 1 to 2.")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conversations": []}, "has an empty conversation"),
        ({"conversations": None}, "has an empty conversation"),
        ({"conversations": conversation("When?", "  <video>\n")}, "turn 1 (gpt) is empty"),
        ({"conversations": conversation("", "Then.")}, "turn 0 (human) is empty"),
        ({"conversations": conversation("When?", None)}, "turn 1 (gpt) is empty"),
        ({"conversations": conversation("When?", "Then.")[1:]}, "turn 0 is from 'gpt', where 'human' is expected"),
        ({"conversations": conversation("When?", "Then.")[:1]}, "ends with a question"),
        ({"conversations": ["When?"]}, "turn 0 is from 'When?', where 'human' is expected"),
        ({"conversations": conversation("When?", "From <s0> to <e0>.")}, "names <s0>, but has no 'meta' with a time for it"),
        (
            {"meta": {"token": {"<s0>": 1}}, "conversations": conversation("When?", "From <s0> to <e0>.")},
            "names <e0>, but its meta.token has no time",
        ),
        ({"meta": {"token": {"<s0>": -1}}}, "-1 must be 0 seconds or more"),
        ({"meta": {"token": {"<s0>": "soon"}}}, "'soon' is not a number of seconds"),
        ({"meta": {"split": [5, 5]}}, "its split [5, 5] ends before it starts"),
        ({"meta": {"split": 5}}, "5 is not a pair"),
        ({"video": ""}, "has neither 'video' nor 'id'"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, reason):
    work = read(tmp_path, [GOOD, {**GOOD, **change}])
    assert len(work.videos) == 1
    (bad,) = work.bad_rows
    assert reason in bad.reason
    assert (bad.source, bad.row) == ("anet", "instruct.json[1]")


def test_images_where_videos_are_expected(tmp_path):
    rows = [
        GOOD,
        {"image": "a.jpg", "source": "anet", "conversations": conversation("<image>\nWhat?", "A cat.")},
        {"image": "coco/b.jpg", "conversations": conversation("<image>\nWhat?", "A dog.")},
        {"id": "c", "source": "anet", "conversations": conversation("<image>\nWhat?", "A cow.")},
        "text",
    ]
    reasons = [bad.reason for bad in read(tmp_path, rows).bad_rows]
    assert reasons == ["has an image where a video is expected"] * 3 + ["is a str instead of an object"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"video": "a", "source": "anet", "conv', r"instruct.json:1: is not JSON .*; is the download complete\?"),
        ('{"video": "a"}', "is not a list of rows"),
        ("[]", "no row can be used"),
        (json.dumps([{**GOOD, "conversations": []}]), "no row can be used; the first of 1 rows: has an empty conversation"),
        (json.dumps([GOOD, {**GOOD, "source": "didemo"}]), r"its videos are of anet, didemo; add --videos didemo=DIR \(given: anet\)"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, message):
    with pytest.raises(NumProError, match=message):
        read(tmp_path, content)


def test_inputs_that_do_not_exist(tmp_path):
    files = VideoFiles({"anet": tmp_path})
    with pytest.raises(NumProError, match="no such file"):
        read_inputs([str(tmp_path / "nothing.json")], files)
    with pytest.raises(NumProError, match="is neither an instruction file"):
        read_inputs(["instructions.txt"], files)
    with pytest.raises(NumProError, match="there is no table .*run: numpro prepare charades"):
        read_inputs(["charades:train"], files)
    with pytest.raises(NumProError, match="models are evaluated on this split; it has none to train on"):
        read_inputs(["timelens_charades"], files)
    with pytest.raises(NumProError, match="models are evaluated on this split; train on charades:train"):
        read_inputs(["charades:test"], files)
    with pytest.raises(NumProError, match="is not a folder; give the one that holds the video files"):
        VideoFiles({"anet": tmp_path / "nothing"})


def test_a_row_without_source_belongs_to_the_only_folder(tmp_path):
    row = {key: value for key, value in GOOD.items() if key != "source"}
    assert read(tmp_path, [row]).videos[0].source == "anet"
    with pytest.raises(NumProError, match="its rows name no source"):
        read(tmp_path, [row], anet=tmp_path, didemo=tmp_path)


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("v_abc.mp4", "anet", "abc"),
        ("abc.mkv", "anet", "v_abc"),
        ("deep/er/abc.webm", "internvid", "abc.mp4"),
        ("abc.mp4", "internvid", "clips/abc"),
        # DiDeMo by the owner_photo_secret of Flickr or the name in the YFCC100M store, whatever the file is called
        ("1234@N00_777_beef.mp4", "didemo", "1234@N00_777_beef.mov"),
        ("777.mp4", "didemo", "1234@N00_777_beef.mov"),
        ("1234@N00_777_beef.mp4", "didemo", "f00d"),
        ("f00d.mp4", "didemo", "1234@N00_777_beef.mov"),
        ("f00d.mp4", "didemo", "f00d"),
    ],
)
def test_which_file_is_meant(tmp_path, file, source, name):
    (tmp_path / "hash.txt").write_text("777\tf00d\n888\tcafe\n")
    path = tmp_path / "videos" / file
    path.parent.mkdir(parents=True)
    path.touch()
    files = VideoFiles({source: tmp_path / "videos"}, yfcc_hash=tmp_path / "hash.txt")
    assert files.find(source, name) == str(path)
    assert files.find(source, "other") is None


CHARADES = ["AAAAA 4.0 12.0##a person opens a door.", "AAAAA 19.0 2.0##frame 3 of 5.", "BBBBB 30 40##gone."]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Prepared tables of all benchmarks, over one video of 21 s under many names."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "videos").mkdir()
    video = write_counter_video(folder / "videos" / "vid1_0.0_20.0.mp4", [k * 500 for k in range(42)], rate=2, size=(64, 32))
    for name in ("AAAAA", "BBBBB", "v_AAAAAAAAAAA", "v_BBBBBBBBBBB", "111@N01_222_abc", "111@N01_333_def"):
        (folder / "videos" / f"{name}.mp4").hardlink_to(video)
    (folder / "charades_sta_train.txt").write_text("\n".join(CHARADES))
    files = {**write_official(folder), "charades": folder / "charades_sta_train.txt"}
    for name in ("charades", "didemo", "activitynet", "qvhighlights"):
        prepare(BENCHMARKS[name], files[name], videos=folder / "videos", split="train", out=folder / "data", progress=False)
    return folder / "data"


def test_tables_become_questions_and_answers_of_evaluation(tables, monkeypatch):
    monkeypatch.setenv("NUMPRO_DATA", str(tables))
    work = read_inputs(["charades:train", "activitynet", str(tables / "didemo" / "train.parquet")], VideoFiles({}))
    assert not work.bad_rows
    videos = {(video.source, video.name): video for video in work.videos}
    grid = Timeline(21.0)
    person, frame = videos["charades", "AAAAA"].conversations
    assert texts(person, grid) == [moment_prompt("a person opens a door."), "From Frame 2 to Frame 6."]
    assert parse_moment(texts(person, grid)[1]).span == grid.span_numbers(4.0, 12.0)
    assert numbers(frame, grid) == [[], [1, 10]]  # digits of a query are no frame numbers; an annotation the wrong way round
    with pytest.raises(RowError, match="a span starts at 30 s, but the video ends at 21.00 s"):
        texts(videos["charades", "BBBBB"].conversations[0], grid)
    assert numbers(videos["activitynet", "v_AAAAAAAAAAA"].conversations[1], grid) == [[], [2, 10]]
    cat = videos["didemo", "111@N01_222_abc"]
    assert cat.end_s == 30.0
    assert numbers(cat.conversations[0], grid) == [[], list(grid.span_numbers(5, 15))]


def test_parts_of_files_become_videos_of_their_own(tmp_path):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "AAAAA.mp4", [k * 500 for k in range(60)], rate=2, size=(64, 32))
    path = write_one(tmp_path, "x", "tvgbench.json", [tvgbench_row("3.4-8.1"), tvgbench_row("1.0-7.5", 10.25, 22.25)])
    table, _ = prepare(BENCHMARKS["tvgbench"], path, videos=tmp_path / "videos", out=tmp_path / "data", progress=False)
    whole, part = read_inputs([str(table)], VideoFiles({})).videos
    assert (whole.name, whole.start_s, whole.end_s, whole.annotated_s) == ("AAAAA", 0, None, 30)
    assert (part.name, part.start_s, part.end_s, part.annotated_s) == ("AAAAA@10.25-22.25", 10.25, 22.25, 12)
    assert numbers(part.conversations[0], Timeline(12.0, 1)) == [[], [1, 8]]  # seconds of the part


def test_qvhighlights_becomes_highlight_detection(tables, monkeypatch):
    monkeypatch.setenv("NUMPRO_DATA", str(tables))
    (video,) = read_inputs(["qvhighlights:train"], VideoFiles({})).videos
    boat, men = video.conversations
    question, answer = texts(boat, Timeline(21.0))
    assert question == highlight_prompt("A boat on a lake", kind="ft")
    read_back = parse_highlights(answer)
    assert read_back.frames == (2, 3, 7, 8)
    assert read_back.scores == pytest.approx((4.7, 2.7, 5.0, 2.0), abs=0.05)  # annotators' means, 0..4, on the prompt's 1..5
    assert numbers(boat, Timeline(21.0)) == [[], [2, 3, 7, 8]]
    assert numbers(men, Timeline(21.0, 1)) == [[], [0, 2]]  # clips start every two seconds on any grid
    assert numbers(boat, Timeline(15.0)) == [[], [2, 3, 7]]  # what the file does not have is left out with its score
    assert parse_highlights(texts(boat, Timeline(15.0))[1]).scores == pytest.approx((4.7, 2.7, 5.0), abs=0.05)
    with pytest.raises(RowError, match="none of its highlights starts on a frame that is shown"):
        texts(boat, Timeline(3.0))
