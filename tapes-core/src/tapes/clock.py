"""Clocks: time as an object to pass in, so that tests can advance it by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Waitable(Protocol):
    """An event to wait for, like `threading.Event`."""

    def is_set(self) -> bool:
        """Return whether it is set."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Block for at most `timeout` seconds of real time. Return whether it is set."""
        ...


class Clock(Protocol):
    """The source of all times in tapes. Safe to use from any thread."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment, never going back. For durations, windows and schedules."""
        ...

    def time(self) -> float:
        """Return seconds since the epoch, for people to read."""
        ...

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Block until `wakeup` is set or `timeout` seconds of this clock have passed. Return True if it was set."""
        ...


class SystemClock:
    """The clock of the machine.

    `monotonic` is `time.perf_counter` itself, without a call in between. It is the finest clock of every platform, and
    the same for all processes of a host.
    """

    monotonic = staticmethod(time.perf_counter)
    time = staticmethod(time.time)

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Block until `wakeup` is set or `timeout` seconds have passed. Return True if it was set."""
        return wakeup.wait(timeout)

    def __repr__(self) -> str:
        return "SystemClock()"


def is_clock(value: object) -> bool:
    """Return whether `value` has all methods of a clock."""
    return all(callable(getattr(value, method, None)) for method in ("monotonic", "time", "wait"))


SYSTEM_CLOCK = SystemClock()
"""The default clock."""
