"""A clip the way a base model's own reader needs it: as pictures, or as a file with another clock or one more frame."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from PIL import Image

from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.clips.clip import CLIP_FORMAT, read_clip_info
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import os
    from pathlib import Path


def clip_pictures(clip: str | os.PathLike[str]) -> list[Image.Image]:
    """The frames of a clip, each number once: a last frame that was repeated to make the count even is left out."""
    info = read_clip_info(clip)
    if info is None:
        raise NumProError(f"{clip}: is no clip of NumPro's")
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
        clip: a clip of NumPro's.
        spare: the file ends in one repeated frame, for readers that never get to the last one.
        least_rate: frames per second that the file claims at least, for readers that compute with the rounded rate.
        cache: where clips are kept.

    Returns:
        The clip itself if it is so already.
    """
    cache = cache or ClipCache()
    info = read_clip_info(clip)
    if info is None:
        raise NumProError(f"{clip}: is no clip of NumPro's")
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        rate = Fraction(stream.average_rate or 1)
        wanted = max(rate, Fraction(least_rate).limit_denominator(10**6))
        add = int(spare and stream.frames in {len(info.numbers), 2 if not info.numbers else -1})
        if not add and wanted == rate:
            return clip
        key = hashlib.sha256(f"fitted {CLIP_FORMAT} {clip.name} {add} {wanted}".encode()).hexdigest()[:40]
        if (made := cache.get(key)) is not None:
            return made
        with cache.writing(key) as part, av.open(str(part), "w", format="mp4") as target:
            target.metadata["comment"] = source.metadata["comment"]
            copy = target.add_stream_from_template(stream, opaque=True)  # copied, not encoded
            packets = [bytes(packet) for packet in source.demux(stream) if packet.size]
            for k, data in enumerate([*packets, *packets[-1:] * add]):  # every frame is a key frame
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = copy, 1 / wanted, True
                packet.pts = packet.dts = k
                packet.duration = 1
                target.mux(packet)
    return cache.path(key)
