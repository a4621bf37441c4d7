"""What a base model is shown instead: visuals and messages with clips for videos, and the sentence about the numbers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from numpro_plugin.clips.fitted import clip_pictures, fitted_clip, frames_in_file
from numpro_plugin.harness.sources import Source, content_source, recognise
from numpro_plugin.prompts import NUMBERS_PHRASE, numbers_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpro_plugin.harness.wrap.clip_maker import ClipMaker
    from numpro_plugin.harness.wrap.readers import FrameArguments

log = logging.getLogger(__name__)


class Replacer:
    """Puts clips in the place of videos.

    Args:
        clips: makes them.
        frames: how the base reads them.
        timestamps: whether pictures are preceded by their times, as Qwen3-VL expects it of videos.
    """

    def __init__(self, clips: ClipMaker, frames: FrameArguments, *, timestamps: bool = False) -> None:
        self.clips = clips
        self.frames = frames
        self.timestamps = timestamps
        self._warned = False

    def visuals(self, visuals: Any) -> Any:
        """A simple model's list of visuals, every video as its clip's path (or as its frames, for a base that sends pictures)."""
        if not isinstance(visuals, (list, tuple)):
            return visuals
        shown: list[Any] = []
        for visual in visuals:
            source = recognise(visual)
            if source is None:
                shown.append(visual)
            elif self.frames.reader.pictures:
                shown.extend(self.clips.read(source, clip_pictures))
            else:
                shown.append(str(self._file(source)))
        return shown

    def text(self, text: str, sources: Iterable[Source]) -> str:
        """A question with the sentence about the numbers, if numbers are drawn and it does not explain them already."""
        color = next(filter(None, map(self.clips.color, sources)), None)
        return text if color is None or NUMBERS_PHRASE in text else f"{numbers_sentence(color)} {text}"

    def messages(self, messages: list[dict[str, Any]], *, add_sentence: bool) -> list[dict[str, Any]]:
        """A chat model's messages with clips for videos.

        Args:
            messages: as a task's ``doc_to_messages`` gives them; they are left as they are.
            add_sentence: whether to add the sentence about the numbers where it is missing.
        """
        replaced: list[dict[str, Any]] = []
        place: tuple[int, int] | None = None  # the first text after the first numbered video
        color = None
        for message in messages:
            if isinstance(message["content"], str):
                replaced.append(dict(message))
                continue
            contents: list[dict[str, Any]] = []
            for content in message["content"]:
                source = content_source(content)
                if source is not None:
                    shown = self.clips.shown(source)
                    color = color or shown.color
                    contents += self._contents(source)
                    continue
                if content.get("type") == "text" and color is not None and place is None:
                    place = len(replaced), len(contents)
                contents.append(dict(content))
            replaced.append({**message, "content": contents})
        texts = [c["text"] for m in replaced if not isinstance(m["content"], str) for c in m["content"] if c.get("type") == "text"]
        texts += [m["content"] for m in replaced if isinstance(m["content"], str)]
        if color is None or not add_sentence or any(NUMBERS_PHRASE in text for text in texts):
            return replaced
        return _with_sentence(replaced, place, numbers_sentence(color))

    def count(self, sources: Iterable[Source]) -> int:
        """How many frames a base that takes a fixed number must take to see every one of them; 0 without a video."""
        return max(map(self._frames, sources), default=0)

    def _frames(self, source: Source) -> int:
        if self.frames.reader.spare:
            return len(self.clips.shown(source).info.numbers) or 2
        return self.clips.read(source, frames_in_file)

    def _file(self, source: Source) -> Path:
        shown = self.clips.shown(source)
        limit, count = self.frames.limit, len(shown.info.numbers)
        if limit is not None and count > limit and not self._warned:
            self._warned = True
            log.warning(
                "%s has %d frames, but the base takes %d%s: it does not see every number",
                shown.path,
                count,
                limit,
                f" ({self.frames.reader.limit})" if self.frames.reader.limit else "",
            )
        reader = self.frames.reader
        return self.clips.read(source, lambda clip: fitted_clip(clip, spare=reader.spare, least_rate=reader.least_rate))

    def _contents(self, source: Source) -> list[dict[str, Any]]:
        if not self.frames.reader.pictures:
            return [{"type": "video", "url": str(self._file(source))}]
        shown = self.clips.shown(source)
        pictures = [{"type": "image", "url": picture} for picture in self.clips.read(source, clip_pictures)]
        if not (self.timestamps and len(shown.info.times_s) == len(pictures)):
            return pictures
        times = [{"type": "text", "text": f"<{time_s:.1f} seconds>"} for time_s in shown.info.times_s]
        return [content for both in zip(times, pictures, strict=True) for content in both]


def _with_sentence(messages: list[dict[str, Any]], place: tuple[int, int] | None, sentence: str) -> list[dict[str, Any]]:
    """The sentence goes before the first text after the video, else before the first text, else after everything."""
    if place is None:
        places = [
            (i, k)
            for i, message in enumerate(messages)
            if message.get("role") == "user" and not isinstance(message["content"], str)
            for k, content in enumerate(message["content"])
            if content.get("type") == "text"
        ]
        if not places:
            next(m for m in reversed(messages) if not isinstance(m["content"], str))["content"].append({"type": "text", "text": sentence})
            return messages
        place = places[0]
    content = messages[place[0]]["content"][place[1]]
    content["text"] = f"{sentence} {content['text']}"
    return messages
