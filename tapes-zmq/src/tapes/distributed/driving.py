"""The reporters of an aggregator, and the thread or event loop that drives them."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from tapes import turns
from tapes.distributed.logger import LOGGER_NAME
from tapes.reporting import Reporter, ScheduledReporter

if TYPE_CHECKING:
    from tapes.distributed.unified import UnifiedRegistry

REPORTING = 2.5
"""Seconds for all last reports together."""

CHECK_INTERVAL = 0.2
"""Seconds between two checks whether the aggregator has to end."""

_RETRY = 5.0  # seconds until a reporter that could not start is started again

_YOUNG = (10_000, 20, 50)  # thresholds of the garbage collector, by generation


class Change(NamedTuple):
    """The reporters to stop and those to start while the aggregator goes on."""

    ends: Tuple[Reporter, ...] = ()
    begins: Tuple[Reporter, ...] = ()


class Reporters:
    """The running reporters, in order of start."""

    def __init__(self, registry: UnifiedRegistry) -> None:
        self._registry = registry
        self._running: List[Reporter] = []
        self.unstarted: Dict[Reporter, str] = {}
        """Those that could not start, with the error."""
        self._again = math.inf

    def start(self, reporters: Iterable[Reporter]) -> None:
        """Start these reporters. Raises the error of the first that fails."""
        for reporter in reporters:
            reporter.report_on(self._registry)
            reporter.start()
            self._running.append(reporter)

    def add(self, reporters: Iterable[Reporter]) -> None:
        """Start these reporters while others run, and log the error of each that fails."""
        for reporter in reporters:
            try:
                self.start([reporter])
            except Exception as error:  # noqa: BLE001, PERF203 -- the others start, whatever the error
                self._again = time.monotonic() + _RETRY
                reason = str(error).rstrip(".")
                if self.unstarted.get(reporter) != reason:
                    self.unstarted[reporter] = reason
                    import logging

                    logging.getLogger(LOGGER_NAME).error(
                        "%r could not start: %s. The others run. Send SIGHUP to try again.", reporter, reason
                    )
            else:
                self.unstarted.pop(reporter, None)

    def try_again(self) -> None:
        """Start those that could not start before, if that is due. An error that is the same is not logged again."""
        if time.monotonic() >= self._again:
            self._again = math.inf
            self.add(list(self.unstarted))

    def stop_pages(self) -> None:
        """Stop those without a last report, which frees their ports."""
        self.stop([each for each in self._running if not isinstance(each, ScheduledReporter)])

    def stop_all(self) -> None:
        """Stop all running reporters."""
        self.stop(list(self._running))

    def stop(self, reporters: Iterable[Reporter]) -> None:
        """Stop these reporters in turn, each within its share of the time left."""
        deadline = time.monotonic() + REPORTING
        left = [each for each in reporters if each in self._running]
        while left:
            reporter = left[0]
            try:
                reporter.stop(max(deadline - time.monotonic(), 0.0) / len(left))
            except Exception:
                import logging

                logging.getLogger(LOGGER_NAME).exception("%r could not be stopped.", reporter)
            left.pop(0)
            self._running.remove(reporter)


class Steps(NamedTuple):
    """The steps of an aggregator's run, as functions."""

    begin: Callable[[], None]
    should_run: Callable[[], bool]
    should_reload: Callable[[], bool]
    stop_replaced: Callable[[], Change]
    """Stop the reporters that have to end, and return the change."""
    start_new: Callable[[Change], None]
    """Start the reporters of the change."""
    end: Callable[[], None]


def needs_a_loop(reporters: Iterable[Reporter]) -> bool:
    """Whether one of the reporters is driven by the event loop of Tornado."""
    return any(each.needs_loop for each in reporters)


def drive(steps: Steps, *, on_a_loop: bool) -> None:
    """Begin, wait until asked to end, and end. With `on_a_loop` do so on an event loop that Tornado finds."""
    with _with_rare_collections(), _without_yielding():
        if on_a_loop:
            import asyncio

            asyncio.run(_drive_on_a_loop(steps))
            return
        steps.begin()
        while steps.should_run():
            if steps.should_reload():
                steps.start_new(steps.stop_replaced())
            time.sleep(CHECK_INTERVAL)
        steps.end()


async def _drive_on_a_loop(steps: Steps) -> None:
    import asyncio

    from tornado.ioloop import IOLoop

    IOLoop.current()  # from here on reporters find it
    loop = asyncio.get_running_loop()
    steps.begin()
    while steps.should_run():
        if steps.should_reload():
            steps.start_new(await loop.run_in_executor(None, steps.stop_replaced))
        await asyncio.sleep(CHECK_INTERVAL)
    # In another thread, since reporters need the loop to finish what they have begun.
    await loop.run_in_executor(None, steps.end)


@contextmanager
def _without_yielding() -> Iterator[None]:
    """Do not yield the GIL while a page is made: in a process of its own no application waits for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, turns.piece = turns.piece, math.inf
    try:
        yield
    finally:
        turns.piece = before


@contextmanager
def _with_rare_collections() -> Iterator[None]:
    """Collect garbage less often: each collection visits some hundred thousand objects and finds next to nothing."""
    import gc

    before = gc.get_threshold() if hasattr(gc, "get_threshold") else (0,)  # PyPy has none
    if not before[0]:  # the program has switched it off
        yield
        return
    gc.set_threshold(*map(max, before, _YOUNG))
    try:
        yield
    finally:
        gc.set_threshold(*before)
