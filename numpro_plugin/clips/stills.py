"""Pictures instead of a video file (a folder of frames, a list of them) -> a numbered clip.

Pictures have no clock, so here a number is not a time but a position in the list: picture k carries number k.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.clips.clip import CLIP_FORMAT, KEY_DIGITS, encode_numbered
from numpro_plugin.errors import NumProError
from numpro_plugin.files import digest, file_identity, hash_of
from numpro_plugin.settings import NumProSettings
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.sampling import Frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def folder_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The picture files of a folder in the order people count in: ``frame2`` before ``frame10``.

    Raises:
        NumProError: it has none.
    """
    pictures = [path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_EXTENSIONS]
    if not pictures:
        raise NumProError(f"{folder}: the folder has no pictures ({', '.join(sorted(IMAGE_EXTENSIONS))})")
    return sorted(pictures, key=lambda path: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)])


def stills_clip(pictures: Sequence[Any], settings: NumProSettings | None = None, *, cache: ClipCache | None = None) -> Path:
    """The clip of a list of pictures, made if it is not in the cache yet.

    Args:
        pictures: paths, PIL images or arrays (H, W, 3) of uint8, in order. More than ``settings.max_frames`` are thinned by the rule
            for videos; those that are kept keep their numbers.
        settings: the paper's protocol if None; its ``fps`` is only the clip's frame rate here.
        cache: where clips are kept.

    Raises:
        NumProError: no pictures, one that cannot be read, or an encoding that draws times.
    """
    settings = settings or NumProSettings()
    cache = cache or ClipCache()
    if not len(pictures):
        raise NumProError("a video given as a list of frames has no frames; the list must hold at least one")
    if settings.encoding.drawn in ("seconds", "clock", "bar"):
        raise NumProError(
            f"encoding {settings.encoding.name} draws times, but a video given as a list of frames has none: use encoding=number, or give "
            "the video file"
        )
    numbers = kept_numbers(len(pictures), settings.max_frames)
    kept = [pictures[k] for k in numbers.tolist()]
    values = [CLIP_FORMAT, "stills", numbers.tolist(), settings.pixel_dict()]
    key = digest(values, *map(_identity, kept), length=KEY_DIGITS)
    if (clip := cache.get(key)) is not None:
        return clip
    with cache.locked(key):
        if (clip := cache.get(key)) is not None:
            return clip
        size = settings.tile_size
        pixels = np.stack([cv2.resize(_pixels(picture), size, interpolation=cv2.INTER_LINEAR) for picture in kept]).astype(np.uint8)
        frames = Frames(pixels, numbers, Timeline(len(pictures) / settings.fps, settings.fps))
        with cache.writing(key) as part:
            encode_numbered(frames, part, settings, start_s=None)
    return cache.path(key)


def _identity(picture: Any) -> bytes:
    """What stands for a picture in the cache's key: the file's identity, or the pixels of one in memory."""
    if isinstance(picture, (str, os.PathLike)):
        return repr(tuple(file_identity(picture))).encode()
    pixels = _pixels(picture)
    return repr(pixels.shape).encode() + bytes.fromhex(hash_of(pixels.tobytes(), length=64))


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """RGB, (H, W, 3)."""
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise NumProError(f"a frame must be uint8 of shape (H, W, 3), got {picture.dtype} {picture.shape}")
        return picture
    if isinstance(picture, (str, os.PathLike)):
        try:
            with Image.open(picture) as opened:
                return np.asarray(opened.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise NumProError(f"{picture}: cannot be read as a picture ({error})") from error
    raise NumProError(f"a frame of type {type(picture).__name__} cannot be read; give a path, a PIL image or a uint8 array (H, W, 3)")
