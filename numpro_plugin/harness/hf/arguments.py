"""The arguments of ``--model numpro_hf``: what they may be, and what of them must agree with the tasks and with an adapter."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from numpro_plugin.encoding import NUMBER, PLAIN
from numpro_plugin.environment import setting_in_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.settings import parse_frame_size

if TYPE_CHECKING:
    from numpro_plugin.families import Family
    from numpro_plugin.settings import NumProSettings, SettingsByVideo


def check_arguments(
    *, pretrained: str, share_prefix: object, resume: object, workers: object, max_new_tokens: object, max_frames: object
) -> None:
    """Raise NumProError for an argument of `NumProHF` that is missing or out of range."""
    if not pretrained:
        raise NumProError("numpro_hf needs a model: --model_args pretrained=FOLDER_OR_HUB_ID")
    if not isinstance(share_prefix, bool) or not isinstance(resume, bool):
        raise NumProError(f"share_prefix={share_prefix!r} and resume={resume!r} must be True or False")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise NumProError(f"workers={workers!r} must be an integer, 0 or more")
    if max_new_tokens is not None and not (isinstance(max_new_tokens, int) and max_new_tokens >= 1):
        raise NumProError(f"max_new_tokens={max_new_tokens!r} must be an integer, 1 or more")
    if max_frames is not None and not (isinstance(max_frames, int) and max_frames >= 1):
        raise NumProError(f"max_frames={max_frames!r} of the model {pretrained} must be an integer, 1 or more")


def answers_at_once(value: int | str) -> int | None:
    """The argument ``batch_size``; None for as many as fit. Raises NumProError for anything but a number or "auto"."""
    if value == "auto":
        return None
    try:
        return int(value)
    except ValueError:
        raise NumProError(f"batch_size={value!r} must be an integer, 1 or more, or 'auto'") from None


def decided_by_model(family: Family, max_frames: int | None) -> dict[str, Any]:
    """The settings that tasks must take from the model: its size of frames, and the limit of frames if it was given one."""
    size = family.frame_size
    if wanted := setting_in_environment("frame_size"):
        with contextlib.suppress(ValueError):  # the session's settings say what is wrong with it
            size = parse_frame_size(wanted) if family.takes(parse_frame_size(wanted)) else size
    return {"frame_size": size, **({} if max_frames is None else {"max_frames": max_frames})}


def check_trained(name: str, trained: NumProSettings | None, shown: SettingsByVideo) -> None:
    """What was trained on frames of another kind than the tasks show is an error."""
    if trained is None:
        return
    # Without an encoding of its own a model that was trained on plain frames may be run on the tasks' plain twins.
    free = trained.encoding == PLAIN and shown.base.encoding == NUMBER
    for key in ("fps", "frame_size", *([] if free else ["encoding"]), *(["style"] if trained.numbers else [])):
        there, here = getattr(trained, key), "auto" if key == "fps" and shown.auto else getattr(shown.base, key)
        if there != here:
            there, here = (getattr(value, "name", value) for value in (there, here))
            raise NumProError(
                f"{name} was trained with {key}={there}, the tasks are set to {key}={here}: set the NUMPRO_* variables to what it was "
                "trained with"
            )
