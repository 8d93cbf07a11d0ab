"""Time, as an object that is handed in, so that tests can turn it by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Waitable(Protocol):
    """Something that can be waited for: `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether it has happened."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Block for at most `timeout` seconds of real time; True if it has happened."""
        ...


class Clock(Protocol):
    """Where tapes takes the time from. Safe to use from any thread."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, never going back. Durations, windows and schedules are made of it."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, for what is shown to people."""
        ...

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Block until `wakeup` is set or `timeout` seconds of this clock have passed; True if it was set."""
        ...


class SystemClock:
    """The clock of the machine.

    `monotonic` is `time.perf_counter` itself, with no call in between: it is the finest clock there is on every
    platform, and the same for all processes of a host.
    """

    monotonic = staticmethod(time.perf_counter)
    time = staticmethod(time.time)

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Block until `wakeup` is set or `timeout` seconds have passed; True if it was set."""
        return wakeup.wait(timeout)

    def __repr__(self) -> str:
        return "SystemClock()"


def is_clock(value: object) -> bool:
    """Whether `value` has all methods of a clock."""
    return all(callable(getattr(value, method, None)) for method in ("monotonic", "time", "wait"))


SYSTEM_CLOCK = SystemClock()
"""The clock that is used where none is given."""
