"""Runs that are stopped, killed and short of disk space at random moments, and what becomes of them.

    python tests/benchmarks/preemption.py [--times 20] [--seed 0] [--only NAME ...]

Every case trains a tiny LongVA with dropout for eight steps, is disturbed, is continued with ``resume=true`` until it is finished, and must
then have the losses and the adapter, to the last bit, of a run that nothing disturbed. ``full disk`` needs the right to mount a tmpfs.

Processes are forked from one that has imported everything, so that a case takes a second or two; ``torchrun`` starts the real command.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from support.training import World, changes_of, losses, make_world, weights

import numpro_plugin.trainer.run.train  # noqa: F401 (imported here, so that forked processes need not)
from numpro_plugin.trainer.cli import main as numpro_train
from numpro_plugin.trainer.output.checkpoints import checkpoints
from numpro_plugin.trainer.output.lock import OutputLock
from numpro_plugin.trainer.output.status import read_status
from numpro_plugin.trainer.recipe.record import Recipe

LIMIT_S = 600
SHUTDOWN_S = 15


class Process:
    """The command `numpro-train run` in a forked process with its own process group, and perhaps as one rank of several."""

    def __init__(self, recipe: Recipe, folder: Path, *, rank: int = 0, world: int = 1, port: int = 0) -> None:
        self.log = folder / f"{recipe.output.rpartition('/')[2]}.{rank}.txt"
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        code = 99
        try:
            os.setsid()
            with self.log.open("a") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            if world > 1:
                ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
                os.environ.update({name: str(value) for name, value in ranks.items()}, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            code = numpro_train(command_of(recipe))
        finally:
            os._exit(code)

    def signal(self, number: int, *, group: bool) -> None:
        """Send a signal to the process, or to it and its loader's workers."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def wait(processes: list[Process]) -> list[int]:
    """The exit codes. As a launcher does it, the others are ended when one fails: with SIGTERM, and after a while with SIGKILL."""
    end, failed_at = time.monotonic() + LIMIT_S, 0.0
    while None in (codes := [process.poll() for process in processes]):
        now = time.monotonic()
        if not failed_at and any(codes):
            failed_at = now
            for process in processes:
                process.signal(signal.SIGTERM, group=True)
        if now > end or (failed_at and now > failed_at + SHUTDOWN_S):
            for process in processes:
                process.signal(signal.SIGKILL, group=True)
        time.sleep(0.01)
    return [code for code in codes if code is not None]


def command_of(recipe: Recipe) -> list[str]:
    return ["run", "tiny", *(f"{key}={json.dumps(value)}" for key, value in changes_of(recipe).items())]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def started(recipe: Recipe, folder: Path, ranks: int) -> list[Process]:
    port = free_port()
    return [Process(recipe, folder, rank=rank, world=ranks, port=port) for rank in range(ranks)]


def finished(recipe: Recipe, folder: Path, ranks: int) -> list[int]:
    """Run without a disturbance; the exit codes."""
    return wait(started(recipe, folder, ranks))


def difference(recipe: Recipe, wanted: Recipe) -> str:
    """How a finished run differs from an undisturbed one; empty if not at all."""
    if not (Path(recipe.output) / "adapter").is_dir():
        return "no result"
    if losses(recipe.output) != losses(wanted.output):
        return "other losses"
    ours, theirs = weights(recipe.output), weights(wanted.output)
    if any(not torch.equal(value, ours[name]) for name, value in theirs.items()):
        return "another adapter"
    left = [path.name for path in Path(recipe.output).iterdir() if path.name.startswith(".") or path.name == "lock.json"]
    return f"left {left}" if left else ""


def state_of(output: Path) -> str:
    """What is in an output folder after a disturbance."""
    status = read_status(output) or {"state": "nothing"}
    saved = checkpoints(output)
    if status["state"] == "stopped" and "checkpoint" in status and saved[-1:] != [output / status["checkpoint"]]:
        return "status and checkpoints differ"
    return f"{status['state']}{', checkpoint' if saved else ''}"


def disturbed(make: World, name: str, wanted: Recipe, folder: Path, ranks: int, delay_s: float, number: int, rng: random.Random) -> str:
    """One case: a signal at a moment, then continued to the end. Returns what happened; ends with WRONG if the result is another."""
    recipe = recipe_of(make, name, ranks)
    processes = started(recipe, folder, ranks)
    time.sleep(delay_s)
    group = rng.random() < 0.5
    for process in rng.sample(processes, rng.randint(1, ranks)):
        process.signal(number, group=group)
    codes = wait(processes)
    what = f"exit {'/'.join(map(str, sorted(codes)))}: {state_of(Path(recipe.output))}"
    after = finished(recipe.replace(resume=True), folder, ranks) if not (Path(recipe.output) / "adapter").is_dir() else [0]
    problem = difference(recipe, wanted)
    return what + (f" -> continued with exit {after}, WRONG: {problem} ({name})" if problem or any(after) else "")


def recipe_of(make: World, name: str, ranks: int, **changes: Any) -> Recipe:
    common = {"lora__dropout": 0.2, "data__workers": 1, "run__save_steps": 3, "resume": True, "memory__deepspeed": "none"}
    if ranks > 1:
        common["optimizer__micro_batch_size"] = 1
    return make.recipe(name, **{**common, **changes})


def signals(make: World, folder: Path, *, ranks: int, times: int, rng: random.Random) -> None:
    """SIGTERM at random moments, to the process or its group, and under several ranks to some of them."""
    wanted = recipe_of(make, f"wanted-{ranks}", ranks)
    start = time.monotonic()
    if any(finished(wanted, folder, ranks)):
        sys.exit(f"the undisturbed run failed: see {folder}")
    took_s = time.monotonic() - start
    cases = Counter(
        disturbed(make, f"signal-{ranks}-{k}", wanted, folder, ranks, rng.uniform(0, took_s), signal.SIGTERM, rng) for k in range(times)
    )
    report(f"SIGTERM at {times} random moments, {ranks} process{'es' if ranks > 1 else ''}", cases)


def killed_saves(make: World, folder: Path, *, times: int, rng: random.Random) -> None:
    """SIGKILL while a checkpoint is being written."""
    wanted = recipe_of(make, "wanted-save", 1, run__save_steps=1, run__save_total_limit=0)
    finished(wanted, folder, 1)
    cases: Counter[str] = Counter()
    for k in range(times):
        recipe = recipe_of(make, f"save-{k}", 1, run__save_steps=1, run__save_total_limit=0)
        [process] = started(recipe, folder, 1)
        output, after = Path(recipe.output), rng.randint(1, 6)
        while process.poll() is None and (len(checkpoints(output)) < after - 1 or not list(output.glob(".checkpoint-*.part"))):
            time.sleep(0.0002)
        process.signal(signal.SIGKILL, group=True)
        [code] = wait([process])
        left = len(list(output.glob(".checkpoint-*.part")))
        after_codes = [0] if code == 0 else finished(recipe, folder, 1)
        problem = difference(recipe, wanted)
        wrong = f", WRONG: {problem} {after_codes}" if problem or any(after_codes) else ""
        what = "the run was faster" if code == 0 else "an incomplete checkpoint was left" if left else "the save was just complete"
        cases[f"exit {code}: {what}{wrong}"] += 1
    report(f"SIGKILL during {times} saves", cases)


@contextlib.contextmanager
def mounted(folder: Path, size_kb: int) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(make: World, folder: Path, *, times: int, rng: random.Random) -> None:
    """An output folder on a file system that is full after a random part of a checkpoint."""
    wanted = recipe_of(make, "wanted-disk", 1, run__save_steps=1, run__save_total_limit=1)
    finished(wanted, folder, 1)
    one_kb = sum(file.stat().st_size for file in checkpoints(Path(wanted.output))[-1].rglob("*") if file.is_file()) // 1024
    cases: Counter[str] = Counter()
    for k in range(times):
        with mounted(folder / f"disk-{k}", int(one_kb * rng.uniform(0.1, 1.95)) + 64) as disk:
            recipe = recipe_of(make, "unused", 1, run__save_steps=1, run__save_total_limit=1).replace(output=str(disk / "run"))
            [process] = started(recipe, folder, 1)
            [code] = wait([process])
            messages = re.findall(r"numpro-train: (?:\S*/)?(.*)", process.log.read_text())
            reason = re.sub(r"/\S*/|checkpoint-\d|adapter", "...", messages[-1]) if messages else "it fitted"
            complete = f", checkpoint {len(checkpoints(disk / 'run'))}" if checkpoints(disk / "run") else ""
            subprocess.run(["mount", "-o", f"remount,size={one_kb * 20}k", str(disk)], check=True)
            after = [0] if code == 0 else finished(recipe, folder, 1)
            problem = difference(recipe, wanted)
            wrong = f", WRONG: {problem} {after}" if problem or any(after) else ""
            cases[f"exit {code}: {reason}{complete}{wrong}"] += 1
            process.log.unlink()
    report(f"a full disk at {times} random sizes", cases)


def two_starts(make: World, folder: Path, *, times: int, rng: random.Random) -> None:
    """Two runs started in one folder at once, and a run that loses its lock."""
    wanted = recipe_of(make, "wanted-starts", 1)
    finished(wanted, folder, 1)
    cases: Counter[str] = Counter()
    for k in range(times):
        recipe = recipe_of(make, f"start-{k}", 1)
        processes = [Process(recipe, folder, rank=rank) for rank in range(2)]
        codes = sorted(code for process in processes for code in wait([process]))
        refused = sum("in use by another run" in process.log.read_text() for process in processes)
        problem = difference(recipe, wanted)
        cases[f"exit {codes}, {refused} refused{f', WRONG: {problem}' if problem else ''}"] += 1
    report(f"two starts at once, {times} times", cases)
    cases = Counter()
    for k in range(times):
        recipe = recipe_of(make, f"lost-{k}", 1, run__save_steps=1)
        [process] = started(recipe, folder, 1)
        while process.poll() is None and len(checkpoints(Path(recipe.output))) < 1:
            time.sleep(0.001)
        lock = OutputLock.take(Path(recipe.output), steal=True)
        [code] = wait([process])
        lock.check()
        lock.release()
        taken = "taken over by another run" in process.log.read_text()
        after = finished(recipe, folder, 1)
        wrong = "" if taken and not any(after) else f", WRONG {after}"
        cases[f"exit {code}: {'says so and ends' if taken else 'other end'}, then continued{wrong}"] += 1
    report(f"another run takes the folder over, {times} times", cases)


def torchrun(make: World, folder: Path, *, times: int, rng: random.Random) -> None:
    """SIGTERM to torchrun itself, which forwards it to its two workers, while they train."""
    wanted = recipe_of(make, "wanted-torchrun", 2)
    finished(wanted, folder, 2)
    cases: Counter[str] = Counter()
    for k in range(times):
        recipe = recipe_of(make, f"torchrun-{k}", 2)
        output, after_lines = Path(recipe.output), rng.randint(1, 5)
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--shutdown-timeout", "120"]
        with (folder / f"torchrun-{k}.txt").open("w") as out:
            launcher = subprocess.Popen([*launch, "-m", "numpro_plugin.trainer.cli", *command_of(recipe)], stdout=out, stderr=out)
        while launcher.poll() is None and len(losses(output)) < after_lines:
            time.sleep(0.005)
        launcher.terminate()
        code = launcher.wait(timeout=LIMIT_S)
        what = f"exit {code}: {state_of(output)}"
        after = finished(recipe, folder, 2) if not (output / "adapter").is_dir() else [0]
        problem = difference(recipe, wanted)
        cases[what + (f", WRONG: {problem} {after}" if problem or any(after) else "")] += 1
    report(f"SIGTERM to torchrun, {times} times", cases)


def report(title: str, cases: Counter[str]) -> None:
    print(f"\n{title}")
    for what, count in cases.most_common():
        print(f"  {count:>3}  {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    names = ("one", "two", "saves", "disk", "starts", "torchrun")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="preemption-"))
    os.environ["HF_DATASETS_CACHE"] = str(folder / "datasets")
    with contextlib.redirect_stderr(io.StringIO()):
        make = make_world(folder / "world")
    few = max(1, args.times // 4)
    print(f"logs in {folder}; seed {args.seed}")
    cases: dict[str, Any] = {
        "one": lambda rng: signals(make, folder, ranks=1, times=args.times, rng=rng),
        "two": lambda rng: signals(make, folder, ranks=2, times=args.times, rng=rng),
        "saves": lambda rng: killed_saves(make, folder, times=args.times // 2, rng=rng),
        "disk": lambda rng: full_disk(make, folder, times=args.times // 2, rng=rng),
        "starts": lambda rng: two_starts(make, folder, times=few, rng=rng),
        "torchrun": lambda rng: torchrun(make, folder, times=max(1, few // 2), rng=rng),
    }
    for name in args.only:
        cases[name](random.Random(f"{args.seed} {name}"))


if __name__ == "__main__":
    main()
