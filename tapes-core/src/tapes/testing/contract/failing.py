"""The contract of reports that fail or hang."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, List, Tuple

from tapes import observers
from tapes.registry import Registry
from tapes.testing.contract.bench import Bench, Hanging, log_records

if TYPE_CHECKING:
    from tapes.reporting import Reporter
    from tapes.snapshot import Snapshot
    from tapes.testing.clock import ManualClock


class FailureContract(Bench):
    """Tests of reports that raise, hang, or cannot reach the far end."""

    def test_a_report_that_raises_does_not_end_the_reporting(self) -> None:
        """A report that raises is counted, its error is kept, and the next report is made."""
        self._assert_survives(OSError("the far end has gone"))

    def test_not_even_a_system_exit_ends_the_reporting(self) -> None:
        """SystemExit and other errors that are not an Exception make failed reports like any other."""
        self._assert_survives(SystemExit(3))

    def test_failures_are_logged_once_a_streak(self) -> None:
        """Only the first failure in a row is logged, in one line; after a success, so is the next failure."""
        self.scheduled_only()
        with self.reporter() as (reporter, clock), log_records() as records:
            first = OSError("the far end has gone")
            outcomes = [first, OSError("2"), OSError("3"), None, OSError("5"), OSError("6")]
            self._script(reporter, outcomes)
            reporter.start()
            self._go_on(reporter, clock, len(outcomes))
            lines = [record.getMessage() for record in records]
            assert len(lines) == 2, f"6 reports, of which 1-3 and 5-6 failed, were logged as {lines}."
            assert type(reporter).__name__ in lines[0], f"The line does not name the reporter: {lines[0]}"
            assert str(first) in lines[0], f"The line does not say what is wrong: {lines[0]}"
            assert not records[0].exc_info, "Trouble that is expected is logged with a traceback."

    def test_an_error_that_nobody_expects_is_logged_with_its_traceback(self) -> None:
        """An error that comes neither from tapes nor from the system is a bug: its traceback is logged."""
        self.scheduled_only()
        with self.reporter() as (reporter, clock), log_records() as records:
            error = ZeroDivisionError("a bug")
            self._script(reporter, [error])
            reporter.start()
            self._go_on(reporter, clock, 1)
            logged = [record.exc_info[1] for record in records if record.exc_info]
            assert logged == [error], f"The errors that are logged with a traceback are {logged}, not {[error]}."

    def test_observers_are_told_of_every_failure(self) -> None:
        """Observers of failed reports get the reporter, the error and the length of the streak, every time."""
        self.scheduled_only()
        told: List[Tuple[Any, BaseException, int]] = []
        with self.reporter() as (reporter, clock):

            def observe(*args: Any) -> None:
                told.append(args)

            errors = [OSError("1"), OSError("2")]
            outcomes = [errors[0], errors[1], None, errors[0]]
            observers.report_failed.append(observe)
            try:
                self._script(reporter, outcomes)
                reporter.start()
                self._go_on(reporter, clock, len(outcomes))
            finally:
                observers.report_failed.remove(observe)
            mine = [entry for entry in told if entry[0] is reporter]
            expected = [(reporter, errors[0], 1), (reporter, errors[1], 2), (reporter, errors[0], 1)]
            assert mine == expected, f"Observers got {mine}, not {expected}."

    def test_a_failing_observer_does_not_end_the_reporting(self) -> None:
        """An observer that raises does not affect the reports."""
        self.scheduled_only()

        def observe(*args: Any) -> None:
            raise ZeroDivisionError("from an observer")

        with self.reporter() as (reporter, clock):
            outcomes = [OSError("1"), OSError("2"), None]
            observers.report_failed.append(observe)
            try:
                self._script(reporter, outcomes)
                reporter.start()
                self._go_on(reporter, clock, len(outcomes))
            finally:
                observers.report_failed.remove(observe)
            assert reporter.failures == 2, "An observer that raises has made a failure of a report."
            assert self._has_made(reporter, 1), "An observer that raises has cost a report."

    def test_a_hanging_report_does_not_hold_up_a_stop(self) -> None:
        """stop() returns within its deadline although a report hangs, logs that once, and can be repeated."""
        self.hanging_only()
        with self.reporter() as (reporter, _), log_records() as records:
            hanging = Hanging(reporter.report, self.patience)
            reporter.report = hanging
            reporter.start()
            try:
                self.until(hanging.begun.is_set, "a report was begun")
                began = time.monotonic()
                reporter.stop(0.1)
                reporter.stop(self.patience * 2)
                assert time.monotonic() - began < self.patience, "stop() has not returned within its deadline."
                assert not reporter.running, "It is running after a stop() that ran out of time."
                assert len(records) == 1, f"That was logged {len(records)} times."
            finally:
                hanging.release()

    def test_a_report_that_has_hung_leaves_a_later_start_alone(self) -> None:
        """A report that hangs over a stop and a new start neither reports nor closes anything when it wakes up."""
        self.hanging_only()
        with self.reporter() as (reporter, _):
            closed: List[int] = []
            threads: List[threading.Thread] = []
            report, close = reporter.report, reporter.close

            def counted_close() -> None:
                closed.append(1)
                close()

            def traced() -> object:
                result = report()
                threads.append(threading.current_thread())
                return result

            hanging = Hanging(lambda: None, self.patience)
            reporter.report, reporter.close = hanging, counted_close
            reporter.start()
            try:
                self.until(hanging.begun.is_set, "a report was begun")
                reporter.stop(0.1)
                reporter.report = traced
                self.start_beside(reporter)
                self.until(lambda: bool(threads), "a report was made after the second start")
                closed.clear()  # the second start may have closed what the first left open
            finally:
                hanging.release()
            thread = hanging.thread
            assert thread is not None
            if self.threaded:
                self.until(lambda: not thread.is_alive(), "the thread that had hung ended")
                assert thread not in threads, "The run that was left behind has reported again."
            reporter.stop()
            assert closed == [1], f"What the second start has opened was closed {len(closed)} times."

    def test_a_far_end_that_is_down_does_not_reach_the_caller(self) -> None:
        """Reports to a far end that is down at the start fail, and succeed as soon as it is up."""
        self.scheduled_only()
        self.break_far_end()
        with self.reporter() as (reporter, clock):
            reporter.start()
            self.until(lambda: reporter.failures >= 1, "a report failed")
            self.mend_far_end()
            before = reporter.reports
            if self.manual_time:
                self.settle(clock)
                clock.advance(self.interval)
            self.until(lambda: reporter.reports > before, "it reported when the far end was back")

    def test_a_page_that_cannot_be_made_is_a_failure(self) -> None:
        """A reporter that reports on request counts a page that cannot be made, and answers the next request."""
        if self.scheduled:
            return
        registry = _FaultyRegistry()
        reporter = self.make_reporter(registry)
        with reporter, log_records() as records:
            for _ in range(3):
                self.scrape(reporter)
            assert (reporter.failures, reporter.reports) == (3, 0), "The failures were not counted."
            assert reporter.last_error is _FaultyRegistry.fault, f"last_error is {reporter.last_error!r}."
            assert len(records) == 1, f"3 failures in a row were logged {len(records)} times."
            registry.mended = True
            self.scrape(reporter)
            assert reporter.reports == 1, "It has not recovered."

    def _assert_survives(self, error: BaseException) -> None:
        self.scheduled_only()
        with self.reporter() as (reporter, clock):
            self._script(reporter, [None, error, None])
            reporter.start()
            self._go_on(reporter, clock, 3)
            assert self._has_made(reporter, 2), f"2 reports were counted as {reporter.reports}."
            assert reporter.failures == 1, f"1 failure was counted as {reporter.failures}."
            assert reporter.last_error is error, f"last_error is {reporter.last_error!r}, not {error!r}."
            assert reporter.running, "A report that raised has stopped it."

    def _script(self, reporter: Any, outcomes: List[Any]) -> None:
        """Let the reports end like this, one after the other, and all that come after them well."""
        coming = iter(outcomes)
        self._begun: List[int] = []

        def report() -> None:
            self._begun.append(1)
            outcome = next(coming, None)
            if outcome is not None:
                raise outcome

        reporter.report = report

    def _go_on(self, reporter: Any, clock: ManualClock, count: int) -> None:
        """Let reports be made until there have been so many, and the last one is over with all that follows from it."""
        for number in range(1, count + 1):
            self._until_tried(reporter, number)
            if self.manual_time:
                self.settle(clock)
                if number < count:
                    clock.advance(self.interval)
        if not self.manual_time:  # the count is there before the log and the observers are told
            self.until(lambda: len(self._begun) > count, "another report was begun")

    def _has_made(self, reporter: Reporter, count: int) -> bool:
        """Whether so many reports were made. In real time there may be more by now."""
        return reporter.reports == count if self.manual_time else reporter.reports >= count

    def _until_tried(self, reporter: Reporter, number: int) -> None:
        self.until(lambda: reporter.reports + reporter.failures >= number, f"{number} reports were tried")


class _FaultyRegistry(Registry):
    fault = RuntimeError("no snapshot can be taken")
    mended = False

    def snapshot(self) -> Snapshot:
        if not self.mended:
            raise self.fault
        return super().snapshot()
