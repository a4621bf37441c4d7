"""What TimeChat's converter reads from a highlight answer, quirks included, so that published figures can be compared."""

from __future__ import annotations

import re

from numpro_plugin.answers.highlights import HighlightAnswer


def parse_highlights_timechat(text: str) -> HighlightAnswer:
    """Read an answer exactly as TimeChat's parser does once every "frame" in it has been replaced by "second".

    Its quirks are kept: only scores of the form ``4.5`` count, a third "frame" or "score" switches to reading one highlight a line, and
    there frames up to 10 are lost. With one frame or none the scores stay as they were found, so there ``frames`` and ``scores`` may
    differ in length; what has no partner is to be ignored. Never raises.
    """
    if not isinstance(text, str):
        return HighlightAnswer((), (), "the answer is empty")
    text = re.sub("frame", "second", text, flags=re.IGNORECASE).replace("th", " ")
    if "second" not in text or "score" not in text:
        return HighlightAnswer((), (), "no 'frame' or no 'score' in the answer")
    in_lists = text.count("second") < 3 and text.count("score") < 3
    frames, scores = _timechat_lists(text) if in_lists else _timechat_lines(text)
    if len(frames) > 1:
        scores = (scores + [0.0] * len(frames))[: len(frames)]
    how = "lists of frames and scores" if in_lists else "one highlight a line"
    return HighlightAnswer(tuple(frames), tuple(scores), f"read as {how}: {len(frames)} frames, {len(scores)} scores")


_DIGIT_POINT_DIGIT = re.compile(r"\b\d\.\d\b")


def _timechat_lists(text: str) -> tuple[list[float], list[float]]:
    frames: list[float] = []
    scores: list[float] = []
    for line in text.split("\n"):
        if "second" not in line and "score" not in line:
            continue
        counted = re.search(r"There are (\d+) highlight moments", line)
        most = int(min(float(counted[1]), len(text))) if counted else 100
        parts = (line.replace(counted[0], "") if counted else line).split("score")
        frames += [float(n) for n in re.findall(r"[-+]?\d*\.\d+|\d+", parts[0])[:most]]
        # Without "score" the line is searched for both: frames like "3.0" on a line of their own become scores, too.
        scores += [float(n) for n in _DIGIT_POINT_DIGIT.findall(parts[1] if len(parts) > 1 else parts[0])[:most]]
    return frames, scores


def _timechat_lines(text: str) -> tuple[list[float], list[float]]:
    frames: list[float] = []
    scores: list[float] = []
    for line in text.split("\n"):
        if "second" not in line and "score" not in line and ":" not in line:
            continue
        scores += [float(n) for n in _DIGIT_POINT_DIGIT.findall(line)[-1:]]
        # A clock time hh:mm:ss swallows its digits; mm:ss does not, its parts are plain numbers.
        numbers = re.findall(r"\b\d{1,2}:\d\d:\d\d\b|\b(\d+(?:\.\d+)?)\b", line)
        frames += [float(n) for n in numbers if n and float(n) > 10][-1:]
    return frames, scores
