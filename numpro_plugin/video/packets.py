"""When each frame of a video file is shown and how long the video lasts, read from its packets without decoding.

Headers lie: frame counts are absent or wrong, durations include audio, rates are averages. The packets are what a player obeys, so
every decision about time (which frame is on screen at t, how long is the video) is made here, once, whatever decoder then reads the
pixels.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.error import FFmpegError

from numpro_plugin.errors import NumProError
from numpro_plugin.video.clocks import by_rate, counted_on, in_decoding_order, one_clock
from numpro_plugin.video.truncation import promised_duration_s, truncation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_KEPT_BYTES = 64_000_000  # packets are kept for the decoder up to this much; a larger file is read a second time
_FINE = 2  # a container's clock is finer than its frames from this many ticks per frame


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """The shown frames of one video stream, in presentation order, and how to reach them in decoding order."""

    path: str
    """The file, as given."""

    pts: NDArray[np.int64]
    """Presentation times, (N,), strictly ascending, in ticks of ``time_base``. ``pts[0]`` is what the viewer calls zero."""

    end_pts: int
    """End of the last frame: its time plus its duration."""

    time_base: Fraction
    """Seconds per tick."""

    decode_order: NDArray[np.int64]
    """For each packet of the file in decoding order, (P,): its frame's position in ``pts``, or -1 for a packet that shows nothing."""

    keyframe: NDArray[np.bool_]
    """For each packet in decoding order, (P,): whether decoding can start there."""

    trusted: bool
    """Whether the packets' times are those of their frames. In AVI they only count packets in decoding order, which is enough where every
    packet is a picture of its own."""

    damage: str | None
    """Why the file's end is missing, or None: an error while reading, or a header that promises far more."""

    context: VideoCodecContext
    """The stream's decoder, not used yet; it stays valid after the file is closed."""

    may_change: bool
    """Whether any packet may carry new parameters for the decoder, so that none may be skipped."""

    metadata: Mapping[str, str]
    """The container's metadata, keys in lower case (Matroska writes COMMENT)."""

    packets: tuple[av.Packet, ...] | None
    """The packets in decoding order, tagged, or None if they are too large to keep (`_KEPT_BYTES`): `tagged_packets` reads them again."""

    @property
    def duration_s(self) -> float:
        """Length of the video stream in seconds: last frame's time + its duration - first frame's time."""
        return float((self.end_pts - int(self.pts[0])) * self.time_base)

    def on_screen(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Positions in ``pts`` of the frames shown at ``times_s`` seconds: the last frame whose time is <= t.

        Stored times are rounded to ticks, so a frame counts as shown from half a tick before its time stamp. Where a tick is as long as a
        frame (AVI) the stamps are counts and exact: there half a tick would be half a frame.
        """
        is_count = len(self.pts) > 1 and float(np.median(np.diff(self.pts))) < _FINE
        slack = 1e-6 if is_count else 0.5 + 1e-6
        ticks = np.asarray(times_s, dtype=np.float64) / float(self.time_base) + float(self.pts[0]) + slack
        return np.clip(np.searchsorted(self.pts, ticks, side="right") - 1, 0, len(self.pts) - 1).astype(np.int64)


def open_video(path: str | os.PathLike[str]) -> tuple[InputContainer, VideoStream]:
    """Open a file and its best video stream (cover art does not count). The caller closes the container.

    Raises:
        NumProError: missing, a folder, empty, not a video container, or without a video stream; the message says which.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise NumProError(f"{name}: no such file")
    if os.path.isdir(name):
        raise NumProError(f"{name}: is a folder, not a video file")
    if os.path.getsize(name) == 0:
        raise NumProError(f"{name}: the file is empty (0 bytes); download or copy it again")
    if _is_animated_webp(name):
        raise NumProError(f"{name}: animated WebP pictures are not supported; convert it to a video, to mp4 for example")
    try:
        container = av.open(os.path.abspath(name), metadata_errors="replace")  # "10:30.mp4" alone would be a protocol called 10
    except (FFmpegError, OSError) as error:
        raise NumProError(f"{name}: cannot be opened as a video ({message_of(error)}); it may be truncated or not a video") from error
    best = container.streams.best("video")  # FFmpeg's choice, so that every player's stream is ours
    streams = [s for s in (best, *container.streams.video) if s is not None and not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(kind for kind in ("audio", "subtitles", "data") if getattr(container.streams, kind)) or "none"
        container.close()
        raise NumProError(f"{name}: has no video stream (streams: {kinds})")
    stream = cast("VideoStream", streams[0])
    if stream.codec_context is None:
        container.close()
        raise NumProError(f"{name}: its video codec has no decoder here; convert it, to H.264 for example")
    return container, stream


def _is_animated_webp(name: str) -> bool:
    with open(name, "rb") as file:
        head = file.read(4096)
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"ANIM" in head


def demux(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The stream's packets in decoding order, without the empty one that PyAV appends."""
    try:
        for packet in container.demux(stream):
            if packet.size or packet.pts is not None or packet.dts is not None:
                yield packet
    except IndexError:  # PyAV's own, when another stream first appears late in the file; the video's packets have all come by then
        return


def tagged_packets(container: InputContainer, stream: VideoStream, count: int) -> Iterator[av.Packet]:
    """The first ``count`` packets of a stream, each with its position in decoding order as its time.

    Decoders hand a packet's time on to its frame. With the position in its place a frame always tells which packet it came in, even where
    times are missing, repeated or restarted.
    """
    for k, packet in enumerate(islice(demux(container, stream), count)):
        packet.pts = k
        yield packet


def read_packets(path: str | os.PathLike[str]) -> PacketIndex:
    """Read every packet's time without decoding its picture. Takes a few milliseconds per minute of video.

    Raises:
        NumProError: as `open_video`, and for a video stream without a single frame.
    """
    name = os.fspath(path)
    container, stream = open_video(name)
    fields = _PacketFields()
    with container:
        fields.read(container, stream, name)
        time_base = stream.time_base or Fraction(1, 1000)
        rate = stream.average_rate or stream.guessed_rate
        promised_s = promised_duration_s(container, stream)
        context = stream.codec_context
        format_name = container.format.name
        metadata = {key.lower(): value for key, value in container.metadata.items()}
        reorders = context.has_b_frames
    pts, dts = one_clock(fields.pts, fields.dts, time_base, name, runs_over=format_name in ("mpeg", "mpegts"))
    is_avi = format_name == "avi"
    repeats = reorders and (format_name == "asf" or in_decoding_order(pts, dts))  # ASF has decoding times alone
    # AVI has a place for each packet, FFmpeg's `dts`, and no times; its `pts` is a guess, needed where the order is another.
    first, second = (dts, pts) if (is_avi and not reorders) or repeats else (pts, dts)
    times = [a if a is not None else b for a, b in zip(first, second, strict=True)]
    stamped = [t is not None for t in times]
    shown = fields.shown
    if sum(stamped) * 2 >= len(stamped):
        # Field-coded H.264: the second field is a separate packet without a time stamp and belongs to the picture before it. Small pictures
        # in MPEG-PS share one stamp; each lasts a frame. Elsewhere a packet without a stamp has lost it.
        least = 0.75 / (context.framerate * time_base) if context.framerate and format_name == "mpeg" else math.inf
        own = [not has and duration > least for has, duration in zip(stamped, fields.duration, strict=True)]
        shown = [show and (has or alone) for show, has, alone in zip(shown, stamped, own, strict=True)]
        known = counted_on(dts, fields.duration) if any(own) else [t if t is not None else 0 for t in times]
        missing = any(own) or any(p is None and has for p, has in zip(pts, stamped, strict=True))
    else:
        # Of raw streams FFmpeg's average is a number that it takes for granted.
        known = by_rate(len(times), context.framerate or rate, time_base)
        missing = True
    index = _index(
        name,
        known,
        fields,
        shown,
        time_base=time_base,
        rate=rate,
        trusted=not (missing or (is_avi and not context.codec.intra_only) or repeats),
        context=context,
        may_change=format_name == "flv",
        metadata=metadata,
    )
    if index.damage is None:
        damage = truncation(
            name,
            format_name,
            promised_s=promised_s,
            duration_s=index.duration_s,
            end_s=float(index.end_pts * time_base),
            last_is_cut=fields.last_is_cut,
        )
        if damage is not None:
            index = replace(index, damage=damage)
            log.warning("%s: %s", name, damage)
    return index


class _PacketFields:
    """The fields of one stream's packets, in decoding order."""

    def __init__(self) -> None:
        self.pts: list[int | None] = []
        self.dts: list[int | None] = []
        self.duration: list[int] = []
        self.key: list[bool] = []
        self.shown: list[bool] = []
        self.damage: str | None = None
        self.last_is_cut = False
        self.packets: list[av.Packet] | None = []

    def read(self, container: InputContainer, stream: VideoStream, name: str) -> None:
        """Read the stream to its end, or to the first error."""
        kept_bytes = 0
        is_vp8 = stream.codec_context.name == "vp8"
        try:
            for packet in demux(container, stream):
                self.pts.append(packet.pts)
                self.dts.append(packet.dts)
                self.duration.append(max(0, packet.duration or 0))
                self.key.append(packet.is_keyframe)
                self.last_is_cut = packet.is_corrupt
                kept_bytes += packet.size
                if self.packets is not None:
                    packet.pts = len(self.packets)  # its tag, see `tagged_packets`
                    self.packets.append(packet)
                    if kept_bytes > _KEPT_BYTES:
                        self.packets = None
                # VP8 stores reference pictures that are never shown (bit 4 of the first byte clear) as separate packets.
                hidden = packet.is_discard or packet.size == 0 or (is_vp8 and not memoryview(packet)[0] & 0x10)
                self.shown.append(not hidden)
        except FFmpegError as error:
            self.damage = message_of(error)
            log.warning("%s: reading stops after %d packets (%s); the rest of the file is lost", name, len(self.pts), self.damage)


def _index(
    name: str,
    times: list[int],
    fields: _PacketFields,
    shown: list[bool],
    *,
    time_base: Fraction,
    rate: Fraction | None,
    trusted: bool,
    context: VideoCodecContext,
    may_change: bool,
    metadata: Mapping[str, str],
) -> PacketIndex:
    """Sort the packets into presentation order."""
    stamps = np.asarray(times, dtype=np.int64)
    visible = np.asarray(shown, dtype=bool)
    if not visible.any():
        raise NumProError(f"{name}: the video stream holds no frame; the file is truncated or was never finished")
    # Where a time occurs twice, the later picture replaces the earlier one at once.
    pts, last = np.unique(stamps[visible][::-1], return_index=True)
    places = np.flatnonzero(visible)[::-1][last]
    decode_order = np.full(len(stamps), -1, dtype=np.int64)
    decode_order[places] = np.arange(len(pts))
    last_duration = fields.duration[int(places[-1])] or _usual_step(pts, rate, time_base)
    return PacketIndex(
        path=name,
        pts=pts,
        end_pts=int(pts[-1]) + last_duration,
        time_base=time_base,
        decode_order=decode_order,
        keyframe=np.asarray(fields.key, dtype=bool),
        trusted=trusted,
        damage=fields.damage,
        context=context,
        may_change=may_change,
        metadata=metadata,
        packets=None if fields.packets is None else tuple(fields.packets),
    )


def _usual_step(pts: NDArray[np.int64], rate: Fraction | None, time_base: Fraction) -> int:
    """Duration in ticks of a frame whose packet gives none: the median step, else one frame at the stream's rate, else 0."""
    if len(pts) > 1:
        return int(np.median(np.diff(pts)))
    return round(1 / rate / time_base) if rate else 0


def message_of(error: Exception) -> str:
    """FFmpeg's own words, without the number of the error."""
    return (getattr(error, "strerror", None) or str(error)).strip().rstrip(".")
