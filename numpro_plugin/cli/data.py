"""`numpro prepare` and `numpro check`: their arguments and what they print."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS, benchmark_named
from numpro_plugin.cli.terminal import JSON_HELP, check_json_target, finish, path_or_place

if TYPE_CHECKING:
    from numpro_plugin.benchmarks.table import Report


_COLUMNS_HELP = (
    "what a file of other columns calls ours: video=path,query=caption,spans=timestamp (or start_time, end_time); also id, duration, fps, "
    "part_start, part_end. Columns that are not named are looked for under the usual names, and else ignored"
)
_UNIT_HELP = (
    "what its times count: seconds (default); frames:RATE, or frames with a column fps; clips:SECONDS, from the start of the first to the "
    "end of the last"
)


_ON_HUB = ", or hf://datasets/ORG/NAME/PATH on the Hugging Face hub"


def add_data_verbs(verbs: Any) -> None:
    """The verbs on the command's parser."""
    tables: dict[str, Any] = {"type": Path, "metavar": "DIR", "help": "folder of tables (default: $NUMPRO_DATA, else the user cache)"}
    as_json = {**JSON_HELP, "nargs": "?", "const": "-", "help": "write the report as JSON; without FILE (or with -) print it alone"}

    verb = verbs.add_parser(
        "prepare",
        help="make a benchmark's table from its official annotations and your videos",
        description="Make a benchmark's table; `numpro prepare BENCHMARK --help` says where its files officially are.",
    )
    benchmarks = verb.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK", dest="benchmark")
    for name, benchmark in BENCHMARKS.items():
        one = benchmarks.add_parser(
            name, help=benchmark.title, description=benchmark.sources, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        one.add_argument("--annotations", type=path_or_place, required=True, metavar="FILE", help=f"annotation file, .gz or not{_ON_HUB}")
        source = one.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--videos",
            type=path_or_place,
            metavar="DIR",
            help=f"folder with the videos, searched with its subfolders{_ON_HUB}, with tar shards",
        )
        source.add_argument("--without-videos", action="store_true", help="for checks that need no pixels")
        one.set_defaults(durations=None, yfcc_hash=None, majority=False, name=None, force=False, run=_prepare)
        one.set_defaults(columns=None, unit="seconds")
        if benchmark.read_durations:
            one.add_argument("--durations", type=Path, metavar="FILE", help="official file with video lengths")
        if name == "didemo":
            one.add_argument("--yfcc-hash", type=Path, metavar="FILE", help="yfcc100m_hash.txt, if the videos have hashed names")
            one.add_argument("--majority", action="store_true", help="score by the span most annotators chose, not by the official rule")
        if name == "custom":
            one.add_argument("--name", help="of this set, if you have several; tasks evaluate the one that NUMPRO_CUSTOM names")
            one.add_argument("--force", action="store_true", help="replace the set's table if it exists")
            one.add_argument("--columns", metavar="NAME=COLUMN,...", help=_COLUMNS_HELP)
            one.add_argument("--unit", default="seconds", help=_UNIT_HELP)
            one.add_argument("--split", choices=benchmark.splits, help="which part of the set this is (default: test)")
        else:
            one.add_argument("--split", choices=benchmark.splits, help="if neither the annotation file's content nor its name says it")
        one.add_argument("--out", **tables)
        one.add_argument("--allow-missing", action="store_true", help="leave out missing and unreadable videos; every result will say so")
        one.add_argument("--json", **as_json)

    verb = verbs.add_parser("check", help="open every video of a prepared table again")
    verb.add_argument("benchmark", choices=list(BENCHMARKS))
    verb.add_argument("--split", help="default: the one that is evaluated")
    verb.add_argument("--name", help="of one of several custom sets (default: $NUMPRO_CUSTOM)")
    verb.add_argument("--out", **tables)
    verb.add_argument("--json", **as_json)
    verb.set_defaults(run=_check)


def _prepare(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    from numpro_plugin.benchmarks.columns import parse_reading, with_reading
    from numpro_plugin.benchmarks.prepare import prepare
    from numpro_plugin.environment import chosen_custom_set, data_folder

    benchmark = benchmark_named(args.benchmark)
    if args.columns is not None or args.unit != "seconds":
        benchmark = with_reading(benchmark, parse_reading(args.columns, args.unit))
    path, report = prepare(
        benchmark,
        args.annotations,
        videos=args.videos,
        durations=args.durations,
        yfcc_hash=args.yfcc_hash,
        majority=args.majority,
        split=args.split,
        name=args.name,
        out=args.out,
        allow_missing=args.allow_missing,
        force=args.force,
    )
    lines = [*_lines(report, path), f"table: {path}"]
    if args.out and args.out.resolve() != data_folder().resolve():
        lines.append(f'tasks look for it in NUMPRO_DATA; run: export NUMPRO_DATA="{args.out.resolve()}"')
    if report.name and report.name != chosen_custom_set():
        lines.append(f"tasks evaluate the set that NUMPRO_CUSTOM names; run: export NUMPRO_CUSTOM={report.name}")
    finish("\n".join(lines), args.json, {"table": str(path), **asdict(report)})
    return 0


def _check(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    from numpro_plugin.benchmarks.check import check
    from numpro_plugin.benchmarks.problems import write_problems
    from numpro_plugin.benchmarks.table import default_split, table_path

    benchmark = benchmark_named(args.benchmark)
    report = check(benchmark, split=args.split, name=args.name, out=args.out)
    path = table_path(benchmark.name, args.split or default_split(benchmark), args.out, name=args.name)
    write_problems(report, path)
    finish("\n".join(_lines(report, path)), args.json, {"table": str(path), **asdict(report)})
    bad = report.missing or report.unreadable or (report.with_videos and report.differing_durations)
    return 1 if bad else 0


def _lines(report: Report, table: Path) -> list[str]:
    """The report for people."""
    from numpro_plugin.benchmarks.problems import problems_path, problems_text

    kind = "" if report.with_videos else " (without videos)"
    title = " ".join(filter(None, (report.benchmark, report.name, report.split)))
    counts = f"{report.n_used} of {report.n_expected} queries, {report.videos_used} of {report.videos_expected} videos used"
    lines = [f"{title}{kind}: {counts}"]
    if report.n_with_spans is not None and report.n_with_spans < report.n_expected:
        lines.append(f"  {report.n_with_spans} of {report.n_expected} queries have spans; the others get answers and no score")
    if report.unlike_official:
        lines.append(f"  not the official file: {report.unlike_official}; every result says so")
    if report.left_out:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in report.left_out.items())
        lines.append(f"  not evaluated by the benchmark's rules: {reasons}")
    lines.append(f"  spans that end after their video: {report.beyond_end} (normal, kept)")
    if report.starts_beyond_end:
        question = ": are the times seconds?" if report.starts_beyond_end * 2 > report.n_used else ""
        lines.append(f"  of them that also start after it: {report.starts_beyond_end} (kept, but no frame shows them{question})")
    if report.reversed_spans:
        lines.append(f"  spans annotated end before start: {report.reversed_spans} (kept; the metrics read them the other way round)")
    listed = [
        ("missing", report.missing),
        ("unreadable", [f"{path}: {reason}" for path, reason in report.unreadable.items()]),
        ("damaged, read as far as possible", [f"{path}: {reason}" for path, reason in report.damaged.items()]),
        ("length differs", [f"{name}: is {now:.2f} s, expected {was:.2f} s" for name, (now, was) in report.differing_durations.items()]),
    ]
    lines += [f"  {problem}: {len(entries)}\n{problems_text(entries)}" for problem, entries in listed if entries]
    if any(entries for _, entries in listed) and problems_path(table).exists():
        lines.append(f"  all of them: {problems_path(table)}")
    return lines
