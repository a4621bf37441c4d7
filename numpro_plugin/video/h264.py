"""What the headers of H.264 packets say about which pictures need which.

A picture that no other refers to need not be given to the decoder at all. The decoder could find out by itself (``skip_frame``), but it
then keeps quiet about packets that it cannot decode. And of the pictures at which decoding can start, those of one kind clear the
decoder's memory, while after the others some pictures may name earlier ones, without using them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av

_SLICE = 1
_CLEARING_SLICE = 5
_HARMLESS = frozenset({6, 9, 12})
"""Types of units that may stand beside the slices: supplemental information, delimiters, filling. Parameters may not: others use them."""


def length_size(extradata: bytes | None) -> int:
    """Bytes of the sizes before each unit in mp4 and Matroska; 0 if units are separated by start codes."""
    return (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0


def is_unreferenced(packet: av.Packet, size_bytes: int) -> bool:
    """Whether every slice of a packet is of a picture that is not used for reference; False where that is not clear."""
    has_slice = False
    for header in _headers(packet, size_bytes):
        if header == _SLICE:  # the two bits before the type are the importance, and 0
            has_slice = True
        elif header & 0x1F not in _HARMLESS or header & 0x80:
            return False
    return has_slice


def clears_memory(packet: av.Packet, size_bytes: int) -> bool:
    """Whether nothing after a key frame can name anything before it (an IDR picture)."""
    return any(header & 0x1F == _CLEARING_SLICE for header in _headers(packet, size_bytes))


def _headers(packet: av.Packet, size_bytes: int) -> Iterator[int]:
    """The first byte of each unit; 0x80, which no unit may have, where sizes do not fit."""
    if size_bytes:
        units, at = memoryview(packet), 0  # not copied: this is done for almost every packet
        while at < len(units):
            start = at + size_bytes
            at = start + int.from_bytes(units[at:start], "big")
            yield units[start] if start < at <= len(units) else 0x80
    else:
        data = bytes(packet)
        at = data.find(b"\0\0\1")
        while 0 <= at < len(data) - 3:
            yield data[at + 3]
            at = data.find(b"\0\0\1", at + 3)
