"""NumPro for lmms-eval: temporal grounding for video LLMs by numbering the frames."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from numpro_plugin.answers.highlights import parse_highlights
    from numpro_plugin.answers.moments import parse_moment
    from numpro_plugin.clips.clip import numbered_clip
    from numpro_plugin.errors import NumProError
    from numpro_plugin.numbering import NumberStyle, draw_numbers
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.timeline import Timeline
    from numpro_plugin.video.sampling import Frames, sample_frames

_HOME = {
    "Frames": "video.sampling",
    "NumProError": "errors",
    "NumProSettings": "settings",
    "NumberStyle": "numbering",
    "Timeline": "timeline",
    "draw_numbers": "numbering",
    "numbered_clip": "clips.clip",
    "parse_highlights": "answers.highlights",
    "parse_moment": "answers.moments",
    "sample_frames": "video.sampling",
}
__all__ = [
    "Frames",
    "NumProError",
    "NumProSettings",
    "NumberStyle",
    "Timeline",
    "__version__",
    "draw_numbers",
    "numbered_clip",
    "parse_highlights",
    "parse_moment",
    "sample_frames",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import numpro_plugin`` costs nothing."""
    if name in _HOME:
        return getattr(import_module(f"numpro_plugin.{_HOME[name]}"), name)
    raise AttributeError(f"module 'numpro_plugin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
