"""`numpro prepare` and `numpro check`: their arguments and what they print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS, benchmark_named

if TYPE_CHECKING:
    from numpro_plugin.benchmarks.table import Report


def add_data_verbs(verbs: Any) -> None:
    """The verbs on the command's parser."""
    tables = {"type": Path, "metavar": "DIR", "help": "folder of tables (default: $NUMPRO_DATA, else the user cache)"}

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
        one.add_argument("--annotations", type=Path, required=True, metavar="FILE", help="annotation file, .gz or not")
        source = one.add_mutually_exclusive_group(required=True)
        source.add_argument("--videos", type=Path, metavar="DIR", help="folder with the videos, searched with its subfolders")
        source.add_argument("--without-videos", action="store_true", help="for checks that need no pixels")
        one.set_defaults(durations=None, yfcc_hash=None, majority=False, run=_prepare)
        if benchmark.read_durations:
            one.add_argument("--durations", type=Path, metavar="FILE", help="official file with video lengths")
        if name == "didemo":
            one.add_argument("--yfcc-hash", type=Path, metavar="FILE", help="yfcc100m_hash.txt, if the videos bear hashed names")
            one.add_argument("--majority", action="store_true", help="score by the span most annotators chose, not by the official rule")
        one.add_argument("--split", choices=benchmark.splits, help="if the annotation file's name does not say it")
        one.add_argument("--out", **tables)
        one.add_argument("--allow-missing", action="store_true", help="leave out missing and unreadable videos; every result will say so")

    verb = verbs.add_parser("check", help="open every video of a prepared table again")
    verb.add_argument("benchmark", choices=list(BENCHMARKS))
    verb.add_argument("--split", help="default: the one that is evaluated")
    verb.add_argument("--out", **tables)
    verb.set_defaults(run=_check)


def _prepare(args: argparse.Namespace) -> int:
    from numpro_plugin.benchmarks.prepare import prepare
    from numpro_plugin.environment import data_folder

    path, report = prepare(
        benchmark_named(args.benchmark),
        args.annotations,
        videos=args.videos,
        durations=args.durations,
        yfcc_hash=args.yfcc_hash,
        majority=args.majority,
        split=args.split,
        out=args.out,
        allow_missing=args.allow_missing,
    )
    _print_report(report)
    print(f"table: {path}")
    if args.out and args.out.resolve() != data_folder().resolve():
        print(f'tasks look for it in NUMPRO_DATA; run: export NUMPRO_DATA="{args.out.resolve()}"')
    return 0


def _check(args: argparse.Namespace) -> int:
    from numpro_plugin.benchmarks.prepare import check

    report = check(benchmark_named(args.benchmark), split=args.split, out=args.out)
    _print_report(report)
    bad = report.missing or report.unreadable or (report.with_videos and report.differing_durations)
    return 1 if bad else 0


def _print_report(report: Report) -> None:
    from numpro_plugin.benchmarks.prepare import names_block

    kind = "" if report.with_videos else " (without videos)"
    print(f"{report.benchmark} {report.split}{kind}: {report.n_used} of {report.n_expected} queries, ", end="")
    print(f"{report.videos_used} of {report.videos_expected} videos used")
    print(f"  spans that end after their video: {report.beyond_end} (normal, kept)")
    if report.reversed_spans:
        print(f"  spans annotated end before start: {report.reversed_spans} (kept; the metrics read them the other way round)")
    if report.missing:
        print(f"  missing: {len(report.missing)}\n{names_block(report.missing)}")
    for title, entries in (
        ("unreadable", [f"{path}: {reason}" for path, reason in report.unreadable.items()]),
        ("damaged, read as far as possible", [f"{path}: {reason}" for path, reason in report.damaged.items()]),
        ("length differs", [f"{name}: is {now:.2f} s, expected {was:.2f} s" for name, (now, was) in report.differing_durations.items()]),
    ):
        if entries:
            print(f"  {title}: {len(entries)}")
            print("\n".join(f"    {entry}" for entry in entries))
