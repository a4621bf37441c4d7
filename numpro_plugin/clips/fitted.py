"""A clip the way a base model's own reader needs it: as pictures, or as a file with another clock or one more frame."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
from PIL import Image

from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.clips.clip import CLIP_FORMAT, KEY_DIGITS
from numpro_plugin.clips.metadata import ClipInfo, read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.files import digest, file_identity, hash_of

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from av.video.stream import VideoStream


def clip_pictures(clip: str | os.PathLike[str]) -> list[Image.Image]:
    """The frames of a clip, each number once: a last frame that was repeated to make the count even is left out."""
    info = _clip_info(clip)
    with av.open(str(clip)) as container:
        pictures = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return pictures[: len(info.numbers) or None]


def frames_in_file(clip: str | os.PathLike[str]) -> int:
    """How many frames a clip's file holds, the repeated last one included."""
    with av.open(str(clip)) as container:
        count = container.streams.video[0].frames
    return int(count)


def fitted_clip(clip: Path, *, spare: bool = False, least_rate: float = 0.0, cache: ClipCache | None = None) -> Path:
    """A clip for a reader that would drop frames of it, or fail on it: the same packets in another file, which is kept in the cache.

    Args:
        clip: a numbered clip.
        spare: the file ends with one repeated frame, for readers that never get to the last one.
        least_rate: the lowest frame rate that the file may claim, for readers that compute with the rounded rate.
        cache: where clips are kept.

    Returns:
        The clip itself if it already fits.

    Raises:
        NumProError: the file is not a numbered clip.
        OSError: the clip vanished, or the new one cannot be written.
    """
    cache = cache or ClipCache()
    info = _clip_info(clip)
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        rate = Fraction(stream.average_rate or 1)
        wanted_rate = max(rate, Fraction(least_rate).limit_denominator(10**6))
        extra = int(spare and stream.frames == (len(info.numbers) or 2))
        if not extra and wanted_rate == rate:
            return clip
        key = hash_of(f"fitted {CLIP_FORMAT} {_name(clip, cache)} {extra} {wanted_rate}", length=KEY_DIGITS)
        if (made := cache.get(key)) is not None:
            return made
        packets = [bytes(packet) for packet in source.demux(stream) if packet.size]
        with cache.writing(key) as part:
            _copy([*packets, *packets[-1:] * extra], stream, wanted_rate, source.metadata["comment"], part)
    return cache.path(key)


def _copy(packets: list[bytes], stream: VideoStream, rate: Fraction, comment: str, part: Path) -> None:
    """Write packets into an mp4 without decoding them, at a steady rate; each is a key frame."""
    with av.open(str(part), "w", format="mp4") as target:
        target.metadata["comment"] = comment
        copy = target.add_stream_from_template(stream, opaque=True)
        for k, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = copy, 1 / rate, True
            packet.pts = packet.dts = k
            packet.duration = 1
            target.mux(packet)


def _clip_info(clip: str | os.PathLike[str]) -> ClipInfo:
    info = read_clip_info(clip)
    if info is None:
        raise NumProError(f"{clip}: is not a numbered clip; make one with numbered_clip or `numpro number`")
    return info


def _name(clip: Path, cache: ClipCache) -> str:
    """What stands for a clip in the key: in the cache its name is a hash already, elsewhere equal names are different files."""
    return clip.name if clip.parent == cache.folder else digest(list(file_identity(clip)))
