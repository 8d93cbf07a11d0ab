"""Reporters whose work blocks: a thread of their own does it, and an event loop says when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional, Sequence, Type, TypeVar, cast

from tapes.reporting.scheduled import ScheduledReporter
from tapes.reporting.tornado.loops import checked_loop, when_running
from tapes.reporting.tornado.pace import Pace
from tapes.reporting.wakeup import Wakeup

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from tapes.registry import Registry
    from tapes.reporting import Reporter
    from tapes.reporting.run import Run

AnyReporter = TypeVar("AnyReporter", bound=ScheduledReporter)


class ApartReporter(ScheduledReporter):
    """Makes the reports of another reporter, which blocks, in a daemon thread, when the event loop says so.

    The other one is never started: its `open()`, `report()`, `close()`, `close_inherited()` and `interrupt()` are
    called, and what becomes of its reports is counted and logged here.

    The loop only keeps the time. It never waits, neither for the network nor for a stream, and neither a loop that has
    ended nor one that waits in `stop()` is in the way of the last report: the thread makes it without the loop.
    """

    def __init__(self, inner: ScheduledReporter, io_loop: Optional[IOLoop] = None) -> None:
        """Make the reports of `inner`, on its registry and at its interval, when `io_loop` says so.

        Raises ReporterOptionError for a loop that is no IOLoop.
        """
        super().__init__(inner.interval, inner.registry)
        self._inner = inner
        self._io_loop = checked_loop(io_loop)
        self._turnstile: Optional[_Turnstile] = None
        self._pace: Optional[Pace] = None

    @property
    def idle(self) -> bool:
        """Whether it is running, and its thread waits for the loop to say that a report is due."""
        turnstile = self._turnstile
        return self.running and turnstile is not None and not turnstile.is_open

    def report_on(self, registry: Registry) -> None:
        """Report on another registry, from the next start on."""
        super().report_on(registry)
        self._inner.report_on(registry)

    def obstacles(self, earlier: Mapping[str, Reporter]) -> Sequence[str]:
        """Return those of the other one."""
        return self._inner.obstacles(earlier)

    def open(self) -> None:
        """Open the other one."""
        self._inner.open()

    def report(self) -> None:
        """Make a report of the other one. Called in the thread."""
        self._inner.report()

    def launch(self, run: Run) -> None:
        """Have the loop begin to keep the time, and the thread to wait for it."""
        turnstile = self._turnstile = _Turnstile(run)
        pace = self._pace = Pace(self.interval, run, turnstile.open)
        when_running(self._io_loop, run, pace.begin, type(self).__name__)
        super().launch(run)

    def work(self, run: Run) -> None:
        """Report whenever the loop says so, and once more in the end."""
        turnstile = self._turnstile
        assert turnstile is not None  # launch() has made it
        while not run.abandoned and turnstile.passed():
            self.attempt(run)
            turnstile.reset()
        self.attempt(run)

    def interrupt(self) -> None:
        """Wake the thread, to make the last report."""
        turnstile, pace = self._turnstile, self._pace
        if turnstile is not None and turnstile.run.stopping.is_set():
            turnstile.open()
        if pace is not None:
            pace.wake()
        self._inner.interrupt()

    def close(self) -> None:
        """Close the other one."""
        self._inner.close()

    def close_inherited(self) -> None:
        """Close what the other one has inherited."""
        self._inner.close_inherited()

    def after_fork(self) -> None:
        """Become a reporter of this child process, on a loop of this process."""
        self._io_loop = None
        super().after_fork()

    def __repr__(self) -> str:
        return repr(self._inner)


def named_after(reporter: ScheduledReporter, inner: Type[AnyReporter]) -> Type[AnyReporter]:
    """Return a class of the kind `inner` that bears the name of the class of `reporter`.

    So that what the inner one writes about itself, in errors and log lines, names the reporter that users know.
    """
    return cast("Type[AnyReporter]", type(type(reporter).__name__, (inner,), {"__doc__": inner.__doc__}))


class _Turnstile:
    """Lets the thread through once for each time that it is opened while the thread waits. It counts nothing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._opened = Wakeup()

    @property
    def is_open(self) -> bool:
        """Whether it was opened for a time that is not over."""
        return self._opened.is_set()

    def open(self) -> None:
        """Let the thread through, if it waits. From any thread or signal handler."""
        self._opened.set()

    def passed(self) -> bool:
        """Wait until it is opened; False if the run is to stop instead."""
        if not self.run.stopping.is_set():  # if it is from here on, it is opened after that
            self._opened.wait()
        return not self.run.stopping.is_set()

    def reset(self) -> None:
        """Close it. What was opened while the thread was busy is over."""
        self._opened = Wakeup()
