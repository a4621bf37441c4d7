"""What a model wrote about highlights -> frame numbers with saliency scores.

Read is what a person would read: the lists of numbers are found, the words around each say whether it counts frames, scores, seconds
or something else, and frames and scores are put together. (The field's usual parser, which reads less, is in timechat.py.)
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Literal, NamedTuple

from numpro_plugin.answers.highlight_wording import ECHO, folded, normalise
from numpro_plugin.answers.marks import final_mark
from numpro_plugin.answers.thoughts import UNCLOSED, answer_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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


# What follows is the reader for people's reading: text -> numbers and ranges -> lists of them that are frames or scores -> pairs.

_MOST_FRAMES = 5_000  # almost three hours of video; "frames 0 to 99999999" must not fill the memory


class _Range(NamedTuple):
    """A range in the text and where it stands; a number is a range of one."""

    first: float
    last: float
    start: int
    end: int
    decimal: bool
    """Written with a decimal point, as most scores are."""

    @property
    def size(self) -> int:
        return int(min(abs(self.last - self.first), _MOST_FRAMES)) + 1

    def numbers(self) -> Iterator[float]:
        return (self.first + (k if self.last > self.first else -k) for k in range(self.size))


class _List(NamedTuple):
    """Ranges with nothing but commas between them, and what they are."""

    role: Literal["frame", "score"]
    ranges: list[_Range]
    plural: bool = False
    """Several scores were announced ("their scores are"), so that a single one is not meant for all frames."""


_Group = tuple[list[_Range], _List]
"""Frames and the scores that belong to them."""


def _read(text: str, *, dash_pairs: bool) -> HighlightAnswer:
    """Read a normalised answer; ``dash_pairs`` takes "3 - 5" for a frame and its score, not for a range."""
    lists = _lists(text, _ranges(text, dash_pairs=dash_pairs))
    # Scores come after their frames, or before them if that explains more.
    ways = [_together(groups) for groups in (_paired(lists), _paired(lists[::-1])[::-1]) if groups] or [_together(_unnamed(lists))]
    best = max(ways, key=lambda answer: len(answer.frames))
    return best if best.reason else _nothing(_why_not(text, {one.role for one in lists}))


def _nothing(reason: str) -> HighlightAnswer:
    return HighlightAnswer((), (), reason)


_NUMBER = re.compile(  # a minus counts after a separator or a word: "30 -4.5" is no negative score
    r"(?:(?:(?<=[,(\[{:=])|(?<=[,(\[{:=a-z] ))-)?(?:(?<![\w.])|(?<=frame)|(?<=frames)|(?<=\bf))(?:\d+(?:\.\d+)?|\.\d+)"
    r"(?:(?=frames?\b)|(?:(?:st|nd|rd|th))?(?!\w))"
)
_TO = re.compile(
    r" ?(?:(?P<dash>-)|(?:up )?to|through|thru|until|till|,? ?\.{2,} ?,?|,?(?: and)? ?end(?:s|ing)?(?: at)?(?: frame)? ?:?|(?P<and>and))"
    r" ?(?:the )?(?:frames? ?(?:number )?)?[#\[]? ?"
)


def _ranges(text: str, *, dash_pairs: bool) -> list[_Range]:
    """The numbers of the text; two with a "to" between them are one range."""
    ranges: list[_Range] = []
    for match in islice(_NUMBER.finditer(text), 2 * _MOST_FRAMES):
        value = min(float(match[0].rstrip("stndrh")), 1e15)  # none is infinite
        this = _Range(value, value, match.start(), match.end(), "." in match[0])
        if ranges and _is_range(text, ranges[-1], this, dash_pairs=dash_pairs):
            this = ranges.pop()._replace(last=value, end=this.end)
        ranges.append(this)
    return ranges


_PLURAL_BEFORE = re.compile(r"\bframes ?[(\[]?$")


def _is_range(text: str, first: _Range, last: _Range, *, dash_pairs: bool) -> bool:
    if first.last != first.first or first.decimal != last.decimal or not 1 <= last.start - first.end <= 30:
        return False
    to = _TO.fullmatch(text, first.end, last.start)
    if to is None or (to["and"] and not re.search(r"between (?:the )?(?:frames? )?#?$", text[max(first.start - 30, 0) : first.start])):
        return False
    if _PLURAL_BEFORE.search(text[max(first.start - 12, 0) : first.start]) and last.last > first.first:
        return True
    return not to["dash"] or not (dash_pairs or last.last < min(first.last, 11))  # "30 - 4" is a frame and its score


def _neighbours(text: str, ranges: list[_Range]) -> list[list[_Range]]:
    """The ranges with nothing but list separators between them."""
    lists: list[list[_Range]] = []
    for this in ranges:
        gap = text[lists[-1][-1].end : this.start] if lists else ":"
        if gap == ", " or (re.fullmatch(r"[ ,;&#\n]*(?:(?:and|or|then)\b[ ,;&#]*)?", gap) and _same_layout(text, lists[-1], this, gap)):
            lists[-1].append(this)
        else:
            lists.append([this])
    split: list[list[_Range]] = []
    for i, here in enumerate(lists):
        # In "3: 4.5, 4: 2.0" what stands before and after "4.5, 4" is the same, so the next pair begins within it.
        before = text[split[-1][-1].end : here[0].start].strip() if split else ""
        repeats = before and before[0] not in ")]}" and i + 1 < len(lists) and before == text[here[-1].end : lists[i + 1][0].start].strip()
        split += [here[:-1], here[-1:]] if repeats and len(here) > 1 else [here]
    return split


def _same_layout(text: str, before: list[_Range], this: _Range, gap: str) -> bool:
    """Whether a list goes on after a line break: its numbers stand one a line, or the line ended with a comma."""
    if "\n" not in gap or "," in gap:
        return True
    column = len(before) < 2 or "\n" in text[before[-2].end : before[-1].start]
    return column and gap.count("\n") == 1 and text[this.end : this.end + 1] in {"", "\n"}


_KEYWORD = re.compile(
    r"(?P<frame>(?:key)?frames?\b(?! (?:saliency|scores?\b|ratings?\b))|\#|\bf$|\b(?:highlights?|moments?)\b(?! (?:saliency|scores?\b))"
    r"|\b(?:start|from)(?=[ :=]*$))"
    r"|(?P<score>\b(?:scor(?:e[sd]?|ing)|salien(?:cy|ce)|ratings?|rated|relevanc[ey])\b)"
    r"|(?P<time>\b(?:timestamps?|seconds)\b|\bsecond(?=[ :]*$))|(?P<clause>[.;,\n]|\band\b)"
)
_NEAR_FRAME = re.compile(r"(?:frames?|\bf|\#) ?(?:(?:number|no\.?|id|index)s? ?)?[(\[#]*$")
_NEAR_SCORE = re.compile(r"(?:\bscore[sd]?|saliency|ratings?|rated) ?(?:of|at|as|:|=)?[ :=(\[{]*$")
_FRAMES_AFTER = re.compile(r"[)\]]? ?(?:(?:key|highlight(?:ed)?|red|video) ?){0,3}frames?\b(?! ?#?\d| (?:number|no|id|index)\b)")
_KEYED = re.compile(r" ?[:=|(-] ?\(?\.?\d")
_KEYED_DECIMAL = re.compile(r" ?[:(] ?\d\.\d")
_SUPERLATIVE = re.compile(r"\b(?:highest|lowest|max(?:imum)?|min(?:imum)?|peak|average)\b")
_SCORES = re.compile(r"\b(?:scores|ratings)\b")
_FOR_ALL = re.compile(r"\b(?:all|each|every|both|same)\b")


def _lists(text: str, ranges: list[_Range]) -> list[_List]:
    """The lists that are frames or scores."""
    lists: list[_List] = []
    end, announced = 0, False
    for numbers in _neighbours(text, ranges):
        gap = text[end : numbers[0].start]
        keyed = len(numbers) == 1 and not numbers[0].decimal and _KEYED.match(text, numbers[0].end)  # "Scores: 3: 4.5, 4: 2.0"
        after = None if _NEAR_SCORE.search(gap[-40:]) else _FRAMES_AFTER.match(text, numbers[-1].end)
        label = _label(gap)
        next_pair = keyed and label is None and lists and lists[-1].role == "score" and _KEYED_DECIMAL.match(text, numbers[-1].end)
        role = "frame" if after or next_pair or (keyed and label == "score") else label or _implied(text, gap, numbers, lists)
        end = after.end() if after else numbers[-1].end
        # "The highest score is 4.9 in frame 3" does not change what a sentence with all scores said.
        if role not in {"frame", "score"} or (announced and _SUPERLATIVE.search(gap)):
            continue
        plural = role == "score" and bool(_SCORES.search(gap)) and not _FOR_ALL.search(gap)
        announced = announced or plural
        lists.append(_List(role, numbers, plural))  # type: ignore[arg-type]
    return lists


def _label(gap: str) -> str | None:
    """What the words before a list announce: the noun next to it, else the first of the last clause ("scores of these frames are")."""
    label, fresh = None, True
    for word in _KEYWORD.finditer(gap):
        if word.lastgroup == "clause":
            fresh = True
        elif fresh:
            label, fresh = word.lastgroup, False
    if label and _NEAR_FRAME.search(gap[-40:]):
        return "frame"
    return "score" if label and _NEAR_SCORE.search(gap[-40:]) else label


_PAIR = re.compile(r"(?:(?:is|are|was|has|have|gets?|got|receives?|with|at|it|being|an?|the|of|x|sec)\b|[] ,){}\n:=|(\[>-])+")
_PAIR_SIGN = re.compile(r"[:=|(>\[-]|\b(?:is|are|was|has|have|gets?|got|receives?|with|at)\b")
_NEXT_TUPLE = re.compile(r"[])}][ ,;\n]*[(\[{]")
_WORD = re.compile(r"\b(?!(?:and|or)\b)[^\W\d]")


def _implied(text: str, gap: str, numbers: list[_Range], lists: list[_List]) -> str | None:
    """The role of a list that no word announces, from its place and the lists before it."""
    last = lists[-1].role if lists else None
    pairs = len(gap) < 40 and _PAIR.fullmatch(gap) and _PAIR_SIGN.search(gap) and not _NEXT_TUPLE.search(gap)
    if pairs and last == "frame":
        return "score"
    if pairs and last and all(one.role == "score" for one in lists[:2]):
        return "frame"
    if last and not _WORD.search(gap):  # the next of "3 (4.5), 4 (2.0)"
        return lists[-2:][0].role
    if ("\n" in gap or numbers[0].start == len(gap)) and not _WORD.search(gap, gap.rfind("\n") + 1):
        return "frame"
    # "Frame 3: the door opens - 4.5"
    ends_line = re.match(r"\)?[.;]?(?:\n|$)", text[numbers[-1].end : numbers[-1].end + 3])
    return "score" if ends_line and last == "frame" and "\n" not in gap and re.search(r"[:=(-] ?$", gap) else None


def _paired(lists: list[_List]) -> list[_Group]:
    """Every list of scores with the frames before it."""
    groups: list[_Group] = []
    frames: list[_List] = []
    answered = False
    for this in lists:
        if this.role == "frame":
            if answered:
                frames, answered = [], False
            frames.append(this)
        elif frames and not answered:
            groups.append((frames[0].ranges if len(frames) == 1 else _nearest(frames, this), this))
            answered = True
    return groups


def _nearest(frames: list[_List], scores: _List) -> list[_Range]:
    """Of several lists of frames before the scores the last with as many numbers, else all."""
    for each in frames[::-1]:
        if len(scores.ranges) in {len(each.ranges), sum(one.size for one in each.ranges)}:
            return each.ranges
    every = {(one.first, one.last): one for each in frames for one in each.ranges}
    return sorted(every.values(), key=lambda one: one.start)


def _unnamed(lists: list[_List]) -> list[_Group]:
    """No list is said to be scores: "(3, 4.5), (4, 2.0)", or two lists of the same length."""
    ranges = [one.ranges for one in lists if one.role == "frame"]
    pairs = ranges[:-1] if ranges and len(ranges[-1]) == 1 else ranges  # the answer may end within a pair
    if all(len(pair) == 2 and pair[1].decimal > pair[0].decimal and pair[1].first <= 10 for pair in pairs):
        return [([frame], _List("score", [score])) for frame, score in pairs]
    if len(ranges) == 2 and len(ranges[0]) == len(ranges[1]) and all(one.decimal and one.first <= 10 for one in ranges[1]):
        return [(ranges[0], _List("score", ranges[1]))]
    return []


def _together(groups: list[_Group]) -> HighlightAnswer:
    """One answer out of all groups; what an earlier group said of a frame stands."""
    found: list[tuple[float, float]] = []
    known: set[float] = set()
    lost = {"frames without a score": 0, "scores without a frame": 0, "negative frames": 0}
    budget = _MOST_FRAMES
    for ranges, these in groups:
        frames = list(islice(chain.from_iterable(one.numbers() for one in ranges), budget))
        budget -= len(frames)
        scores = _scores_for(ranges, these, len(frames))
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


def _scores_for(ranges: list[_Range], scores: _List, frames: int) -> list[float]:
    values = [(one.first + one.last) / 2 for one in scores.ranges]  # of a score "3-4" the middle
    if len(values) == len(ranges) != frames:  # one for each range
        return list(islice(chain.from_iterable(repeat(value, one.size) for value, one in zip(values, ranges, strict=True)), frames))
    return values * frames if len(values) == 1 and not scores.plural else values


def _why_not(text: str, roles: set[str]) -> str:
    if "frame" in roles:
        return "frames but no scores"
    if re.search(r"\bsec\b|timestamp", text):
        return "the answer gives seconds, not frames"
    return "scores but no frames" if "score" in roles else "no frames and no scores"
