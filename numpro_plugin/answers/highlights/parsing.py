"""The reading of a highlight answer: what of it is believed, and the frames and scores that are found there."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from numpro_plugin.answers.highlights.lists import find_lists
from numpro_plugin.answers.highlights.numbers import MOST_FRAMES, find_ranges
from numpro_plugin.answers.highlights.pairs import Group, paired, paired_without_names, scores_for
from numpro_plugin.answers.highlights.wording import ECHO, folded, normalise
from numpro_plugin.answers.marks import final_mark
from numpro_plugin.answers.thoughts import UNCLOSED, answer_part

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class HighlightAnswer:
    """What was understood of a highlight answer."""

    frames: tuple[float, ...]
    """Frame numbers in the order they were written; one that was written twice in one list is here twice."""

    scores: tuple[float, ...]
    """The saliency score of each frame, on the scale the model used. As many as ``frames``, except from TimeChat's parser."""

    reason: str
    """How it was understood, or why it was not."""

    @property
    def understood(self) -> bool:
        """At least one frame has a score."""
        return bool(self.frames and self.scores)


def format_highlights(frames: Sequence[float], scores: Sequence[float]) -> str:
    """Write an answer as the prompt asks for it: frames without needless decimals, scores with one."""
    listed = ", ".join(f"{frame:.15g}" for frame in frames)
    return f"The highlight frames are in the {listed} frames. Their saliency scores are {', '.join(f'{s:.1f}' for s in scores)}."


def parse_highlights(text: str, query: str | None = None) -> HighlightAnswer:
    """Read frames and scores from an answer such as ``The highlight frames are in the 3, 4 frames. Their saliency scores are 1.5, 4.0.``

    Ranges count every frame in them. One score for several frames is for all of them if it is said so or if they are one range;
    otherwise a frame without a score is left out, as is a score without a frame, and the reason says so. A frame keeps the score that
    was given first. Negative frames are left out and seconds are not frames. Never raises.

    Args:
        text: the answer.
        query: what was asked for; its numbers are not frames when the answer repeats it.
    """
    if not isinstance(text, str) or not text.strip():
        return _nothing("the answer is empty")
    own = answer_part(text)
    if own.unclosed and not re.search(r"\d", own.text):
        return _nothing(UNCLOSED)
    asked = query if isinstance(query, str) else ""
    if mark := final_mark(own.text.casefold()):
        return _answer(mark.text, asked)
    # What stands before the sentence that was asked for, or before "answer:", is how the model got there.
    for start in _believed_from(own.text):
        if (answer := _answer(own.text[start:], asked)).understood:
            return answer
    return _answer(own.text, asked)


_SENTENCE = re.compile(r"\bthe highlight frames? (?:is|are) in the\b(?=[^a-z]{0,400}?\d)|\banswer ?(?:is)? ?:", re.IGNORECASE)


def _believed_from(text: str) -> list[int]:
    """Where the last answer begins that is marked as one after something else with a number; a second copy changes nothing."""
    starts = [match.start() for match in deque(_SENTENCE.finditer(text), maxlen=1)]
    return [start for start in starts if re.search(r"\d", text[:start])]


def _answer(text: str, query: str) -> HighlightAnswer:
    """Read the part of an answer that is believed."""
    clean = normalise(text, query)
    # "Frame 3 - 5" is a range or a frame with its score: the reading that explains more of the answer.
    readings = [_read(clean, dash_pairs=False)] + ([_read(clean, dash_pairs=True)] if re.search(r"\d ?- ?\d", clean) else [])
    best = max(readings, key=lambda answer: len(answer.frames))
    return best if best.frames or not ECHO.search(folded(text)) else _nothing("the answer repeats the format of the prompt")


def _read(text: str, *, dash_pairs: bool) -> HighlightAnswer:
    """Read a normalised answer; ``dash_pairs`` takes "3 - 5" for a frame and its score, not for a range."""
    lists = find_lists(text, find_ranges(text, dash_pairs=dash_pairs))
    # Scores come after their frames, or before them if that explains more.
    groupings = [groups for groups in (paired(lists), paired(lists[::-1])[::-1]) if groups] or [paired_without_names(lists)]
    ways = [_answer_from(groups) for groups in groupings]
    best = max(ways, key=lambda answer: len(answer.frames))
    return best if best.reason else _nothing(_why_not(text, {one.role for one in lists}))


def _nothing(reason: str) -> HighlightAnswer:
    return HighlightAnswer((), (), reason)


def _answer_from(groups: list[Group]) -> HighlightAnswer:
    """One answer out of all groups; what an earlier group said of a frame stands."""
    found: list[tuple[float, float]] = []
    known: set[float] = set()
    lost = {"frames without a score": 0, "scores without a frame": 0, "negative frames": 0}
    budget = MOST_FRAMES
    for ranges, these in groups:
        frames = list(islice(chain.from_iterable(one.numbers() for one in ranges), budget))
        budget -= len(frames)
        scores = scores_for(ranges, these, len(frames))
        new = [(frame, score) for frame, score in zip(frames, scores, strict=False) if frame not in known]
        found += [(frame, score) for frame, score in new if frame >= 0]
        known.update(frame for frame, _ in new)
        lost["frames without a score"] += sum(frame not in known for frame in frames[len(scores) :])
        lost["scores without a frame"] += max(len(scores) - len(frames), 0)
        lost["negative frames"] += sum(frame < 0 for frame in frames)
    example = list(zip(range(80, 90), (1.3, 1.5, 2.6, 3.0, 2.9, 4.0, 3.7, 3.2, 2.1, 2.3), strict=True))
    if len(found) > 2 and found == example[: len(found)]:
        return _nothing("the answer repeats the example of the prompt")  # no video is answered so by chance
    left_out = ", ".join(f"{what} ({count})" for what, count in lost.items() if count)
    reason = "; ".join(["frames and scores read"] * bool(found) + [f"left out: {left_out}"] * bool(left_out))
    return HighlightAnswer(tuple(frame for frame, _ in found), tuple(score for _, score in found), reason)


def _why_not(text: str, roles: set[str]) -> str:
    if "frame" in roles:
        return "frames but no scores"
    if re.search(r"\bsec\b|timestamp", text):
        return "the answer gives seconds, not frames"
    return "scores but no frames" if "score" in roles else "no frames and no scores"
