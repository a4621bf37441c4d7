"""`numpro number` and `numpro cache`: their arguments and what they print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.terminal import ENCODING_HELP, JSON_HELP, check_json_target, finish, say
from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target

if TYPE_CHECKING:
    import argparse


def add_clip_verbs(verbs: Any) -> None:
    """The verbs on the command's parser."""
    verb = verbs.add_parser("number", help="write the numbered clip of one video, as models get it")
    verb.add_argument("video", type=Path)
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.mp4")
    verb.add_argument("--encoding", default="number", metavar="NAME", help=f"{ENCODING_HELP}; a clip shows what is drawn")
    verb.add_argument("--fps", type=float, default=0.5, help="numbers per second (default: 0.5)")
    verb.add_argument("--frame-size", default="336", metavar="N|WxH", help="size of the frames in pixels (default: 336)")
    verb.add_argument("--max-frames", type=int, default=240, help="most frames shown; longer videos are thinned evenly (default: 240)")
    verb.add_argument("--end", type=float, metavar="SECONDS", help="use only the beginning of the video")
    verb.add_argument("--position", default="bottom_right", help="bottom_right (default), bottom_left, top_right, top_left or center")
    verb.add_argument("--font-size", type=float, default=40, help="for a frame 336 pixels high (default: 40)")
    verb.add_argument("--color", default="red", help="any CSS colour (default: red)")
    verb.add_argument("--stroke-width", type=float, default=0, help="outline in pixels (default: 0, none)")
    verb.add_argument("--stroke-color", default="black", help="colour of the outline (default: black)")
    verb.add_argument("--force", action="store_true", help="overwrite OUT.mp4")
    verb.set_defaults(run=_number)

    verb = verbs.add_parser("cache", help="the folders of made clips and of answers kept for runs that were stopped")
    verb.add_argument("action", choices=["info", "clear"], help="what it holds; or remove what no run used in the last 15 minutes")
    verb.add_argument("--json", **JSON_HELP)
    verb.set_defaults(run=_cache)


def _number(args: argparse.Namespace) -> int:
    check_target(args.output)
    if args.output.suffix.lower() != ".mp4":
        raise NumProError(f"-o {args.output}: a numbered clip is an mp4 file; name it {args.output.with_suffix('.mp4')}")
    if args.output.exists() and not args.force:
        raise NumProError(f"{args.output} exists; choose another name or give --force")
    if args.output.exists() and args.video.exists() and args.output.samefile(args.video):
        raise NumProError(f"{args.output} is the video itself; choose another name")
    from numpro_plugin.clips.clip import write_clip
    from numpro_plugin.encoding import parse_encoding
    from numpro_plugin.numbering import NumberStyle
    from numpro_plugin.settings import NumProSettings, parse_frame_size

    frame_size = parse_frame_size(args.frame_size, name="--frame-size")
    style = NumberStyle(args.position, args.font_size, args.color, args.stroke_width, args.stroke_color)
    encoding = parse_encoding(args.encoding, name="--encoding")
    settings = NumProSettings(fps=args.fps, frame_size=frame_size, max_frames=args.max_frames, style=style, encoding=encoding)
    info = write_clip(args.video, args.output, settings, end_s=args.end)
    numbers = f"numbers {info.numbers[0]} to {info.numbers[-1]}"
    if encoding.grid:
        numbers = f"each a grid of {encoding.grid.columns} x {encoding.grid.rows}, their first {numbers}"
    say(f"{args.output}: {len(info.numbers)} frames, {numbers}, of {info.duration_s:.2f} s of video")
    if encoding.text not in ("native", "none"):
        say(f"note: encoding {encoding.name} also writes text before each frame, which is no part of a clip")
    return 0


def _cache(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    from numpro_plugin.clips.cache import ClipCache
    from numpro_plugin.environment import answers_folder
    from numpro_plugin.inference.answer_log import clear_answers, kept_answers

    cache, clear = ClipCache(), args.action == "clear"
    if clear:
        info, (runs, answer_bytes) = cache.clear(), clear_answers()
    else:
        info, answers = cache.info(), kept_answers()
        runs, answer_bytes = len(answers), sum(file.stat().st_size for file in answers)
    removed = "removed " if clear else ""
    limit = f", limit {info.limit_bytes / 1e9:g} GB (NUMPRO_CACHE_GB)" if info.limit_bytes > 0 else ", no limit"
    text = (
        f"{info.folder}: {removed}{info.clips} clips, {info.bytes / 1e9:.2f} GB{'' if clear else limit}\n"
        f"{answers_folder()}: {removed}answers of {runs} runs, {answer_bytes / 1e6:.2f} MB"
    )
    if clear and ((kept := cache.info()).clips or kept_answers()):
        kept_files = f"{kept.clips} clips and answers of {len(kept_answers())} runs"
        text += f"\nkept: {kept_files} that were used in the last 15 minutes; a run may still need them"
    content = {
        "removed": clear,
        "clips": {"folder": str(info.folder), "count": info.clips, "bytes": info.bytes, "limit_bytes": info.limit_bytes},
        "answers": {"folder": str(answers_folder()), "runs": runs, "bytes": answer_bytes},
    }
    finish(text, args.json, content)
    return 0
