"""Reporters that report at intervals."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, for example by tapes.config

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from contextlib import suppress
from datetime import timedelta
from types import CoroutineType
from typing import Optional, Union

from tapes.clock import Clock
from tapes.errors import ReporterError
from tapes.registry import Registry
from tapes.reporting import checked
from tapes.reporting.reporter import Reporter
from tapes.reporting.run import Run


class ScheduledReporter(Reporter):
    """Calls `report()` at the start, at every interval, and once more at the stop.

    Override `report()`, and `open()` and `close()` if there is something to open and close. `report()` is called in the
    reporter's own thread. If it raises, that report is counted in `failures`, its error is kept in `last_error`, and
    the first failure in a row is logged. The next report comes at its time.

    Reports are due at the start and at whole intervals after it, however long they take. Those that come due during
    another report are skipped.

    In a forked child a running reporter continues by itself. Its first report there comes after one interval, when the
    rest of the child is set up, or at its stop.
    """

    survives_fork = True

    def __init__(
        self,
        interval: Union[timedelta, float],
        registry: Optional[Registry] = None,
        *,
        clock: Optional[Clock] = None,
    ) -> None:
        """Report on `registry` (by default the process-wide one) every `interval`, a timedelta or seconds.

        `clock` says when an interval has passed; by default it is that of the registry. Raises ReporterOptionError for
        an interval below a microsecond, or not finite.
        """
        super().__init__(registry)
        self.interval: float = checked.seconds("interval", interval)
        """Seconds between two reports."""
        self.clock: Clock = self.registry.clock if clock is None else checked.clock("clock", clock)
        self._has_own_clock = clock is not None

    def report_on(self, registry: Registry) -> None:
        """Report on another registry from the next start on, with its clock unless this reporter has its own."""
        super().report_on(registry)
        if not self._has_own_clock:
            self.clock = registry.clock

    @abstractmethod
    def report(self) -> object:
        """Send what `self.registry` holds. Any error makes it a failed report.

        The result is for drivers that do not call it in a thread: an event loop awaits a coroutine.
        """

    def work(self, run: Run) -> None:
        """Report at once, at every interval, and once more at the stop."""
        schedule = Schedule(self.clock.monotonic(), self.interval)
        if not run.in_child:
            self.attempt(run)
        while not run.abandoned and not self.wait(run, schedule.next_after(self.clock.monotonic())):
            self.attempt(run)
        self.attempt(run)

    def attempt(self, run: Run) -> None:
        """Make one report for `run` and count it as made or failed. Raises nothing."""
        if run.abandoned:
            return
        previous, run.worker = run.worker, threading.get_ident()
        try:
            _require_done(self, self.report())
        except BaseException as error:  # noqa: BLE001 -- not even SystemExit may end the thread
            self.note(run, error)
        else:
            self.note(run, None)
        finally:
            run.worker = previous

    def note(self, run: Run, error: Optional[BaseException]) -> None:
        """Count a report for `run` as made or, with its `error`, as failed. Raises nothing.

        For drivers that do not call `attempt()`. Ignored if another run has begun since.
        """
        with suppress(Exception):  # from a log handler or an observer: neither may end the reporting
            if self._run is run:
                if error is None:
                    self.succeeded()
                else:
                    self.failed(error)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(interval={self.interval:g})"

    def wait(self, run: Run, deadline: float) -> bool:
        """Wait for the deadline, a time of `clock`. Return True if the reporter must stop instead.

        Override it to do something between two reports.
        """
        while not run.stopping.is_set():
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            self.clock.wait(run.stopping, left)
        return True


def _require_done(reporter: ScheduledReporter, result: object) -> None:
    """Raise ReporterError for a coroutine, which would never run."""
    if isinstance(result, CoroutineType):
        result.close()
        raise ReporterError(
            f"report() of {reporter!r} is a coroutine, and there is no event loop that it could run on: "
            "make it a plain method, or derive from tapes.reporting.tornado.TornadoScheduledReporter."
        )


class Schedule:
    """The times of reports: at whole intervals after a start, so that they do not drift. Not thread-safe."""

    __slots__ = ("_interval", "_number", "_start")

    def __init__(self, start: float, interval: float) -> None:
        self._start = start
        self._interval = interval
        self._number = 0

    def next_after(self, now: float) -> float:
        """Return the next due time at or after `now`, each only once. Times before `now` are skipped."""
        self._number = max(self._number + 1, math.ceil((now - self._start) / self._interval))
        return self._start + self._number * self._interval
