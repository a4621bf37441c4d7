"""Decoding with FFmpeg through PyAV, skipping what no wanted frame depends on.

Two things are never decoded: the tail of a group of pictures after its last wanted frame, and frames that no other frame refers to
unless they are wanted themselves. The pixels are those of decoding everything. Where that is not certain this decoder stops, and
`everything.decode_everything` reads the rest:

- a picture at which decoding restarted is not the key frame that the container promised;
- the container or the decoder reports an error, or a picture that the decoder had to guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError

from numpro_plugin.video.everything import decode_everything
from numpro_plugin.video.h264 import clears_memory, is_unreferenced, length_size
from numpro_plugin.video.packets import message_of, open_video, tagged_packets
from numpro_plugin.video.pictures import PictureConverter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.video.pictures import Pixels

SKIP, REFERENCE, SHOW = range(3)
"""What is done with a packet: left out; decoded if others refer to it; decoded."""

_INTRA = 1  # AV_PICTURE_TYPE_I
_TYPELESS = frozenset(
    {"8bps", "cfhd", "cinepak", "flashsv", "flashsv2", "msrle", "msvideo1", "qtrle", "roqvideo", "rpza", "smc", "svq1", "zmbv"}
)
"""Decoders that do not say which pictures are key frames."""
_LONG_STEP = 1.5  # in usual steps: between two frames further apart, one may be missing


class _Uncertain(Exception):
    """Skipping may not give the pixels of decoding everything."""


def decode_skipping(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Yield positions and pixels like every `decoders.Decoder`; where skipping might change the pixels, decode everything."""
    remaining = {int(position) for position in wanted}
    reason = None
    picture = PictureConverter()
    for keys in _trustworthy_keys(index) if index.trusted else ():
        try:
            for position, frame in _selected_frames(index, np.array(sorted(remaining), dtype=np.int64), keys):
                if position in remaining:
                    remaining.discard(position)
                    yield position, picture.rgb(frame)
        except _Uncertain as error:
            reason = str(error)
        else:
            break
    if remaining:
        yield from decode_everything(index, np.array(sorted(remaining), dtype=np.int64), reason=reason)


def _trustworthy_keys(index: PacketIndex) -> Iterator[NDArray[np.bool_]]:
    """The packets at which decoding may restart, (P,): all key frames first; then, if that failed, fewer, if there is a choice."""
    yield index.keyframe
    if index.context.name != "h264" or index.packets is None:
        return
    size_bytes = length_size(index.context.extradata)
    surer = index.keyframe.copy()
    for k in np.flatnonzero(surer):
        surer[k] = clears_memory(index.packets[k], size_bytes)
    if (surer != index.keyframe).any():
        yield surer


def _selected_frames(index: PacketIndex, wanted: NDArray[np.int64], keys: NDArray[np.bool_]) -> Iterator[tuple[int, av.VideoFrame]]:
    """The wanted frames with their positions; those that they depend on are decoded and checked as well."""
    action, restart = plan(index, wanted, keys)
    context = index.context
    _open(context)
    context.skip_frame = "DEFAULT"
    is_h264 = context.name == "h264"
    size_bytes = length_size(context.extradata) if is_h264 else 0
    guard = _Guard(index, wanted)
    for k, (packet, do, restarts) in enumerate(zip(_packets(index), action.tolist(), restart.tolist(), strict=False)):
        if do == SKIP or (is_h264 and do == REFERENCE and is_unreferenced(packet, size_bytes)):
            continue
        if packet.is_corrupt:
            raise _Uncertain(f"packet {k} is damaged")
        if restarts:
            yield from guard.checked(_decoded(context, None))
            yield from guard.restart_at(k)
            context.flush_buffers()
        if not is_h264:
            context.skip_frame = "NONREF" if do == REFERENCE else "DEFAULT"
        yield from guard.checked(_decoded(context, packet, may_fail=guard.is_before_key(k)))
    yield from guard.checked(_decoded(context, None))
    yield from guard.restart_at(None)


def _open(context: av.VideoCodecContext) -> None:
    if context.is_open:
        context.flush_buffers()
        return
    context.thread_count = 1  # the least CPU time; different videos are read in parallel instead
    context.options = {"err_detect": "explode"}  # what would be concealed is an error here
    try:
        context.open(strict=False)  # before anything is skipped: dav1d looks at skip_frame only once
    except FFmpegError as error:
        raise _Uncertain(f"its decoder cannot be opened ({message_of(error)})") from error


def _decoded(context: av.VideoCodecContext, packet: av.Packet | None, *, may_fail: bool = False) -> list[av.VideoFrame]:
    try:
        return context.decode(packet)
    except FFmpegError as error:
        if may_fail:
            return []
        which = "the last packet" if packet is None else f"packet {packet.pts}"
        raise _Uncertain(f"{which} cannot be decoded ({message_of(error)})") from error


class _Guard:
    """Checks that the decoder's pictures are what the container promised.

    A picture is held back until all pictures that it may refer to have come out: in decoding order they are before it, in display order
    some are after it, and one of them may turn out to be damaged.
    """

    def __init__(self, index: PacketIndex, wanted: NDArray[np.int64]) -> None:
        self._wanted = frozenset(wanted.tolist())
        """Positions of the pictures that are handed on; the others are only checked."""
        self._order: list[int] = index.decode_order.tolist()
        self._has_types = index.context.name not in _TYPELESS
        self._reach: list[int] = np.maximum.accumulate(index.decode_order).tolist()
        """For each packet, the last position of all packets up to it."""
        self._held: list[tuple[int, int, av.VideoFrame]] = []
        """What it waits for (a position), its own position, the picture."""
        self._key: int | None = None
        """The packet at which decoding restarted, until its picture has come out."""
        self._key_position = -1
        """Where that picture is shown."""

    def restart_at(self, packet: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoding restarts here, or ends; returns what was held back."""
        if self._key is not None:
            raise _Uncertain(f"packet {self._key} is marked as a key frame, but gives no picture")
        self._key = packet
        self._key_position = -1 if packet is None else self._order[packet]
        yield from self._released(len(self._order))

    def is_before_key(self, packet: int) -> bool:
        """Whether a picture is shown before the key frame: it refers to what was skipped, and nothing that is shown later refers to it."""
        return 0 <= self._order[packet] < self._key_position

    def checked(self, frames: list[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The wanted ones of these and earlier frames that may be shown by now, with their positions.

        Frames that are shown before the key frame and refer to what was skipped are dropped.
        """
        for frame in frames:
            packet = frame.pts
            position = self._order[packet]
            if self._key is not None:
                if packet != self._key:
                    if position > self._key_position:
                        raise _Uncertain(f"packet {self._key} is marked as a key frame, but gives no picture")
                    continue
                if self._has_types and not _is_key(frame):
                    raise _Uncertain(f"packet {self._key} is marked as a key frame, but its picture is not one")
                self._key = None
            if 0 <= position < self._key_position:
                raise _Uncertain("time stamps contradict the order of the pictures")
            if frame.is_corrupt:
                raise _Uncertain(f"the picture of packet {packet} is damaged")
            if position in self._wanted:
                self._held.append((self._reach[packet], position, frame))
            if self._held:
                yield from self._released(position)

    def _released(self, newest: int) -> Iterator[tuple[int, av.VideoFrame]]:
        held = self._held
        self._held = [entry for entry in held if entry[0] > newest]
        for waits_for, position, frame in held:
            if waits_for <= newest:
                yield position, frame


def says_key_frames(index: PacketIndex) -> bool:
    """Whether it can be checked which pictures are key frames, or the container says that all are."""
    return index.context.name not in _TYPELESS or bool(index.keyframe.all())


def lone_pictures(index: PacketIndex, packets: NDArray[np.int64]) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """The pictures of single packets, each decoded alone; None for a packet that is no key frame."""
    context = index.context
    _open(context)
    context.skip_frame = "DEFAULT"
    alone = set(packets.tolist())
    for k, packet in enumerate(_packets(index)):
        if k in alone:
            try:
                frames = context.decode(packet) + context.decode(None)
            except FFmpegError:
                frames = []
            context.flush_buffers()
            has_types = context.name not in _TYPELESS
            yield k, next((frame for frame in frames if frame.pts == k and (_is_key(frame) or not has_types)), None)


def _is_key(frame: av.VideoFrame) -> bool:
    return int(frame.pict_type) == _INTRA and bool(frame.key_frame)


def _packets(index: PacketIndex) -> Iterator[av.Packet]:
    """All packets that were indexed, in decoding order."""
    if index.packets is not None:
        yield from index.packets
        return
    container, stream = open_video(index.path)
    with container:
        yield from tagged_packets(container, stream, len(index.decode_order))


def plan(
    index: PacketIndex, wanted: NDArray[np.int64], keys: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """What to do with each packet in decoding order, and before which ones the decoder restarts, both (P,).

    Restarts are at key frames, at those in ``keys`` if given.
    """
    keys = index.keyframe if keys is None else keys
    total = len(index.decode_order)
    is_wanted = np.isin(index.decode_order, wanted)
    if index.may_change or not says_key_frames(index):
        return np.where(is_wanted, SHOW, REFERENCE).astype(np.int8), np.zeros(total, dtype=bool)
    starts = np.flatnonzero(keys & (index.decode_order >= 0))
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
