"""`numpro score`, `numpro compare` and `numpro ceiling`: their arguments and what they print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.cli.tables import table
from numpro_plugin.cli.terminal import JSON_HELP, check_json_target, check_new_file, finish, path_or_place, say, shortened
from numpro_plugin.errors import NumProError
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    import argparse

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.settings import Rate


def add_score_verbs(verbs: Any) -> None:
    """The verbs on the command's parser."""
    verb = verbs.add_parser("ceiling", help="what answers in shown marks can reach at best on a prepared benchmark")
    verb.add_argument(
        "benchmark", nargs="?", choices=list(BENCHMARKS), help="default: all that are prepared, with all splits and own sets, in one table"
    )
    rates = "numbers per second (default: 0.5 1 2), or auto: by each video's length, as with NUMPRO_FPS=auto"
    verb.add_argument("--fps", type=_rate, nargs="+", default=[0.5, 1.0, 2.0], metavar="RATE", help=rates)
    verb.add_argument("--max-frames", type=int, help="most frames a video; longer videos are thinned, as in the tasks (default: no limit)")
    encodings = "how time is shown and asked for, one or more with commas: a row each (default: number)"
    verb.add_argument("--encoding", default="number", metavar="NAME[,NAME...]", help=encodings)
    verb.add_argument("--split", help="default: the one that is evaluated")
    verb.add_argument("--out", type=Path, metavar="DIR", help="folder of tables (default: $NUMPRO_DATA, else the user cache)")
    verb.add_argument("--json", **JSON_HELP)
    _add_plot_flags(verb, "the table")
    verb.set_defaults(run=_ceiling)

    verb = verbs.add_parser("score", help="score anybody's prediction file, without a model")
    verb.add_argument("kind", choices=["moment", "highlight", "set"], help="set: all moments of a query, as VUE-TR asks for")
    verb.add_argument(
        "predictions",
        type=Path,
        help="results of NumPro, TimeChat, TRACE, TimeLens, VTimeLLM or moment_detr, or lmms-eval's samples_*.jsonl",
    )
    truth = "official annotation file, TimeChat's ground truth, or a prepared table; or hf://datasets/ORG/NAME/PATH"
    verb.add_argument("--truth", type=path_or_place, metavar="FILE", help=truth)
    verb.add_argument("--fps", type=float, default=0.5, help="numbers per second that answers speak in (default: 0.5)")
    verb.add_argument(
        "--unit",
        choices=["frames", "seconds", "clock"],
        default="frames",
        help="what answers in words were asked to count, where the file does not say it (default: frames)",
    )
    verb.add_argument(
        "--compatible", choices=["numpro", "timechat", "moment_detr", "timelens"], help="exactly what one of the field's scripts does"
    )
    verb.add_argument("--json", **JSON_HELP)
    verb.set_defaults(run=_score)

    verb = verbs.add_parser("compare", help="two runs on the same queries: differences with paired bootstrap intervals")
    verb.add_argument("run_a", type=Path, help="samples_*.jsonl of lmms-eval (--log_samples), or a folder with one")
    verb.add_argument("run_b", type=Path)
    verb.add_argument("--json", **JSON_HELP)
    _add_plot_flags(verb, "the differences with their intervals")
    verb.set_defaults(run=_compare)


def _add_plot_flags(verb: Any, what: str) -> None:
    verb.add_argument("--plot", type=Path, metavar="FILE", help=f"draw {what} as .png or .svg (needs matplotlib)")
    verb.add_argument("--force", action="store_true", help="overwrite the figure")


def _check_plot(args: argparse.Namespace) -> None:
    if args.plot is not None:
        from numpro_plugin.views.plots import check_plot

        check_plot(args.plot)
        check_new_file(args.plot, args.force, "--plot")


def _tell_plot(args: argparse.Namespace) -> None:
    if str(args.json) != "-":
        say(f"\nwritten: {args.plot}")


def _rate(text: str) -> Rate:
    """An argument that is a rate. Raises ValueError for another text, which argparse reports."""
    return "auto" if text == "auto" else float(text)


def _named(rate: Rate) -> str:
    return rate if rate == "auto" else f"{rate:g}"


def _ceiling(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    _check_plot(args)
    if wrong := [fps for fps in args.fps if fps != "auto" and not 0 < fps < float("inf")]:
        raise NumProError(f"--fps {wrong[0]:g} must be a number above 0, or auto")
    if args.max_frames is not None and args.max_frames < 1:
        raise NumProError(f"--max-frames {args.max_frames} must be 1 or more")
    from numpro_plugin.benchmarks.table import default_split, table_path
    from numpro_plugin.reports.ceiling import ceilings

    encodings, notes = _encodings(args)
    if args.benchmark is None:
        return _every_ceiling(args, encodings, notes)
    split = args.split or default_split(BENCHMARKS[args.benchmark])
    place = table_path(args.benchmark, split, args.out)
    found = {name: ceilings(place, rates, max_frames=args.max_frames, encoding=encoding) for name, encoding, rates in encodings}
    title = f"{args.benchmark} {split}: the best that {_what(args)} can reach, in percent"
    of_numbers = args.encoding == "number"
    rows = {
        f"{_named(fps)} numbers a second" if of_numbers else f"{name}, {_named(fps)} a second": scores
        for name, by_rate in found.items()
        for fps, scores in by_rate.items()
    }
    content: dict[str, Any] = {name: {_named(fps): scores for fps, scores in by_rate.items()} for name, by_rate in found.items()}
    finish("\n".join([title, table(rows), *notes]), args.json, content["number"] if of_numbers else content)
    if args.plot:
        from numpro_plugin.views.plots import plot_bars

        plot_bars(args.plot, title, rows)
        _tell_plot(args)
    return 0


def _encodings(args: argparse.Namespace) -> tuple[list[tuple[str, TimeEncoding, list[Rate]]], list[str]]:
    """The encodings that have a ceiling with the rates at which they have one, and lines about the others.

    Raises:
        NumProError: none has one.
    """
    from numpro_plugin.encoding import parse_encodings
    from numpro_plugin.reports.ceiling import check_ceiling

    kept: list[tuple[str, TimeEncoding, list[Rate]]] = []
    notes: list[str] = []
    for name, encoding in parse_encodings(args.encoding, name="--encoding").items():
        rates: list[Rate] = []
        for rate in args.fps:
            try:
                check_ceiling(encoding, [rate])
                rates.append(rate)
            except NumProError as error:
                notes += [] if f"no ceiling: {error}" in notes else [f"no ceiling: {error}"]
        if rates:
            kept.append((name, encoding, rates))
    if not kept:
        raise NumProError("\n".join(note.removeprefix("no ceiling: ") for note in notes))
    return kept, notes


def _what(args: argparse.Namespace) -> str:
    return "integer frame numbers" if args.encoding == "number" else "answers in shown marks"


def _every_ceiling(args: argparse.Namespace, encodings: list[tuple[str, TimeEncoding, list[Rate]]], notes: list[str]) -> int:
    """Of all prepared tables, every split and own set, the highest mIoU and the share of queries that no answer in numbers can reach."""
    from numpro_plugin.benchmarks.table import has_spans, prepared_tables
    from numpro_plugin.environment import data_folder
    from numpro_plugin.metrics.moments import THRESHOLDS, recall_name
    from numpro_plugin.metrics.sets import set_recall_name
    from numpro_plugin.reports.ceiling import ceilings

    if args.split:
        raise NumProError(f"--split {args.split}: is for one benchmark; name it before the flag")
    tables = prepared_tables(args.out)
    if not tables:
        raise NumProError(f"no benchmark is prepared in {args.out or data_folder()}; run: numpro prepare BENCHMARK --help")
    rows: dict[str, dict[str, float]] = {}
    without: list[str] = []
    for name, path in tables.items():
        of_sets = BENCHMARKS[name.partition(" ")[0]].set_question is not None
        if not of_sets and not has_spans(path):
            without.append(name)
            continue
        for called, encoding, rates in encodings:
            by = "" if args.encoding == "number" else f", {called}"
            for fps, scores in ceilings(path, rates, max_frames=args.max_frames, encoding=encoding).items():
                out_of_reach = {f"not at {t:g}": 100.0 - scores[(set_recall_name if of_sets else recall_name)(t)] for t in THRESHOLDS}
                mean = scores["mIoU_set" if of_sets else "mIoU"]
                rows[f"{name}{by}, {_named(fps)} a second"] = {"mIoU": mean, **out_of_reach}
    title = f"the best mIoU that {_what(args)} can reach, and the share of queries that they cannot bring to an IoU, in percent"
    if not rows:
        raise NumProError(f"no prepared benchmark has annotated spans (looked at: {', '.join(tables)}), so there is no ceiling")
    left_out = f"\nwithout annotated spans, so without a ceiling: {', '.join(without)}" if without else ""
    finish("\n".join([f"{title}\n{table(rows)}{left_out}", *notes]), args.json, rows)
    if args.plot:
        from numpro_plugin.views.plots import plot_list

        plot_list(args.plot, f"the best mIoU that {_what(args)} can reach", {name: row["mIoU"] for name, row in rows.items()})
        _tell_plot(args)
    return 0


def _score(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    from numpro_plugin.benchmarks.hub.download import fetched_file, is_on_hub
    from numpro_plugin.reports.score import score_highlights, score_moments
    from numpro_plugin.reports.sets.score import score_sets

    truth = fetched_file(args.truth) if args.truth is not None and is_on_hub(args.truth) else args.truth
    if args.kind == "set":
        if args.compatible:
            raise NumProError(f"--compatible {args.compatible}: there is one rule for sets, that of VUE-TR and TimeLens2")
        score = score_sets(args.predictions, truth, fps=args.fps, unit=args.unit)
    elif args.kind == "moment":
        score = score_moments(args.predictions, truth, fps=args.fps, compatible=args.compatible, unit=args.unit)
    elif args.unit != "frames":
        raise NumProError(f"--unit {args.unit}: highlights are answered in frame numbers; leave --unit out")
    else:
        score = score_highlights(args.predictions, truth, fps=args.fps, compatible=args.compatible)
    width = max(map(len, score.metrics))
    lines = [f"{name:{width}}  {value:6.2f}" for name, value in score.metrics.items()]
    finish("\n".join([*lines, "", ", ".join(f"{name}: {count}" for name, count in score.counts.items())]), args.json, asdict(score))
    return 0


def _compare(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    _check_plot(args)
    from numpro_plugin.reports.compare import compare_runs

    found = compare_runs(args.run_a, args.run_b)
    lines = [f"n = {found.n} queries in both runs; only in A: {found.only_a}, only in B: {found.only_b}"]
    if found.repeated_a or found.repeated_b:
        lines.append(f"repeated queries (the first of each counts): {found.repeated_a} in A, {found.repeated_b} in B")
    if found.without_truth_a or found.without_truth_b:
        lines.append(f"queries without an annotated span (left out): {found.without_truth_a} in A, {found.without_truth_b} in B")
    lines += ["", f"{'':22}{'A':>8}{'B':>8}{'B - A':>9}   95 % interval"]
    lines += [f"{d.metric:22}{d.a:8.2f}{d.b:8.2f}{d.b - d.a:+9.2f}   [{d.low:+.2f}, {d.high:+.2f}]" for d in found.differences]
    if found.changed:
        lines += ["", "queries that changed most (A -> B):"]
        for key, query, a, b in found.changed:
            start = f"  {printable(key):>8}  {a:6.2f} -> {b:6.2f}  "
            lines.append(start + shortened(query, len(start)))
    finish("\n".join(lines), args.json, asdict(found))
    if args.plot:
        from numpro_plugin.views.plots import plot_differences

        plot_differences(args.plot, f"{found.n} queries; A: {args.run_a}, B: {args.run_b}", found.differences)
        _tell_plot(args)
    return 0
