"""`numpro sweep`: its arguments, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.tables import aligned
from numpro_plugin.cli.terminal import JSON_HELP, check_json_target, finish, say, write_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.sweep.cells import Cell
    from numpro_plugin.sweep.run import SweepSettings

_DESCRIPTION = """\
Evaluates one model on the same queries under every combination of encodings, rates and styles, and prints one table a task: scores,
differences to the first cell with paired bootstrap intervals, tokens, seconds and ceilings. The weights are loaded once. What is
finished is not asked again, so a sweep that was stopped goes on when it is started again. Under torchrun every process works on the
same cell. The encodings are those of docs/encodings.md."""


def add_sweep_verb(verbs: Any) -> None:
    """The verb on the command's parser."""
    verb = verbs.add_parser(
        "sweep",
        help="an ablation table in one command: one model under many ways of showing time",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--model", default="numpro_hf", help="numpro_hf, numpro (with base=...) or numpro_oracle (default: numpro_hf)")
    verb.add_argument("--model_args", "--model-args", default="", metavar="ARGS", help="as for lmms-eval: pretrained=...,dtype=bfloat16")
    verb.add_argument("--tasks", required=True, type=_list, help="tasks or groups, with commas between them")
    verb.add_argument(
        "--encodings",
        default="native,number,text,number+text",
        help="with commas between them (default: native,number,text,number+text); the first is what the others are compared with. "
        "A combination of one's own: drawn:seconds;text:clock;answer:seconds",
    )
    verb.add_argument("--fps", type=_list, default=["0.5"], metavar="RATES", help="numbers per second, with commas (default: 0.5), or auto")
    verb.add_argument("--styles", nargs="+", default=[], metavar="STYLE", help="each KEY=VALUE;KEY=VALUE: 'color=blue;font_size=60'")
    verb.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder of the sweep")
    verb.add_argument("--limit", type=float, metavar="N", help="only the first N queries of each task; below 1 this share of them")
    verb.add_argument("--batch_size", "--batch-size", default="1", metavar="N", help="as for lmms-eval (default: 1)")
    verb.add_argument("--device", help="as for lmms-eval")
    verb.add_argument("--gen_kwargs", "--gen-kwargs", help="as for lmms-eval")
    verb.add_argument("--shard", metavar="I/N", help="only the I-th of N shares of the cells: for one of N machines; later join them")
    verb.add_argument("--join", nargs="+", type=Path, default=[], metavar="DIR", help="first take in the finished cells of these folders")
    verb.add_argument("--dry-run", action="store_true", help="list the cells with their ceilings; load no model")
    verb.add_argument("--json", **JSON_HELP)
    verb.set_defaults(run=_sweep)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _sweep(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    from numpro_plugin.encoding import parse_encodings
    from numpro_plugin.sweep.cells import plan_cells, share_of
    from numpro_plugin.sweep.tasks import single_tasks, unprepared

    if args.limit is not None and args.limit <= 0:
        raise NumProError(f"--limit {args.limit:g} must be above 0: a number of queries, or below 1 a share of them")
    tasks = single_tasks(args.tasks)
    lacking = unprepared(tasks)
    encodings = list(parse_encodings(args.encodings, name="--encodings"))
    cells = plan_cells(encodings, args.fps, args.styles, model_args=args.model_args)
    mine = share_of(cells, args.shard)
    if args.dry_run:
        return _dry_run(args, cells, mine, tasks, lacking)
    if lacking:
        raise NumProError("; ".join(lacking.values()))
    from numpro_plugin.sweep.run import SweepSettings, check_cells, join_cells, run_cells
    from numpro_plugin.sweep.weights import Weights

    sweep = SweepSettings(
        args.model, args.model_args, tuple(tasks), args.limit, args.gen_kwargs, batch_size=args.batch_size, device=args.device
    )
    join_cells(args.join, args.out)
    waiting = check_cells([cell for cell in mine if cell.settings is not None], sweep, args.out)
    problems = {}
    if waiting:
        import os

        weights = Weights(args.model, args.model_args, batch_size=args.batch_size, device=args.device)
        problems = run_cells(waiting, sweep, weights, args.out)
        if os.environ.get("RANK", "0") != "0":
            return int(bool(problems))
    _report(args, cells, sweep, problems)
    return int(bool(problems))


def _report(args: argparse.Namespace, cells: Sequence[Cell], sweep: SweepSettings, problems: dict[str, str]) -> None:
    from dataclasses import asdict

    from numpro_plugin.sweep.results import task_tables
    from numpro_plugin.sweep.run import shown_settings
    from numpro_plugin.sweep.tables import terminal_text, write_figures, write_tables

    tables = task_tables(args.out, cells, sweep.tasks, problems)
    protocol = {**sweep.identity(), "cells": {cell.name: shown_settings(cell, args.out) for cell in cells if cell.settings}}
    written = write_tables(args.out, tables, protocol) + write_figures(args.out, tables)
    if str(args.json) != "-":
        say("\n\n".join(map(terminal_text, tables)))
        say("\nwritten: " + ", ".join(map(str, written)))
    write_json(args.json, {"protocol": protocol, "tables": [asdict(one) for one in tables]})


def _dry_run(args: argparse.Namespace, cells: Sequence[Cell], mine: Sequence[Cell], tasks: Sequence[str], lacking: dict[str, str]) -> int:
    from numpro_plugin.sweep.results import ceiling_of
    from numpro_plugin.sweep.tasks import first_queries

    if not mine:
        raise NumProError(f"--shard {args.shard}: there are only {len(cells)} cells")
    rows, found = [["cell", *tasks]], []
    for cell in mine:
        settings = cell.settings
        of_tasks = {
            task: None
            if settings is None or task in lacking
            else ceiling_of(
                task, settings, automatic_rate=dict(cell.variables)["NUMPRO_FPS"] == "auto", queries=first_queries(task, args.limit)
            )
            for task in tasks
        }
        rows.append([cell.name, *("" if value is None else f"{value:.2f}" for value in of_tasks.values())])
        found.append({"cell": cell.name, "variables": dict(cell.variables), "ceilings": of_tasks, "problem": cell.problem})
    lines = [f"{len(mine)} cells; the highest mIoU that an answer in shown marks can have", ""]
    lines += aligned(rows)
    lines += [f"{cell.name}: {cell.problem}" for cell in mine if cell.problem]
    lines += [f"{task}: {problem}" for task, problem in lacking.items()]
    finish("\n".join(lines), args.json, found)
    return 0
