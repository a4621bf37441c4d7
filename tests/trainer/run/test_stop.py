"""Requests to stop: signals, their echoes, the time limit, and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.run import stop
from numpro_plugin.trainer.run.stop import TIME_LIMIT, Interrupted, Stopped, StopRequests, parse_time_limit, request_name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("3.5h", 12600), ("45s", 45), ("1d12h", 129600), ("23:30:00", 84600), ("1-12:00:00", 129600), ("100:00:00", 360000)],
)
def test_time_limits_are_read_with_units_and_as_slurm_writes_them(text: str, seconds: float) -> None:
    assert parse_time_limit(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "3:30", "1-12", "0m", "-5m", "5 m", "h", "1:60:00", "inf"])
def test_ambiguous_and_impossible_time_limits_are_refused(text: str) -> None:
    with pytest.raises(NumProError, match=r"--time-limit .*is not a time above 0: write it as 90m, 3\.5h"):
        parse_time_limit(text)


def test_a_signal_is_a_request_and_its_echo_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in stop.SIGNALS]
    with StopRequests() as requests:
        requests.defer()
        assert requests.code() == 0
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requests.code() == signal.SIGTERM
    assert [signal.getsignal(number) for number in stop.SIGNALS] == before


@pytest.mark.parametrize(("echo_s", "number", "ends"), [(0, "SIGTERM", True), (10, "SIGTERM", False), (10, "SIGINT", True)])
def test_a_second_signal_after_the_echo_and_a_second_ctrl_c_end_at_once(echo_s: float, number: str, ends: bool) -> None:
    code = (
        "import os, signal; from numpro_plugin.trainer.run import stop\n"
        f"stop.ECHO_S = {echo_s}\n"
        "with stop.StopRequests() as requests:\n"
        "    requests.defer()\n"
        f"    for _ in range(2): os.kill(os.getpid(), signal.{number})\n"
        "print('still there')"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == ((-signal.Signals[number], "") if ends else (0, "still there\n")), done.stderr


def test_a_signal_before_training_interrupts_at_once() -> None:
    with StopRequests(), pytest.raises(Interrupted) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == signal.SIGTERM


def test_the_time_limit_leaves_time_for_the_checkpoint() -> None:
    requests = StopRequests(1000)
    assert requests.code() == requests.code(reserve_s=900) == 0
    assert requests.code(reserve_s=1000) == TIME_LIMIT
    assert StopRequests().code(reserve_s=1e9) == 0


def test_exit_codes_are_those_of_the_signal_and_0_under_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    codes = {number: Stopped("", number).exit_code for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, TIME_LIMIT)}
    assert list(codes.values()) == [143, 130, 138, 143]
    assert [request_name(number) for number in codes] == ["SIGTERM", "Ctrl-C", "SIGUSR1", "the time limit"]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Stopped("", signal.SIGTERM).exit_code == 0  # a launcher would report a crash
    assert Stopped("", signal.SIGTERM, agreed=False).exit_code == 143  # and must, if the other processes go on
