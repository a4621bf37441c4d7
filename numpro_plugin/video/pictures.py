"""Decoded frames -> upright RGB arrays in the colours that the file declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_MATRICES = (1, 4, 5, 6, 7, 9, 10)  # those of FFmpeg's colour spaces for which its converter has a matrix
_BT601 = 5  # what players assume of a file that declares nothing


class PictureConverter:
    """Converts the frames of one video; keeps FFmpeg's converter between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._declared: tuple[int, int] | None = None
        self._rotation: int | None = None
        self._matrix: NDArray[np.int32] | None = None

    def rgb(self, frame: av.VideoFrame) -> Pixels:
        """uint8 RGB, (H, W, 3), rotated and mirrored as the file's display matrix says."""
        # PyAV assumes BT.601 unless both ends are named, and its converter keeps the first matrix it was given.
        declared = (frame.colorspace if frame.colorspace in _MATRICES else _BT601, frame.color_range)
        if declared != self._declared:
            self._declared, self._reformatter = declared, VideoReformatter()
        rgb = self._reformatter.reformat(
            frame, format="rgb24", src_colorspace=declared[0], dst_colorspace=_BT601, src_color_range=declared[1]
        )
        pixels = cast("Pixels", rgb.to_ndarray())
        if frame.rotation != self._rotation:
            # Not of every frame: one that was asked for its side data refers to itself, and its memory is freed late.
            matrix = cast("Any", frame.side_data.get("DISPLAYMATRIX"))
            self._rotation, self._matrix = frame.rotation, None if matrix is None else np.frombuffer(matrix, dtype=np.int32).copy()
        if self._matrix is None:
            return pixels
        # Of a file that is RGB itself these are the decoder's own pictures, to which later ones may refer.
        return _upright(pixels.copy() if rgb is frame else pixels, self._matrix)


def _upright(pixels: Pixels, matrix: NDArray[np.int32]) -> Pixels:
    """Apply a display matrix (x' = a x + c y, y' = b x + d y, stored a b u c d v x y w), quarter turns and mirrorings alike.

    Mirrors ``pixels`` in place: a second picture of this size in fresh memory takes longer than all the rest.
    """
    a, b, c, d = (int(matrix[k]) for k in (0, 1, 3, 4))
    turned = abs(b) > abs(a)
    horizontal, vertical = (b < 0, c < 0) if turned else (a < 0, d < 0)
    if horizontal or vertical:
        # OpenCV: below 0 both axes, 0 the vertical one, 1 the horizontal one; much faster than a copy by NumPy.
        cv2.flip(pixels, -1 if horizontal and vertical else int(horizontal), pixels)
    return cast("Pixels", cv2.transpose(pixels)) if turned else pixels
