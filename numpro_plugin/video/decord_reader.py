"""Reading frames with decord (``NUMPRO_DECODER=decord``), where its frames are those of the packets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.video.pictures import Pixels

log = logging.getLogger(__name__)

_REMEDY = "unset NUMPRO_DECODER to read it with PyAV"


def decode_decord(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Decode with decord.

    Raises:
        NumProError: decord is not installed, cannot read the file, or has other frames or times than the packets.
    """
    try:
        import decord
    except ImportError as error:
        raise NumProError(
            "NUMPRO_DECODER=decord, but decord is not installed (it has no wheels for this platform or Python); "
            "unset NUMPRO_DECODER to use PyAV, which needs nothing more"
        ) from error
    if not index.trusted:
        raise NumProError(f"{index.path}: decord garbles the times of files without time stamps, such as AVI; {_REMEDY}")
    try:
        reader = decord.VideoReader(index.path, ctx=decord.cpu(0), num_threads=1)
        frames = len(reader)
    except (decord.DECORDError, RuntimeError) as error:
        raise NumProError(f"{index.path}: decord cannot read it ({_first_line(error)}); {_REMEDY}") from error
    if frames != len(index.pts):
        raise NumProError(f"{index.path}: decord counts {frames} frames, the packets {len(index.pts)}; {_REMEDY}")
    _check_times(index, np.asarray(reader.get_frame_timestamp(range(frames)), dtype=np.float64)[:, 0])
    for position in wanted:
        try:
            yield int(position), reader[int(position)].asnumpy()
        except (decord.DECORDError, RuntimeError) as error:
            log.warning("%s: decord cannot decode frame %d (%s)", index.path, position, _first_line(error))
            return


def _check_times(index: PacketIndex, times_s: NDArray[np.float64]) -> None:
    """Raise if decord shows a frame at another time than its packet: it is then another frame."""
    expected_s = index.pts * float(index.time_base)
    apart_s = np.abs((times_s - times_s[0]) - (expected_s - expected_s[0]))
    step_s = float(np.diff(expected_s).min()) if len(expected_s) > 1 else 1.0
    if apart_s.max() > step_s / 2:
        position = int(apart_s.argmax())
        raise NumProError(
            f"{index.path}: decord shows frame {position} at {times_s[position]:.3f} s, the packets at {expected_s[position]:.3f} s; "
            f"{_REMEDY}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
