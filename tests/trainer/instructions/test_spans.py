"""What answers mean in seconds: which are spans, and that their times can be told in place of frame numbers."""

from __future__ import annotations

from typing import Any

import pytest

from numpro_plugin import NumProError, Timeline
from numpro_plugin.trainer.instructions.conversations import Conversation, NumberingNotes, TimePoint, TurnTemplate, numbered_turns
from numpro_plugin.trainer.instructions.spans import answer_spans
from numpro_plugin.trainer.shard_format import FrameNumber, renumbered, rewritten, turn


def answer(*parts: Any) -> dict[str, Any]:
    """An answer in which every integer is a frame number that stands for ten times as many seconds."""
    return turn("assistant", *(FrameNumber(part, 10.0 * part) if isinstance(part, int) else part for part in parts))


@pytest.mark.parametrize(
    ("parts", "spans"),
    [
        (("From Frame ", 3, " to Frame ", 9, "."), [[30, 90]]),
        (("From ", 3, " to ", 3, "."), [[30, 30]]),
        (("frames ", 9, "-", 3), [[30, 90]]),
        (("The door is opened between frames ", 3, " and ", 9, " of the video."), [[30, 90]]),
        (("It starts at frame ", 3, " and ends at frame ", 9, "."), [[30, 90]]),
        (("From frame ", 3, " to frame ", 5, ", and from frame ", 7, " to frame ", 9, "."), [[30, 50], [70, 90]]),
        (("frames ", 3, " - ", 5, "; ", 7, " - ", 9, "; ", 1, " - ", 2), [[30, 50], [70, 90], [10, 20]]),
        (("[[", 3, ", ", 5, "], [", 7, ", ", 9, "]]"), [[30, 50], [70, 90]]),
        (("Frame ", 3, "."), None),
        (("Frames ", 3, " and ", 9, "."), None),
        (("Frames ", 3, ", ", 9, "."), None),
        (("From ", 3, " to ", 9, ", a man runs."), None),
        (("From ", 0, " to ", 9, ", a man runs. From ", 10, " to ", 20, ", he sits."), None),
        (("From ", 3, " to ", 9, ", 2 men."), None),
        (("From ", 3, " to ", 9, " and at ", 12, "."), None),
        (("From ", 3, " to ", 9, ". He sits from ", 10, " to ", 12, "."), None),
        (("It does not happen.",), None),
        (("",), None),
    ],
)
def test_which_answers_are_spans(parts: tuple[Any, ...], spans: list[list[float]] | None) -> None:
    assert answer_spans(answer(*parts)) == spans


def test_answers_without_times_are_not_spans() -> None:
    assert answer_spans(turn("assistant", "From Frame ", 3, " to Frame ", 9, ".")) is None


def test_times_are_those_of_the_annotation_not_of_the_grid() -> None:
    """Neither rounded nor clipped; a question has times, but no spans; frame numbers of instructions stand for the times of their grid."""
    question = TurnTemplate("user", ("What happens from frame ", 2, " to frame ", 4, "?"))
    moment = TurnTemplate("assistant", ("From Frame ", TimePoint(3.3, is_start=True), " to Frame ", TimePoint(31.0, is_start=False), "."))
    caption = TurnTemplate("assistant", ("At frame ", 15, ", a man sits."))
    talk = Conversation("row", (question, moment, question, caption))
    asked, told, _, said = numbered_turns(talk, Timeline(20.0, 1.0), set(), NumberingNotes(), past_last=6)
    assert (asked["content"], asked["spans_s"]) == ("What happens from frame 4 to frame 8?", None)
    assert [place["time_s"] for place in asked["numbers"]] == [4.0, 8.0]
    assert (told["content"], told["spans_s"]) == ("From Frame 3 to Frame 19.", [[3.3, 31.0]])
    assert (said["content"], said["spans_s"], said["numbers"][0]["time_s"]) == ("At frame 18, a man sits.", None, 18.0)
    assert rewritten(told, "{:.1f} s".format) == "From Frame 3.3 s to Frame 31.0 s."
    shifted = renumbered([asked, told], lambda number: number + 100)
    assert [one["content"] for one in shifted] == ["What happens from frame 104 to frame 108?", "From Frame 103 to Frame 119."]
    assert shifted[1]["spans_s"] == told["spans_s"]
    assert [place["time_s"] for place in shifted[0]["numbers"]] == [4.0, 8.0]


def test_a_text_without_times_cannot_be_told_in_seconds() -> None:
    before = {"role": "assistant", "content": "Frame 3.", "numbers": [{"start": 6, "end": 7}]}  # as in shards of version 1
    with pytest.raises(NumProError, match=r"'Frame 3.' does not say for which times its frame numbers stand: make the shards again"):
        rewritten(before, str)
