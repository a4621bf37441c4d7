"""A killed process leaves none behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

STARTS_OTHERS = """
import subprocess, sys, time
from numpro_plugin.processes import worker_pool

if __name__ == "__main__":
    code = "from numpro_plugin.processes import end_with_standard_input as end; end(); print(1, flush=True); import time; time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    pool = worker_pool(2)
    list(pool.map(abs, range(9)))
    working = pool.submit(time.sleep, 99)
    print(child.pid, *pool._processes, flush=True)
    time.sleep(99)
"""


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "zombie" not in status.read_text()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_all_of_its_processes_end_with_one_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "starts_others.py"
    script.write_text(STARTS_OTHERS)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        process.kill()
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if is_alive(pid)] == []
