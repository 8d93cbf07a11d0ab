"""Decides which thread makes a report of a run on an event loop: the loop's, or the caller of `stop()`."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, Optional, Tuple

from tornado.gen import is_coroutine_function

from tapes.reporting.tornado.loops import running_loop
from tapes.reporting.tornado.pace import Pace

if TYPE_CHECKING:
    from tapes.reporting.run import Run
    from tapes.reporting.scheduled import ScheduledReporter

_CHECK_INTERVAL = 0.05  # seconds between two checks by stop() that the loop of the last report still runs


class Drive:
    """One run of a reporter on a loop.

    The thread that has the turn makes the reports, and ends the run. It takes the turn by one atomic operation inside a
    `try`, like the claims of the recording core: a signal handler may run at any point, and stop the reporter or raise.
    While a coroutine reports no thread has the turn, and no other report begins.
    """

    def __init__(self, reporter: ScheduledReporter, run: Run) -> None:
        self.run = run
        """The run that it drives."""
        self.pace = Pace(reporter.interval, run, self.make_reports)
        self._reporter = reporter
        self._turns: Dict[str, Tuple[int, object]] = {}
        self._async_report: Optional[_AsyncReport] = None

    def make_reports(self, patience: Optional[float] = None) -> None:
        """Make a report in this thread, unless one is under way. If the run is stopping, also make the last one.

        A coroutine may take `patience` seconds if there is no loop for it and no thread can be started.
        """
        while self._report_once(patience) and self.run.stopping.is_set():
            pass

    def halt(self, timeout: float) -> bool:
        """End the run, or wait for its end. Return False if that takes more than `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.run.done.is_set():
            if not self._runs_elsewhere():
                self.make_reports(max(0.0, deadline - time.monotonic()))
            if self._is_for_this_thread():
                return True
            left = max(0.0, deadline - time.monotonic())
            if not self.run.done.wait(min(left, _CHECK_INTERVAL)) and not left:
                return False
        return True

    def _report_once(self, patience: Optional[float]) -> bool:
        """Make a report, if none is under way. Return True if it is complete and was not the last one."""
        run = self.run
        turn = (threading.get_ident(), object())
        try:
            held = self._turns.setdefault("turn", turn)
            if held is not turn and _is_forgotten(held):
                del self._turns["turn"]
                held = self._turns.setdefault("turn", turn)
            if held is not turn:
                return False
            if self._async_report is not None and self._async_report.stranded:
                self._async_report.close()
                self._async_report = None
            if self._async_report is not None or run.closing:
                return False
            last = run.stopping.is_set()
            over = run.abandoned or self._report(last, patience)
            if over and last:
                self._reporter.end(run)
            return over and not last
        finally:
            if self._turns.get("turn") is turn:
                del self._turns["turn"]

    def _report(self, last: bool, patience: Optional[float]) -> bool:
        """Make or begin a report. Return True if it is complete."""
        run, reporter, loop = self.run, self._reporter, self._loop_here()
        try:
            # Without a loop, call a coroutine function within its own one: it may ask for the current loop.
            has_own_loop = loop is None and _is_coroutine_function(reporter.report)
            result: object = _called(reporter.report) if has_own_loop else reporter.report()
            if inspect.isawaitable(result):
                return self._begin_async(_AsyncReport(result, last, loop), patience)
        except BaseException as error:
            if _is_for_the_program(error):
                raise
            reporter.note(run, error)
        else:
            reporter.note(run, None)
        return True

    def _begin_async(self, report: _AsyncReport, patience: Optional[float]) -> bool:
        self._async_report = report
        if report.loop is None:
            name = f"tapes-{type(self._reporter).__name__}"
            try:
                threading.Thread(target=self._await_on_own_loop, args=(report, None), name=name, daemon=True).start()
            except RuntimeError:  # from Python 3.12 on no thread can start while the interpreter exits
                self._await_on_own_loop(report, patience)
        else:
            task = report.task = report.loop.create_task(self._await_on_loop(report, report.loop))
            task.add_done_callback(partial(self._clean_up, report))
            # Do not let asyncio warn of an abandoned task: the last report makes up for it.
            with suppress(AttributeError):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # there since Python 3.3
        return report.over

    async def _await_on_loop(self, report: _AsyncReport, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await report.awaitable
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- as with plain reports
            if _is_for_the_program(error):
                self._drop(report)
                loop.call_soon(_throw, error)  # if the task raised it, asyncio would also warn of the task
            else:
                self._finish(report, error)
        else:
            self._finish(report, None)

    def _await_on_own_loop(self, report: _AsyncReport, patience: Optional[float]) -> None:
        async def wait() -> None:
            await asyncio.wait_for(report.awaitable, patience)

        report.thread = threading.get_ident()
        outcome: Optional[BaseException] = None
        try:
            asyncio.run(wait())
        except BaseException as error:  # noqa: BLE001 -- as with plain reports
            outcome = error
        self._finish(report, outcome)

    def _finish(self, report: _AsyncReport, error: Optional[BaseException]) -> None:
        """Note the outcome of a coroutine, and go on."""
        if report.over:
            return
        report.over = True
        self._reporter.note(self.run, error)
        if report.last or self.run.abandoned:
            self._reporter.end(self.run)  # before the report is cleared, so that no other report begins
            self._async_report = None
        else:
            self._async_report = None
            if self.run.stopping.is_set():
                self.make_reports()

    def _drop(self, report: _AsyncReport) -> None:
        """Clear a coroutine that was cancelled, or cut off by Ctrl-C: the next report makes up for it."""
        if self._async_report is not report:
            return
        report.close()
        self._async_report = None
        # Not after the last report, which might end like this again and again: stop() handles it.
        if self.run.stopping.is_set() and not report.last:
            self.make_reports()

    def _clean_up(self, report: _AsyncReport, task: asyncio.Task[None]) -> None:
        """Clean up after a task, which may have been cancelled before it began."""
        if not task.cancelled():
            task.exception()  # marks the exception of a closed task as retrieved, so that asyncio does not log it
        self._drop(report)

    def _loop_here(self) -> Optional[asyncio.AbstractEventLoop]:
        """Return the loop that runs in this thread, if a report can run on it."""
        loop = running_loop()
        return loop if self.pace.loop in (None, loop) else None

    def _runs_elsewhere(self) -> bool:
        loop = self.pace.loop
        return loop is not None and loop.is_running() and loop is not running_loop()

    def _is_for_this_thread(self) -> bool:
        """Whether this thread itself has to do the rest, once the caller returns to it."""
        turn, report, here = self._turns.get("turn"), self._async_report, threading.get_ident()
        if report is not None and (report.thread == here or (report.loop and report.loop is running_loop())):
            return True
        return turn is not None and turn[0] == here and not _is_forgotten(turn)


class _AsyncReport:
    """A coroutine that is reporting."""

    __slots__ = ("awaitable", "last", "loop", "over", "task", "thread")

    def __init__(self, awaitable: Awaitable[Any], last: bool, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self.awaitable = awaitable
        self.last = last
        """Whether it is the last report of the run."""
        self.loop = loop
        """The loop that it runs on; None if it gets a loop of its own."""
        self.thread: Optional[int] = None
        """The thread of its own loop."""
        self.over = False
        """Whether its outcome is noted, or not wanted any more."""
        self.task: Optional[asyncio.Task[None]] = None

    @property
    def stranded(self) -> bool:
        """Whether it cannot go on, because its loop does not run."""
        return self.loop is not None and not self.loop.is_running()

    def close(self) -> None:
        """End it where it is, without a log line."""
        self.over = True
        with suppress(Exception):  # raised by its clean-up
            if self.task is not None and not self.task.done():
                self.task.get_coro().close()
            if inspect.iscoroutine(self.awaitable):
                self.awaitable.close()  # or Python would warn of a coroutine that never began


def _is_forgotten(turn: Tuple[int, object]) -> bool:
    """Whether Ctrl-C kept this thread from giving back its turn."""
    frame = inspect.currentframe() if turn[0] == threading.get_ident() else None
    forgotten = frame is not None
    while frame is not None and forgotten:
        forgotten = frame.f_code is not Drive._report_once.__code__ or frame.f_locals.get("turn") is not turn
        frame = frame.f_back
    return forgotten


def _throw(error: BaseException) -> None:
    raise error


async def _called(report: Callable[[], object]) -> None:
    result = report()
    if inspect.isawaitable(result):
        await result


def _is_coroutine_function(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or is_coroutine_function(function)


def _is_for_the_program(error: BaseException) -> bool:
    """Whether a signal handler raised the error, by chance while a report was made.

    Other reporters have their own threads, where this cannot happen. Swallowing the error would ignore Ctrl-C, or a
    SIGTERM that the program handles with `sys.exit()`.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if not isinstance(error, SystemExit):
        return isinstance(error, KeyboardInterrupt)
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))
