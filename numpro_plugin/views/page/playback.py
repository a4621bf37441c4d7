"""Videos that a browser can play beside a report: linked where they lie, or copied and where needed transcoded."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from numpro_plugin.errors import NumProError
from numpro_plugin.files import hash_of, written_whole

Videos = Literal["link", "copy", "none"]

_PLAYED = {"h264", "vp8", "vp9", "av1"}
"""Codecs that browsers play; H.264 is played from MP4, MOV and Matroska."""

_CONTAINERS = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}


@dataclass(frozen=True)
class Playback:
    """How a report plays one video."""

    url: str | None
    note: str = ""
    """Why it cannot be played."""


def playback(video: str, report: Path, videos: Videos) -> Playback:
    """Where the report finds a video.

    Args:
        video: path of the video file, as logged.
        report: the HTML file that will play it.
        videos: ``link`` to the file where it lies, relative to the report; ``copy`` it into the folder beside the report, transcoded if
            browsers cannot play it; or ``none``.
    """
    if videos == "none":
        return Playback(None, "videos were left out (--videos none)")
    path = Path(video)
    if not path.is_file():
        return Playback(None, f"the video is not here: {video}")
    codec = _codec(path)
    if codec is None:
        return Playback(None, "the file cannot be opened as a video")
    playable = codec in _PLAYED and path.suffix.lower() in _CONTAINERS
    if videos == "copy":
        try:
            copy = _copied(path, report_folder(report) / "videos", playable)
        except (OSError, NumProError) as error:
            return Playback(None, f"could not be copied: {error}")
        return Playback(_relative(copy, report))
    if not playable:
        return Playback(None, f"browsers cannot play {codec} in {path.suffix or 'this file'}; --videos copy transcodes it")
    return Playback(_relative(path, report))


def playable_file(path: Path, folder: Path) -> Path:
    """The file itself if browsers play it, otherwise a copy in ``folder``, in H.264 and without sound.

    Raises:
        NumProError: the file cannot be decoded.
    """
    playable = _codec(path) in _PLAYED and path.suffix.lower() in _CONTAINERS
    return path if playable else _copied(path, folder, playable)


def report_folder(report: Path) -> Path:
    """The folder beside a report for what does not fit into it, ``NAME_files``."""
    return report.with_name(f"{report.stem}_files")


def _relative(path: Path, report: Path) -> str:
    return quote(Path(os.path.relpath(path.resolve(), report.resolve().parent)).as_posix())


def _codec(path: Path) -> str | None:
    """Name of the codec of the video; None if the file is not one."""
    import av

    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError):
        return None
    stream = container.streams.best("video")
    codec = None if stream is None else str(stream.codec_context.name)
    container.close()
    return codec


def _copied(path: Path, folder: Path, playable: bool) -> Path:
    """The copy in ``folder``. Videos of one name in two folders keep apart; a copy that is there already and not older is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower() if playable else ".mp4"
    target = folder / f"{path.stem}-{hash_of(str(path.resolve()), length=8)}{suffix}"
    if target.exists() and target.stat().st_mtime >= path.stat().st_mtime:
        return target
    with written_whole(target) as part:
        if playable:
            shutil.copyfile(path, part)
        else:
            _transcode(path, part)
    return target


def _transcode(path: Path, target: Path) -> None:
    """H.264 with 4:2:0 colours in MP4, without sound: what every browser plays."""
    from fractions import Fraction

    import av

    try:
        with av.open(str(path)) as source, av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out:
            picture = source.streams.best("video")
            encoder: Any = None
            frames: Any = source.decode(picture)
            for frame in frames:
                if encoder is None:
                    encoder = out.add_stream("libx264", rate=picture.average_rate or Fraction(25), options={"crf": "23"})  # type: ignore[union-attr]
                    encoder.width, encoder.height, encoder.pix_fmt = frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p"
                    encoder.codec_context.time_base = frame.time_base
                out.mux(encoder.encode(frame.reformat(width=encoder.width, height=encoder.height, format="yuv420p")))
            if encoder is None:
                raise NumProError(f"{path}: has no frame that can be decoded")
            out.mux(encoder.encode(None))
    except av.error.FFmpegError as error:
        raise NumProError(f"{path}: could not be transcoded ({error})") from error
