"""lmms-eval's requests -> what is asked about which video. NumPro's own tasks name the source video, so no clip is made for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.harness.sources import Stills
from numpro_plugin.harness.task import source_video
from numpro_plugin.harness.wrap.messages import content_source
from numpro_plugin.inference.asking import Asked, Question
from numpro_plugin.prompts import SAID_OF_NUMBERS, numbers_sentence
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.harness.lmms import RequestArguments
    from numpro_plugin.inference.generation import GenerationOptions
    from numpro_plugin.settings import NumProSettings


def asked_of(arguments: RequestArguments, doc: Mapping[str, Any], options: GenerationOptions, settings: NumProSettings) -> Asked:
    """What a request of a chat model asks.

    A task of somebody else's must show one video a question; it is numbered as ``settings`` say, and the sentence about the numbers is
    put before its question.
    """
    if arguments.metadata():
        settings = arguments.functions().settings
        return Asked(
            source_video(doc),
            settings,
            (Question(arguments.context, options),),
            frames=min(settings.max_frames, Timeline(doc["duration_s"], settings.fps).count),
            end_s=doc.get("end_s"),
        )
    assert arguments.shows is not None
    return _asked_of_messages(arguments.shows(doc), f"task {arguments.request.task_name}", options, settings)


def _asked_of_messages(messages: list[dict[str, Any]], task: str, options: GenerationOptions, settings: NumProSettings) -> Asked:
    texts: dict[str, list[str]] = {"system": [], "user": []}
    videos = []
    for message in messages:
        if message["role"] not in texts:
            raise NumProError(f"{task}: numpro_hf takes one question, this task has turns of {message['role']!r}{_ELSEWHERE}")
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                texts[message["role"]].append(part["text"])
                continue
            source = content_source(part)
            if source is None or isinstance(source, Stills):
                what = part["type"] if source is None else "pictures in place of a video"
                raise NumProError(f"{task}: numpro_hf answers questions about one video each, this one shows {what}{_ELSEWHERE}")
            videos.append(source)
    if len(videos) != 1:
        raise NumProError(f"{task}: numpro_hf answers questions about one video each, this one shows {len(videos)}{_ELSEWHERE}")
    (video,) = videos
    text = "\n".join(texts["user"])
    if SAID_OF_NUMBERS not in text:
        text = f"{numbers_sentence(settings.style.color)} {text}"
    question = Question(text, options, system="\n".join(texts["system"]) or None)
    frames = _count(video.path, settings, video.start_s, video.end_s)
    return Asked(video.path, settings, (question,), frames, start_s=video.start_s, end_s=video.end_s)


_ELSEWHERE = "; run it with --model numpro --model_args base=..."


def _count(video: str, settings: NumProSettings, start_s: float, end_s: float | None) -> int:
    """How many frames a video will have; 1 for one that cannot be read, which is reported when its turn comes."""
    try:
        duration_s = read_packets(video).duration_s
    except NumProError:
        return 1
    return min(settings.max_frames, Timeline(max(0.0, min(duration_s, end_s or duration_s) - start_s), settings.fps).count)
