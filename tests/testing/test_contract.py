"""The contract catches what it is there to catch: each broken reporter fails the test that is about its fault."""

from __future__ import annotations

import http.client
import logging
import signal
import threading
from typing import Any, List, Optional, Tuple, Type

import pytest

from tapes import observers
from tapes.errors import ReporterError
from tapes.process.shutdown import alive
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.run import Run
from tapes.testing import MemoryReporter, ReporterContract


class StartsTwice(MemoryReporter):
    """Takes a second start for a wish to go on."""

    def start(self) -> None:
        """Start, or not."""
        if not self.running:
            super().start()


class NeverRuns(MemoryReporter):
    """Does not know that it is running."""

    @property
    def running(self) -> bool:
        """Say no."""
        return False


class StartsOnce(MemoryReporter):
    """Cannot be started again, and says nothing."""

    started = False

    def start(self) -> None:
        """Start, the first time."""
        if not self.started:
            self.started = True
            super().start()


class ReportsAtAnyStop(MemoryReporter):
    """Makes a last report whenever it is told to stop."""

    def stop(self, timeout: float = 5.0) -> None:
        """Stop, and report."""
        super().stop(timeout)
        self.report()
        self.succeeded()


class BelongsToTheMainThread(MemoryReporter):
    """Can be stopped by the main thread only."""

    def stop(self, timeout: float = 5.0) -> None:
        """Stop, perhaps."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("not in this thread")
        super().stop(timeout)


class IgnoresSignalHandlers(MemoryReporter):
    """Does not stop while there is a handler of signals that might ask for it."""

    def stop(self, timeout: float = 5.0) -> None:
        """Stop, perhaps."""
        if not callable(signal.getsignal(signal.SIGTERM)):
            super().stop(timeout)


class SwallowsErrors(MemoryReporter):
    """Returns True from `__exit__`."""

    def __exit__(self, *args: Any) -> bool:  # type: ignore[override]  # that is the fault
        """Stop."""
        self.stop()
        return True


class HasARegistryOfItsOwn(MemoryReporter):
    """Makes a registry when it is given none."""

    def __init__(self, interval: float, registry: Optional[Registry] = None) -> None:
        super().__init__(interval, Registry() if registry is None else registry)


class ClearsTheRegistry(MemoryReporter):
    """Takes what it reports."""

    def report(self) -> None:
        """Report and clear."""
        super().report()
        self.registry.clear()


class IsNoDaemon(MemoryReporter):
    """Keeps the interpreter from exiting."""

    def launch(self, run: Run) -> None:
        """Begin in an ordinary thread."""
        threading.Thread(target=self._live, args=(run,), name="tapes-x").start()


class HasANamelessThread(MemoryReporter):
    """Does not say whose its thread is."""

    def launch(self, run: Run) -> None:
        """Begin in a thread without a name."""
        threading.Thread(target=self._live, args=(run,), daemon=True).start()


class CountsNothing(MemoryReporter):
    """Keeps no book."""

    def succeeded(self) -> None:
        """Do nothing."""


class LosesEverySecond(MemoryReporter):
    """Says that it has reported what it has not."""

    def report(self) -> None:
        """Report, or not."""
        if self.reports % 2:
            super().report()


class WaitsFirst(MemoryReporter):
    """Makes its first report after an interval."""

    def work(self, run: Run) -> None:
        """Wait, report, wait."""
        while not self.clock.wait(run.stopping, self.interval):
            self.attempt(run)
        self.attempt(run)


class Drifts(MemoryReporter):
    """Waits for an interval after each report."""

    def work(self, run: Run) -> None:
        """Report, wait."""
        self.attempt(run)
        while not self.clock.wait(run.stopping, self.interval):
            self.attempt(run)
        self.attempt(run)


class Bursts(MemoryReporter):
    """Makes up for everything that it has missed."""

    def work(self, run: Run) -> None:
        """Report as often as it should have."""
        start = self.clock.monotonic()
        self.attempt(run)
        number = 1
        while not self.clock.wait(run.stopping, start + number * self.interval - self.clock.monotonic()):
            self.attempt(run)
            number += 1
        self.attempt(run)


class MakesNoLastReport(MemoryReporter):
    """Leaves when it is told to."""

    def work(self, run: Run) -> None:
        """Report, wait."""
        self.attempt(run)
        while not self.clock.wait(run.stopping, self.interval):
            self.attempt(run)


class ReportsOnce(MemoryReporter):
    """Reports only once and does not look at the time again."""

    def work(self, run: Run) -> None:
        """Report, wait, report."""
        self.attempt(run)
        self.clock.wait(run.stopping, 1e9)
        self.attempt(run)


class DiesOfAnError(MemoryReporter):
    """Lets errors end its thread."""

    def attempt(self, run: Run) -> None:
        """Report without a net."""
        self.report()
        self.succeeded()


class DiesOfAnExit(MemoryReporter):
    """Lets SystemExit end its thread."""

    def attempt(self, run: Run) -> None:
        """Report with a net that is too small."""
        try:
            self.report()
        except Exception as error:  # noqa: BLE001 -- that is the fault
            self.failed(error)
        else:
            self.succeeded()


class LogsEverything(MemoryReporter):
    """Writes a line for each failure."""

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Count and log."""
        super().failed(error)
        if self._streak.length > 1:
            logging.getLogger("tapes.reporting").warning("again")


class HidesTracebacks(MemoryReporter):
    """Takes each error for trouble from around the program."""

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Count and log."""
        super().failed(ReporterError(str(error)))


class ShowsTracebacks(MemoryReporter):
    """Takes each error for a bug."""

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Count and log."""
        if not self._streak.length:
            logging.getLogger("tapes.reporting").warning("%r has failed: %s", self, error, exc_info=error)
        self._streak.length += 1
        self.failures += 1


class TellsNobody(MemoryReporter):
    """Does not call observers."""

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Count only."""
        self.failures += 1
        self.last_error = error


class TrustsObservers(MemoryReporter):
    """Lets an observer end its thread."""

    def attempt(self, run: Run) -> None:
        """Report."""
        try:
            self.report()
        except Exception as error:  # noqa: BLE001 -- as it should
            self.failures += 1
            for observer in observers.report_failed:
                observer(self, error, 1)
        else:
            self.succeeded()


class WaitsForEver(MemoryReporter):
    """Has no deadline."""

    def stop(self, timeout: float = 5.0) -> None:
        """Wait as long as it takes."""
        super().stop(Suite.patience * 2)


class SaysNothing(MemoryReporter):
    """Leaves a hanging report behind without a word."""

    def stop(self, timeout: float = 5.0) -> None:
        """Stop with the logger switched off."""
        logger = logging.getLogger("tapes.reporting")
        logger.disabled = True
        try:
            super().stop(timeout)
        finally:
            logger.disabled = False


class ClosesTooMuch(MemoryReporter):
    """Closes whatever is open when a report that hung wakes up."""

    def end(self, run: Run) -> None:
        """Close in any case."""
        if run.abandoned:
            self.close()
        super().end(run)


class ReportsTooMuch(MemoryReporter):
    """Goes on with a run that was given up."""

    def attempt(self, run: Run) -> None:
        """Report in any case."""
        run.abandoned = False
        super().attempt(run)


class StaysInTheParent(MemoryReporter):
    """Does not go on in a child."""

    survives_fork = False


class FollowsIntoTheChild(HTTPReporter):
    """Serves in the child as well."""

    survives_fork = True


class StartsInTheChild(MemoryReporter):
    """Starts in a child although it was not running."""

    def after_fork(self) -> None:
        """Start."""
        super().after_fork()
        self.start()


class ForgetsTheExit(MemoryReporter):
    """Is not stopped when its process ends."""

    def launch(self, run: Run) -> None:
        """Begin, and hide."""
        super().launch(run)
        alive.pop(run)


class CountsNoFailures(HTTPReporter):
    """Does not count pages that could not be made."""

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Do nothing."""


class Suite(ReporterContract):
    """The contract, for a broken reporter."""

    patience = 1.0

    def __init__(self, kind: Type[Reporter]) -> None:
        self.kind = kind
        self.scheduled = issubclass(kind, MemoryReporter)
        self.made: List[Any] = []
        self.far_end = "up"
        self.released = threading.Event()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Make it, on a far end that is up, down or hanging."""
        kind: Any = self.kind
        if not self.scheduled:
            return kind(0, registry)  # type: ignore[no-any-return]
        reporter: Any = kind(self.interval, registry)
        self.made.append(reporter)
        if self.far_end != "up":
            reporter.report = self.report
        return reporter  # type: ignore[no-any-return]

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Make it: none of them finds a fault."""
        return self.make_reporter(registry)

    def report(self) -> None:
        """Fail or hang."""
        if self.far_end == "down":
            raise OSError("down")
        if self.far_end == "hanging":
            self.released.wait(20)

    def received(self) -> Optional[int]:
        """Count the snapshots."""
        return sum(len(reporter.snapshots) for reporter in self.made) if self.scheduled else None

    def scrape(self, reporter: Reporter) -> None:
        """Fetch the page."""
        assert isinstance(reporter, HTTPReporter)
        connection = http.client.HTTPConnection("127.0.0.1", reporter.port, timeout=20)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()

    def break_far_end(self) -> None:
        """Let reports fail."""
        self.far_end = "down"

    def mend_far_end(self) -> None:
        """Let them succeed."""
        self.far_end = "up"

    def hang_far_end(self) -> None:
        """Let them hang."""
        self.far_end = "hanging"


BROKEN: List[Tuple[str, Type[Reporter], str]] = [
    ("test_it_runs_from_start_to_stop", NeverRuns, "not running after start"),
    ("test_a_second_start_is_refused", StartsTwice, "was not refused"),
    ("test_it_can_be_started_again", StartsOnce, "after its second start"),
    ("test_stop_before_start_does_nothing", ReportsAtAnyStop, "reported without being started"),
    ("test_stop_may_be_repeated", ReportsAtAnyStop, "second stop"),
    ("test_stop_may_be_called_by_several_threads", BelongsToTheMainThread, "not in this thread"),
    ("test_stop_may_be_called_by_a_signal_handler", IgnoresSignalHandlers, "stopped by the signal handler"),
    ("test_it_is_a_context_manager", SwallowsErrors, "swallowed"),
    ("test_the_registry_is_the_process_wide_one_by_default", HasARegistryOfItsOwn, "DEFAULT_REGISTRY"),
    ("test_the_registry_is_left_as_it_is", ClearsTheRegistry, "registry has become"),
    ("test_its_threads_are_named_daemons", IsNoDaemon, "no daemon"),
    ("test_its_threads_are_named_daemons", HasANamelessThread, "is not named"),
    ("test_reports_are_counted", CountsNothing, "first report"),
    ("test_reports_are_counted", LosesEverySecond, "2 reports arrived"),
    ("test_a_fault_of_the_users_own_reaches_the_caller_of_start", MemoryReporter, "raised nothing"),
    ("test_a_hanging_far_end_does_not_hold_up_a_stop", WaitsForEver, "within its deadline"),
    ("test_the_first_report_comes_with_the_start", WaitsFirst, "first report was made at the start"),
    ("test_reports_go_on_at_every_interval", ReportsOnce, "not gone back to waiting|No report was made"),
    ("test_reports_do_not_drift", Drifts, "drifted"),
    ("test_missed_reports_are_left_out", Bursts, "made up for"),
    ("test_late_wake_ups_are_not_made_up_for", Bursts, "burst"),
    ("test_the_last_report_is_made_at_the_stop", MakesNoLastReport, "made 0 reports"),
    ("test_a_report_may_stop_its_reporter", MakesNoLastReport, "a last one"),
    ("test_a_report_that_raises_does_not_end_the_reporting", DiesOfAnError, "waiting for the clock|were tried"),
    ("test_not_even_a_system_exit_ends_the_reporting", DiesOfAnExit, "waiting for the clock|were tried"),
    ("test_failures_are_logged_once_a_streak", LogsEverything, "were logged as"),
    ("test_failures_are_logged_once_a_streak", ShowsTracebacks, "with a traceback"),
    ("test_an_error_that_nobody_expects_is_logged_with_its_traceback", HidesTracebacks, "with a traceback are"),
    ("test_observers_are_told_of_every_failure", TellsNobody, "Observers got"),
    ("test_a_failing_observer_does_not_end_the_reporting", TrustsObservers, "waiting for the clock|were tried"),
    ("test_a_hanging_report_does_not_hold_up_a_stop", WaitsForEver, "within its deadline"),
    ("test_a_hanging_report_does_not_hold_up_a_stop", SaysNothing, "logged 0 times"),
    ("test_a_report_that_has_hung_leaves_a_later_start_alone", ClosesTooMuch, "closed 2 times"),
    ("test_a_report_that_has_hung_leaves_a_later_start_alone", ReportsTooMuch, "reported again"),
    ("test_a_far_end_that_is_down_does_not_reach_the_caller", DiesOfAnError, "waiting for the clock|was back"),
    ("test_a_page_that_cannot_be_made_is_a_failure", CountsNoFailures, "not counted"),
    ("test_a_forked_child_has_a_reporter_of_its_own", StaysInTheParent, "does not run in the child"),
    ("test_a_forked_child_has_a_reporter_of_its_own", FollowsIntoTheChild, "runs in the child by itself"),
    ("test_a_stopped_reporter_stays_stopped_in_a_forked_child", StartsInTheChild, "had not been started"),
    ("test_the_last_report_is_made_when_a_process_ends", ForgetsTheExit, "the end of the program"),
]


WAITED_FOR = (
    *("waiting for the clock", "second start", "a last one"),
    *("first report", "reports arrived", "by the signal handler"),
)
"""Of what is not waited for as long as usual: it is a fault that it never happens."""


@pytest.mark.parametrize(("test", "kind", "fault"), BROKEN)
def test_a_broken_reporter_fails_the_test_about_its_fault(test: str, kind: Type[Reporter], fault: str) -> None:
    """Each fault is found by the test of the contract that is about it, and told."""
    suite = Suite(kind)
    if fault != "within its deadline" and not any(each in fault for each in WAITED_FOR):
        suite.patience = ReporterContract.patience

    with pytest.raises(AssertionError, match=fault):
        getattr(suite, test)()

    suite.released.set()


def test_every_test_of_the_contract_catches_something() -> None:
    """There is a broken reporter for each test of the contract."""
    tests = {name for name in dir(ReporterContract) if name.startswith("test_")}

    assert {test for test, _, _ in BROKEN} == tests


def test_a_reporter_that_is_in_order_passes() -> None:
    """The suite that the broken reporters fail finds no fault in a good one."""
    for test in ("test_reports_do_not_drift", "test_reports_are_counted", "test_it_can_be_started_again"):
        getattr(Suite(MemoryReporter), test)()


def test_a_suite_without_a_reporter_says_what_is_missing() -> None:
    """A suite that does not say how to make a reporter fails with the method to override."""
    with pytest.raises(NotImplementedError, match="make_reporter"):
        ReporterContract().test_it_runs_from_start_to_stop()
