"""A clock that a test advances by hand."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Dict

from tapes.errors import InvalidValueError

if TYPE_CHECKING:
    from tapes.clock import Waitable

_POLL = 0.002  # seconds of real time between two looks of a waiting thread at the clock


class ManualClock:
    """A clock that stands still until `advance()` is called. Pass it wherever a clock is accepted.

    After advancing it, a test waits with `settle()` until a reporter has done what was due:

        clock = ManualClock()
        reporter = MemoryReporter(10, Registry(clock=clock))
        reporter.start()
        clock.settle()
        assert reporter.reports == 1
        clock.advance(10)
        clock.settle()
        assert reporter.reports == 2

    Safe to use from any thread.
    """

    def __init__(self, start: float = 0.0) -> None:
        """Set the clock to `start` seconds, which both `monotonic()` and `time()` return."""
        self._now = float(start)
        self._lock = threading.RLock()
        self._waiting: Dict[object, float] = {}

    def monotonic(self) -> float:
        """Return the time of the clock in seconds."""
        return self._now

    def time(self) -> float:
        """Return the time of the clock in seconds."""
        return self._now

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Block until `wakeup` is set or the clock was advanced by `timeout` seconds. Return True if it was set."""
        ticket = object()
        with self._lock:
            deadline = self._now + timeout
            self._waiting[ticket] = deadline
        try:
            while not wakeup.is_set() and self._now < deadline:
                wakeup.wait(_POLL)
            return wakeup.is_set()
        finally:
            with self._lock:
                self._waiting.pop(ticket, None)

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`.

        Raises InvalidValueError (a ValueError) for a negative number.
        """
        if not seconds >= 0:
            raise InvalidValueError(f"A clock is advanced by 0 seconds or more, not by {seconds!r}.")
        with self._lock:
            self._now += seconds
            for ticket, deadline in list(self._waiting.items()):
                if deadline <= self._now:  # its thread no longer waits, even if it has not noticed yet
                    del self._waiting[ticket]

    def settle(self, waiters: int = 1, timeout: float = 30.0) -> None:
        """Block until at least `waiters` threads wait for a future time of the clock.

        By then the threads that `advance()` has woken have done their work and wait again. Raises TimeoutError after
        `timeout` seconds of real time.
        """
        deadline = time.monotonic() + timeout
        while len(self._waiting) < waiters:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(self._waiting)} and not {waiters} threads wait for {self!r} after {timeout:g} s."
                )
            time.sleep(_POLL)

    def __repr__(self) -> str:
        return f"ManualClock({self._now!r})"
