"""Conversations of shards in every encoding: what is asked, what is learned, and what cannot be said in another unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.answers.reading import read_moment
from numpro_plugin.encoding import PRESETS, parse_encoding
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.prompts.questions import moment_question
from numpro_plugin.timeline import Timeline
from numpro_plugin.trainer.batches.encoded import Shown, conversation_in, span_sentence, why_not
from numpro_plugin.trainer.shard_format import FrameNumber, turn

TIMELINE = Timeline(40.0, 0.5)
SHOWN = Shown(TIMELINE, np.arange(20))
QUESTION = turn("user", moment_prompt("a person runs."))
ANSWER = turn("assistant", "From Frame ", FrameNumber(3, 6.4), " to Frame ", FrameNumber(9, 17.8), ".", spans_s=[[6.4, 17.8]])
CAPTION = turn("assistant", "From ", FrameNumber(3, 6.4), " to ", FrameNumber(9, 17.8), ", a man runs.")


def learned(encoding: str, turns: list[Any] = [QUESTION, ANSWER], shown: Shown = SHOWN, **more: Any) -> list[str]:  # noqa: B006
    settings = NumProSettings(encoding=parse_encoding(encoding))
    return [one["content"] for one in conversation_in(turns, settings, shown, **more)]


@pytest.mark.parametrize("name", PRESETS)
def test_a_moment_is_asked_as_in_evaluation_and_its_answer_is_read_back(name: str) -> None:
    encoding = PRESETS[name].encoding
    question, answer = learned(name)
    assert question == moment_question("a person runs.", NumProSettings(encoding=encoding), TIMELINE)
    span_s = read_moment(answer, encoding.answer, TIMELINE).span_s
    assert span_s == pytest.approx((6, 18) if encoding.answer == "frames" else (6.4, 17.8) if encoding.answer == "seconds" else (6, 18))


def test_answers_in_seconds_have_one_decimal_and_clocks_whole_seconds() -> None:
    assert learned("text")[1] == "The event happens in 6.4 - 17.8 seconds."
    assert learned("clock")[1] == "The event happens in 00:06 - 00:18."
    assert span_sentence([(6, 18), (20, 24.26)], "seconds") == "The event happens in 6.0 - 18.0 seconds, 20.0 - 24.3 seconds."


def test_snapping_widens_a_span_to_shown_times() -> None:
    assert learned("text", snap=True)[1] == "The event happens in 6.0 - 18.0 seconds."
    thinned = Shown(TIMELINE, np.array([0, 5, 10, 15]))
    assert learned("text", shown=thinned, snap=True)[1] == "The event happens in 0.0 - 20.0 seconds."
    late = turn("assistant", "From Frame ", FrameNumber(18, 37.0), " to Frame ", FrameNumber(20, 41.0), ".", spans_s=[[37.0, 41.0]])
    assert learned("text", [QUESTION, late], snap=True)[1] == "The event happens in 36.0 - 38.0 seconds."


def test_shifted_numbers_shift_the_times_as_well() -> None:
    shifted = Shown(TIMELINE, np.arange(20), lambda number: number + 5, 10.0)
    assert learned("number", shown=shifted)[1] == "From Frame 8 to Frame 14."
    assert learned("text", shown=shifted)[1] == "The event happens in 16.4 - 27.8 seconds."


def test_a_caption_with_its_times_is_told_in_seconds() -> None:
    assert learned("text", [turn("user", "What happens?"), CAPTION])[1] == "From 6.4 seconds to 17.8 seconds, a man runs."


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([turn("user", "On which frames does it rain?"), ANSWER], "asks for frames in other words"),
        (
            [QUESTION, turn("assistant", "The frames ", FrameNumber(3, 6.0), " and ", FrameNumber(5, 10.0), ".")],
            "names frames that are no span",
        ),
        ([QUESTION, turn("assistant", "From Frame ", 3, " to Frame ", 9, ".")], "does not say for which times"),
    ],
)
def test_what_cannot_be_said_in_seconds_has_a_reason_and_stays_in_frames(turns: list[Any], reason: str) -> None:
    settings = NumProSettings(encoding=PRESETS["text"].encoding)
    assert reason in str(why_not(turns, settings))
    with pytest.raises(NumProError, match=reason):
        conversation_in(turns, settings, SHOWN)
    assert why_not(turns, NumProSettings(encoding=PRESETS["number+text"].encoding)) is None


def test_plain_and_number_are_as_they_always_were() -> None:
    assert learned("number") == [QUESTION["content"], ANSWER["content"]]
    assert learned("plain") == [moment_prompt("a person runs.", numbers=False), ANSWER["content"]]
