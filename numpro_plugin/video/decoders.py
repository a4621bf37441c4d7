"""Two ways to get the pixels of chosen frames, behind one protocol.

A decoder is told which frames are wanted as positions in the file's `PacketIndex`; which frames those are was decided from the
packets, so both return the same ones.
"""

from __future__ import annotations

import logging
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from numpro_plugin.errors import NumProError
from numpro_plugin.video.packets import PacketIndex, demux, open_video

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

log = logging.getLogger(__name__)


class Decoder(Protocol):
    """Reads chosen frames of one video."""

    def __call__(self, index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
        """Yield ``(position, pixels)`` for positions in ``index.pts``, ascending and without repetition, one frame in memory at a time.

        Pixels are uint8 RGB, (H, W, 3), at the video's own size, upright. A frame that cannot be decoded is left out.
        """
        ...


def decode_pyav(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Decode with FFmpeg through PyAV, skipping what no wanted frame depends on. Pixels are those of decoding everything.

    Two things are never decoded: the tail of a group of pictures after its last wanted frame, and frames that no other frame
    refers to unless they are wanted themselves.
    """
    if not index.trusted:
        yield from _decode_in_display_order(index, wanted)
        return
    position_of = {int(index.pts[p]): int(p) for p in wanted}
    picture = _Picture()
    try:
        for frame in _selected_frames(index, wanted):
            if (position := position_of.pop(frame.pts, None)) is not None:
                yield position, picture.rgb(frame)
    except FFmpegError as error:
        # What is concealed after damage depends on what was decoded before: leave the rest to the one path that decodes everything.
        log.debug("%s: a packet cannot be decoded: %s", index.path, error)


def _selected_frames(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[av.VideoFrame]:
    """The wanted frames, and those they depend on."""
    action, restart = _plan(index, wanted)
    context = index.context
    if context.is_open:
        context.flush_buffers()
    else:
        context.thread_count = 1  # the least CPU time; different videos are read side by side instead
        context.open(strict=False)  # before anything is skipped: dav1d looks at skip_frame only once
    for k, packet in enumerate(_packets(index)):
        if action[k] == _SKIP:
            continue
        if restart[k]:
            yield from context.decode(None)
            context.flush_buffers()
        context.skip_frame = "NONREF" if action[k] == _REFERENCE else "DEFAULT"
        yield from context.decode(packet)
    yield from context.decode(None)


def _packets(index: PacketIndex) -> Iterator[av.Packet]:
    """All packets that were indexed, in decoding order."""
    if index.packets is not None:
        yield from index.packets
        return
    container, stream = open_video(index.path)
    with container:
        yield from islice(demux(container, stream), len(index.decode_order))


_SKIP, _REFERENCE, _SHOW = range(3)


def _plan(index: PacketIndex, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """What to do with each packet in decoding order, and before which ones the decoder starts afresh, both (P,)."""
    total = len(index.decode_order)
    is_wanted = np.isin(index.decode_order, wanted)
    if index.may_change:
        return np.where(is_wanted, _SHOW, _REFERENCE).astype(np.int8), np.zeros(total, dtype=bool)
    starts = np.flatnonzero(index.keyframe)
    starts = starts if len(starts) and starts[0] == 0 else np.concatenate([[0], starts]).astype(np.int64)
    ends = np.append(starts[1:], total)
    action = np.full(total, _SKIP, dtype=np.int8)
    restart = np.zeros(total, dtype=bool)
    needs_previous = False
    # From the back: frames shown before their group's key frame (an open group) refer to the previous group's tail as well.
    for start, end in zip(starts[::-1], ends[::-1], strict=True):
        inside = np.flatnonzero(is_wanted[start:end])
        stop = end if needs_previous else (start + inside[-1] + 1 if len(inside) else start)
        action[start:stop] = np.where(is_wanted[start:stop], _SHOW, _REFERENCE)
        shown_before_key = index.decode_order[start:end][inside] < index.decode_order[start]
        if not needs_previous and stop < end:
            restart[end : end + 1] = True
        needs_previous = bool(shown_before_key.any())
    return action, restart


def _decode_in_display_order(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Decode everything up to the last wanted frame; the k-th frame to come out is the k-th to be shown."""
    remaining = {int(p) for p in wanted}
    container, stream = open_video(index.path)
    with container:
        picture = _Picture()
        for position, frame in enumerate(_all_frames(container, stream, len(index.decode_order))):
            if position in remaining:
                yield position, picture.rgb(frame)
                remaining.discard(position)
            if not remaining:
                return


def decode_held(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """What a player shows when a file is damaged: for each wanted frame the last decodable one up to it (else the first after it).

    Decodes the whole file with PyAV; used only for the wanted frames that a decoder left out.
    """
    pending = [int(p) for p in wanted]
    replaced = 0
    container, stream = open_video(index.path)
    with container:
        picture = _Picture()
        held: tuple[int, av.VideoFrame] | None = None
        for rank, frame in enumerate(_all_frames(container, stream, len(index.decode_order))):
            position = int(np.searchsorted(index.pts, frame.pts)) if index.trusted and frame.pts is not None else rank
            while pending and position > pending[0]:
                shown, pixels = held or (position, frame)
                replaced += shown != pending[0]
                yield pending.pop(0), picture.rgb(pixels)
            held = position, frame
        if held is not None:
            for position in pending:
                replaced += held[0] != position
                yield position, picture.rgb(held[1])
    if replaced:
        log.warning("%s: %d wanted frames are damaged; their nearest neighbours are used, as a player shows them", index.path, replaced)


def decode_decord(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Decode with decord (``NUMPRO_DECODER=decord``)."""
    try:
        import decord
    except ImportError as error:
        raise NumProError(
            "NUMPRO_DECODER=decord, but decord is not installed (it has no wheels for this platform or Python); "
            "unset NUMPRO_DECODER to use PyAV, which needs nothing more"
        ) from error
    if not index.trusted:
        raise NumProError(f"{index.path}: decord garbles the times of AVI files; unset NUMPRO_DECODER to read it with PyAV")
    try:
        reader = decord.VideoReader(index.path, ctx=decord.cpu(0), num_threads=1)
        frames = len(reader)
    except decord.DECORDError as error:
        raise NumProError(f"{index.path}: decord cannot read it; unset NUMPRO_DECODER to try PyAV") from error
    if frames != len(index.pts):
        raise NumProError(f"{index.path}: decord counts {frames} frames, the packets {len(index.pts)}; unset NUMPRO_DECODER to use PyAV")
    for position in wanted:
        try:
            yield int(position), reader[int(position)].asnumpy()
        except decord.DECORDError as error:
            log.warning("%s: decord cannot decode frame %d (%s)", index.path, position, str(error).splitlines()[0])
            return


DECODERS: dict[str, Decoder] = {"pyav": decode_pyav, "decord": decode_decord}


_MATRICES = (1, 4, 5, 6, 7, 9, 10)  # those of FFmpeg's colour spaces for which its converter has a matrix
_BT601 = 5  # what players assume of a file that does not say


class _Picture:
    """Turns decoded frames into upright RGB arrays; keeps the converter between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._declared: tuple[int, int] | None = None

    def rgb(self, frame: av.VideoFrame) -> Pixels:
        # PyAV assumes BT.601 unless both ends are named, and its converter keeps the first matrix it was given.
        declared = (frame.colorspace if frame.colorspace in _MATRICES else _BT601, frame.color_range)
        if declared != self._declared:
            self._declared, self._reformatter = declared, VideoReformatter()
        rgb = self._reformatter.reformat(
            frame, format="rgb24", src_colorspace=declared[0], dst_colorspace=_BT601, src_color_range=declared[1]
        )
        pixels = cast("Pixels", rgb.to_ndarray())
        matrix = cast("Any", frame.side_data.get("DISPLAYMATRIX"))
        return pixels if matrix is None else _upright(pixels, np.frombuffer(matrix, dtype=np.int32))


def _upright(pixels: Pixels, matrix: NDArray[np.int32]) -> Pixels:
    """Apply a display matrix (x' = a x + c y, y' = b x + d y, stored a b u c d v x y w), quarter turns and mirrorings alike."""
    a, b, c, d = (int(matrix[k]) for k in (0, 1, 3, 4))
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _all_frames(container: av.container.InputContainer, stream: av.VideoStream, packets: int) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded, in display order; damaged packets are passed over. One thread: concealment is then repeatable."""
    context = stream.codec_context
    context.thread_count = 1
    for packet in chain(islice(demux(container, stream), packets), [None]):
        try:
            yield from context.decode(packet)
        except FFmpegError as error:
            log.debug("a packet cannot be decoded: %s", error)
