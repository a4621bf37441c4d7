"""What decides the answer to a request beside the base model: its texts, its options, and what is on the disk of its visuals."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from lmms_eval.caching.response_cache import is_deterministic
from PIL import Image

from numpro_plugin.clips.stills import folder_pictures
from numpro_plugin.environment import decoder_name
from numpro_plugin.errors import NumProError
from numpro_plugin.files import FileIdentity, file_identity, hash_of
from numpro_plugin.harness.explain import asked_unit
from numpro_plugin.harness.lmms import document, generation_options, protocol_of, shows_at
from numpro_plugin.harness.task import source_video
from numpro_plugin.inference.answer_log import AnswerKey, answer_key
from numpro_plugin.settings import SettingsByVideo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmms_eval.api.instance import Instance

    from numpro_plugin.settings import NumProSettings

LOGGED_TYPES = ("generate_until", "loglikelihood")
"""Request types whose requests say all that is asked. In the others later questions depend on earlier answers."""


class _IncompleteError(Exception):
    """Something decides the answer that has no identity, such as what is behind a URL."""


def request_key(
    model: Any, request: Instance, request_type: str, *, chat: bool, settings: NumProSettings, repeat: int = 0
) -> AnswerKey | None:
    """The answer log's key of a request; None where a key would not hold all that decides the answer, or the answer is sampled.

    Args:
        model: the base, for the documents of its tasks.
        request: as lmms-eval made it.
        request_type: the method of the base that answers it.
        chat: whether the base takes messages.
        settings: of the clips that are made for tasks that are not NumPro's.
        repeat: 0 for the first time that a task asks the same, 1 for the second, ...
    """
    options = {name: value for name, value in generation_options(request).items() if name != "numpro"}
    if request_type not in LOGGED_TYPES or not is_deterministic(request_type, options):
        return None
    seen = _Seen()
    try:
        protocol = protocol_of(request)
        shown = _of_protocol(model, request, protocol, seen) if protocol else _of_others(model, request, chat, settings, seen)
        texts = [argument for argument in request.args if isinstance(argument, str)]
        values = [request_type, request.task_name, texts, options, shown, decoder_name(), repeat]
    except Exception:  # of a task's own code, too: it fails again for the base, which knows what to do with it
        return None
    return answer_key(values, seen.files)


def _of_protocol(model: Any, request: Instance, protocol: Mapping[str, Any], seen: _Seen) -> Any:
    """NumPro's tasks name the source video, so no clip is made for a question that is answered already."""
    doc = document(model, request)
    settings = SettingsByVideo.from_dict(protocol["settings"]).of(doc["duration_s"])
    part = [doc.get("start_s") or 0.0, doc.get("end_s")]
    return [seen.file(source_video(doc)), part, settings.shown_dict(), protocol["prompt"]]


def _of_others(model: Any, request: Instance, chat: bool, settings: NumProSettings, seen: _Seen) -> Any:
    index = shows_at(request, chat=chat)
    if any(callable(argument) for k, argument in enumerate(request.args) if k != index):
        raise _IncompleteError  # something else is computed when the base asks
    if index is None:
        return settings.shown_dict()
    shown = request.args[index](document(model, request))
    # What is said about the marks depends on whether the question asks for times.
    asked = " ".join([*(argument for argument in request.args if isinstance(argument, str)), *(_texts(shown) if chat else ())])
    unit = [unit] if (unit := asked_unit(asked)) else []
    return [settings.shown_dict(), _messages(shown, seen) if chat else seen.visual(shown), *unit]


def _texts(messages: Any) -> list[str]:
    contents = [message["content"] for message in messages]
    parts = [part for content in contents if not isinstance(content, str) for part in content]
    return [content for content in contents if isinstance(content, str)] + [part["text"] for part in parts if part["type"] == "text"]


def _messages(messages: Any, seen: _Seen) -> Any:
    parts = []
    for message in messages:
        content = message["content"]
        parts.append([message["role"], content if isinstance(content, str) else [_part(part, seen) for part in content]])
    return parts


def _part(part: Mapping[str, Any], seen: _Seen) -> Any:
    return dict(part) if part["type"] == "text" else seen.visual(part)


class _Seen:
    """Turns visuals into plain values, and remembers the files on the way."""

    _PLACES = ("url", "path", "video", "image", "audio")  # under which a dict names a file

    def __init__(self) -> None:
        self.files: list[FileIdentity] = []

    def file(self, path: str) -> Any:
        """Identities of a file, or of a folder and its pictures."""
        try:
            found = [file_identity(path)]
            if os.path.isdir(path):
                found += [file_identity(picture) for picture in folder_pictures(path)]
        except NumProError as error:
            raise _IncompleteError from error
        self.files += found
        return [list(identity) for identity in found]

    def visual(self, value: Any) -> Any:
        """A visual of any kind: identities for files, hashes for pictures and sound in memory."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (str, os.PathLike)):
            path = os.fspath(value).removeprefix("file://")
            if "://" in path:
                raise _IncompleteError  # what is behind a URL may change
            return path if path.startswith("data:") else self.file(path)
        if isinstance(value, dict):
            return {str(key): one if isinstance(one, str) and key not in self._PLACES else self.visual(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.visual(one) for one in value]
        if isinstance(value, bytes):
            return ["bytes", hash_of(value, length=64)]
        if isinstance(value, Image.Image):
            return ["picture", value.mode, *value.size, hash_of(value.tobytes(), bytes(value.getpalette() or ()), length=64)]
        if isinstance(value, np.ndarray):
            return ["array", str(value.dtype), *value.shape, hash_of(np.ascontiguousarray(value).tobytes(), length=64)]
        raise _IncompleteError
