"""The ways to get the pixels of chosen frames, behind one protocol.

A decoder is told which frames are wanted as positions in the file's `PacketIndex`. Which frames those are was decided from the packets,
so every decoder returns the same ones. A decoder may stop early; `decode_everything` then reads what it left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from numpro_plugin.video.decord_reader import decode_decord
from numpro_plugin.video.everything import decode_everything
from numpro_plugin.video.skipping import decode_skipping

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from numpro_plugin.environment import DecoderName
    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.video.pictures import Pixels

__all__ = ["DECODERS", "Decoder", "decode_everything"]


class Decoder(Protocol):
    """Reads chosen frames of one video."""

    def __call__(self, index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
        """Yield ``(position, pixels)`` for positions in ``index.pts``, ascending and without repetition, one frame in memory at a time.

        Pixels are uint8 RGB, (H, W, 3), at the video's own size, upright. Frames that cannot be decoded are left out.
        """
        ...


DECODERS: dict[DecoderName, Decoder] = {"pyav": decode_skipping, "decord": decode_decord}
