"""The layouts of the field: every row becomes what a person would make of it, or is named with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from numpro_plugin import NumProError, Timeline
from numpro_plugin.prompts import NUMBERS_SENTENCE, moment_prompt, set_prompt
from numpro_plugin.trainer.instructions.conversations import NumberingNotes, RowError, numbered_turns
from numpro_plugin.trainer.instructions.sources import TrainingInputs, read_inputs
from numpro_plugin.trainer.instructions.video_files import VideoFiles

GRID = Timeline(100.0)  # one number in two seconds, 0 to 49
VIDEO = "anet/v_aaaaaaaaaaa.mp4"


def read(folder: Path, rows: Any, *, lines: bool = False, name: str = "rows.json", sources: tuple[str, ...] = ("anet",)) -> TrainingInputs:
    for source in sources:
        (folder / source).mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return read_inputs([str(path)], VideoFiles({source: folder / source for source in sources}))


def talks(training: TrainingInputs) -> list[list[tuple[str, Any]]]:
    """The text and the spans of every turn, by conversation."""
    made = []
    for video in training.videos:
        for conversation in video.conversations:
            turns = numbered_turns(conversation, GRID, set(range(GRID.count)), NumberingNotes())
            made.append([(turn["content"], turn["spans_s"]) for turn in turns])
    return made


def asked(text: str) -> tuple[str, None]:
    return f"{NUMBERS_SENTENCE} {text}", None


TIME_R1_QUESTION = (
    'To pinpoint the event "he sits" in the video, determine the precise time period.\n\nOutput your thought process within the <think> '
    "</think> tags, including analysis with either specific timestamps (xx.xx) or time ranges (xx.xx to xx.xx) in <timestep> </timestep> "
    "tags.\n\nThen, provide the start and end times (in seconds, precise to two decimal places) in the format "
    '"start time to end time" within the <answer> </answer> tags. For example: "12.54 to 17.83".'
)


def talk(question: Any, answer: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def speakers(question: str, answer: str) -> list[dict[str, Any]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


MESSAGES = talk("<video>When does he whisk?", "28.0 - 36.4 seconds.")
WHISKS = [asked("When does he whisk?"), ("Frames 14 - 18.", [[28, 36.4]])]
MOMENT = [(moment_prompt("he whisks"), None), ("From Frame 14 to Frame 18.", [[28, 36.4]])]
TWO = [(set_prompt("he whisks", "retrieval"), None), ("[[20, 25], [14, 18]]", [[40, 50.5], [28, 36.4]])]
PAIRS = "When does 'x' happen in the video?\nReturn the result as a JSON array of [start, end] pairs, where each value is a "
THOUGHT = "<think>He stands at <timestep>3.10</timestep>.</think>\n<answer>12.54 to 17.83</answer>"
TVG = {"task": "tvg", "source": "anet", "video": VIDEO, "duration": 70.3}


# What stands in the second place was written by hand.
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (  # TimeChat's TimeIT, VTG-IT: pairs are turns of one conversation
            {
                "video": VIDEO,
                "QA": [
                    {"q": "Localize when he whisks.", "a": "28 - 36 seconds, he whisks 3 eggs. 40.0 - 51.0 seconds, he sits."},
                    {"q": "And when does he leave?", "a": "The given query happens in 60.9 - 72 seconds."},
                ],
            },
            [
                asked("Localize when he whisks."),
                ("Frames 14 - 18, he whisks 3 eggs. Frames 20 - 26, he sits.", None),
                ("And when does he leave?", None),
                ("The given query happens in frames 30 - 36.", [[60.9, 72]]),
            ],
        ),
        (
            {"video": VIDEO, "QA": [{"q": "Highlights?", "a": "In the 82.0, 84.0 second. Their saliency scores are 1.3, 2."}]},
            [asked("Highlights?"), ("In the 41, 42 frames. Their saliency scores are 1.3, 2.", None)],
        ),
        ({"messages": MESSAGES, "videos": [VIDEO]}, WHISKS),  # ms-swift, LLaMA-Factory
        ({"messages": MESSAGES, "videos": VIDEO}, WHISKS),
        ({"messages": [{"role": "system", "content": "Be brief."}, *MESSAGES], "videos": [VIDEO]}, WHISKS),
        ({"conversations": speakers("When does he whisk?<video>", "28.0 - 36.4 seconds."), "videos": [VIDEO]}, WHISKS),
        ({"query": "<video>When does he whisk?", "response": "28.0 - 36.4 seconds.", "videos": [VIDEO]}, WHISKS),
        ({"instruction": "<video>When does he whisk?", "input": "", "output": "28.0 - 36.4 seconds.", "videos": [VIDEO]}, WHISKS),
        (
            {
                "messages": talk(
                    [{"type": "video", "video": f"file://{VIDEO}"}, {"type": "text", "text": "When does he whisk?"}], "28.0 - 36.4 seconds."
                )
            },
            WHISKS,
        ),
        (
            {"messages": talk("When? As [start, end].", "[28.0, 36.4]"), "videos": [{"path": VIDEO}]},
            [asked("When? As [start, end]."), ("[14, 18]", [[28, 36.4]])],
        ),
        (  # frame numbers stay what they are, and need no sentence
            {"messages": talk("When does he whisk?", "From Frame 14 to Frame 18."), "videos": [VIDEO]},
            [("When does he whisk?", None), ("From Frame 14 to Frame 18.", [[28, 36]])],
        ),
        (  # Time-R1's way of answering
            {"messages": talk(TIME_R1_QUESTION, THOUGHT), "videos": [VIDEO]},
            [
                asked(
                    'To pinpoint the event "he sits" in the video, determine the precise time period.\n\nOutput your thought process '
                    "within the <think> </think> tags, including analysis with either specific frame numbers (x) or frame ranges (x to x)."
                    "\n\nThen, provide the first and last frame numbers in the format "
                    '"start frame to end frame" within the <answer> </answer> tags.'
                ),
                ("<think>He stands at frame 2.</think>\n<answer>frame 6 to frame 9</answer>", None),
            ],
        ),
        (  # TimeLens2-93K, conversations
            {
                "video_id": "v_aaaaaaaaaaa",
                "source": "anet",
                "messages": talk(f"{PAIRS}timestamp in seconds. Example: [[0.0, 3.5]].", "[[28.0, 36.4], [40, 50.5]]"),
            },
            [
                asked(f"{PAIRS}frame number."),
                ("[[14, 18], [20, 25]]", [[28, 36.4], [40, 50.5]]),
            ],
        ),
        (  # TimeLens2-93K, annotations: every query is about a set
            {"video_id": "v_aaaaaaaaaaa", "source": "anet", "annotations": [{"text": "he whisks", "timestamps": [[28, 36.4]]}]},
            [(set_prompt("he whisks", "retrieval"), None), ("[[14, 18]]", [[28, 36.4]])],
        ),
        (  # TimeLens-100K
            {"source": "anet", "video_path": VIDEO, "duration": 70.3, "events": [{"query": "he whisks", "span": [[28, 36.4]]}]},
            MOMENT,
        ),
        (
            {"source": "anet", "video_path": VIDEO, "events": [{"query": "he whisks", "span": [[40, 50.5], [36.4, 28]]}]},
            TWO,
        ),
        (  # Time-R1's lists, MUSEG's, one's own
            {"video": VIDEO, "duration": 70.3, "timestamp": [28.0, 36.4], "sentence": "he whisks", "video_start": None, "video_end": None},
            MOMENT,
        ),
        ({"video": VIDEO, "problem": "he whisks", "solution": [[28, 36.4]], "task": "tvg"}, MOMENT),
        ({"video": VIDEO, "query": "he whisks", "start_time": "00:28", "end_time": "36.4"}, MOMENT),
        (  # InternVid
            {"YoutubeID": "v_aaaaaaaaaaa", "Start_timestamp": "00:00:28.000", "End_timestamp": "00:00:36.400", "Caption": "he whisks"},
            MOMENT,
        ),
        (  # E.T. Instruct, text
            {**TVG, "tgt": [28, 36.4], "conversations": speakers("<image>\nFind it.", "The event happens in 28 - 36.4 seconds.")},
            [asked("Find it."), ("The event happens in frames 14 - 18.", [[28, 36.4]])],
        ),
        (  # E.T. Instruct, tokens
            {
                **TVG,
                "src": [6],
                "tgt": [28, 36.4, 40, 50.5],
                "conversations": speakers("<image>\nWhat comes after <vid>?", "<vid> - <vid>, whisk 3 eggs. <vid> - <vid>, sit."),
            },
            [asked("What comes after frame 3?"), ("Frames 14 - 18, whisk 3 eggs. Frames 20 - 25, sit.", None)],
        ),
    ],
)
def test_published_layouts(tmp_path: Path, row: Any, expected: Any) -> None:
    for k, lines in enumerate((False, True)):  # a list and lines, each under the name of the other
        training = read(tmp_path, [row, row], lines=lines, name=("rows.jsonl", "rows.json")[k])
        assert not training.bad_rows
        assert [(video.source, video.name) for video in training.videos] == [("anet", "v_aaaaaaaaaaa")]
        assert talks(training) == [expected] * 2


def test_lists_by_video(tmp_path: Path) -> None:
    """Time-R1's files of Charades and ActivityNet, each sentence a conversation; a wrong video or sentence costs only itself."""
    content = {
        "v_a": {"duration": 70.3, "timestamps": [[28, 36.4], [9, 4.1], [1]], "sentences": ["he whisks", "he sits", "x"]},
        "v_b": {"duration": 9, "timestamps": [[1, 2]], "sentences": []},
    }
    training = read(tmp_path, content)
    assert [[spans for _, spans in talk] for talk in talks(training)] == [[None, [[28, 36.4]]], [None, [[4.1, 9]]]]
    assert training.videos[0].conversations[1].remarks == ("spans whose start was after their end, turned round",)
    assert [(bad.row, bad.video, bad.reason) for bad in training.bad_rows] == [
        ("rows.json['v_a'].2", "v_a", "[1] is not a pair [start, end]"),
        ("rows.json['v_b']", "v_b", "'timestamps' and 'sentences' are not lists of one length"),
    ]
    assert training.inputs[0]["rows"] == 4


def test_parts_of_videos(tmp_path: Path) -> None:
    row = {"video": VIDEO, "timestamp": [2, 8], "sentence": "he whisks", "video_start": 10.0, "video_end": 41.0}
    (video,) = read(tmp_path, [row]).videos
    assert (video.name, video.start_s, video.end_s) == ("v_aaaaaaaaaaa@10-41", 10, 41)


def test_remarks_say_what_was_changed(tmp_path: Path) -> None:
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "In which seconds?"},
            {"role": "assistant", "content": "9 - 4 s"},
        ],
        "videos": [VIDEO],
    }
    (conversation,) = read(tmp_path, [row]).videos[0].conversations
    assert conversation.remarks == (
        "questions about seconds or time stamps, reworded to ask for frame numbers",
        "spans whose start was after their end, turned round",
        "system turns, left out",
    )


TALK = {"messages": MESSAGES, "videos": [VIDEO]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": MESSAGES}, "names no video"),
        ({"messages": MESSAGES, "videos": []}, "names no video"),
        ({"messages": MESSAGES, "videos": [VIDEO, "b.mp4"]}, "is about 2 videos; a row of training is about one"),
        ({"messages": MESSAGES, "videos": [["1.jpg", "2.jpg"]]}, "gives a list of pictures for a video; give the video file"),
        ({"messages": MESSAGES, "images": ["a.jpg"]}, "has an image where a video is expected"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "image": "a.jpg"}]}, MESSAGES[1]]}, "has an image where"),
        ({**TALK, "messages": []}, "has an empty conversation"),
        ({**TALK, "messages": MESSAGES[:1]}, "ends with a question"),
        ({**TALK, "messages": MESSAGES[1:]}, "turn 0 is from 'assistant', where 'user' is expected"),
        ({**TALK, "messages": [MESSAGES[0], {"role": "tool", "content": "x"}]}, "turn 1 is from 'tool'; known: human, user,"),
        ({**TALK, "messages": [MESSAGES[0], {"role": "assistant", "content": "  "}]}, "turn 1 (assistant) is empty"),
        ({**TALK, "messages": [MESSAGES[0], {"role": "assistant", "content": None}]}, "turn 1 (assistant) is empty"),
        ({**TALK, "messages": [MESSAGES[0], {"role": "assistant", "content": "<s0>"}]}, "names <s0>, but has no 'meta'"),
        ({"video": VIDEO, "QA": []}, "has no pairs of 'q' and 'a'"),
        ({"video": VIDEO, "QA": [{"q": "When?", "a": ""}]}, "QA[0] (a) is empty"),
        ({"QA": [{"q": "When?", "a": "3 - 9 s"}]}, "names no video"),
        ({"video_path": VIDEO, "events": []}, "has no list of queries and spans under 'events'"),
        ({"video_path": VIDEO, "events": [{"query": "x", "span": []}]}, "the event has no span"),
        ({"video_path": VIDEO, "events": [{"query": "x", "span": [[-1, 3]]}]}, "-1 must be 0 seconds or more"),
        ({"video_path": VIDEO, "events": [{"query": " ", "span": [[1, 3]]}]}, "has no query"),
        ({"video_path": VIDEO, "duration": 0, "events": [{"query": "x", "span": [[1, 3]]}]}, "duration must be more than 0 seconds"),
        ({"YoutubeID": "a", "Caption": "x", "Start_timestamp": "soon", "End_timestamp": "00:08"}, "'soon' is not a number of seconds or a"),
        ({**TVG, "tgt": [1], "conversations": speakers("?", "<vid> - <vid>")}, "E.T. Instruct: a text has more <vid>"),
        ({"path": VIDEO, "question": "x", "answer": "13.4-28.1", "start": None, "end": None}, "is a row of TVGBench"),
        ({"clip": VIDEO, "label": 3}, "has the keys clip, label: no layout that is known here"),
        (["a"], "is a list instead of an object"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, row: Any, reason: str) -> None:
    training = read(tmp_path, [TALK, row])
    assert len(training.videos) == 1
    (bad,) = training.bad_rows
    assert reason in bad.reason
    assert bad.row.startswith("rows.json[1]")


def test_times_beyond_the_video(tmp_path: Path) -> None:
    rows = [{**TALK, "messages": [MESSAGES[0], {"role": "assistant", "content": f"{start} - 400.5 seconds."}]} for start in (90, 300)]
    ends_late, starts_late = read(tmp_path, rows).videos[0].conversations
    notes = NumberingNotes()
    _, answer = numbered_turns(ends_late, GRID, set(), notes)
    assert (answer["content"], answer["spans_s"], notes.spans_beyond_end) == ("Frames 45 - 49.", [[90, 400.5]], 1)
    with pytest.raises(RowError, match=r"a span starts at 300 s, but the video ends at 100\.00 s"):
        numbered_turns(starts_late, GRID, set(), NumberingNotes())


def test_sources_come_from_the_row_the_path_or_the_only_folder(tmp_path: Path) -> None:
    rows = [{**TALK, "source": "didemo"}, TALK, {**TALK, "videos": ["didemo/x/b.mp4"]}]
    training = read(tmp_path, rows, sources=("anet", "didemo"))
    assert [(video.source, video.name) for video in training.videos] == [
        ("didemo", "anet/v_aaaaaaaaaaa"),
        ("anet", "v_aaaaaaaaaaa"),
        ("didemo", "x/b"),
    ]
    with pytest.raises(NumProError, match=r"rows name no source; pass exactly one folder of videos: --videos NAME=DIR"):
        read(tmp_path, [{**TALK, "videos": ["b.mp4"]}], sources=("anet", "didemo"))
    with pytest.raises(NumProError, match=r"its videos are of anet, cosmo_cap; add --videos cosmo_cap=DIR \(given: anet, didemo\)"):
        read(tmp_path, [TALK, {**TALK, "source": "cosmo_cap"}], sources=("anet", "didemo"))
    (tmp_path / "any" / "cosmo_cap").mkdir(parents=True)
    (tmp_path / "any" / "cosmo_cap" / "b.mp4").touch()
    (video,) = read(tmp_path, [{**TALK, "source": "cosmo_cap", "videos": ["cosmo_cap/b.mp4"]}], sources=("any",)).videos
    assert (video.source, video.name, video.path) == ("cosmo_cap", "b", str(tmp_path / "any" / "cosmo_cap" / "b.mp4"))


@pytest.mark.parametrize("content", ['{"video": "a"}', '{"a": {"duration": 3}}', "3", '"text"', '{"videos": {"a": []}}'])
def test_files_that_are_no_list_of_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "anet").mkdir()
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(NumProError, match="is not a list of rows"):
        read_inputs([str(tmp_path / "rows.json")], VideoFiles({"anet": tmp_path / "anet"}))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("timechat.json", ["Frames 14 - 18, he whisks eggs.", "The given query happens in frames 1 - 6."]),
        ("swift.json", ["From Frame 14 to Frame 18."]),
        ("timelens.jsonl", ["From Frame 14 to Frame 18."]),
        ("own.jsonl", ["From Frame 14 to Frame 18.", "From Frame 1 to Frame 6."]),
        ("internvid.jsonl", ["From Frame 1 to Frame 4."]),
    ],
)
def test_cases(shared: Path, tmp_path: Path, name: str, answers: list[str]) -> None:
    training = read_inputs([str(shared / "cases" / "training" / name)], VideoFiles({"anet": tmp_path}))
    assert not training.bad_rows
    assert [talk[-1][0] for talk in talks(training)] == answers
