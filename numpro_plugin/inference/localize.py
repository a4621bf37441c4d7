"""A video and queries -> when it happens, in seconds: what `numpro ask` does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpro_plugin.answers.highlights import parse_highlights
from numpro_plugin.answers.reading import read_moment
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import HIGHLIGHT_ANSWER_TOKENS, MOMENT_ANSWER_TOKENS
from numpro_plugin.prompts.questions import highlights_question, moment_question
from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.packets import PacketIndex, read_packets
from numpro_plugin.weights.record import numpro_settings_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.families import Family, Loaded


@dataclass(frozen=True)
class Localized:
    """A model's answer to one query."""

    query: str

    text: str
    """The model's words."""

    span_s: tuple[float, float] | None
    """Start and end in seconds, if the answer names a span in a unit that counts (see `read_moment`); ordered and within the video."""

    highlights: tuple[tuple[float, float], ...]
    """(seconds, score) of each highlight, if highlights were asked for."""

    reason: str
    """How the answer was understood, or why it was not."""


def localize(
    video: str | os.PathLike[str] | PacketIndex,
    queries: Sequence[str],
    loaded: Loaded,
    settings: NumProSettings,
    *,
    highlights: bool = False,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_new_tokens: int | None = None,
    **asker: Any,
) -> list[Localized]:
    """When what each query describes happens in a video; the video goes through the model once for all of them.

    Args:
        video: path of a video file, or its index, which saves reading its packets again.
        queries: what to look for, one or more.
        loaded: the model, from ``families.load_model``.
        settings: how frames are sampled and numbered; ``settings_for`` finds those that fit the model.
        highlights: ask for highlights with saliency scores instead of one moment.
        start_s: look at the part of the video that begins here; answers are in seconds of the whole video.
        end_s: and ends here.
        max_new_tokens: the most tokens of an answer; by default that of the benchmark tasks (128; highlights 512, with an adapter 1024).
        asker: options of ``asking.Asker``.

    Raises:
        NumProError: the video cannot be read, or is too long for the model; an empty query.
    """
    from numpro_plugin.inference.asking import Question, VideoQuestions, ask_one
    from numpro_plugin.inference.generation import GenerationOptions

    if blank := [query for query in queries if not query.strip()] or not queries:
        raise NumProError(f"a query must say what to look for, got {blank if queries else 'none'}")
    index = video if isinstance(video, PacketIndex) else read_packets(video)
    duration_s = index.duration_s
    timeline = Timeline(max(0.0, min(duration_s, end_s or duration_s) - start_s), settings.fps)
    usual = HIGHLIGHT_ANSWER_TOKENS[settings.prompt] if highlights else MOMENT_ANSWER_TOKENS
    options = GenerationOptions(usual if max_new_tokens is None else max_new_tokens)
    if highlights:
        texts = [highlights_question(query, settings) for query in queries]
    else:
        texts = [moment_question(query, settings, timeline) for query in queries]
    questions = tuple(Question(text, options, key=k) for k, text in enumerate(texts))
    frames = min(settings.max_frames, timeline.count)
    asked = VideoQuestions(index.path, settings, questions, frames, start_s=start_s, end_s=end_s, index=index)
    answers = ask_one(loaded, asked, **asker)
    read = _highlights if highlights else _moment
    return [read(query, answer.text or "", settings, timeline, start_s) for query, answer in zip(queries, answers, strict=True)]


def settings_for(
    family: Family,
    model: str | Path,
    adapter: str | Path | None = None,
    *,
    fps: float | None = None,
    frame_size: tuple[int, int] | None = None,
    max_frames: int | None = None,
    encoding: TimeEncoding | None = None,
) -> NumProSettings:
    """The settings that fit a model: its frame size, and what its adapter (or a merged ``model`` itself) was trained with.

    Raises:
        NumProError: ``fps``, ``frame_size`` or ``encoding`` differs from what it was trained with, or is none that the model takes.
    """
    trained = numpro_settings_of(adapter or model)
    if trained is not None and fps not in (None, trained.fps):
        raise NumProError(f"{adapter or model} was trained with {trained.fps:g} numbers per second, not fps={fps:g}: leave fps out")
    if trained is not None and encoding not in (None, trained.encoding):
        asked = "" if encoding is None else encoding.name
        raise NumProError(f"{adapter or model} was trained with encoding {trained.encoding.name}, not {asked}: leave encoding out")
    settings = trained or NumProSettings(prompt="zeroshot" if adapter is None else "ft")
    usual = settings.frame_size if family.takes(settings.frame_size) else family.frame_size
    size = frame_size or usual
    if trained is not None and size != usual:
        raise NumProError(
            f"{adapter or model} was trained with frames of {usual[0]} x {usual[1]}, not frame_size={size}: leave frame_size out"
        )
    if not family.takes(size):
        raise NumProError(f"frame_size={size}: {family.model_types[0]} takes {family.allowed_sizes} pixels")
    settings = replace(settings, frame_size=size, fps=settings.fps if fps is None else fps, encoding=encoding or settings.encoding)
    family.check_encoding(settings.encoding)
    return settings if max_frames is None else replace(settings, max_frames=max_frames)


def _moment(query: str, text: str, settings: NumProSettings, timeline: Timeline, start_s: float) -> Localized:
    answer = read_moment(text, settings.encoding.answer, timeline)
    if answer.span_s is None:
        return Localized(query, text, None, (), answer.reason)
    start, end = (min(max(0.0, time), timeline.duration_s) + start_s for time in answer.span_s)
    return Localized(query, text, (start, end), (), answer.reason)


def _highlights(query: str, text: str, settings: NumProSettings, timeline: Timeline, start_s: float) -> Localized:
    answer = parse_highlights(text, query)
    pairs = list(zip(answer.frames, answer.scores, strict=False))
    there = tuple((timeline.seconds(frame) + start_s, score) for frame, score in pairs if frame < timeline.count)
    beyond = f"; {len(pairs) - len(there)} beyond the video left out" if len(there) < len(pairs) else ""
    return Localized(query, text, None, there, answer.reason + beyond)
