"""The settings for a tested reporter, and the tools that the tests of the contract share."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Tuple
from unittest import SkipTest

from tapes.registry import Registry
from tapes.testing.clock import ManualClock

if TYPE_CHECKING:
    from tapes.reporting import Reporter


class Bench:
    """Override `make_reporter()`, and anything else that differs for your reporter."""

    scheduled = True
    """Whether it reports by itself, and not on request."""

    interval = 10.0
    """Seconds between reports, for `make_reporter()` to use."""

    manual_time = True
    """Whether its intervals are measured by the clock of its registry, which is a `ManualClock` here. If False, they
    pass in real time: choose a short interval."""

    threaded = True
    """Whether it works in its own thread."""

    may_hang = True
    """Whether a report may hang in a test. Set it to False if `pause()` makes the reports: the test would hang, too."""

    patience = 20.0
    """The longest wait for any event, in seconds of real time. Generous, because machines are busy."""

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Return a new reporter on `registry`, not started, with `self.interval`."""
        raise NotImplementedError(f"{type(self).__name__} says how to make a reporter: override make_reporter().")

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Return a reporter whose `start()` raises because of a fault of the user, like an unwritable path."""
        raise SkipTest("There is no way to make a fault of the user's own.")

    def received(self) -> Optional[int]:
        """Return how many reports have arrived at the far end since this test began; None if that is unknown."""
        return None

    def scrape(self, reporter: Reporter) -> None:
        """Request a report from a reporter that is not scheduled. Do not raise if it answers with an error."""
        raise SkipTest("There is no way to ask for a report.")

    def break_far_end(self) -> None:
        """Make the far end unreachable, so that reports fail. Called before the reporter is made."""
        raise SkipTest("The far end cannot be broken.")

    def mend_far_end(self) -> None:
        """Undo `break_far_end()`."""
        raise SkipTest("The far end cannot be mended.")

    def hang_far_end(self) -> None:
        """Make the far end accept and answer nothing, so that reports hang. Called before the reporter is made."""
        raise SkipTest("The far end cannot be made to hang.")

    def pause(self) -> None:
        """Let a little time pass. Run the event loop here, if a loop of the test drives the reporter."""
        time.sleep(0.005)

    def start_beside(self, reporter: Any) -> None:
        """Start a reporter again while a report hangs. If that report blocks the event loop, use another loop."""
        reporter.start()

    # The tools.

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until `happened()` is true; fail after `patience` seconds. `what` describes it for the failure."""
        deadline = time.monotonic() + self.patience
        while not happened():
            assert time.monotonic() < deadline, f"Within {self.patience:g} s it has not happened that {what}."
            self.pause()

    def settle(self, clock: ManualClock) -> None:
        """Wait until a scheduled reporter has done what was due, and waits for the clock again."""
        try:
            clock.settle(timeout=self.patience)
        except TimeoutError:
            raise AssertionError(f"Within {self.patience:g} s it has not gone back to waiting for the clock.") from None

    @contextmanager
    def reporter(self) -> Iterator[Tuple[Any, ManualClock]]:
        """Make a reporter on a registry with a counter and a manual clock, and stop it at the end."""
        clock = ManualClock()
        registry = Registry(clock=clock)
        registry.counter("contract.events").increment(3)
        reporter = self.make_reporter(registry)
        try:
            yield reporter, clock
        finally:
            reporter.stop(1.0)

    def scheduled_only(self) -> None:
        """Skip the test for a reporter that is not scheduled."""
        if not self.scheduled:
            raise SkipTest("It does not report by itself.")

    def manual_only(self) -> None:
        """Skip the test for a reporter whose clock cannot be advanced by hand."""
        self.scheduled_only()
        if not self.manual_time:
            raise SkipTest("Its intervals pass in real time.")

    def hanging_only(self) -> None:
        """Skip the test for a reporter that is not scheduled, or whose reports may not hang."""
        self.scheduled_only()
        if not self.may_hang:
            raise SkipTest("The test would hang with its reports.")

    def first_report(self, reporter: Reporter) -> None:
        """Wait for the report at the start, or request one."""
        if not self.scheduled:
            self.scrape(reporter)
        self.until(lambda: reporter.reports + reporter.failures >= 1, "the first report was made")


@contextmanager
def log_records() -> Iterator[List[logging.LogRecord]]:
    """Collect the log records of reporters at level WARNING and above."""
    records: List[logging.LogRecord] = []
    logger = logging.getLogger("tapes.reporting")
    collector = _Collector(records)
    logger.addHandler(collector)
    try:
        yield records
    finally:
        logger.removeHandler(collector)


class _Collector(logging.Handler):
    def __init__(self, records: List[logging.LogRecord]) -> None:
        super().__init__(logging.WARNING)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self._records.append(record)


class Hanging:
    """A report that hangs until it is released."""

    def __init__(self, report: Callable[[], object], patience: float) -> None:
        self._report = report
        self._patience = patience
        self._released = threading.Event()
        self.thread: Optional[threading.Thread] = None
        self.begun = threading.Event()

    def __call__(self) -> object:
        """Hang, then report."""
        self.thread = threading.current_thread()
        self.begun.set()
        self._released.wait(self._patience * 5)
        return self._report()

    def release(self) -> None:
        """Let the report continue."""
        self._released.set()
