"""One run per output folder: who may lock it, which locks are dead, and what a run does that lost its lock."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.output.lock import EXPIRY_S, LOCK, OutputLock, Owner

ENDED = subprocess.Popen([sys.executable, "-c", ""])
ENDED.wait()


def locked_by(folder: Path, *, age_s: float = 0, **changes: object) -> Owner:
    """Put a lock of another process into the folder, last updated ``age_s`` seconds ago."""
    owner = dataclasses.replace(Owner.current(), **changes)
    folder.mkdir(exist_ok=True)
    (folder / LOCK).write_text(json.dumps(dataclasses.asdict(owner)))
    os.utime(folder / LOCK, (time.time() - age_s,) * 2)
    return owner


def test_a_second_run_is_refused_by_name_until_the_first_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "run"
    with OutputLock.take(output) as lock:
        with pytest.raises(NumProError, match=rf"{output} is in use by another run \(process {os.getpid()} on .*, started 2.*UTC\): wait"):
            OutputLock.take(output)
        # The command refuses it, too, before anything is loaded or looked for: neither the model nor the shards exist.
        assert main(["run", "tiny", "model=nothing", "data.shards=nothing", f"output={output}"]) == 1
        assert f"is in use by another run (process {os.getpid()}" in capsys.readouterr().err
        lock.check()
        (output / "file").touch()
    assert [path.name for path in output.iterdir()] == ["file"]
    OutputLock.take(output).release()


def test_a_folder_that_was_created_for_a_refused_run_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tiny", "model=nothing", f"data.shards={tmp_path / 'none'}", f"output={tmp_path / 'run'}"]) == 1
    assert "no shards at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": ENDED.pid},
        {"process_start": "1"},
        {"host": "elsewhere", "age_s": EXPIRY_S + 60},
        {"system": "before the reboot", "age_s": 9e4},
    ],
    ids=["process ended", "pid used again", "other machine, expired", "other boot, expired"],
)
def test_the_lock_of_a_dead_run_is_removed(tmp_path: Path, changes: dict[str, object]) -> None:
    dead = locked_by(tmp_path, **changes)
    with OutputLock.take(tmp_path) as lock:
        assert lock.dead == {dead.token}
        lock.check()


def test_a_fresh_lock_of_another_machine_needs_to_be_stolen(tmp_path: Path) -> None:
    locked_by(tmp_path, host="elsewhere", pid=ENDED.pid, age_s=100)
    with pytest.raises(NumProError, match=r"process \d+ on elsewhere.*last sign of life \d+ seconds ago\).*--steal-lock"):
        OutputLock.take(tmp_path)
    with OutputLock.take(tmp_path, steal=True) as lock:
        assert lock.dead == frozenset()  # perhaps it is alive: its temporary folders stay
        lock.check()


def test_a_lock_that_cannot_be_read_counts_by_its_age(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with pytest.raises(NumProError, match="its lock cannot be read"):
        OutputLock.take(tmp_path)
    os.utime(tmp_path / LOCK, (1, 1))
    OutputLock.take(tmp_path).release()


def test_a_run_that_lost_its_lock_writes_nothing_and_leaves_the_new_lock(tmp_path: Path) -> None:
    first = OutputLock.take(tmp_path)
    second = OutputLock.take(tmp_path, steal=True)
    with pytest.raises(NumProError, match=rf"taken over by another run \(process {os.getpid()} on .*writes nothing more"):
        first.check()
    first.release()
    second.check()
    (tmp_path / LOCK).unlink()  # deleted by hand: there is no other run
    second.check()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_another_start_takes_in_the_meantime_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked_by(tmp_path, pid=ENDED.pid)
    judge, faster = Owner.is_alive, []

    def meanwhile(self: Owner) -> bool | None:
        alive = judge(self)
        if not faster:
            faster.append(self)  # before the faster start judges the same lock
            faster[0] = OutputLock.take(tmp_path)
        return alive

    monkeypatch.setattr(Owner, "is_alive", meanwhile)
    with pytest.raises(NumProError, match="is in use by another run"):
        OutputLock.take(tmp_path)
    faster[0].check()
    faster[0].release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hard_links", [True, False])
def test_of_many_starts_at_once_one_gets_the_folder(tmp_path: Path, hard_links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "not supported")))
    for attempt in range(5):
        output = tmp_path / str(attempt)
        if hard_links:
            locked_by(output, pid=ENDED.pid)
        taken: list[OutputLock] = []
        refused: list[NumProError] = []
        ready = threading.Barrier(6)

        def start(output: Path = output, taken=taken, refused=refused, ready=ready) -> None:
            ready.wait()
            try:
                taken.append(OutputLock.take(output))
            except NumProError as error:
                refused.append(error)

        threads = [threading.Thread(target=start) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        owners = []
        for lock in taken:
            try:
                lock.check()
                owners.append(lock)
            except NumProError:
                pass
        assert len(owners) == 1, f"{len(taken)} took the folder, {len(refused)} were refused"
        assert [path.name for path in output.iterdir()] == [LOCK]
        owners[0].release()


def test_an_output_that_is_no_folder_or_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(NumProError, match="is a file, or is inside a file"):
            OutputLock.take(output)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", read_only)
    with pytest.raises(NumProError, match=r"run cannot be written to \(Read-only file system\): choose another folder"):
        OutputLock.take(tmp_path / "run")
