"""A clip's own checksum: the last box of the mp4, which every player skips, holds the CRC-32 of all bytes before it.

It is part of the file, so it appears together with the clip and stays with a copy. A program that writes the clip anew
(``ffmpeg -c copy``) leaves it out.
"""

from __future__ import annotations

import os
import struct
from typing import Literal

from numpro_plugin.files import crc32_of

_BOX = struct.Struct(">I4s13s8s")
"""An mp4 box: its size in bytes, its type, then a mark and the checksum in hexadecimal digits."""

_TYPE = b"free"  # the standard's type for a box without meaning
_MARK = b"NumPro CRC-32"


def append_checksum(path: str | os.PathLike[str]) -> None:
    """Close a finished mp4 with its checksum."""
    box = _BOX.pack(_BOX.size, _TYPE, _MARK, f"{crc32_of(path):08x}".encode())
    with open(path, "ab") as file:
        file.write(box)


def verify_checksum(path: str | os.PathLike[str]) -> Literal["intact", "damaged", "absent"]:
    """Compare a file with its checksum; ``absent``: it has none (another program's file, an old clip, or one that was cut off).

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END) - _BOX.size
        if size < 0:
            return "absent"
        file.seek(size)
        end = file.read(_BOX.size)
    if not end.startswith(struct.pack(">I", _BOX.size) + _TYPE + _MARK):
        return "absent"
    return "intact" if end[-8:] == f"{crc32_of(path, size=size):08x}".encode() else "damaged"
