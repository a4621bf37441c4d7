"""video -> a numbered mp4 in the cache, for any model that opens video files.

The clip is H.264 in RGB, lossless, every frame a key frame: decord, PyAV, OpenCV and torchcodec all give back the very pixels that
were drawn (chroma subsampling would smear red digits), and any frame can be read without its neighbours.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np

from numpro_plugin.clips.cache import ClipCache, reading
from numpro_plugin.clips.checksum import append_checksum
from numpro_plugin.clips.metadata import ClipInfo, read_clip_info
from numpro_plugin.encoding import PLAIN
from numpro_plugin.environment import decoder_name, keeps_frames
from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, digest, file_identity, hash_of, written_whole
from numpro_plugin.settings import SMALLEST_SIDE, NumProSettings
from numpro_plugin.showing import sampled_frames, show
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.packets import PacketIndex
from numpro_plugin.video.sampling import Frames

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

CLIP_FORMAT = 2
"""Part of every clip's key; raise it when the same settings would give another file."""


KEY_DIGITS = 40
"""Length of a clip's key, hexadecimal digits."""


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
        end_s: use nothing after this time in the file, seconds.
        cache: where clips are kept.

    Raises:
        NumProError: the video cannot be read, or is a clip that was made with other settings, or a blank or damaged clip.
        OSError: the clip cannot be written, because the disk is full or the cache may only be read.
    """
    settings = settings or NumProSettings()
    cache = cache or ClipCache()
    key = _key(video, settings, start_s, end_s)
    if (clip := cache.get(key)) is not None:
        return clip
    # Before the lock is taken, since making the kept frames' clip takes one as well.
    kept = None if settings.encoding == PLAIN else _kept_clip(video, settings, start_s, end_s, cache)
    with cache.locked(key):
        if (clip := cache.get(key)) is not None:
            return clip
        if (info := read_clip_info(video)) is not None:
            _check_same(video, info, settings)
            return Path(video)
        with cache.writing(key) as part:
            _make(video, part, settings, start_s, end_s, kept)
    return cache.path(key)


def kept_frames(
    video: str | os.PathLike[str] | PacketIndex, settings: NumProSettings, *, start_s: float = 0.0, end_s: float | None = None
) -> Frames:
    """As `sampled_frames`; with ``NUMPRO_KEEP_FRAMES`` through the cache, so that another encoding need not decode the video again.

    What is kept is the clip without marks, whose frames come back bit for bit.

    Args:
        video: path of a video file that is no clip, or its index.
        settings: what is sampled, and in which size.
        start_s: see `sample_frames`.
        end_s: see `sample_frames`.
    """
    path = video.path if isinstance(video, PacketIndex) else os.fspath(video)
    kept = _kept_clip(path, settings, start_s, end_s, ClipCache())
    return sampled_frames(video, settings, start_s=start_s, end_s=end_s) if kept is None else reading(lambda: kept, _frames_of)


def _kept_clip(
    video: str | os.PathLike[str], settings: NumProSettings, start_s: float, end_s: float | None, cache: ClipCache
) -> Path | None:
    """The clip without marks that holds a video's sampled frames; None if frames are not kept, or are too small for a clip."""
    if not keeps_frames() or min(settings.tile_size) < SMALLEST_SIDE or read_clip_info(video) is not None:
        return None
    plain = replace(settings, frame_size=settings.tile_size, encoding=PLAIN)
    return numbered_clip(video, plain, start_s=start_s, end_s=end_s, cache=cache)


def _frames_of(clip: Path) -> Frames:
    """The frames of a clip without marks."""
    info = read_clip_info(clip)
    if info is None:
        raise NumProError(f"{clip}: is in the cache of clips but is not a numbered clip; remove the file and run again")
    numbers = np.array(info.numbers, dtype=np.int64)
    pixels = np.empty((len(numbers), *info.settings["frame_size"][::-1], 3), dtype=np.uint8)
    with av.open(str(clip)) as container:
        for target, frame in zip(pixels, container.decode(video=0), strict=False):  # the file may repeat the last frame
            target[:] = frame.to_ndarray(format="rgb24")
    return Frames(pixels, numbers, Timeline(info.duration_s, info.settings["fps"]))


def write_clip(
    video: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: NumProSettings | None = None,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> ClipInfo:
    """Make the clip of a video (or of the part from ``start_s`` to ``end_s``) as a file of your choice, which is written whole.

    Returns what the file says about itself.

    Raises:
        NumProError: the video cannot be read, or ``out`` cannot be a file (see `numpro_plugin.files.check_target`).
    """
    check_target(out)  # before the video is read
    with written_whole(out) as part:
        info = _make(video, part, settings or NumProSettings(), start_s, end_s)
        append_checksum(part)
    return info


def _make(
    video: str | os.PathLike[str], part: Path, settings: NumProSettings, start_s: float, end_s: float | None, kept: Path | None = None
) -> ClipInfo:
    frames = sampled_frames(video, settings, start_s=start_s, end_s=end_s) if kept is None else _frames_of(kept)
    return encode_numbered(frames, part, settings, start_s=start_s)


def encode_numbered(frames: Frames, part: Path, settings: NumProSettings, *, start_s: float | None) -> ClipInfo:
    """Draw the marks on frames (in place) and encode them as a clip.

    Args:
        frames: of the settings' ``tile_size``.
        part: the file to fill; the caller gives it its checksum and its name.
        settings: of the clip.
        start_s: time of the first frame in the source, seconds; None for pictures without a clock.
    """
    frames = show(frames, settings).pictures
    times_s = () if start_s is None else tuple((start_s + frames.timeline.seconds(frames.numbers)).tolist())
    info = ClipInfo(
        numbers=tuple(frames.numbers.tolist()),
        times_s=times_s,
        duration_s=frames.timeline.duration_s,
        settings=settings.pixel_dict(),
    )
    _encode(frames.pixels, _rate(frames), info.comment(), part)
    return info


def blank_clip(settings: NumProSettings | None = None, *, cache: ClipCache | None = None) -> Path:
    """Two grey frames of the settings' size, without numbers: what a model is given for a video that cannot be read.

    `is_blank_clip` recognises it: an answer about it is a failed request, whatever it says.
    """
    settings = settings or NumProSettings()
    cache = cache or ClipCache()
    width, height = settings.frame_size
    key = hash_of(f"blank {CLIP_FORMAT} {width} {height}", length=KEY_DIGITS)
    if (clip := cache.get(key)) is not None:
        return clip
    info = ClipInfo(numbers=(), times_s=(), duration_s=0.0, settings=settings.pixel_dict())
    with cache.writing(key) as part:
        _encode(np.full((2, height, width, 3), 128, dtype=np.uint8), Fraction(1), info.comment(), part)
    return cache.path(key)


def _key(video: str | os.PathLike[str], settings: NumProSettings, start_s: float, end_s: float | None) -> str:
    """Hash of the source's identity and of what decides the pixels (decoders differ in the last bit)."""
    values = [CLIP_FORMAT, decoder_name(), *file_identity(video), settings.pixel_dict(), end_s]
    return digest([*values, start_s] if start_s else values, length=KEY_DIGITS)


def _check_same(video: str | os.PathLike[str], info: ClipInfo, settings: NumProSettings) -> None:
    if info.is_blank:
        raise NumProError(f"{video}: is the blank clip that stands for a video that could not be read; start from the original video")
    wanted = json.loads(json.dumps(settings.pixel_dict()))
    if different := [name for name in {**info.settings, **wanted} if info.settings.get(name) != wanted.get(name)]:
        differences = "; ".join(
            f"{name}: the clip has {info.settings.get(name)!r}, you ask for {wanted.get(name)!r}" for name in sorted(different)
        )
        raise NumProError(f"{video}: is already a NumPro clip, made with other settings ({differences}); start from the original video")


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
