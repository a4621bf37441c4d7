"""`numpro design`: its arguments and what it prints."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS, benchmark_named
from numpro_plugin.cli.tables import aligned
from numpro_plugin.cli.terminal import JSON_HELP, check_json_target, check_new_file, finish
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from numpro_plugin.design.frames import Chosen
    from numpro_plugin.design.readers import Reader
    from numpro_plugin.design.search import Recommended, StyleResult
    from numpro_plugin.design.swallowed import Swallowed
    from numpro_plugin.settings import SettingsByVideo

_LISTED = 5
"""Numbers of low contrast that are named; --json has all of them."""


def add_design_verb(verbs: Any) -> None:
    """The verb on the command's parser."""
    verb = verbs.add_parser(
        "design",
        help="find the font size, colour and position of the numbers that are read best on your frames",
        description="Draw the numbers in every combination of sizes, colours and positions on frames of your videos, read them back, and "
        "say how much of a frame each covers. Also says how many shown numbers are hard to tell from what is behind them, in the style of "
        "the NUMPRO_* variables. Frames are made as the tasks make them.",
    )
    verb.add_argument("videos", type=Path, nargs="*", metavar="VIDEO", help="video files")
    verb.add_argument("--benchmark", choices=list(BENCHMARKS), metavar="NAME", help="instead of files: the videos of a prepared benchmark")
    verb.add_argument("--split", help="of the benchmark (default: the one that is evaluated)")
    verb.add_argument("--most-videos", type=int, default=200, metavar="N", help="of a benchmark, chosen evenly (default: 200)")
    verb.add_argument("--frames", type=int, default=16, metavar="N", help="frames that every style is tried on (default: 16)")
    verb.add_argument(
        "--reader",
        default="text",
        metavar="text|none|MODEL",
        help="who reads the numbers: text recognition (default; extra ocr), nobody, or a folder or hub id of a CLIP-like model",
    )
    verb.add_argument("--sizes", type=float, nargs="+", metavar="N", help="font sizes (default: 20 40 60 80)")
    verb.add_argument("--colors", nargs="+", metavar="COLOR", help="CSS colours (default: red blue black green white yellow)")
    verb.add_argument("--positions", nargs="+", metavar="POSITION", help="default: all five")
    verb.add_argument("--outlines", type=float, nargs="+", metavar="N", help="widths of a black or white outline (default: 0, none)")
    verb.add_argument("--plot", type=Path, metavar="FILE", help="draw heat maps as .png or .svg (needs matplotlib)")
    verb.add_argument("--sheet", type=Path, metavar="FILE.png", help="draw the three best and the three worst styles on the frames")
    verb.add_argument("--json", **JSON_HELP)
    verb.add_argument("--force", action="store_true", help="overwrite the pictures")
    verb.set_defaults(run=_design)


def _design(args: argparse.Namespace) -> int:
    _check(args)
    from numpro_plugin.design.frames import choose_frames, parts_of_files, parts_of_table, places_of_parts, places_of_table
    from numpro_plugin.design.search import ranked, recommended, search
    from numpro_plugin.design.styles import StyleGrid
    from numpro_plugin.design.swallowed import swallowed_numbers
    from numpro_plugin.timeline import kept_numbers

    settings = _settings()
    asked = {name: getattr(args, name) for name in ("sizes", "colors", "positions", "outlines") if getattr(args, name) is not None}
    styles = StyleGrid(**asked).styles()
    if args.benchmark:
        table = _table(args.benchmark, args.split)
        parts = parts_of_table(table)
        parts = [parts[k] for k in kept_numbers(len(parts), args.most_videos).tolist()] if parts else []
        places = places_of_table(table, settings, args.frames)
    else:
        parts = parts_of_files(args.videos)
        places = places_of_parts(parts, settings, args.frames)
    reader = _reader(args.reader)
    found = swallowed_numbers(_progress(parts, "videos"), settings)
    chosen = choose_frames(places, settings)
    results = search(chosen, _progress(styles, "styles"), reader)
    order, advised = ranked(results), recommended(results)
    frames = len(chosen.places)
    lines = [*_table_of(order, frames, reader), "", *_advice(advised, frames, reader), "", *_told(found, len(parts))]
    content = {
        "reader": None if reader is None else reader.name,
        "frames": [{"video": one.part.video, "number": one.number, "caption": one.caption} for one in chosen.places],
        "styles": [one.to_dict() for one in order],
        "recommended": None if advised is None else advised.result.to_dict(),
        "numbers": found.to_dict(),
    }
    written = _pictures(args, results, chosen, reader)
    finish("\n".join([*lines, *written]), args.json, content)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise NumProError for arguments that cannot be, before anything is imported or read."""
    check_json_target(args.json)
    if bool(args.videos) == (args.benchmark is not None):
        raise NumProError("give either video files, or --benchmark NAME")
    for name in ("frames", "most_videos"):
        if getattr(args, name) < 1:
            raise NumProError(f"--{name.replace('_', '-')} {getattr(args, name)} must be 1 or more")
    if args.plot is not None:
        from numpro_plugin.views.plots import check_plot

        check_plot(args.plot)
        check_new_file(args.plot, args.force, "--plot")
    if args.sheet is not None:
        if args.sheet.suffix.lower() != ".png":
            raise NumProError(f"--sheet {args.sheet}: a sheet is a PNG picture; name it {args.sheet.with_suffix('.png')}")
        check_new_file(args.sheet, args.force, "--sheet")
    if args.reader == "text":
        from numpro_plugin.design.readers import check_text_reader

        check_text_reader()


def _settings() -> SettingsByVideo:
    from numpro_plugin.encoding import drawn_kind
    from numpro_plugin.environment import fps_is_automatic, settings_from_environment
    from numpro_plugin.settings import SettingsByVideo

    settings = settings_from_environment()
    if drawn_kind(settings.encoding) != "number" or settings.encoding.grid is not None:
        raise NumProError(
            f"NUMPRO_ENCODING={settings.encoding.name} draws no numbers on single frames, and numpro design looks at those; unset it"
        )
    return SettingsByVideo(settings, fps_is_automatic())


def _table(name: str, split: str | None) -> Path:
    from numpro_plugin.benchmarks.table import default_split, read_report, table_path

    table = table_path(name, split or default_split(benchmark_named(name)))
    if not read_report(table).with_videos:
        raise NumProError(f"{table}: was prepared without videos, so there are no frames; run numpro prepare {name} with --videos DIR")
    return table


def _reader(name: str) -> Reader | None:
    if name == "none":
        return None
    from numpro_plugin.design.readers import CaptionReader, TextReader

    if name == "text":
        return TextReader()
    with redirect_stdout(sys.stderr):  # a library of transformers greets there, and --json - has it for itself
        return CaptionReader(name)


def _table_of(order: Sequence[StyleResult], frames: int, reader: Reader | None) -> list[str]:
    from numpro_plugin.design.contrast import LOW_CONTRAST
    from numpro_plugin.design.styles import named

    head = ["style", *(["read back %"] if reader else []), *(["captions %"] if order[0].captions is not None else [])]
    rows = [[*head, "covers %", "low contrast %"]]
    for one in order:
        read = [] if one.read_percent is None else [f"{one.read_percent:.0f}"]
        captions = [] if one.captions is None else [f"{one.captions:.0f}"]
        rows.append([named(one.style), *read, *captions, f"{one.covered:.2f}", f"{one.low_contrast_percent:.0f}"])
    who = f"read by {reader.name}" if reader else "nobody read them"
    return [
        *aligned(rows),
        f"{frames} frames, {who}; low contrast: below {LOW_CONTRAST:g} (Oklab distance from the pixels around; black on white is 100)",
    ]


def _advice(advised: Recommended | None, frames: int, reader: Reader | None) -> list[str]:
    from numpro_plugin.design.styles import named, variables
    from numpro_plugin.numbering import NumberStyle

    if reader is None:
        return ["no style is recommended: contrast alone does not say how large a number must be; give a --reader"]
    if advised is None:
        return ["no style is recommended: no number was read back; try other --sizes, --colors or --outlines"]
    style, usual = advised.result.style, NumberStyle()
    use = variables(style)
    noise = f"{advised.low_percent:.0f} to {advised.most_percent:.0f} %, the best rate and its 95 % Wilson interval for {frames} frames"
    nearest = "is" if style == usual else "is nearest"
    among = f"{advised.alike} styles are read back equally often ({noise}); of these it {nearest} the paper's {named(usual)}"
    small = style.font_size < usual.font_size
    return [
        f"recommended: {named(style)}",
        f"why: {among if advised.alike > 1 else f'no other style is read back as often ({noise})'}",
        f"to use it: {use}" if use else "this is the default; no variable is needed",
        *(["a video LLM may need larger numbers than this reader: in the paper 40 did better than 20; compare both on your task"] * small),
    ]


def _told(found: Swallowed, parts: int) -> list[str]:
    from numpro_plugin.design.contrast import LOW_CONTRAST
    from numpro_plugin.design.styles import named, variables

    share = 100 * len(found.low) / found.numbers
    lines = [
        f"in the style of the tasks ({named(found.style)}), {len(found.low)} of {found.numbers} shown numbers ({share:.1f} %) in "
        f"{found.videos} of {parts} videos have a contrast below {LOW_CONTRAST:g}",
        *(f"  {Path(one.video).name}: number {one.number} at {one.time_s:g} s, contrast {one.contrast:.0f}" for one in found.low[:_LISTED]),
        *([f"  ... and {len(found.low) - _LISTED} more"] if len(found.low) > _LISTED else []),
    ]
    if found.low:
        other = found.outlined_style
        lines.append(f"with an outline ({variables(other)}): {found.low_outlined} of {found.numbers}")
    return [*lines, *(f"not counted: {reason}" for reason in found.unreadable.values())]


def _pictures(
    args: argparse.Namespace,
    results: Sequence[StyleResult],
    chosen: Chosen,
    reader: Reader | None,
) -> list[str]:
    from numpro_plugin.design.pictures import plot_search, write_style_sheet
    from numpro_plugin.design.search import ranked

    written = []
    if args.plot is not None:
        what = f"numbers read back by {reader.name}, percent" if reader else "numbers with enough contrast, percent"
        plot_search(args.plot, results, f"{what}, {len(chosen.places)} frames")
        written.append(f"written: {args.plot}")
    if args.sheet is not None:
        write_style_sheet(args.sheet, ranked(results), chosen)
        written.append(f"written: {args.sheet}")
    return ["", *written] if written else []


def _progress(items: Sequence[Any], unit: str) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, desc="design", unit=unit.rstrip("s"), file=sys.stderr, disable=None)
