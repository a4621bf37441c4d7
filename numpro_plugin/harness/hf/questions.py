"""lmms-eval's requests -> what is asked about which video. NumPro's own tasks name the source video, so no clip is made for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from numpro_plugin.environment import decoder_name
from numpro_plugin.errors import NumProError
from numpro_plugin.files import file_identity
from numpro_plugin.harness.explain import Marks, explained
from numpro_plugin.harness.lmms import messages_of, protocol_of
from numpro_plugin.harness.sources import Stills, content_source
from numpro_plugin.harness.task import source_video
from numpro_plugin.inference.answer_log import AnswerKey, answer_key
from numpro_plugin.inference.asking import Question, VideoQuestions
from numpro_plugin.settings import SettingsByVideo
from numpro_plugin.showing import picture_count
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmms_eval.api.instance import Instance

    from numpro_plugin.inference.generation import GenerationOptions
    from numpro_plugin.settings import NumProSettings


def read_request(request: Instance, doc: Mapping[str, Any], options: GenerationOptions, settings: SettingsByVideo) -> VideoQuestions:
    """What a request of a chat model asks about which video.

    A task that is not NumPro's must show one video a question; its time is shown as by NumPro's, and what is to be said about that is
    put before its question.

    Args:
        request: lmms-eval's.
        doc: the row of the task's dataset that it asks about.
        options: how its answer is generated.
        settings: for other tasks than NumPro's, which bring their own.
    """
    protocol = protocol_of(request)
    if protocol is None:
        return _read_messages(messages_of(request, doc), f"task {request.task_name}", options, settings)
    of_video = SettingsByVideo.from_dict(protocol["settings"]).of(doc["duration_s"])
    return VideoQuestions(
        source_video(doc),
        of_video,
        (Question(request.args[0], options),),
        frames=_pictures(of_video, doc["duration_s"]),
        start_s=doc.get("start_s") or 0.0,
        end_s=doc.get("end_s"),
    )


def key_of(asked: VideoQuestions) -> AnswerKey:
    """The answer log's key of one question: all that decides its answer beside the model."""
    try:
        files = [file_identity(asked.video)]
    except NumProError:
        files = []
    question = asked.questions[0]
    shown = [decoder_name(), asked.start_s, asked.end_s, asked.settings.shown_dict()]
    return answer_key([list(files[0]) if files else asked.video, shown, question.turns, asdict(question.options)], files)


def _read_messages(messages: list[dict[str, Any]], task: str, options: GenerationOptions, by_video: SettingsByVideo) -> VideoQuestions:
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
    duration_s = _duration_s(video.path, video.start_s, video.end_s)
    settings = by_video.of(duration_s)
    text = explained(text, [Marks(settings.encoding, settings.style.color, settings.fps, video.start_s)])
    question = Question(text, options, system="\n".join(texts["system"]) or None)
    frames = _pictures(settings, duration_s)
    return VideoQuestions(video.path, settings, (question,), frames, start_s=video.start_s, end_s=video.end_s)


_ELSEWHERE = "; run it with --model numpro --model_args base=..."


def _pictures(settings: NumProSettings, duration_s: float) -> int:
    """How many frames or grids a video of some length has."""
    return picture_count(min(settings.max_frames, Timeline(duration_s, settings.fps).count), settings)


def _duration_s(video: str, start_s: float, end_s: float | None) -> float:
    """How long a part of a video lasts; 0 for one that cannot be read, which is reported when it is read."""
    try:
        duration_s = read_packets(video).duration_s
    except NumProError:
        return 0.0
    return max(0.0, min(duration_s, end_s or duration_s) - start_s)
