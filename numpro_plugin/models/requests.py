"""lmms-eval's requests -> what is asked about which video. NumPro's own tasks name the source video, so no clip is made for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from numpro_plugin import evaluation
from numpro_plugin.asking import Asked, Question
from numpro_plugin.clips import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.packets import read_packets
from numpro_plugin.prompts import NUMBERS_SENTENCE
from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmms_eval.api.instance import Instance

    from numpro_plugin.generation import GenerationOptions


def asked_of(request: Instance, doc: Mapping[str, Any], options: GenerationOptions) -> Asked:
    """What a request of a chat model asks.

    A task of somebody else's must show one video a question; it is numbered like NumPro's, and the sentence about the numbers is put
    before its question.
    """
    context, doc_to_messages = request.args[0], request.args[1]
    task = _task(request)
    if is_ours(request):
        settings = evaluation.task_settings(task.lmms_eval_specific_kwargs)
        return Asked(
            evaluation.source_video(doc),
            settings,
            (Question(context, options),),
            frames=min(settings.max_frames, Timeline(doc["duration_s"], settings.fps).count),
            end_s=doc.get("end_s"),
        )
    settings = NumProSettings.from_env()
    contents = [content for message in doc_to_messages(doc) for content in message["content"]]
    texts = [content["text"] for content in contents if content["type"] == "text"]
    others = [content for content in contents if content["type"] != "text"]
    if [content["type"] for content in others] != ["video"]:
        kinds = [content["type"] for content in others] or ["no video"]
        raise NumProError(
            f"task {request.task_name}: numpro_hf answers questions about one video each, this one shows {', '.join(kinds)}; "
            "run it with --model numpro --model_args base=..."
        )
    video, start_s, end_s = _segment(others[0], request.task_name)
    text = "\n".join(texts)
    if NUMBERS_SENTENCE not in text:
        text = f"{NUMBERS_SENTENCE} {text}"
    return Asked(video, settings, (Question(text, options),), frames=_count(video, settings, start_s, end_s), start_s=start_s, end_s=end_s)


def is_ours(request: Instance) -> bool:
    """Whether a request is of one of NumPro's tasks."""
    return _task(request).config.doc_to_visual is evaluation.visual


def prompt_kind(request: Instance) -> str | None:
    """Which wording a question of highlight detection has, ``zeroshot`` or ``ft``; None for all other questions."""
    said = (_task(request).config.metadata or {}).get("numpro", {}).get("prompt_id", "")
    return str(said.split("_")[1]) if said.startswith("highlight_") else None


def _task(request: Instance) -> Any:
    return request.args[1].__self__  # the bound method is the one thing in a request that knows its task


def _segment(content: Mapping[str, Any], task: str) -> tuple[str, float, float | None]:
    """Path, start and end in seconds of a video content."""
    url = content["url"]
    start_s, end_s = content.get("start_time"), content.get("end_time")
    if isinstance(url, dict):
        start_s, end_s = url.get("video_start", start_s), url.get("video_end", end_s)
        url = url.get("url") or url.get("path") or url.get("video")
    if not isinstance(url, str) or not os.path.isfile(url):
        raise NumProError(f"task {task}: numpro_hf reads videos from files, this one gives {url!r}; --model numpro may know it")
    if read_clip_info(url) is not None:
        raise NumProError(f"{url}: is already a NumPro clip; numpro_hf numbers the original video itself")
    return url, float(start_s or 0), None if end_s is None else float(end_s)


def _count(video: str, settings: NumProSettings, start_s: float, end_s: float | None) -> int:
    """How many frames a video will have; 1 for one that cannot be read, which is reported when its turn comes."""
    try:
        duration_s = read_packets(video).duration_s
    except NumProError:
        return 1
    return min(settings.max_frames, Timeline(max(0.0, min(duration_s, end_s or duration_s) - start_s), settings.fps).count)
