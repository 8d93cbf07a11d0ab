"""The contract of all reporters: starting and stopping."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import Any
from unittest import SkipTest

from tapes.errors import ReporterStateError
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.testing.contract.bench import Bench


class LifeContract(Bench):
    """Tests of the life cycle, for every reporter."""

    def test_it_runs_from_start_to_stop(self) -> None:
        """A reporter is running between its start and its stop, and at no other time."""
        with self.reporter() as (reporter, _):
            assert not reporter.running, "It is running before it has been started."
            reporter.start()
            assert reporter.running, "It is not running after start()."
            reporter.stop()
            assert not reporter.running, "It is running after stop()."

    def test_a_second_start_is_refused(self) -> None:
        """Starting a running reporter raises ReporterStateError, which names it, and it keeps running."""
        with self.reporter() as (reporter, _):
            reporter.start()
            try:
                reporter.start()
            except ReporterStateError as error:
                message = str(error)
            else:
                raise AssertionError("A second start() was not refused.")
            assert type(reporter).__name__ in message, f"The error does not name the reporter: {message}"
            assert reporter.running, "A second start() has stopped it."

    def test_it_can_be_started_again(self) -> None:
        """A reporter that was stopped can be started, and reports again."""
        with self.reporter() as (reporter, _):
            reporter.start()
            reporter.stop()
            before = reporter.reports
            reporter.start()
            if not self.scheduled:
                self.scrape(reporter)
            self.until(lambda: reporter.reports > before, "it reported after its second start")
            assert reporter.running, "It is not running after its second start."

    def test_stop_before_start_does_nothing(self) -> None:
        """Stopping a reporter that was never started raises nothing, reports nothing and leaves it startable."""
        with self.reporter() as (reporter, _):
            reporter.stop()
            assert (reporter.reports, reporter.failures) == (0, 0), "It has reported without being started."
            reporter.start()
            assert reporter.running, "It cannot be started after a stop() that came too early."

    def test_stop_may_be_repeated(self) -> None:
        """Stopping a stopped reporter does nothing."""
        with self.reporter() as (reporter, _):
            reporter.start()
            reporter.stop()
            made = reporter.reports
            reporter.stop()
            assert reporter.reports == made, "The second stop() has made another report."

    def test_stop_may_be_called_by_several_threads(self) -> None:
        """Several threads may stop a reporter at the same time, and all return when it has stopped."""
        with self.reporter() as (reporter, _):
            reporter.start()
            errors: list[BaseException] = []

            def stop() -> None:
                try:
                    reporter.stop()
                    assert not reporter.running, "stop() has returned while it is running."
                except BaseException as error:  # noqa: BLE001 -- reported below
                    errors.append(error)

            threads = [threading.Thread(target=stop, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            self.until(lambda: not any(thread.is_alive() for thread in threads), "every stop() returned")
            assert not errors, f"stop() raised {errors[0]!r}."

    def test_stop_may_be_called_by_a_signal_handler(self) -> None:
        """A signal handler may stop a reporter."""
        if threading.current_thread() is not threading.main_thread():
            raise SkipTest("Only the main thread handles signals.")
        with self.reporter() as (reporter, _):
            reporter.start()
            previous = signal.signal(signal.SIGTERM, lambda number, frame: reporter.stop())
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.signal(signal.SIGTERM, previous)
            self.until(lambda: not reporter.running, "it was stopped by the signal handler")

    def test_it_is_a_context_manager(self) -> None:
        """`with reporter:` starts it and stops it, also when the block raises, and passes the error on."""
        with self.reporter() as (reporter, _):
            try:
                with reporter as entered:
                    assert entered is reporter, "`with reporter as name` gives something else."
                    assert reporter.running, "It is not running inside `with`."
                    raise KeyError("from the block")
            except KeyError:
                pass
            else:
                raise AssertionError("The error of the block was swallowed.")
            assert not reporter.running, "It is running after `with`."

    def test_the_registry_is_the_process_wide_one_by_default(self) -> None:
        """Without a registry it reports on the process-wide one."""
        assert self.make_reporter(None).registry is DEFAULT_REGISTRY, "registry=None is not DEFAULT_REGISTRY."

    def test_the_registry_is_left_as_it_is(self) -> None:
        """Reporting, starting and stopping change nothing in the registry."""
        with self.reporter() as (reporter, _):
            reporter.start()
            self.first_report(reporter)
            reporter.stop()
            stats: Any = reporter.registry.get_stats()
            assert stats == {"contract": {"events": {"value": 3}}}, f"The registry has become {stats!r}."

    def test_its_threads_are_named_daemons(self) -> None:
        """Its threads are daemons whose names begin with `tapes-`, and all have ended after the stop."""
        if not self.threaded:
            raise SkipTest("It has no thread.")
        before = set(threading.enumerate())
        with self.reporter() as (reporter, _):
            reporter.start()
            mine = set(threading.enumerate()) - before
            assert mine, "It has no thread."
            for thread in mine:
                assert thread.daemon, f"{thread!r} is no daemon."
                assert thread.name.startswith("tapes-"), f"{thread!r} is not named tapes-..."
            reporter.stop()
            self.until(lambda: not any(thread.is_alive() for thread in mine), "its threads ended after stop()")

    def test_reports_are_counted(self) -> None:
        """`reports` counts the reports made, as many arrive at the far end, and none has failed."""
        with self.reporter() as (reporter, _):
            assert (reporter.reports, reporter.failures, reporter.last_error) == (0, 0, None)
            reporter.start()
            self.first_report(reporter)
            reporter.stop()
            expected = 2 if self.scheduled else 1
            if self.scheduled and not self.manual_time:
                expected = max(2, reporter.reports)  # more, if intervals have passed meanwhile
            assert reporter.reports == expected, f"{reporter.reports} reports were counted, not {expected}."
            assert (reporter.failures, reporter.last_error) == (0, None), f"It has failed: {reporter.last_error!r}"
            if self.received() is not None:
                self.until(lambda: self.received() == expected, f"{expected} reports arrived")

    def test_a_fault_of_the_users_own_reaches_the_caller_of_start(self) -> None:
        """A start that fails raises, and the reporter is not running and reports nothing."""
        reporter = self.make_faulty_reporter(Registry())
        raised = True
        with suppress(Exception):
            reporter.start()
            raised = False
            reporter.stop(1.0)
        assert raised, "start() has raised nothing."
        assert not reporter.running, "It is running although its start has failed."
        assert reporter.reports == 0, "It has reported although its start has failed."
        reporter.stop()

    def test_a_hanging_far_end_does_not_hold_up_a_stop(self) -> None:
        """stop() returns within its deadline when the far end accepts nothing and answers nothing."""
        self.hang_far_end()
        with self.reporter() as (reporter, _):
            reporter.start()
            began = time.monotonic()
            reporter.stop(0.5)
            assert time.monotonic() - began < self.patience, "stop() has not returned within its deadline."
            assert not reporter.running, "It is running after a stop() that ran out of time."
