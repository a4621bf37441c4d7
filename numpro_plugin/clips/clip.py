"""video -> a numbered mp4 in the cache, for any model that opens video files.

The clip is H.264 in RGB, lossless, every frame a key frame: decord, PyAV, OpenCV and torchcodec all give back the very pixels that
were drawn (chroma subsampling would smear red digits), and any frame can be read without its neighbours.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np

from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.environment import decoder_name
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.settings import NumProSettings
from numpro_plugin.video.packets import open_video
from numpro_plugin.video.sampling import Frames, sample_frames

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

CLIP_FORMAT = 2
"""Part of every clip's key; raise it when the same settings would give another file."""


@dataclass(frozen=True)
class ClipInfo:
    """What a clip says about itself in its file's metadata."""

    numbers: tuple[int, ...]
    """Number of each frame (of those drawn; a last frame repeated to make the count even is not listed)."""

    times_s: tuple[float, ...]
    """Time of each frame in the source video, seconds; empty for pictures that came without a clock."""

    duration_s: float
    """Length of the source video (or of the part that was used), seconds."""

    settings: dict[str, Any]
    """`NumProSettings.pixel_dict` of the clip."""


def numbered_clip(
    video: str | os.PathLike[str],
    settings: NumProSettings | None = None,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    cache: ClipCache | None = None,
) -> Path:
    """The clip of a video under some settings, made if it is not in the cache yet.

    Threads and processes may ask for the same clip at once: one makes it, the others wait. A file that is already a numbered clip
    is returned as it is.

    Args:
        video: path of a video file.
        settings: the paper's protocol if None; with ``numbers=False`` the same frames without numbers.
        start_s: leave out what comes before; number k is then shown at ``start_s + k / fps``.
        end_s: use nothing after so many seconds of the file.
        cache: where clips are kept.

    Raises:
        NumProError: the video cannot be read, or is a clip that was made with other settings.
    """
    settings = settings or NumProSettings()
    cache = cache or ClipCache()
    key = _key(video, settings, start_s, end_s)
    if (clip := cache.get(key)) is not None:
        return clip
    with cache.locked(key):
        if (clip := cache.get(key)) is not None:
            return clip
        if (info := read_clip_info(video)) is not None:
            _check_same(video, info, settings)
            return Path(video)
        with cache.writing(key) as part:
            write_clip(video, part, settings, start_s=start_s, end_s=end_s)
    return cache.path(key)


def write_clip(
    video: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: NumProSettings | None = None,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> ClipInfo:
    """Make the clip of a video (or of the part from ``start_s`` to ``end_s``) as a file of one's own choice.

    Returns what the file says about itself.
    """
    settings = settings or NumProSettings()
    frames = sample_frames(
        video, fps=settings.fps, frame_size=settings.frame_size, max_frames=settings.max_frames, start_s=start_s, end_s=end_s
    )
    times_s = start_s + frames.timeline.seconds(frames.numbers)
    return write_numbered(frames, out, settings, times_s=tuple(times_s.tolist()))


def write_numbered(frames: Frames, out: str | os.PathLike[str], settings: NumProSettings, *, times_s: tuple[float, ...]) -> ClipInfo:
    """Draw the numbers on frames (in place) and write them as a clip; ``times_s`` is what the file says of each frame's time."""
    if settings.numbers:
        draw_numbers(frames.pixels, frames.numbers, settings.style)
    info = ClipInfo(
        numbers=tuple(frames.numbers.tolist()),
        times_s=times_s,
        duration_s=frames.timeline.duration_s,
        settings=settings.pixel_dict(),
    )
    part = f"{os.fspath(out)}.part"
    try:
        _encode(frames.pixels, _rate(frames), json.dumps({"numpro": vars(info)}), part)
        os.replace(part, out)
    finally:
        Path(part).unlink(missing_ok=True)
    return info


def blank_clip(settings: NumProSettings | None = None, *, cache: ClipCache | None = None) -> Path:
    """Two grey frames of the settings' size, without numbers: what a model is given for a video that cannot be read."""
    settings = settings or NumProSettings()
    cache = cache or ClipCache()
    width, height = settings.frame_size
    key = hashlib.sha256(f"blank {CLIP_FORMAT} {width} {height}".encode()).hexdigest()[:40]
    if (clip := cache.get(key)) is not None:
        return clip
    info = ClipInfo(numbers=(), times_s=(), duration_s=0.0, settings=settings.pixel_dict())
    with cache.writing(key) as part:
        _encode(np.full((2, height, width, 3), 128, dtype=np.uint8), Fraction(1), json.dumps({"numpro": vars(info)}), part)
    return cache.path(key)


def read_clip_info(path: str | os.PathLike[str]) -> ClipInfo | None:
    """What a numbered clip says about itself; None for a video that is no clip of ours.

    Raises:
        NumProError: the file cannot be opened as a video.
    """
    container, _ = open_video(path)
    with container:
        metadata = {key.lower(): value for key, value in container.metadata.items()}  # Matroska writes COMMENT
    try:
        said = json.loads(metadata.get("comment", ""))["numpro"]
        return ClipInfo(tuple(said["numbers"]), tuple(said["times_s"]), said["duration_s"], dict(said["settings"]))
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's comment


def _key(video: str | os.PathLike[str], settings: NumProSettings, start_s: float, end_s: float | None) -> str:
    """Hash of the source (real path, size, time of change) and of what decides the pixels (decoders differ in the last bit)."""
    try:
        real = os.path.realpath(video)
        stat = os.stat(real)
    except OSError as error:
        raise NumProError(f"{os.fspath(video)}: {error.strerror or error}") from error
    said = [CLIP_FORMAT, decoder_name(), real, stat.st_size, stat.st_mtime_ns, settings.pixel_dict(), end_s]
    said += [start_s] if start_s else []
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:40]


def _check_same(video: str | os.PathLike[str], info: ClipInfo, settings: NumProSettings) -> None:
    asked = json.loads(json.dumps(settings.pixel_dict()))
    if different := [k for k in {**info.settings, **asked} if info.settings.get(k) != asked.get(k)]:
        said = "; ".join(f"{k}: the clip has {info.settings.get(k)!r}, asked for is {asked.get(k)!r}" for k in sorted(different))
        raise NumProError(f"{video}: is already a NumPro clip, made with other settings ({said}); start from the original video")


def _rate(frames: Frames) -> Fraction:
    """The grid's rate; where frames were left out, kept / duration, so that a reader's clock stays true."""
    timeline = frames.timeline
    thinned = len(frames) < timeline.count and timeline.duration_s > 0
    return Fraction(len(frames) / timeline.duration_s if thinned else timeline.fps).limit_denominator(10**6)


def _encode(pixels: NDArray[np.uint8], rate: Fraction, comment: str, out: str | os.PathLike[str]) -> None:
    """Write frames (N, H, W, 3) as an mp4 of an even number of frames: video LLMs take frames in pairs and drop an odd one."""
    with av.open(os.fspath(out), "w", format="mp4") as container:
        container.metadata["comment"] = comment
        stream = cast("VideoStream", container.add_stream("libx264rgb", rate=rate))
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.options = {"qp": "0", "preset": "ultrafast", "g": "1"}
        stream.codec_context.thread_count = 1
        count = len(pixels)
        for k in range(count + count % 2):
            frame = av.VideoFrame.from_ndarray(pixels[min(k, count - 1)], format="rgb24")
            frame.pts, frame.time_base = k, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
