"""Reading frames with decord (``NUMPRO_DECODER=decord``), where its frames are those of the packets and its pictures are ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.errors import NumProError
from numpro_plugin.video.pictures import PictureConverter
from numpro_plugin.video.skipping import lone_pictures, says_key_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.video.pictures import Pixels

log = logging.getLogger(__name__)

_MOST_APART = 3  # grey levels on average; it rounds otherwise
_REMEDY = "unset NUMPRO_DECODER to read it with PyAV"


def decode_decord(index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Pixels]]:
    """Decode with decord.

    Raises:
        NumProError: decord is not installed, cannot read the file, or has other frames, times or pictures than PyAV.
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
    _check_key_frames(index, wanted, lambda position: reader[position].asnumpy())
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


def _check_key_frames(index: PacketIndex, wanted: NDArray[np.int64], read: Callable[[int], Pixels]) -> None:
    """Raise if decord would start at packets that are no key frames, or shows the first of them otherwise than PyAV."""
    if not says_key_frames(index):
        raise NumProError(f"{index.path}: its decoder does not say which pictures are key frames, which decord relies on; {_REMEDY}")
    keys = np.flatnonzero(index.keyframe & (index.decode_order >= 0))
    before = np.searchsorted(index.decode_order[keys], wanted, side="right") - 1
    needed = np.unique(keys[np.maximum(before, 0)]) if len(keys) else np.zeros(1, dtype=np.int64)
    for k, frame in lone_pictures(index, needed):
        if frame is None:
            raise NumProError(f"{index.path}: packet {k} is marked as a key frame and is none, which decord does not notice; {_REMEDY}")
        if k == needed[0]:
            position = int(index.decode_order[k])
            theirs, ours = read(position), PictureConverter().rgb(frame)
            if theirs.shape != ours.shape or np.abs(theirs.astype(np.int16) - ours).mean() > _MOST_APART:
                raise NumProError(f"{index.path}: decord shows frame {position} otherwise than PyAV; {_REMEDY}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
