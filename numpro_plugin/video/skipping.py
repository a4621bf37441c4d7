"""Decoding with FFmpeg through PyAV, skipping what no wanted frame depends on.

Two things are never decoded: the tail of a group of pictures after its last wanted frame, and frames that no other frame refers to
unless they are wanted themselves. The pixels are those of decoding everything. Where that is not certain this decoder stops, and
`everything.decode_everything` reads the rest:

- a picture at which decoding restarted is not the key frame that the container promised;
- the decoder reports an error, or a picture that it had to guess.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError

from numpro_plugin.video.packets import open_video, tagged_packets
from numpro_plugin.video.pictures import PictureConverter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.video.pictures import Pixels

log = logging.getLogger(__name__)

SKIP, REFERENCE, SHOW = range(3)
"""What is done with a packet: left out; decoded if others refer to it; decoded."""

_INTRA = 1  # AV_PICTURE_TYPE_I
_TYPELESS = frozenset({"cinepak", "msvideo1", "qtrle", "flashsv", "cfhd", "svq1"})
_LONG_STEP = 1.5  # in usual steps: between two frames further apart, one may be missing


class _Uncertain(Exception):
    """Skipping may not give the pixels of decoding everything."""


def decode_skipping(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Yield positions and pixels like every `decoders.Decoder`; stop where skipping might change the pixels."""
    if not index.trusted:
        return
    remaining = {int(position) for position in wanted}
    picture = PictureConverter()
    try:
        for position, frame in _selected_frames(index, wanted):
            if position in remaining:
                remaining.discard(position)
                yield position, picture.rgb(frame)
    except (FFmpegError, _Uncertain) as error:
        log.warning("%s: %s; from there on every frame is decoded, which takes longer", index.path, error)


def _selected_frames(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, av.VideoFrame]]:
    """The wanted frames and those that they depend on, with their positions."""
    action, restart = plan(index, wanted)
    context = index.context
    if context.is_open:
        context.flush_buffers()
    else:
        context.thread_count = 1  # the least CPU time; different videos are read in parallel instead
        context.options = {"err_detect": "explode"}  # what would be concealed is an error here
        context.open(strict=False)  # before anything is skipped: dav1d looks at skip_frame only once
    key: int | None = None  # the packet at which decoding restarted, until its picture has come out
    # Some decoders report no type of picture. Their key-frame marks are trusted only where every packet is a key frame.
    typeless = context.name in _TYPELESS and bool(index.keyframe.all())

    def checked(frames: list[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        nonlocal key
        for frame in frames:
            position = int(index.decode_order[frame.pts])
            if key is not None:
                if frame.pts != key:
                    if position > index.decode_order[key]:
                        raise _Uncertain(f"packet {key} is marked as a key frame, but gives no picture")
                    continue  # shown before the key frame and refers to what was skipped; it is not wanted
                if not typeless and not (int(frame.pict_type) == _INTRA and frame.key_frame):
                    raise _Uncertain(f"packet {key} is marked as a key frame, but its picture is not one")
                key = None
            if frame.is_corrupt:
                raise _Uncertain(f"the picture of packet {frame.pts} is damaged")
            if position >= 0:
                yield position, frame

    for k, packet in enumerate(_packets(index)):
        if action[k] == SKIP:
            continue
        if restart[k]:
            yield from checked(context.decode(None))
            if key is not None:
                raise _Uncertain(f"packet {key} is marked as a key frame, but gives no picture")
            context.flush_buffers()
            key = k
        context.skip_frame = "NONREF" if action[k] == REFERENCE else "DEFAULT"
        yield from checked(context.decode(packet))
    yield from checked(context.decode(None))
    if key is not None:
        raise _Uncertain(f"packet {key} is marked as a key frame, but gives no picture")


def _packets(index: PacketIndex) -> Iterator[av.Packet]:
    """All packets that were indexed, in decoding order."""
    if index.packets is not None:
        yield from index.packets
        return
    container, stream = open_video(index.path)
    with container:
        yield from tagged_packets(container, stream, len(index.decode_order))


def plan(index: PacketIndex, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """What to do with each packet in decoding order, and before which ones the decoder restarts, both (P,)."""
    total = len(index.decode_order)
    is_wanted = np.isin(index.decode_order, wanted)
    if index.may_change:
        return np.where(is_wanted, SHOW, REFERENCE).astype(np.int8), np.zeros(total, dtype=bool)
    starts = np.flatnonzero(index.keyframe & (index.decode_order >= 0))
    starts = starts if len(starts) and starts[0] == 0 else np.concatenate([[0], starts]).astype(np.int64)
    ends = np.append(starts[1:], total)
    gap = _beside_a_gap(index)
    action = np.full(total, SKIP, dtype=np.int8)
    restart = np.zeros(total, dtype=bool)
    needs_previous = False
    # From the back: frames shown before their group's key frame (an open group) refer to the previous group's tail as well.
    for start, end in zip(starts[::-1], ends[::-1], strict=True):
        inside = np.flatnonzero(is_wanted[start:end])
        stop = end if needs_previous else (start + inside[-1] + 1 if len(inside) else start)
        # How a lost frame is concealed depends on all that was decoded before.
        damaged = bool(gap[start:stop].any())
        action[start:stop] = np.where(is_wanted[start:stop] | damaged, SHOW, REFERENCE)
        shown_before_key = index.decode_order[start:end][inside] < index.decode_order[start]
        if not needs_previous and stop < end:
            restart[end : end + 1] = True
        needs_previous = damaged or bool(shown_before_key.any())
    return action, restart


def _beside_a_gap(index: PacketIndex) -> NDArray[np.bool_]:
    """For each packet in decoding order, whether a frame may be missing right before or after it, (P,)."""
    if len(index.pts) < 3:
        return np.zeros(len(index.decode_order), dtype=bool)
    steps = np.diff(index.pts)
    long = steps > _LONG_STEP * np.median(steps)
    beside = np.zeros(len(index.pts), dtype=bool)
    beside[:-1] |= long
    beside[1:] |= long
    return beside[index.decode_order] & (index.decode_order >= 0)
