"""A moment of a video as a file of its own: packets are copied where that gives exactly its frames, otherwise frames are encoded."""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, written_whole
from numpro_plugin.video.packets import PacketIndex, demux, message_of, open_video, read_packets
from numpro_plugin.video.sampling import frames_at
from numpro_plugin.video.skipping import decode_skipping

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from av.container import OutputContainer

    from numpro_plugin.video.pictures import Pixels

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".mov": "mov"}
"""FFmpeg's name of the container by the suffix of the file."""

_CLOCK = Fraction(1, 90_000)  # ticks of what is encoded: finer than any frame rate
_BT601 = 5
_BT601_TAG, _LIMITED_RANGE = 6, 1  # what an encoded file declares
_SAME_TIME_S = 0.002
_CRF = "18"  # of x264: hardly to be told from the original


@dataclass(frozen=True)
class Cut:
    """What was written."""

    path: Path
    frames: int
    copied: bool
    """Whether the packets were copied; otherwise the frames were encoded again, in H.264."""
    sound: bool
    """Whether the file has sound; it is copied."""


def cut_moment(video: str | os.PathLike[str] | PacketIndex, path: Path, start_s: float, end_s: float) -> Cut:
    """Write the frames that are on screen from ``start_s`` until before ``end_s``, at least one, and the sound beside them.

    The pictures are copied if the first frame is a key frame and no frame outside the moment is needed. The copy is compared with the
    video; where it differs the frames are encoded.

    Args:
        video: path of the video file, or its index, which saves reading its packets again.
        path: the file to write: .mp4 or .mov.
        start_s: seconds after the video's first frame, within the video.
        end_s: not before ``start_s``; may lie beyond the end.

    Raises:
        NumProError: the video cannot be read, the span is not in it, or the file cannot be written (see `check_container`).
    """
    check_container(path)
    check_target(path)
    index = video if isinstance(video, PacketIndex) else read_packets(video)
    if not 0 <= start_s <= end_s or start_s > index.duration_s:
        raise NumProError(f"{index.path}: lasts {index.duration_s:.2f} s, so there is nothing from {start_s:g} to {end_s:g} s")
    first, last = (int(position) for position in index.on_screen(np.array([start_s, end_s])))
    is_shown = last > first and _time_s(index, last) >= end_s - 1e-6  # the frame that begins at the end is outside
    last = max(first, last - 1 if is_shown else last)
    with written_whole(path) as part:
        try:
            copy = _copied(index, part, path, first, last)
            sound = _encoded(index, part, path, first, last) if copy is None else copy
        except av.error.FFmpegError as error:
            raise NumProError(f"{index.path}: the moment cannot be cut out ({message_of(error)})") from error
    return Cut(path, last - first + 1, copy is not None, sound)


def check_container(path: Path, name: str = "") -> None:
    """Raise NumProError unless the suffix is that of a container that can be written. ``name`` is the flag that named the file."""
    if path.suffix.lower() not in CONTAINERS:
        raise NumProError(f"{name} {path}".strip() + f": a clip is a video; name it {path.with_suffix('.mp4')} (or .mov)")


def _time_s(index: PacketIndex, position: int) -> float:
    return float((int(index.pts[position]) - int(index.pts[0])) * index.time_base)


def _duration_s(index: PacketIndex, position: int) -> Fraction:
    end = index.end_pts if position + 1 == len(index.pts) else int(index.pts[position + 1])
    return (end - int(index.pts[position])) * index.time_base


# --- copying -------------------------------------------------------------------------------------------------------------------------


def _copied(index: PacketIndex, part: Path, path: Path, first: int, last: int) -> bool | None:
    """Copy the packets of the frames ``first`` to ``last``; whether there is sound, or None if a copy would not be exact."""
    packets = _packets_of(index, first, last)
    if packets is None:
        return None
    try:
        sound = _copy(index, part, path, packets, first, last)
        same = sound is not None and _is_same(index, part, first, last)
    except (av.error.FFmpegError, NumProError, ValueError) as error:
        log.debug("%s: cannot be copied: %s", index.path, error)
        return None
    return sound if same else None


def _packets_of(index: PacketIndex, first: int, last: int) -> range | None:
    """The packets that hold exactly these frames, from a key frame on, in decoding order; None if there are no such."""
    if not index.trusted or index.damage is not None:
        return None
    start = int(np.flatnonzero(index.decode_order == first)[0])
    if not index.keyframe[start]:
        return None
    end, wanted = start, last - first + 1
    while end < len(index.decode_order):
        position = int(index.decode_order[end])
        if position >= 0:
            if not wanted:
                break
            if not first <= position <= last:
                return None
            wanted -= 1
        end += 1
    return range(start, end)


def _copy(index: PacketIndex, part: Path, path: Path, packets: range, first: int, last: int) -> bool | None:
    source, stream = open_video(index.path)
    with source, _output(part, path) as out, _Sound(index, first, last) as sound:
        if stream.codec_context.codec.canonical_name not in out.supported_codecs:
            return None
        pictures = out.add_stream_from_template(stream)
        sound.add_to(out)
        for place, packet in enumerate(demux(source, stream)):
            if place in packets:
                if packet.pts is None or packet.dts is None:
                    return None
                offset = round(index.pts[first] * index.time_base / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, pictures
                if (position := int(index.decode_order[place])) >= 0:
                    packet.duration = round(_duration_s(index, position) / packet.time_base)  # a player shows no last frame without one
                sound.write(out, until_s=float(packet.pts * packet.time_base))
                out.mux(packet)
        sound.write(out)
    return sound.is_there


def _is_same(index: PacketIndex, part: Path, first: int, last: int) -> bool:
    """Whether the copy has the moment's frames at their times, and the first and the last of them look the same."""
    copy = read_packets(part)
    if len(copy.pts) != last - first + 1:
        return False
    times_s = (index.pts[first : last + 1] - index.pts[first]) * float(index.time_base)
    copied_s = (copy.pts - copy.pts[0]) * float(copy.time_base)
    if np.abs(times_s - copied_s).max() > _SAME_TIME_S:
        return False
    ends_s = np.array([_time_s(index, first), _time_s(index, last)])
    return bool(np.array_equal(frames_at(index, ends_s, frame_size=None), frames_at(copy, copied_s[[0, -1]], frame_size=None)))


# --- encoding ------------------------------------------------------------------------------------------------------------------------


def _encoded(index: PacketIndex, part: Path, path: Path, first: int, last: int) -> bool:
    """Encode the frames as H.264, upright and with 4:2:0 colours; whether there is sound."""
    encoder: Any = None
    durations: dict[int | None, int] = {}
    with _output(part, path) as out, _Sound(index, first, last) as sound:
        for position, pixels in decode_skipping(index, np.arange(first, last + 1)):
            if encoder is None:
                encoder = _encoder(out, index, pixels)
                sound.add_to(out)
            time_s = _time_s(index, position) - _time_s(index, first)
            sound.write(out, until_s=time_s)
            height, width = encoder.height, encoder.width
            pixels = pixels[:height, :width]  # noqa: PLW2901
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(width=width, height=height, format="yuv420p", dst_colorspace=_BT601, dst_color_range=_LIMITED_RANGE)
            frame.pts, frame.time_base = round(time_s / _CLOCK), _CLOCK
            durations[frame.pts] = round(_duration_s(index, position) / _CLOCK)
            _write(out, encoder.encode(frame), durations)
        if encoder is None:
            raise NumProError(f"{index.path}: none of the moment's frames can be decoded; the file is damaged")
        _write(out, encoder.encode(None), durations)
        sound.write(out)
    return sound.is_there


def _write(out: OutputContainer, packets: list[av.Packet], durations: dict[int | None, int]) -> None:
    for packet in packets:
        packet.duration = durations[packet.pts]
        out.mux(packet)


def _encoder(out: OutputContainer, index: PacketIndex, pixels: Pixels) -> Any:
    frames, length_s = len(index.pts), index.duration_s
    rate = Fraction(frames / length_s if length_s else 25.0).limit_denominator(1001)
    stream: Any = out.add_stream("libx264", rate=rate, options={"crf": _CRF})
    stream.height, stream.width = (max(2, side // 2 * 2) for side in pixels.shape[:2])
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _CLOCK
    stream.codec_context.colorspace, stream.codec_context.color_range = _BT601_TAG, _LIMITED_RANGE
    return stream


# --- both ----------------------------------------------------------------------------------------------------------------------------


def _output(part: Path, path: Path) -> OutputContainer:
    return av.open(str(part), "w", format=CONTAINERS[path.suffix.lower()], options={"movflags": "+faststart"})


class _Sound:
    """The packets of a video's sound beside some of its frames. A sound that the container cannot hold is left out, with a warning."""

    def __init__(self, index: PacketIndex, first: int, last: int) -> None:
        self._path = index.path
        self._start_s = float(index.pts[first] * index.time_base)
        self._end_s = float(index.pts[last] * index.time_base + _duration_s(index, last))
        self._source, _ = open_video(index.path)
        self._waiting: deque[tuple[float, av.Packet]] = deque()
        self.is_there = False

    def __enter__(self) -> _Sound:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def add_to(self, out: OutputContainer) -> None:
        """Add the stream and read its packets."""
        stream: Any = self._source.streams.best("audio")
        if stream is None:
            return
        codec = stream.codec_context.codec.canonical_name
        if codec not in out.supported_codecs:
            log.warning("%s: the clip has no sound, because %s cannot stand in %s", self._path, codec, out.format.name)
            return
        target = out.add_stream_from_template(stream)
        for packet in self._source.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue
            time_s = float(packet.pts * packet.time_base)
            if self._start_s <= time_s < self._end_s:
                offset = round(self._start_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, target
                self._waiting.append((time_s - self._start_s, packet))

    def write(self, out: OutputContainer, *, until_s: float = math.inf) -> None:
        """Write the packets before a time of the clip."""
        while self._waiting and self._waiting[0][0] <= until_s:
            out.mux(self._waiting.popleft()[1])
            self.is_there = True
