"""The clock that is turned by hand."""

from __future__ import annotations

import threading
from typing import List

import pytest

from tapes.testing import ManualClock


def test_it_stands_still_until_it_is_advanced() -> None:
    """Both of its times are what it was set to and advanced by, and nothing else."""
    clock = ManualClock(100.0)

    assert (clock.monotonic(), clock.time()) == (100.0, 100.0)
    clock.advance(2.5)
    clock.advance(0)
    assert (clock.monotonic(), clock.time()) == (102.5, 102.5)


@pytest.mark.parametrize("seconds", [-1, -1e-9, float("nan")])
def test_it_does_not_go_back(seconds: float) -> None:
    """Advancing by a negative number is refused, with the number."""
    clock = ManualClock()

    with pytest.raises(ValueError, match=str(seconds)):
        clock.advance(seconds)

    assert clock.monotonic() == 0.0


@pytest.mark.parametrize("woken", [True, False])
def test_waiting_ends_when_it_is_woken_or_at_the_deadline(woken: bool) -> None:
    """A thread that waits goes on when its wakeup is set or the time has come, not before, and is told which it was."""
    clock, wakeup = ManualClock(), threading.Event()
    results: List[bool] = []
    thread = threading.Thread(target=lambda: results.append(clock.wait(wakeup, 10)), daemon=True)
    thread.start()
    clock.settle()

    clock.advance(9.5)
    clock.settle()
    assert thread.is_alive()
    wakeup.set() if woken else clock.advance(0.5)
    thread.join(30)

    assert results == [woken]


def test_waiting_for_nothing_returns_at_once() -> None:
    """A deadline that has come, or a wakeup that is set, is not waited for."""
    clock, unset, is_set = ManualClock(), threading.Event(), threading.Event()
    is_set.set()

    assert clock.wait(is_set, 10)
    assert not clock.wait(unset, 0)
    assert not clock.wait(unset, -1)


def test_settling_waits_for_those_who_have_been_woken() -> None:
    """settle() returns when a thread that was due has done its work and waits again."""
    clock, never = ManualClock(), threading.Event()
    done: List[int] = []

    def work() -> None:
        for number in range(100):
            done.append(number)
            clock.wait(never, 10)

    threading.Thread(target=work, daemon=True).start()

    for expected in range(1, 50):
        clock.settle()
        assert len(done) == expected
        clock.advance(10)
    never.set()


def test_settling_for_nobody_ends() -> None:
    """settle() gives up after its timeout, and says how many threads wait."""
    with pytest.raises(TimeoutError, match="0 and not 2 threads"):
        ManualClock().settle(2, timeout=0.01)
