"""The base class of reporters that report on an event loop."""

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
    """Calls `report()` on the event loop when that runs, then at every interval, and once more when stopped.

    Override `report()`, and `open()` and `close()` if there is something to open and close. `report()` is called on the
    thread of the loop, so it must not block; it may be a coroutine. Reports are due at whole intervals after the first
    one, by the clock of the loop. One that is due while another is under way is skipped.

    It may be created and started before any loop runs, and before a fork, since it touches no loop until one runs. It
    reports on the loop that is given, or else on the one that runs in the thread that starts it, or else on the next
    loop of Tornado that runs in this process; when that has ended it goes on with the next one. When a given loop ends,
    that is logged, and only the last report is left.

    The loop makes the last report if it runs. Otherwise the caller of `stop()` does, or the exit of the interpreter; a
    coroutine then runs on a loop of its own, and must not use objects of the other one. `stop()` on the thread of the
    loop itself makes a plain report right there. If the report is a coroutine, `stop()` returns at once, and the loop
    makes the last report soon after.

    A cancelled coroutine, like one under way when `asyncio.run()` ends, counts neither as a report nor as a failure.
    """

    needs_loop = True

    def __init__(
        self,
        interval: Union[timedelta, float],
        registry: Optional[Registry] = None,
        io_loop: Optional[IOLoop] = None,
    ) -> None:
        """Report on `registry` (default: the process-wide one) every `interval`, a timedelta or seconds.

        On `io_loop`, which need not run yet. A forked child looks for a loop of its own.

        Raises ReporterOptionError if `interval` is not a positive, finite time, or `io_loop` not an IOLoop.
        """
        super().__init__(interval, registry)
        self._io_loop = checked_loop(io_loop)
        self._drive: Optional[Drive] = None

    @abstractmethod
    def report(self) -> Optional[Awaitable[Any]]:
        """Report on `self.registry`, or return a coroutine that does. An exception makes it a failed report."""

    def start(self) -> None:
        """Start to report, as soon as the loop runs.

        Raises ReporterStateError if it is running or its given loop is closed, and any error of `open()`, after which
        it is not running.
        """
        super().start()
        if not self.running:  # a signal handler has stopped it meanwhile, and left us the last report
            self.stop()

    def launch(self, run: Run) -> None:
        """Begin on the loop, as soon as it runs."""
        drive = self._drive = Drive(self, run)
        when_running(self._io_loop, run, drive.pace.begin, type(self).__name__)

    def interrupt(self) -> None:
        """Wake the loop to make the last report."""
        drive = self._drive
        if drive is not None:
            drive.pace.wake()

    def halt(self, run: Run, timeout: float) -> bool:
        """Wait for the last report if the loop runs in another thread; otherwise make it here."""
        drive = self._drive
        if drive is None or drive.run is not run:
            return run.done.wait(timeout)  # another thread is starting it, and will stop it
        return drive.halt(timeout)

    def after_fork(self) -> None:
        """Go on in a child process, on a loop of that process."""
        self._io_loop = None
        super().after_fork()
