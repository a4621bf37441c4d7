"""`numpro report`, `numpro sheet` and `numpro export`: their arguments and what they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.terminal import ENCODING_HELP, check_new_file, say
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.views.sheet import SheetText


def add_view_verbs(verbs: Any) -> None:
    """The verbs on the command's parser."""
    verb = verbs.add_parser(
        "report",
        help="look at runs in a browser: tables, charts, and every query with its frames, spans and words",
        description="Write one HTML file about one or more runs of lmms-eval (--log_samples). It needs no network.",
    )
    verb.add_argument("runs", nargs="+", metavar="[NAME=]RUN", help="lmms-eval's output folder, or one of its samples_*.jsonl")
    verb.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    verb.add_argument("--pictures", metavar="N|all|none", help="of how many videos frames are shown (default: as many as fit 30 MB)")
    verb.add_argument(
        "--videos", choices=["link", "copy", "none"], default="link", help="play videos where they lie (default), as copies, or not at all"
    )
    verb.add_argument("--force", action="store_true", help="overwrite FILE")
    verb.set_defaults(run=_report)

    verb = verbs.add_parser(
        "sheet",
        help="a page of numbered frames as PNG, with query, true moment and answer",
        description="Write the numbered frames of a video in reading order, 30 a page. With --samples and --id: those of a logged answer.",
    )
    verb.add_argument("video", type=Path, nargs="?", help="the video file")
    verb.add_argument("-o", "--output", type=Path, default=Path("sheet.png"), metavar="FILE.png", help="default: sheet.png")
    verb.add_argument("--query", default="", help="what was asked for")
    verb.add_argument(
        "--truth", type=float, nargs=2, action="append", metavar=("START", "END"), help="a true moment in seconds; again for more"
    )
    verb.add_argument(
        "--answer", default="", metavar="TEXT", help='a model\'s words, such as "From Frame 1 to Frame 6." or "6 - 12 seconds"'
    )
    verb.add_argument(
        "--samples", type=Path, metavar="FILE", help="lmms-eval's samples_*.jsonl or its folder: video, query, truth and answer"
    )
    verb.add_argument("--id", help="which sample (with --samples)")
    verb.add_argument("--encoding", default="number", metavar="NAME", help=ENCODING_HELP)
    verb.add_argument("--fps", type=float, default=0.5, help="numbers per second (default: 0.5)")
    verb.add_argument("--frame-size", default="336", metavar="N|WxH", help="size of the frames in pixels (default: 336)")
    verb.add_argument("--max-frames", type=int, default=240, help="most frames shown; longer videos are thinned evenly (default: 240)")
    verb.add_argument("--end", type=float, metavar="SECONDS", help="use only the beginning of the video")
    verb.add_argument("--force", action="store_true", help="overwrite FILE.png")
    verb.set_defaults(run=_sheet)

    verb = verbs.add_parser(
        "export",
        help="the queries of runs, with truth and answers, for other programs",
        description="Write the queries of one or more runs of lmms-eval (--log_samples), with truth and answers, for another program.",
    )
    verb.add_argument("runs", nargs="+", metavar="[NAME=]RUN", help="lmms-eval's output folder, or one of its samples_*.jsonl")
    verb.add_argument("--to", required=True, choices=["csv", "coco", "fiftyone", "labelstudio"], help="what the file is for")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=".csv, or .json for the others")
    verb.add_argument("--force", action="store_true", help="overwrite FILE")
    verb.set_defaults(run=_export)


def _report(args: argparse.Namespace) -> int:
    check_new_file(args.output, args.force)
    if args.output.suffix.lower() not in {".html", ".htm"}:
        raise NumProError(f"-o {args.output}: a report is an HTML file; name it {args.output.with_suffix('.html')}")
    pictures: Any = args.pictures
    if pictures not in (None, "all", "none"):
        if not pictures.isdecimal():
            raise NumProError(f"--pictures {pictures!r} must be a number of videos, all or none")
        pictures = int(pictures)
    from numpro_plugin.views.report import write_report
    from numpro_plugin.views.runs import read_runs

    made = write_report(read_runs(args.runs), args.output, pictures=pictures, videos=args.videos, progress=_progress)
    for note in made.notes:
        say(f"note: {note}")
    say(
        f"{made.path}: {made.queries} queries, frames of {made.pictures} of {made.videos} videos, {made.bytes / 1e6:.1f} MB; "
        "open it in a browser"
    )
    return 0


def _sheet(args: argparse.Namespace) -> int:
    check_new_file(args.output, args.force)
    if (args.video is None) == (args.samples is None):
        raise NumProError("give either a video file, or --samples FILE with --id ID")
    if args.samples is not None and args.id is None:
        raise NumProError(f"--samples {args.samples}: which sample? Give its --id")
    from numpro_plugin.encoding import parse_encoding
    from numpro_plugin.settings import NumProSettings, parse_frame_size
    from numpro_plugin.views.sheet import SheetText, write_sheet

    if args.samples is not None:
        video, settings, text, start_s, end_s = _sample(args.samples, args.id)
    else:
        truths = tuple((start, end) for start, end in args.truth or ())
        if wrong := [span for span in truths if not 0 <= span[0] <= span[1] < float("inf")]:
            raise NumProError("--truth {:g} {:g}: seconds, 0 or more, start before end".format(*wrong[0]))
        size = parse_frame_size(args.frame_size, name="--frame-size")
        encoding = parse_encoding(args.encoding, name="--encoding")
        settings = NumProSettings(fps=args.fps, frame_size=size, max_frames=args.max_frames, encoding=encoding)
        video, text, start_s, end_s = args.video, SheetText(args.query, truths, args.answer), 0.0, args.end
    for page in write_sheet(video, args.output, settings, text, start_s=start_s, end_s=end_s):
        say(f"written: {page}")
    return 0


def _sample(log: Path, key: str) -> tuple[str, NumProSettings | None, SheetText, float, float | None]:
    from numpro_plugin.views.runs import read_runs
    from numpro_plugin.views.sheet import text_of_sample

    runs = read_runs([str(log)])
    if len(runs) > 1:
        found = "\n".join(f"  {run.log}" for run in runs)
        raise NumProError(f"--samples {log}: holds {len(runs)} sample logs, name one of them:\n{found}")
    sample = runs[0].samples.get(key)
    if sample is None:
        some = ", ".join(list(runs[0].samples)[:5])
        raise NumProError(f"--id {key!r}: {runs[0].log} has no such sample; its ids are like {some}")
    return sample.video, sample.settings, text_of_sample(sample), sample.start_s, sample.end_s


def _export(args: argparse.Namespace) -> int:
    from numpro_plugin.views.export import check_format, videos_folder, write_export
    from numpro_plugin.views.runs import read_runs

    check_format(args.output, args.to)
    check_new_file(args.output, args.force, "-o")
    runs = read_runs(args.runs)
    for note in (note for run in runs for note in run.notes):
        say(f"note: {note}")
    count = write_export(runs, args.output, args.to)
    units = {"csv": "rows", "labelstudio": "tasks"}
    place = f"; its data_path is {videos_folder(runs)}" if args.to == "fiftyone" else ""
    say(f"written: {args.output} ({count} {units.get(args.to, 'moments')} of {len(runs)} run{'s' * (len(runs) > 1)}{place})")
    return 0


def _progress(videos: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(videos, desc="frames", unit="video", file=sys.stderr, disable=None)
