"""What a base model is shown instead: visuals and messages with clips for videos, and what is said about the marks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from numpro_plugin.clips.fitted import clip_pictures, fitted_clip, frames_in_file
from numpro_plugin.harness.explain import Marks, explained, sentences
from numpro_plugin.harness.sources import Source, content_source, recognise
from numpro_plugin.harness.wrap.readers import needs_pictures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpro_plugin.clips.metadata import ClipInfo
    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.harness.wrap.clip_maker import ClipMaker
    from numpro_plugin.harness.wrap.readers import FrameArguments

log = logging.getLogger(__name__)


class Replacer:
    """Puts clips in the place of videos.

    Args:
        clips: makes them.
        frames: how the base reads them.
        timestamps: whether pictures are preceded by their times, as Qwen3-VL expects it of videos, where the encoding leaves the text to
            the family.
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
        """A question with what is to be said about the marks before it (see `sentences`)."""
        return explained(text, filter(None, map(self.clips.marks, sources)))

    def messages(self, messages: list[dict[str, Any]], *, own: TimeEncoding | None = None) -> list[dict[str, Any]]:
        """A chat model's messages with clips, or text and pictures in turn, for videos.

        Args:
            messages: as a task's ``doc_to_messages`` gives them; they are left as they are.
            own: how one of NumPro's tasks shows time: its question explains that itself. None for other tasks, whose clips are made by
                the settings of the model and explained where the question does not do it.
        """
        replaced: list[dict[str, Any]] = []
        place: tuple[int, int] | None = None  # the first text after the first marked video
        shown: list[Marks] = []
        for message in messages:
            if isinstance(message["content"], str):
                replaced.append(dict(message))
                continue
            contents: list[dict[str, Any]] = []
            for content in message["content"]:
                source = content_source(content)
                if source is not None:
                    clip, marks = self.clips.shown(source), self.clips.marks(source)
                    if marks is not None and clip.problem is None:
                        shown.append(marks)
                    contents += self._contents(source, own or (marks and marks.encoding) or self.clips.settings.encoding)
                    continue
                if content.get("type") == "text" and place is None and any(marks.encoding.shows_time for marks in shown):
                    place = len(replaced), len(contents)
                contents.append(dict(content))
            replaced.append({**message, "content": contents})
        asked = [c["text"] for m in messages if not isinstance(m["content"], str) for c in m["content"] if c.get("type") == "text"]
        asked += [m["content"] for m in messages if isinstance(m["content"], str)]
        said = sentences("\n".join(asked), shown) if own is None else []
        return _with_sentence(replaced, place, " ".join(said)) if said else replaced

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

    def _contents(self, source: Source, encoding: TimeEncoding) -> list[dict[str, Any]]:
        if not (self.frames.reader.pictures or needs_pictures(encoding)):
            return [{"type": "video", "url": str(self._file(source))}]
        info = self.clips.shown(source).info
        pictures = [{"type": "image", "url": picture} for picture in self.clips.read(source, clip_pictures)]
        texts = self._texts(info, encoding, source) or ("",) * len(pictures)
        pairs = [({"type": "text", "text": text}, picture) for text, picture in zip(texts, pictures, strict=True)]
        return [part for pair in pairs for part in pair if part.get("text") != ""]

    def _texts(self, info: ClipInfo, encoding: TimeEncoding, source: Source) -> Sequence[str] | None:
        """What is written before each picture; None if nothing is."""
        if info.is_blank:
            return None
        texts = encoding.texts(info.frame_numbers, info.settings["fps"])
        if texts is None and self.timestamps and len(info.times_s) == len(info.numbers):
            # A clip that NumPro's own task made of a part is asked about and scored from its beginning. Other tasks name the part of a
            # video themselves, and mean times of the whole.
            begins_s = info.times_s[0] - getattr(source, "start_s", 0.0)
            return [f"<{time_s - begins_s:.1f} seconds>" for time_s in info.times_s]
        return texts


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
