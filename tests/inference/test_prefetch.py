"""Work ahead of the consumer: in order, bounded, errors in their place."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.errors import NumProError
from numpro_plugin.inference.prefetch import prefetch


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 3), st.integers(1, 20))
def test_everything_comes_once_and_in_order(items, workers, limit):
    made = list(prefetch(items, lambda item: item * 2, workers=workers, weight=lambda item: item, limit=limit))
    assert made == [(item, item * 2) for item in items]


def test_no_more_is_begun_than_allowed():
    begun, taken, most = [], 0, 0
    lock = threading.Lock()

    def make(item):
        nonlocal most
        with lock:
            begun.append(item)
            most = max(most, len(begun) - taken)
        return item

    for _, _ in prefetch(range(30), make, workers=4, weight=lambda _: 10, limit=45):
        with lock:
            taken += 1
        time.sleep(0.002)
    assert most <= 5  # four fit, and the consumer holds one


def test_the_next_ones_are_made_while_the_consumer_works():
    begun = []
    made = prefetch(range(3), lambda item: begun.append(item) or item, workers=1)
    next(made)
    deadline = time.monotonic() + 10
    while len(begun) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert begun == [0, 1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_items_are_told_and_bugs_are_raised(workers):
    def make(item):
        if item == 1:
            raise NumProError("unreadable")
        if item == 3:
            raise ZeroDivisionError
        return item

    made = prefetch(range(4), make, workers=workers)
    assert [next(made) for _ in range(1)] == [(0, 0)]
    item, error = next(made)
    assert item == 1
    assert str(error) == "unreadable"
    assert next(made) == (2, 2)
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_stopping_early_drops_what_was_not_begun():
    begun, second, stopped = [], threading.Event(), threading.Event()

    def make(item):
        begun.append(item)
        if item == 1:
            second.set()
            stopped.wait(10)
        return item

    before = set(threading.enumerate())
    made = prefetch(range(100), make, workers=1, limit=50)
    next(made)
    assert second.wait(10)
    made.close()  # while the only worker is busy with the second item
    stopped.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)  # it ends when nothing is left to do
        assert not thread.is_alive()
    assert begun == [0, 1]


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(NumProError, match="workers=-1"):
        next(prefetch([1], str, workers=-1))
