"""The event that may be set from anywhere."""

from __future__ import annotations

import signal
import threading

from tapes.reporting.wakeup import Wakeup


def test_it_has_not_happened_until_it_is_set() -> None:
    """A new one is not set, and waiting for it in vain says so."""
    wakeup = Wakeup()

    assert not wakeup.is_set()
    assert not wakeup.wait(0)
    assert not wakeup.wait(-1)


def test_once_set_it_stays_set() -> None:
    """Setting it several times is like setting it once, and nobody waits for it any more."""
    wakeup = Wakeup()

    wakeup.set()
    wakeup.set()

    assert wakeup.is_set()
    assert wakeup.wait()
    assert wakeup.wait(1e30)


def test_everybody_who_waits_goes_on() -> None:
    """All threads that wait are woken by one set."""
    wakeup = Wakeup()
    threads = [threading.Thread(target=wakeup.wait, daemon=True) for _ in range(5)]
    for thread in threads:
        thread.start()

    wakeup.set()
    for thread in threads:
        thread.join(30)

    assert not any(thread.is_alive() for thread in threads)


def test_a_signal_handler_may_set_it_while_its_thread_waits() -> None:
    """The main thread that waits is woken by a handler that it runs itself."""
    wakeup = Wakeup()
    previous = signal.signal(signal.SIGALRM, lambda number, frame: wakeup.set())
    signal.setitimer(signal.ITIMER_REAL, 0.05)

    try:
        woken = wakeup.wait(30)
    finally:
        signal.signal(signal.SIGALRM, previous)

    assert woken


def test_a_signal_handler_may_set_it_in_the_middle_of_a_set() -> None:
    """Setting it is safe at every step of another set by the same thread."""
    steps = 0

    def trace(frame: object, event: str, arg: object) -> object:
        nonlocal steps
        if event == "line":
            steps += 1
            wakeup._happened = True
            wakeup._open()  # what a handler would do here
        return trace

    import sys

    wakeup = Wakeup()
    sys.settrace(trace)  # type: ignore[arg-type]  # a trace function that returns itself
    try:
        wakeup.set()
    finally:
        sys.settrace(None)

    assert steps
    assert wakeup.wait(0)
