"""Decoding every packet of a file in one thread: the pixels that all other ways must give, and whatever can be decoded of damaged files."""

from __future__ import annotations

import logging
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from av.error import FFmpegError

from numpro_plugin.video.packets import open_video, tagged_packets
from numpro_plugin.video.pictures import PictureConverter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import av
    import numpy as np
    from numpy.typing import NDArray

    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.video.pictures import Pixels

log = logging.getLogger(__name__)

_MOST_REORDERED = 17  # H.264 holds back 16 pictures at most


def decode_everything(index: PacketIndex, wanted: NDArray[np.int64], *, reason: str | None = None) -> Iterator[tuple[int, Pixels]]:
    """What a player shows: for each wanted frame the last one up to it that can be decoded (else the first after it).

    Yields positions and pixels like every `decoders.Decoder`. Stops after the last wanted frame.

    Args:
        index: the packets of the file.
        wanted: positions in ``index.pts``, ascending.
        reason: why nothing can be skipped, for the warning; None if that is usual for such files.
    """
    pending = deque(int(position) for position in wanted)
    replaced = late = 0
    picture = PictureConverter()
    held: tuple[int, av.VideoFrame] | None = None
    for position, frame in _positioned(index):
        if held is not None and position < held[0]:
            late += 1
            continue
        while pending and position > pending[0]:
            shown, pixels = held or (position, frame)
            replaced += shown != pending[0]
            yield pending.popleft(), picture.rgb(pixels)
        if not pending:
            break
        held = position, frame
    if held is not None:
        for position in pending:
            replaced += held[0] != position
            yield position, picture.rgb(held[1])
    notes = [] if reason is None else [f"{reason}, so every frame is decoded, which takes longer"]
    if replaced:
        notes.append(f"{replaced} wanted frames are damaged; the frames before them are shown, as players do")
    if late:
        notes.append(f"{late} pictures come later than their time stamps say and are left out")
    if notes:
        log.warning("%s: %s", index.path, "; ".join(notes))


def _positioned(index: PacketIndex) -> Iterator[tuple[int, av.VideoFrame]]:
    """Every frame with its position in ``index.pts``, in display order."""
    if index.trusted:
        yield from _in_order_of_time(index, _frames(index))
        return
    yield from _in_display_order(_frames(index), index.decode_order >= 0)


def _in_order_of_time(index: PacketIndex, frames: Iterator[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
    """By the times of the packets that the frames came in.

    Decoders that reorder give frames in order by themselves; in damaged files the time stamps may be in another one.
    """
    most_waiting = _MOST_REORDERED if index.context.has_b_frames else 0
    waiting: list[tuple[int, int, av.VideoFrame]] = []
    for k, frame in enumerate(frames):
        if frame.pts is None or (position := int(index.decode_order[frame.pts])) < 0:
            continue
        heappush(waiting, (position, k, frame))
        if len(waiting) > most_waiting:
            position, _, frame = heappop(waiting)  # noqa: PLW2901
            yield position, frame
    while waiting:
        position, _, frame = heappop(waiting)
        yield position, frame


def _in_display_order(frames: Iterator[av.VideoFrame], shows: NDArray[np.bool_]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Without reliable time stamps, the k-th frame decoded is the k-th one shown, and a packet without a frame keeps its place.

    A packet counts as lost when frames of later packets have been decoded and its own does not follow within the next few. Packets that
    show nothing, by ``shows``, have no place.
    """
    count = int(shows.sum())
    waiting: deque[av.VideoFrame] = deque()
    decoded: set[int] = set()
    rank = newest = lost = 0
    checked = -1  # packets up to here have been decoded or are counted as lost

    def place(frame: av.VideoFrame) -> int:
        nonlocal rank, newest, lost, checked
        newest = max(newest, frame.pts or 0)
        while checked + 1 < newest:
            checked += 1
            lost += bool(shows[checked]) and checked not in decoded
            decoded.discard(checked)
        rank += 1
        return min(rank - 1 + lost, count - 1)

    for frame in frames:
        if not shows[frame.pts or 0]:
            continue
        decoded.add(frame.pts or 0)
        waiting.append(frame)
        if len(waiting) > _MOST_REORDERED:
            frame = waiting.popleft()  # noqa: PLW2901
            yield place(frame), frame
    for frame in waiting:
        yield place(frame), frame


def _frames(index: PacketIndex) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded, in display order; damaged packets are skipped. One thread: concealment is then repeatable."""
    if index.packets is not None and not index.trusted:  # nothing was skipped with this decoder
        if index.context.is_open:
            index.context.flush_buffers()
        yield from _all_decoded(index, index.context, index.packets)
        return
    container, stream = open_video(index.path)
    with container:
        yield from _all_decoded(index, stream.codec_context, tagged_packets(container, stream, len(index.decode_order)))


def _all_decoded(index: PacketIndex, context: av.VideoCodecContext, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
    if not context.is_open:
        context.thread_count = 1
    for packet in packets:
        try:
            yield from context.decode(packet)
        except FFmpegError as error:
            log.debug("%s: a packet cannot be decoded: %s", index.path, error)
    try:
        yield from context.decode(None)
    except FFmpegError as error:
        log.debug("%s: the last frames cannot be decoded: %s", index.path, error)
