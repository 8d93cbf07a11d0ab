"""The contract of reporters in child processes."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
import warnings
from typing import Any, Callable
from unittest import SkipTest

from tapes.registry import Registry
from tapes.testing.clock import ManualClock
from tapes.testing.contract.bench import Bench


class ForkContract(Bench):
    """Tests in a child process, and in its parent."""

    def test_a_forked_child_has_a_reporter_of_its_own(self) -> None:
        """In a forked child a scheduled reporter runs again by itself; any other is stopped."""
        with self.reporter() as (reporter, clock):
            reporter.start()
            self.first_report(reporter)
            if self.manual_time and self.scheduled:
                self.settle(clock)

            def child() -> None:
                if self.scheduled:
                    assert reporter.running, "It does not run in the child."
                    if self.manual_time:
                        clock.advance(self.interval * 3)
                    self.until(lambda: reporter.reports >= 1, "it reported in the child")
                else:
                    assert not reporter.running, "It runs in the child by itself."
                reporter.stop()
                assert not reporter.running, "It cannot be stopped in the child."

            _in_child(child, self.patience * 2)
            assert reporter.running, "It does not run in the parent any more."
            before = reporter.reports
            if not self.scheduled:
                self.scrape(reporter)
            elif self.manual_time:
                clock.advance(self.interval)
            self.until(lambda: reporter.reports > before, "it reported in the parent after the fork")

    def test_a_stopped_reporter_stays_stopped_in_a_forked_child(self) -> None:
        """A reporter that was not running does not run in a forked child, until it is started there."""
        with self.reporter() as (reporter, _):

            def child() -> None:
                assert not reporter.running, "It runs in the child although it had not been started."
                reporter.start()
                self.first_report(reporter)
                reporter.stop()

            _in_child(child, self.patience * 2)
            assert not reporter.running, "What the child did has started it in the parent."

    def test_the_last_report_is_made_when_a_process_ends(self) -> None:
        """A reporter that is running when a process of multiprocessing ends reports once more."""
        self.scheduled_only()
        if not hasattr(os, "fork"):
            raise SkipTest("There is no fork here.")
        reading, writing = os.pipe()

        def child() -> None:
            reporter: Any = self.make_reporter(Registry(clock=ManualClock()))
            report = reporter.report
            reporter.report = lambda: (report(), os.write(writing, b"."))[0]
            reporter.start()
            self.first_report(reporter)
            os.write(writing, b"|")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, which this is about
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
        process.join(self.patience)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            written = pipe.read().decode("ascii")
        assert process.exitcode == 0, f"The child has ended with {process.exitcode}."
        assert written.partition("|")[2] == ".", f"Reports and '|', the end of the program, came as {written!r}."


def _in_child(check: Callable[[], None], patience: float) -> None:
    """Call `check` in a forked child, and fail if it fails there."""
    if not hasattr(os, "fork"):
        raise SkipTest("There is no fork here.")
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, which this is about
        pid = os.fork()
    if pid == 0:
        failure = "The child has died."
        try:
            check()
            failure = ""
        except BaseException:  # noqa: BLE001 -- the parent raises it
            failure = traceback.format_exc()
        finally:
            os.write(writing, failure.encode("utf-8", "replace")[:60000])
            os._exit(0)
    os.close(writing)
    deadline = time.monotonic() + patience
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(reading)
            raise AssertionError("The child hangs.")
        time.sleep(0.005)
    with os.fdopen(reading, "rb") as pipe:
        failure = pipe.read().decode("utf-8")
    assert not failure, f"In the child: {failure}"
