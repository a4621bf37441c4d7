"""Whether the end of a video file is missing, by its containers' own sizes and end marks.

A decoder reads a file that was cut off as a shorter one. What tells is the duration in its header, sizes that reach beyond the file's
end, and end marks that are not there.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO

import av

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import InputContainer
    from av.video.stream import VideoStream

_TAIL_BYTES = 256 * 1024
_TS_PACKET = 188
_SYNC = 0x47
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def promised_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Duration by the header, or None. Only good for noticing that the rest of a file is missing."""
    if stream.duration is not None and stream.time_base is not None and container.format.name not in _ESTIMATED:
        return float(stream.duration * stream.time_base)
    parts = stream.metadata.get("DURATION", "").split(":")  # Matroska: 00:00:08.000000000
    try:
        hours, minutes, seconds = map(float, parts)
    except ValueError:
        return float(container.duration) / av.time_base if container.format.name == "flv" and container.duration else None
    return hours * 3600 + minutes * 60 + seconds


_ESTIMATED = ("mpegts", "mpeg", "gif")
"""Formats whose headers have no duration: FFmpeg's is an estimate."""


def truncation(path: str, format_name: str, *, promised_s: float | None, duration_s: float, end_s: float, last_is_cut: bool) -> str | None:
    """Why a file's end seems to be missing, or None.

    Args:
        path: the file.
        format_name: its container, in FFmpeg's words.
        promised_s: see `promised_duration_s`.
        duration_s: of the frames that are there.
        end_s: when the last of them ends, on the container's clock.
        last_is_cut: whether the container says that its last packet is incomplete.
    """
    # Matroska's tag is a length in some files and an end in others.
    reached_s = max(duration_s, end_s) if format_name == "matroska,webm" else duration_s
    if promised_s is not None and promised_s - reached_s > max(1.0, 0.02 * promised_s):
        return f"its header promises {promised_s:.2f} s, its frames end after {duration_s:.2f} s; is it truncated?"
    check = _ENDS.get(format_name)
    if last_is_cut or (check is not None and _ends_early(path, check)):
        return f"it ends in the middle, after {duration_s:.2f} s of frames; is it truncated?"
    return None


def _ends_early(path: str, check: Callable[[BinaryIO, int], bool]) -> bool:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        return check(file, size)


def _riff_ends_early(file: BinaryIO, size: int) -> bool:
    """AVI is one or more chunks that name their sizes. A writer that never finished leaves the size 0."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return False
        if length == 0 or position + 8 + length > size:
            return True
        position += 8 + length + length % 2
    return False


def _boxes_end_early(file: BinaryIO, size: int) -> bool:
    """An mp4 file is boxes that name their sizes; of those with frames or the index none reaches beyond the end."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        length, name, long_length = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        length = long_length if length == 1 else length
        if length < 8:  # 0: to the end of the file
            return False
        position += length
        if position > size:
            return name in (b"moov", b"moof", b"mdat")
    return False


def _segment_ends_early(file: BinaryIO, size: int) -> bool:
    """Matroska: the segment has a size, unless it was written as a stream."""
    head = file.read(4096)
    at = head.find(b"\x18\x53\x80\x67") + 4
    if at < 4 or at + 8 > len(head) or not head[at]:
        return False
    length = 9 - head[at].bit_length()
    bits = 7 * length
    value = int.from_bytes(head[at : at + length], "big") & ((1 << bits) - 1)
    return value != (1 << bits) - 1 and at + length + value > size


def _flv_ends_early(file: BinaryIO, size: int) -> bool:
    """The last four bytes repeat the size of the last tag, whose header has it as well."""
    if size < 24:
        return True
    file.seek(size - 4)
    tag_size = int.from_bytes(file.read(4), "big")
    if not 11 <= tag_size <= size - 17:
        return True
    file.seek(size - 4 - tag_size + 1)
    return int.from_bytes(file.read(3), "big") != tag_size - 11


def _gif_ends_early(file: BinaryIO, size: int) -> bool:
    """The last byte is a semicolon; some writers fill up with zeros."""
    return not _tail(file, size).rstrip(b"\0").endswith(b";")


def _ts_ends_early(file: BinaryIO, size: int) -> bool:
    """Packets have one size, and the last of a picture is filled up: one that is full to the brim has a continuation.

    By chance one picture in 184 fills its packets exactly.
    """
    head = file.read(3 * 204)
    for step, start in ((_TS_PACKET, 0), (192, 4), (204, 0)):
        if len(head) > start + 2 * step and all(head[start + k * step] == _SYNC for k in range(3)):
            break
    else:
        return False
    if size % step:
        return True
    tail = _tail(file, size, _TAIL_BYTES // step * step)
    for at in range(len(tail) - step + start, -1, -step):
        packet = tail[at : at + _TS_PACKET]
        if packet[0] != _SYNC:
            return True
        identifier = int.from_bytes(packet[1:3], "big") & 0x1FFF
        if packet[3] & 0x10 and 0x20 <= identifier < 0x1FFF:  # a picture or sound; below are tables, above is stuffing
            return not _is_filled_up(packet)
    return False


def _is_filled_up(packet: bytes) -> bool:
    """Whether a transport packet has stuffing in its adaptation field, beside the clocks and the count that it may hold."""
    if not packet[3] & 0x20:
        return False
    length, flags = packet[4], packet[5]
    used = 1 + 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)
    return length == 0 or length > used


def _ps_ends_early(file: BinaryIO, size: int) -> bool:
    """MPEG program streams are units that name their sizes; the last one reaches beyond the file's end if that is missing."""
    tail = _tail(file, size)
    at = tail.find(b"\0\0\1\xba")
    while 0 <= at < len(tail):
        unit = tail[at : at + 6]
        if len(unit) < 4 or unit[:3] != b"\0\0\1":
            return bool(unit.strip(b"\0"))
        if unit[3] == 0xB9:  # the end mark
            return False
        if unit[3] == 0xBA:
            if len(tail) < at + 14:
                return True
            at += 14 + (tail[at + 13] & 7) if tail[at + 4] & 0xC0 == 0x40 else 12
        elif len(unit) < 6:
            return True
        else:
            at += 6 + int.from_bytes(unit[4:6], "big")
    return at > len(tail)


def _asf_ends_early(file: BinaryIO, size: int) -> bool:
    """The file's properties have its size; a broadcast leaves it 0."""
    head = file.read(4096)
    at = head.find(_ASF_PROPERTIES)
    return 0 <= at <= len(head) - 48 and int.from_bytes(head[at + 40 : at + 48], "little") > size


def _tail(file: BinaryIO, size: int, count: int = _TAIL_BYTES) -> bytes:
    file.seek(max(0, size - count))
    return file.read()


_ENDS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "asf": _asf_ends_early,
    "avi": _riff_ends_early,
    "flv": _flv_ends_early,
    "gif": _gif_ends_early,
    "matroska,webm": _segment_ends_early,
    "mov,mp4,m4a,3gp,3g2,mj2": _boxes_end_early,
    "mpeg": _ps_ends_early,
    "mpegts": _ts_ends_early,
}
