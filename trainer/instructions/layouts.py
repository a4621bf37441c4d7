"""The layouts of training rows that the field publishes, told apart by what a row holds.

Each reader turns a row into a `PlainRow`: the video, and turns of plain text or a query with its spans. What the numbers in the texts mean
is decided in `turns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import duration, part, plain_text, seconds, span

from .conversations import RowError
from .times import END_MARK, MARK, clock_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Event:
    """What happens in a video, and when."""

    query: str
    spans_s: tuple[tuple[float, float], ...]
    is_set: bool = False
    """Whether these are all moments of the query, which are asked for as a set even if there is one."""


@dataclass(frozen=True)
class BadEvent:
    """An event of a row that cannot be used; the others can."""

    reason: str


@dataclass(frozen=True)
class PlainRow:
    """A row of instructions in any layout."""

    video: str
    source: str | None = None
    duration_s: float | None = None
    part_s: tuple[float, float] | None = None
    """The part of the file that the row is about; its times count from the start of it."""
    turns: tuple[tuple[str, str], ...] = ()
    """(role, text), the role ``user`` or ``assistant``."""
    events: tuple[Event | BadEvent, ...] = ()
    system_turns: int = 0
    """How many system turns were left out."""


ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant", "system": "system"}
_VID = "<vid>"
_QUERY = ("query", "caption", "sentence", "problem", "text")
_SPANS = ("spans", "span", "timestamps", "timestamp", "relevant_windows", "solution", "gt")
_VIDEO = ("video", "video_path", "video_id", "vid", "video_name")
_START, _END = ("start_time", "start"), ("end_time", "end")


def read_plain_row(row: Mapping[str, Any]) -> PlainRow:
    """A row in one of the known layouts. Raises ValueError (or RowError, which is one) if it cannot be used, naming the layout."""
    for has, read in _LAYOUTS:
        if has(row):
            return read(row)
    keys = ", ".join(sorted(map(str, row))[:12]) or "none"
    raise RowError(f"has the keys {keys}: no layout that is known here; docs/shards.md lists those that are")


def _qa(row: Mapping[str, Any]) -> PlainRow:
    """TimeChat's TimeIT and VTG-IT: ``{"video", "QA": [{"q", "a"}, ...]}``, the pairs as turns of one conversation."""
    pairs = row["QA"]
    if not isinstance(pairs, list) or not pairs:
        raise RowError("has no pairs of 'q' and 'a' under 'QA'")
    turns: list[tuple[str, str]] = []
    for k, pair in enumerate(pairs):
        if not isinstance(pair, dict) or {"q", "a"} - set(pair):
            raise RowError(f"QA[{k}] has no 'q' and 'a'")
        turns += [("user", _text(pair["q"], f"QA[{k}] (q)")), ("assistant", _text(pair["a"], f"QA[{k}] (a)"))]
    return PlainRow(_video(row), _source(row), _duration(row), turns=tuple(turns))


def _messages(row: Mapping[str, Any]) -> PlainRow:
    """ms-swift's and LLaMA-Factory's ``messages`` + ``videos``, and TimeLens2-93K's conversations with a ``video_id``."""
    _reject_images(row)
    videos = _videos(row)
    turns: list[tuple[str, str]] = []
    system_turns = 1 if row.get("system") else 0
    messages = _list_of_messages(row)
    for k, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RowError(f"turn {k} is a {type(message).__name__} instead of an object")
        speaker = message.get("role", message.get("from"))
        role = ROLES.get(speaker.lower()) if isinstance(speaker, str) else None
        if role is None:
            raise RowError(f"turn {k} is from {speaker!r}; known: {', '.join(ROLES)}")
        if role == "system":
            system_turns += 1
            continue
        text, inside = _content(message.get("content", message.get("value")), k, role)
        videos += [name for name in inside if name not in videos]
        turns.append((role, text))
    if len(videos) > 1:
        raise RowError(f"is about {len(videos)} videos; a row of training is about one")
    return PlainRow(_one_video(videos), _source(row), _duration(row), turns=tuple(turns), system_turns=system_turns)


def _list_of_messages(row: Mapping[str, Any]) -> list[Any]:
    if "messages" in row or "conversations" in row:
        messages = row["messages"] if "messages" in row else row["conversations"]
        if not isinstance(messages, list) or not messages:
            raise RowError("has an empty conversation")
        return messages
    if "response" in row:  # ms-swift before messages
        pairs = [*(row.get("history") or []), [row["query"], row["response"]]]
    else:  # LLaMA-Factory's alpaca layout
        asked = "\n".join(text for text in (row["instruction"], row.get("input")) if text)
        pairs = [*(row.get("history") or []), [asked, row["output"]]]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RowError("'history' is not a list of [question, answer]")
    return [{"role": role, "content": text} for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]


def _content(content: Any, k: int, role: str) -> tuple[str, list[str]]:
    """The text of a message, and the videos that are named in it (content as a list of parts)."""
    if isinstance(content, str):
        return _text(content, f"turn {k} ({role})"), []
    if not isinstance(content, list):
        raise RowError(f"turn {k} ({role}) is empty")
    texts, videos = [], []
    for piece in content:
        kind = piece.get("type") if isinstance(piece, dict) else None
        value = piece.get(kind) if isinstance(piece, dict) and kind else None
        if kind == "text":
            texts.append(str(value))
        elif kind in {"video", "video_url"}:
            videos.append(_video_value(value.get("url") if isinstance(value, dict) else value))
        elif kind in {"image", "image_url"}:
            raise RowError("has an image where a video is expected")
        else:
            raise RowError(f"turn {k} ({role}) has content of type {kind!r}; known: text, video, video_url")
    return _text("\n".join(texts), f"turn {k} ({role})"), videos


def _et_instruct(row: Mapping[str, Any]) -> PlainRow:
    """E.T. Instruct 164K: times in the text, or ``<vid>`` for each of those under ``src`` (in questions) and ``tgt`` (in answers)."""
    plain = _messages({**row, "videos": [row.get("video")]})
    left = {"user": _flat_times(row.get("src"), "src"), "assistant": _flat_times(row.get("tgt"), "tgt")}
    turns = []
    for role, text in plain.turns:
        pieces = text.split(_VID)
        if len(pieces) - 1 > len(left[role]):
            raise RowError(f"E.T. Instruct: a text has more {_VID} than there are times under {'src' if role == 'user' else 'tgt'!r}")
        for k in range(1, len(pieces)):
            pieces[k] = f"{MARK}{left[role].pop(0)}{END_MARK}{pieces[k]}"
        turns.append((role, "".join(pieces)))
    if any(_VID in text for _, text in plain.turns) and any(left.values()):
        raise RowError(f"E.T. Instruct: there are more times under 'src' and 'tgt' than {_VID} in its texts")
    return PlainRow(plain.video, plain.source, plain.duration_s, turns=tuple(turns), system_turns=plain.system_turns)


def _flat_times(value: Any, name: str) -> list[float]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowError(f"E.T. Instruct: {name} is not a list of times")
    return [time for one in value for time in (_flat_times(one, name) if isinstance(one, list) else [seconds(one)])]


def _events(row: Mapping[str, Any]) -> PlainRow:
    """TimeLens-100K, and TimeLens2-93K grouped by video: ``{"video_path", "duration", "source", "events": [{"query", "span"}]}``."""
    return PlainRow(_video(row), _source(row), _duration(row), events=_each_event(row, "events"))


def _annotations(row: Mapping[str, Any]) -> PlainRow:
    """The annotations of TimeLens2-93K: ``{"video_id", "annotations": [{"text", "timestamps": [[s, e], ...]}]}``, each a whole set."""
    return PlainRow(_video(row), _source(row), _duration(row), events=_each_event(row, "annotations", is_set=True))


def _internvid(row: Mapping[str, Any]) -> PlainRow:
    """InternVid: a caption of one clip of a video, which is when the caption happens in the whole video."""
    name, caption = _video({"video": row.get("YoutubeID")}), plain_text(row.get("Caption"), "Caption").strip()
    times = [_clock_or_seconds(row.get(key), key) for key in ("Start_timestamp", "End_timestamp")]
    return PlainRow(name, _source(row), events=(Event(caption, ((times[0], times[1]),)),))


def _by_column(row: Mapping[str, Any]) -> PlainRow:
    """One query a row: Time-R1's lists (also with ``video_start`` and ``video_end``), MUSEG's, one's own."""
    _reject_images(row)
    cut = (row.get("video_start"), row.get("video_end"))
    cut_s = None if cut[1] is None else part(cut[0] or 0, cut[1])
    return PlainRow(_video(row), _source(row), _duration(row), cut_s, events=(_event(row, "the row"),))


def _tvgbench(_: Mapping[str, Any]) -> PlainRow:
    raise RowError("is a row of TVGBench, on which models are evaluated; train on Time-R1's training lists")


def _each_event(row: Mapping[str, Any], key: str, *, is_set: bool = False) -> tuple[Event | BadEvent, ...]:
    listed = row[key]
    if not isinstance(listed, list) or not listed:
        raise RowError(f"has no list of queries and spans under {key!r}")
    events: list[Event | BadEvent] = []
    for one in listed:
        try:
            events.append(_event(one, "the event", is_set=is_set))
        except ValueError as error:
            events.append(BadEvent(str(error)))
    return tuple(events)


def _event(row: Any, where: str, *, is_set: bool = False) -> Event:
    if not isinstance(row, dict):
        raise RowError(f"{where} is a {type(row).__name__} instead of an object")
    query = plain_text(_first(row, _QUERY), "query").strip()
    value = _first(row, _SPANS)
    if value is None and _first(row, _START) is not None:
        value = [_clock_or_seconds(_first(row, _START), "start"), _clock_or_seconds(_first(row, _END), "end")]
    if value is None or value == []:
        raise RowError(f"{where} has no span")
    pairs = value if isinstance(value, list) and value and isinstance(value[0], (list, tuple)) else [value]
    return Event(query, tuple(span(pair) for pair in pairs), is_set=is_set or len(pairs) > 1)


def _clock_or_seconds(value: Any, what: str) -> float:
    if isinstance(value, str):
        text = value.strip()
        return seconds(clock_s(text)) if ":" in text else _number(text, what)
    if value is None:
        raise RowError(f"has no {what}")
    return seconds(value)


def _number(text: str, what: str) -> float:
    try:
        return seconds(float(text.removesuffix("s")))
    except ValueError:
        raise RowError(f"{what} {text!r} is not a number of seconds or a clock time") from None


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{what} is empty")
    return plain_text(value, what)


def _source(row: Mapping[str, Any]) -> str | None:
    return str(row["source"]) if row.get("source") else None


def _duration(row: Mapping[str, Any]) -> float | None:
    return None if row.get("duration") is None else duration(row["duration"])


def _video(row: Mapping[str, Any]) -> str:
    return _one_video(_videos(row))


def _one_video(videos: list[str]) -> str:
    if not videos:
        raise RowError("names no video")
    return videos[0]


def _videos(row: Mapping[str, Any]) -> list[str]:
    found = row["videos"] if row.get("videos") is not None else _first(row, _VIDEO)
    if found is None or found in ("", []):
        return []
    named = [_video_value(one) for one in (found if isinstance(found, list) else [found])]
    if len(named) > 1:
        raise RowError(f"is about {len(named)} videos; a row of training is about one")
    return named


def _video_value(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("path") or value.get("url")
    if isinstance(value, list):
        raise RowError("gives a list of pictures for a video; give the video file")
    if not isinstance(value, str) or not value.strip():
        raise RowError("names no video")
    return value.removeprefix("file://").strip()


def _reject_images(row: Mapping[str, Any]) -> None:
    if any(row.get(key) for key in ("images", "image")):
        raise RowError("has an image where a video is expected")


def _is_list(row: Mapping[str, Any], key: str) -> bool:
    return isinstance(row.get(key), list)


def _conversation_of_et_instruct(row: Mapping[str, Any]) -> bool:
    return "conversations" in row and bool({"src", "tgt"} & set(row) or {"task", "duration"} <= set(row)) and "meta" not in row


_LAYOUTS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], PlainRow]], ...] = (
    (lambda row: "QA" in row, _qa),
    (_conversation_of_et_instruct, _et_instruct),
    (lambda row: bool({"messages", "conversations"} & set(row)), _messages),
    (lambda row: {"query", "response"} <= set(row) or {"instruction", "output"} <= set(row), _messages),
    (lambda row: "events" in row, _events),
    (lambda row: _is_list(row, "annotations"), _annotations),
    (lambda row: "YoutubeID" in row, _internvid),
    (lambda row: {"path", "question", "answer"} <= set(row), _tvgbench),
    (lambda row: bool(_first(row, _QUERY) and (set(_VIDEO) | {"videos"}) & set(row)), _by_column),
)


def is_by_video(video: Any) -> bool:
    """Whether the value of a key of a JSON object lists the queries of a video, as Time-R1's files of Charades and ActivityNet do."""
    return isinstance(video, dict) and {"timestamps", "sentences"} <= set(video)


def row_of_video(name: str, video: Mapping[str, Any]) -> dict[str, Any]:
    """``{"duration", "timestamps": [[s, e], ...], "sentences": [...]}`` of a video as a row. Raises RowError if the lists differ."""
    timestamps, sentences = video["timestamps"], video["sentences"]
    if not isinstance(timestamps, list) or not isinstance(sentences, list) or len(timestamps) != len(sentences):
        raise RowError("'timestamps' and 'sentences' are not lists of one length")
    events = [{"sentence": sentence, "span": pair} for pair, sentence in zip(timestamps, sentences, strict=True)]
    return {"video": name, "duration": video.get("duration"), "events": events}
