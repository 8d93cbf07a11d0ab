"""Who makes which report of a run that an event loop drives: the loop, or whoever stops the reporter."""

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

_LOOK_AGAIN = 0.05  # seconds after which stop() looks whether the loop that makes the last report still runs


class Drive:
    """One run of a reporter on a loop: who makes which report.

    Reports, the end of the run included, are made by whoever has the turn. It is taken by one atomic operation inside a
    `try`, like the claims of the recording core: a signal handler may cut in anywhere, and stop the reporter or raise.
    While a coroutine is under way nobody begins another report, and nobody has the turn.
    """

    def __init__(self, reporter: ScheduledReporter, run: Run) -> None:
        self.run = run
        """What it drives."""
        self.pace = Pace(reporter.interval, run, self.go_on)
        self._reporter = reporter
        self._turns: Dict[str, Tuple[int, object]] = {}
        self._flight: Optional[_Flight] = None

    def go_on(self, patience: Optional[float] = None) -> None:
        """Make a report in this thread, unless one is under way, and the last one as soon as it is time for that.

        A coroutine may take `patience` seconds where it runs on no loop and no thread can be had.
        """
        while self._report_once(patience) and self.run.stopping.is_set():
            pass

    def halt(self, timeout: float) -> bool:
        """Bring about the end of the run, or wait for it; False if it has not come within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.run.done.is_set():
            if not self._runs_elsewhere():
                self.go_on(max(0.0, deadline - time.monotonic()))
            if self._is_up_to_this_thread():
                return True
            left = max(0.0, deadline - time.monotonic())
            if not self.run.done.wait(min(left, _LOOK_AGAIN)) and not left:
                return False
        return True

    def _report_once(self, patience: Optional[float]) -> bool:
        """Make one report, if there is one to make; True if it is over and was not the last one."""
        run = self.run
        turn = (threading.get_ident(), object())
        try:
            held = self._turns.setdefault("turn", turn)
            if held is not turn and _is_forgotten(held):
                del self._turns["turn"]
                held = self._turns.setdefault("turn", turn)
            if held is not turn:
                return False
            if self._flight is not None and self._flight.stranded:
                self._flight.close()
                self._flight = None
            if self._flight is not None or run.closing:
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
        """Make or begin a report; True if it is over."""
        run, reporter, loop = self.run, self._reporter, self._loop_here()
        try:
            # Without a loop a coroutine function is called on the one that it is given: it may ask for the current one.
            apart = loop is None and _is_coroutine_function(reporter.report)
            result: object = _called(reporter.report) if apart else reporter.report()
            if inspect.isawaitable(result):
                return self._begin_flight(_Flight(result, last, loop), patience)
        except BaseException as error:
            if _is_for_the_program(error):
                raise
            reporter.note(run, error)
        else:
            reporter.note(run, None)
        return True

    def _begin_flight(self, flight: _Flight, patience: Optional[float]) -> bool:
        self._flight = flight
        if flight.loop is None:
            name = f"tapes-{type(self._reporter).__name__}"
            try:
                threading.Thread(target=self._fly_apart, args=(flight, None), name=name, daemon=True).start()
            except RuntimeError:  # the interpreter exits, and from Python 3.12 on there are no more threads then
                self._fly_apart(flight, patience)
        else:
            task = flight.task = flight.loop.create_task(self._fly(flight, flight.loop))
            task.add_done_callback(partial(self._flown, flight))
            # What asyncio would say of a task that is left behind is no news: the last report makes up for it.
            with suppress(AttributeError):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # there since Python 3.3
        return flight.over

    async def _fly(self, flight: _Flight, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await flight.awaitable
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- as with plain reports
            if _is_for_the_program(error):
                self._drop(flight)
                loop.call_soon(_throw, error)  # a task that raises it would be complained of as well
            else:
                self._landed(flight, error)
        else:
            self._landed(flight, None)

    def _fly_apart(self, flight: _Flight, patience: Optional[float]) -> None:
        async def fly() -> None:
            await asyncio.wait_for(flight.awaitable, patience)

        flight.thread = threading.get_ident()
        outcome: Optional[BaseException] = None
        try:
            asyncio.run(fly())
        except BaseException as error:  # noqa: BLE001 -- as with plain reports
            outcome = error
        self._landed(flight, outcome)

    def _landed(self, flight: _Flight, error: Optional[BaseException]) -> None:
        """Take note of how a coroutine has ended, and go on."""
        if flight.over:
            return
        flight.over = True
        self._reporter.note(self.run, error)
        if flight.last or self.run.abandoned:
            self._reporter.end(self.run)  # while it is still under way, so that nobody makes another
            self._flight = None
        else:
            self._flight = None
            if self.run.stopping.is_set():
                self.go_on()

    def _drop(self, flight: _Flight) -> None:
        """Clear away a coroutine that was cancelled, or cut off by Ctrl-C: the next report makes up for it."""
        if self._flight is not flight:
            return
        flight.close()
        self._flight = None
        # Not after the last report: it would go on for ever if the report always ended like this. stop() sees to it.
        if self.run.stopping.is_set() and not flight.last:
            self.go_on()

    def _flown(self, flight: _Flight, task: asyncio.Task[None]) -> None:
        """Look after a task that has ended: it may have been cancelled before it began."""
        if not task.cancelled():
            task.exception()  # which there is if it was closed and its loop runs on; nobody has to be told
        self._drop(flight)

    def _loop_here(self) -> Optional[asyncio.AbstractEventLoop]:
        """Return the loop that runs in this thread, if a report can run on it."""
        loop = running_loop()
        return loop if self.pace.loop in (None, loop) else None

    def _runs_elsewhere(self) -> bool:
        loop = self.pace.loop
        return loop is not None and loop.is_running() and loop is not running_loop()

    def _is_up_to_this_thread(self) -> bool:
        """Whether what is left to do is done by this thread, as soon as it gets on with what it was doing."""
        turn, flight, here = self._turns.get("turn"), self._flight, threading.get_ident()
        if flight is not None and (flight.thread == here or (flight.loop and flight.loop is running_loop())):
            return True
        return turn is not None and turn[0] == here and not _is_forgotten(turn)


class _Flight:
    """A coroutine that has begun to report."""

    __slots__ = ("awaitable", "last", "loop", "over", "task", "thread")

    def __init__(self, awaitable: Awaitable[Any], last: bool, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self.awaitable = awaitable
        self.last = last
        """Whether the run ends with it."""
        self.loop = loop
        """What it runs on; None if that is a loop of its own."""
        self.thread: Optional[int] = None
        """The thread of the loop of its own."""
        self.over = False
        """Whether there is nothing more to be noted about it."""
        self.task: Optional[asyncio.Task[None]] = None

    @property
    def stranded(self) -> bool:
        """Whether it cannot go on, because its loop does not."""
        return self.loop is not None and not self.loop.is_running()

    def close(self) -> None:
        """Let it end where it is, without a word."""
        self.over = True
        with suppress(Exception):  # by what it does on the way out
            if self.task is not None and not self.task.done():
                self.task.get_coro().close()
            if inspect.iscoroutine(self.awaitable):
                self.awaitable.close()  # it may not have begun, which would be warned of


def _is_forgotten(turn: Tuple[int, object]) -> bool:
    """Whether this thread has had the turn and does not any more: Ctrl-C came just when it was to give it back."""
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
    """Whether a signal has raised it, which only happens to be handled while a report is made.

    Other reporters have threads of their own, to which this does not happen. To swallow it would be to ignore Ctrl-C,
    or the SIGTERM that a program handles with `sys.exit()`.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if not isinstance(error, SystemExit):
        return isinstance(error, KeyboardInterrupt)
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))
