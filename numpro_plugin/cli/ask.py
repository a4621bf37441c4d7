"""`numpro ask`: its arguments and what it prints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.answers.thoughts import UNCLOSED
from numpro_plugin.cli.moments import add_moment_flags, check_moment_flags, tell, write_moments
from numpro_plugin.cli.terminal import ENCODING_HELP, check_json_target, finish
from numpro_plugin.errors import NumProError
from numpro_plugin.inference.device import DTYPES

if TYPE_CHECKING:
    import argparse

    from numpro_plugin.inference.localize import Localized
    from numpro_plugin.video.packets import PacketIndex


def add_ask_verb(verbs: Any) -> None:
    """The verb on the command's parser."""
    verb = verbs.add_parser(
        "ask",
        help="ask a model when something happens in one's own video",
        description="Ask a video LLM when something happens in a video. Several queries share one pass over the video.",
    )
    verb.add_argument("video", type=Path)
    verb.add_argument("queries", nargs="+", metavar="QUERY", help='what to look for, such as "a person opens a door"')
    verb.add_argument("--model", required=True, metavar="FOLDER", help="folder or hub id of the model")
    verb.add_argument("--adapter", metavar="FOLDER", help="folder or hub id of a NumPro-FT adapter for it")
    verb.add_argument("--highlights", action="store_true", help="ask for highlights with scores from 1 to 5 instead of one moment")
    verb.add_argument("--encoding", metavar="NAME", help=ENCODING_HELP.replace("default: number", "default: the adapter's, else number"))
    verb.add_argument("--fps", type=float, help="numbers per second (default: the adapter's, else 0.5)")
    verb.add_argument(
        "--frame-size", metavar="N|WxH", help="size of the frames or grids in pixels (default: the adapter's, else the model's)"
    )
    verb.add_argument("--max-frames", type=int, help="most frames; longer videos are thinned evenly (default: the adapter's, else 240)")
    verb.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="look at a part of the video only: from here")
    verb.add_argument("--end", type=float, metavar="SECONDS", help="to here")
    verb.add_argument("--max-new-tokens", type=int, help="most tokens of an answer (default: 128; highlights 512, with an adapter 1024)")
    verb.add_argument("--batch-size", type=int, default=4, help="answers written at once (default: 4)")
    verb.add_argument("--dtype", default="auto", help="auto (default: the checkpoint's), bfloat16, float16 or float32")
    verb.add_argument("--attn", metavar="NAME", help="attention: sdpa, eager, flash_attention_2 (default: the library's choice)")
    verb.add_argument("--device", help="such as cuda:1 or cpu (default: the first GPU, else the CPU); auto: over all GPUs")
    verb.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write the answers as JSON; without FILE print nothing else")
    add_moment_flags(verb)
    verb.set_defaults(run=_ask)


def _ask(args: argparse.Namespace) -> int:
    index, given = _check(args)  # what is wrong with the arguments shows before torch is imported and a large model loaded
    from transformers.utils import logging as transformers_logging

    from numpro_plugin.families import family_at, load_model
    from numpro_plugin.inference.device import device_map
    from numpro_plugin.inference.localize import localize, settings_for

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place = device_map(args.device)
    settings = settings_for(family_at(args.model), args.model, args.adapter, **given)
    loaded = load_model(
        args.model, args.adapter, dtype=args.dtype, attn_implementation=args.attn, device_map=place, merge=args.adapter is not None
    )
    found = localize(
        index,
        args.queries,
        loaded,
        settings,
        highlights=args.highlights,
        start_s=args.start,
        end_s=args.end,
        max_new_tokens=args.max_new_tokens,
        batch_size=args.batch_size,
    )
    content = {"video": str(args.video), "settings": settings.to_dict(), "answers": [asdict(one) for one in found]}
    finish("\n\n".join(_block(one) for one in found), args.json, content)
    tell(write_moments(args, index, found, 1 / settings.fps), quiet=args.json == "-")
    return 0 if all(one.span_s or one.highlights for one in found) else 1


def _check(args: argparse.Namespace) -> tuple[PacketIndex, dict[str, Any]]:
    """The video's packets and the settings that were given, if the arguments are right."""
    from numpro_plugin.encoding import parse_encoding
    from numpro_plugin.prompts.questions import check_highlights
    from numpro_plugin.settings import NumProSettings, parse_frame_size
    from numpro_plugin.video.packets import read_packets

    check_json_target(args.json)
    check_moment_flags(args)
    if any(not query.strip() for query in args.queries):
        raise NumProError("a query must say what to look for, got an empty one")
    if args.dtype not in DTYPES:
        raise NumProError(f"--dtype {args.dtype!r} is unknown; allowed: {', '.join(DTYPES)}")
    for name in ("batch_size", "max_new_tokens"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise NumProError(f"--{name.replace('_', '-')} {value} must be 1 or more")
    size = None if args.frame_size is None else parse_frame_size(args.frame_size, name="--frame-size")
    encoding = None if args.encoding is None else parse_encoding(args.encoding, name="--encoding")
    given = {"fps": args.fps, "frame_size": size, "max_frames": args.max_frames}
    settings = NumProSettings(**{name: value for name, value in given.items() if value is not None})
    if encoding is not None:
        encoding.check_rate(settings.fps)  # whether a grid fits the frames is known with the model's frame size
        if args.highlights:
            check_highlights(encoding)
    index = read_packets(args.video)
    duration_s = index.duration_s
    end_s = duration_s if args.end is None else args.end
    if not (0 <= args.start < min(end_s, duration_s)):
        raise NumProError(
            f"--start {args.start:g} --end {end_s:g}: the part must lie within the video's {duration_s:.2f} s, start before end"
        )
    return index, {**given, "encoding": encoding}


def _block(one: Localized) -> str:
    lines = [one.query]
    if one.span_s:
        lines.append("  {:.1f} - {:.1f} s".format(*one.span_s))
    lines += [f"  {time:.1f} s  {score:g}" for time, score in one.highlights]
    if len(lines) == 1:
        flag = " (--max-new-tokens)" if one.reason == UNCLOSED else ""
        lines.append(f"  no answer: {one.reason}{flag}")
    return "\n".join([*lines, f"  the model: {one.text}"])
