"""Scheduled reporters: intervals, faults at the start, and stops at difficult moments."""

from __future__ import annotations

import logging
import signal
import threading
from datetime import timedelta
from typing import Any, Callable, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.clock import SYSTEM_CLOCK
from tapes.errors import ReporterStateError
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.scheduled import Schedule
from tapes.testing import ManualClock, MemoryReporter
from tests.conftest import Until


@pytest.mark.parametrize("interval", [5, 5.0, timedelta(seconds=5), timedelta(milliseconds=5000)])
def test_an_interval_is_a_timedelta_or_seconds(interval: Any) -> None:
    """Intervals of all types are seconds in the end."""
    assert MemoryReporter(interval).interval == 5.0


def test_the_clock_is_that_of_the_registry_unless_given() -> None:
    """A reporter takes the time from where its registry takes it."""
    clock, other = ManualClock(), ManualClock()

    assert MemoryReporter(1, Registry(clock=clock)).clock is clock
    assert MemoryReporter(1, Registry(clock=clock), clock=other).clock is other
    assert MemoryReporter(1).clock is SYSTEM_CLOCK
    assert MemoryReporter(1).registry is DEFAULT_REGISTRY


@given(
    start=st.floats(-1e6, 1e6),
    interval=st.floats(0.001, 1e4),
    durations=st.lists(st.floats(0, 1e5), min_size=1, max_size=20),
)
def test_reports_are_due_at_whole_intervals_in_the_future_and_once_each(
    start: float, interval: float, durations: List[float]
) -> None:
    """However long reports take, the next is due at a whole interval after the start, not in the past, and later."""
    schedule = Schedule(start, interval)
    now = previous = start

    for duration in durations:
        now += duration
        due = schedule.next_after(now)

        number = (due - start) / interval
        assert number == pytest.approx(round(number), rel=1e-6, abs=1e-6)
        assert due > previous
        assert due >= now - 1e-9 * max(1.0, abs(now))
        assert due <= max(now, previous) + interval * (1 + 1e-6) + 1e-6
        now = max(now, due)
        previous = due


def test_a_reporter_that_nobody_refers_to_keeps_reporting(until: Until) -> None:
    """A reporter that was started and forgotten is kept alive by its work, and is collected when it has stopped."""
    import gc
    import weakref

    registry = Registry()
    reporter: Any = MemoryReporter(0.01, registry)
    snapshots = reporter.snapshots
    forgotten = weakref.ref(reporter)
    reporter.start()

    del reporter
    gc.collect()
    seen = len(snapshots)
    until(lambda: len(snapshots) > seen + 1)

    remembered: Any = forgotten()
    remembered.stop()
    del remembered
    until(lambda: gc.collect() is not None and forgotten() is None)


class Opening(MemoryReporter):
    """Does something while it is opened or closed."""

    opened = 0
    closed = 0

    def __init__(self, opening: Callable[[], object] = int, closing: Callable[[], object] = int) -> None:
        super().__init__(10, Registry(clock=ManualClock()))
        self.opening = opening
        self.closing = closing

    def open(self) -> None:
        """Open."""
        self.opening()
        self.opened += 1

    def close(self) -> None:
        """Close."""
        self.closed += 1
        self.closing()


def test_a_fault_at_the_start_leaves_a_reporter_that_can_be_started() -> None:
    """What open() raises reaches the caller, nothing is closed, and the next start may succeed."""
    faults = [PermissionError("no")]

    def fail() -> None:
        if faults:
            raise faults.pop()

    reporter = Opening(fail)

    with pytest.raises(PermissionError):
        reporter.start()
    assert (reporter.running, reporter.closed, reporter.reports) == (False, 0, 0)
    reporter.start()
    reporter.stop()

    assert (reporter.opened, reporter.closed) == (1, 1)


def test_a_thread_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are no more threads to be had, start() raises, and what was opened has been closed."""
    reporter = Opening()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            reporter.start()

    assert (reporter.running, reporter.opened, reporter.closed) == (False, 1, 1)
    reporter.start()
    reporter.stop()
    assert (reporter.opened, reporter.closed) == (2, 2)


def test_a_stop_in_the_middle_of_a_start_stops_what_was_started(until: Until) -> None:
    """A signal handler that stops a reporter while it opens its resources: it is opened, reports, and is closed."""
    reporter = Opening(lambda: reporter.stop())

    reporter.start()
    until(lambda: reporter.closed)

    assert not reporter.running
    assert (reporter.opened, reporter.closed) == (1, 1)
    assert reporter.reports >= 1


def test_a_stop_in_a_signal_handler_during_a_stop_returns(until: Until) -> None:
    """A handler that stops the reporter while the same thread waits in stop() does not wait for ever."""
    release = threading.Event()
    reporter = MemoryReporter(10, Registry(clock=ManualClock()))
    reporter.report = lambda: release.wait(30)  # type: ignore[assignment, method-assign]  # hangs a while
    handled: List[bool] = []

    def handler(number: int, frame: object) -> None:
        release.set()
        reporter.stop()
        handled.append(reporter.running)

    previous = signal.signal(signal.SIGALRM, handler)
    reporter.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        reporter.stop(30)
    finally:
        signal.signal(signal.SIGALRM, previous)

    assert handled == [False]
    assert not reporter.running


def test_a_start_is_refused_while_a_stop_is_under_way(until: Until) -> None:
    """Between the wish to stop and its end a reporter cannot be started: its resources are still in use."""
    release, closing = threading.Event(), threading.Event()

    def hang() -> None:
        closing.set()
        release.wait(30)

    reporter = Opening(closing=hang)
    reporter.start()
    stopper = threading.Thread(target=reporter.stop, daemon=True)
    stopper.start()
    until(closing.is_set)

    with pytest.raises(ReporterStateError, match=r"Opening\(interval=10\) is still stopping"):
        reporter.start()

    release.set()
    stopper.join(30)
    reporter.start()
    reporter.stop()
    assert reporter.closed == 2


def test_a_close_that_hangs_does_not_hold_up_a_stop(until: Until, caplog: pytest.LogCaptureFixture) -> None:
    """stop() returns within its deadline although close() hangs, and says so."""
    release = threading.Event()
    reporter = Opening(closing=lambda: release.wait(60))
    reporter.start()

    reporter.stop(0.05)

    assert not reporter.running
    assert [record.message for record in caplog.records] == [
        "Opening(interval=10) did not stop within 0.05 s: it is abandoned, and its last report may be lost."
    ]
    release.set()


def test_a_late_report_of_a_hung_run_is_not_counted(until: Until) -> None:
    """What a run that was left behind does after the next start is not in the next one's books."""
    release, hung = threading.Event(), threading.Event()
    reporter = MemoryReporter(10, Registry(clock=ManualClock()))
    threads: List[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        hung.set()
        release.wait(60)

    reporter.report = hang  # type: ignore[method-assign]  # to hang in it
    reporter.start()
    until(hung.is_set)
    reporter.stop(0.01)
    del reporter.report  # and not any more
    reporter.start()
    until(lambda: reporter.reports == 1)

    release.set()
    threads[0].join(30)

    assert (reporter.reports, reporter.failures) == (1, 0)
    assert reporter.running
    reporter.stop()
    assert reporter.reports == 2


class Failing(ScheduledReporter):
    """Fails as it is told to."""

    errors: List[Any] = []  # noqa: RUF012 -- replaced by each test

    def report(self) -> None:
        """Fail or not."""
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


def test_a_streak_is_logged_with_its_error_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure is a warning of one line, the recovery is a line at INFO."""
    caplog.set_level(logging.INFO, "tapes.reporting")
    clock = ManualClock()
    reporter = Failing(10, Registry(clock=clock))
    reporter.errors = [OSError("one"), OSError("two"), None]

    with reporter:
        for _ in range(2):
            clock.settle()
            clock.advance(10)
        clock.settle()

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "Failing(interval=10) could not report: one. It will try again."),
        ("INFO", "Failing(interval=10) works again after 2 failures."),
    ]
    assert caplog.records[0].name == "tapes.reporting"
    assert caplog.records[0].exc_info is None
    assert (reporter.reports, reporter.failures, str(reporter.last_error)) == (2, 2, "two")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), RecursionError()])
def test_no_error_at_all_ends_the_reporting(error: BaseException) -> None:
    """Errors that end threads or programs are failed reports here."""
    clock = ManualClock()
    reporter = Failing(10, Registry(clock=clock))
    reporter.errors = [error]

    with reporter:
        clock.settle()
        clock.advance(10)
        clock.settle()
        counted = (reporter.reports, reporter.failures, reporter.last_error)

    assert counted == (1, 1, error)


def test_a_log_handler_that_raises_is_survived() -> None:
    """It does not end the reporting."""

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Raise."""
            raise ZeroDivisionError("from a handler")

    clock = ManualClock()
    reporter = Failing(10, Registry(clock=clock))
    reporter.errors = [OSError("one"), OSError("two")]
    logger, handler = logging.getLogger("tapes.reporting"), Raising()
    logger.addHandler(handler)

    try:
        with reporter:
            for _ in range(2):
                clock.settle()
                clock.advance(10)
            clock.settle()
            counted = (reporter.failures, reporter.reports)
    finally:
        logger.removeHandler(handler)

    assert counted == (2, 1)


def test_an_error_outside_of_reports_is_logged_and_stops_the_reporter(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that fails, for instance, ends the reporter in order: closed, not running, counted, logged."""

    class Broken(ManualClock):
        def wait(self, wakeup: Any, timeout: float) -> bool:
            """Fail."""
            raise OSError("no time")

    reporter = MemoryReporter(10, Registry(clock=Broken()))

    reporter.start()
    until(lambda: not reporter.running)

    assert str(reporter.last_error) == "no time"
    assert "MemoryReporter(interval=10) has stopped because of an error." in caplog.text
    reporter.stop()


def test_a_huge_interval_is_no_problem() -> None:
    """An interval of more seconds than a thread can wait for is waited for all the same."""
    reporter = MemoryReporter(1e30, Registry())

    with reporter:
        assert reporter.running

    assert reporter.reports == 2
    assert reporter.failures == 0


def test_a_coroutine_that_nobody_would_run_is_a_failed_report() -> None:
    """A reporter with a thread of its own has no event loop, and says so where report() is a coroutine."""

    class Coroutine(ScheduledReporter):
        async def report(self) -> None:
            """Never be run."""

    with Coroutine(10, Registry()) as reporter:
        pass

    assert (reporter.reports, reporter.failures) == (0, 2)
    assert str(reporter.last_error) == (
        "report() of Coroutine(interval=10) is a coroutine, and there is no event loop that it could run on: "
        "make it a plain method, or derive from tapes.reporting.tornado.TornadoScheduledReporter."
    )
