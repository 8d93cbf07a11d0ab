"""Reporters whose reports are made by an event loop."""

# ruff: noqa: TC001, TC002, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Any, Awaitable, Optional, Union

from tornado.ioloop import IOLoop

from tapes.registry import Registry
from tapes.reporting.run import Run
from tapes.reporting.scheduled import ScheduledReporter
from tapes.reporting.tornado.drive import Drive
from tapes.reporting.tornado.loops import checked_loop, when_running


class TornadoScheduledReporter(ScheduledReporter):
    """Calls `report()` on the event loop when that runs, then at every interval, and once more when it is stopped.

    Override `report()`, and `open()` and `close()` if there is something to open and close. `report()` is called on the
    thread of the loop, so it must not block; it may be a coroutine, which the loop finishes while it goes on with other
    things. Reports are due at whole intervals after the first one, by the clock of the loop. Those that are due while
    another is under way are left out.

    It may be created and started before any loop runs, and before a fork: it touches none, and reports on the loop that
    is given, or else on the one that runs in the thread that starts it, or else on the next one of Tornado that runs
    in this process. When that has ended it goes on with the next one. It keeps to a loop that it was given: when that
    ends, which is logged, what is left is the last report.

    The last report is made by the loop while it runs, and without it otherwise: by whoever calls `stop()`, or at the
    exit of the interpreter. There a coroutine runs on a loop of its own, and must not rely on things that belong to the
    other one. `stop()` on the thread of the loop itself makes a plain report right there. A coroutine cannot go on
    while it waits: then it returns at once, and the loop makes the last report soon after.

    A coroutine that is cancelled, as those that are under way when `asyncio.run()` ends, counts neither as a report nor
    as a failure.
    """

    needs_loop = True

    def __init__(
        self,
        interval: Union[timedelta, float],
        registry: Optional[Registry] = None,
        io_loop: Optional[IOLoop] = None,
    ) -> None:
        """Report on `registry` (by default the process-wide one) every `interval`, a timedelta or seconds.

        On `io_loop`, which need not run yet, in this process; a forked child looks for a loop of its own.

        Raises ReporterOptionError for an interval that is not a positive, finite time, and for what is no IOLoop.
        """
        super().__init__(interval, registry)
        self._io_loop = checked_loop(io_loop)
        self._drive: Optional[Drive] = None

    @abstractmethod
    def report(self) -> Optional[Awaitable[Any]]:
        """Send what `self.registry` holds, or return a coroutine that does. What it raises makes it a failed report."""

    def start(self) -> None:
        """Begin to report, as soon as the loop runs.

        Raises ReporterStateError if it is running, or was given a loop that is closed, and whatever `open()` raises;
        then it is not running.
        """
        super().start()
        if not self.running:  # a signal handler has stopped it meanwhile, and left the last report to us
            self.stop()

    def launch(self, run: Run) -> None:
        """Have the loop begin."""
        drive = self._drive = Drive(self, run)
        when_running(self._io_loop, run, drive.pace.begin, type(self).__name__)

    def interrupt(self) -> None:
        """Wake the loop, to make the last report."""
        drive = self._drive
        if drive is not None:
            drive.pace.wake()

    def halt(self, run: Run, timeout: float) -> bool:
        """See to the last report: wait for the loop if it runs elsewhere, and do without it if it does not run."""
        drive = self._drive
        if drive is None or drive.run is not run:
            return run.done.wait(timeout)  # it is being started, by a thread that will stop it
        return drive.halt(timeout)

    def after_fork(self) -> None:
        """Become a reporter of this child process, on a loop of this process."""
        self._io_loop = None
        super().after_fork()
