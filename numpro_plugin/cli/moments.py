"""What `numpro ask` does with found moments: clips, subtitles, an edit list, a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.terminal import check_new_file, say
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from numpro_plugin.inference.localize import Localized
    from numpro_plugin.video.packets import PacketIndex
    from numpro_plugin.views.moments import Moment

_OF_SPANS = ("clip", "srt", "edl")


def add_moment_flags(verb: Any) -> None:
    """The flags on the verb's parser."""
    verb.add_argument(
        "--clip",
        type=Path,
        metavar="FILE.mp4",
        help="cut the found moment out; of several queries FILE-1.mp4, FILE-2.mp4, ...",
    )
    verb.add_argument("--srt", type=Path, metavar="FILE.srt", help="write the moments as subtitles")
    verb.add_argument("--edl", type=Path, metavar="FILE.edl", help="write the moments as an edit list (CMX 3600) for editing programs")
    verb.add_argument("--csv", type=Path, metavar="FILE.csv", help="write the moments or highlights as a table")
    verb.add_argument("--force", action="store_true", help="overwrite these files")


def check_moment_flags(args: argparse.Namespace) -> None:
    """Raise NumProError now, and not after the model was loaded, if one of the files cannot be written."""
    from numpro_plugin.views.cut import check_container

    if args.highlights and (wrong := [name for name in _OF_SPANS if getattr(args, name)]):
        raise NumProError(f"--{wrong[0]}: highlights are points of time without an end; leave it out, or --highlights (--csv has both)")
    targets = [(f"--{name}", getattr(args, name)) for name in ("srt", "edl", "csv") if getattr(args, name)]
    for flag, path in targets:
        if path.suffix.lower() != f".{flag[2:]}":
            raise NumProError(f"{flag} {path}: name it {path.with_suffix('.' + flag[2:])}")
    if args.clip:
        check_container(args.clip, "--clip")
        targets += [("--clip", path) for path in clip_paths(args.clip, len(args.queries))]
    for flag, path in targets:
        if path.resolve() == args.video.resolve():
            raise NumProError(f"{flag} {path}: is the video itself; choose another name")
        check_new_file(path, args.force, flag)


def clip_paths(path: Path, queries: int) -> list[Path]:
    """Where the clip of each query goes."""
    return [path] if queries == 1 else [path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, queries + 1)]


def write_moments(args: argparse.Namespace, index: PacketIndex, answers: Sequence[Localized], step_s: float) -> list[str]:
    """Write what was asked for; returns a line about each file. A moment of a single number lasts ``step_s`` seconds, one number's time."""
    from numpro_plugin.files import written_whole
    from numpro_plugin.inference.found_moments import moments_of
    from numpro_plugin.views import moments

    rows = [row for answer in answers for row in moments_of(answer)]
    shown = [moments.lasting(row, step_s, index.duration_s) for row in rows]
    told = [] if not args.clip else _write_clips(args, index, shown)
    texts: dict[Path | None, Callable[[], str]] = {
        args.srt: lambda: moments.as_srt(shown),
        args.edl: lambda: moments.as_edl(shown, args.video.name, moments.frame_rate_of(index)),
        args.csv: lambda: moments.as_csv(rows),
    }
    for path, text in texts.items():
        if path is None:
            continue
        if path is not args.csv and not moments.found(shown):
            told.append(f"not written: {path} (no moment was found)")
            continue
        with written_whole(path) as part:
            part.write_bytes(text().encode("utf-8", "backslashreplace"))
        told.append(f"written: {path}")
    return told


def _write_clips(args: argparse.Namespace, index: PacketIndex, shown: Sequence[Moment]) -> list[str]:
    from numpro_plugin.views.cut import cut_moment

    told = []
    for path, one in zip(clip_paths(args.clip, len(shown)), shown, strict=True):
        if one.start_s is None or one.end_s is None:
            told.append(f"not written: {path} (no moment was found: {one.reason})")
            continue
        cut = cut_moment(index, path, one.start_s, one.end_s)
        how = "copied" if cut.copied else "encoded again"
        told.append(f"written: {path} ({cut.frames} frames, {how}, {'with' if cut.sound else 'without'} sound)")
    return told


def tell(lines: Sequence[str], *, quiet: bool) -> None:
    """Print the lines, unless standard output holds JSON alone."""
    if lines and not quiet:
        say("\n" + "\n".join(lines))
