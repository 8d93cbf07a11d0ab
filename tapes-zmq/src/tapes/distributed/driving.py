"""The reporters of an aggregator, and what drives them: this thread, or the event loop that Tornado's want."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, NamedTuple, Tuple

from tapes import turns
from tapes.distributed.logger import LOGGER_NAME
from tapes.reporting import Reporter, ScheduledReporter

if TYPE_CHECKING:
    from tapes.distributed.unified import UnifiedRegistry

REPORTING = 2.5
"""Seconds for the last reports."""

LOOK = 0.2
"""Seconds between two looks at whether the aggregator is still wanted."""

_YOUNG = (10_000, 20, 50)  # how many objects the garbage collector lets come, per generation, before it looks at them


class Change(NamedTuple):
    """How reporters follow one another while the aggregator goes on."""

    ends: Tuple[Reporter, ...] = ()
    begins: Tuple[Reporter, ...] = ()


class Reporters:
    """The reporters that run, in their order."""

    def __init__(self, registry: UnifiedRegistry) -> None:
        self._registry = registry
        self._running: List[Reporter] = []

    def start(self, reporters: Iterable[Reporter]) -> None:
        """Start them. Raises what the first that fails raises."""
        for reporter in reporters:
            reporter.report_on(self._registry)
            reporter.start()
            self._running.append(reporter)

    def add(self, reporters: Iterable[Reporter]) -> None:
        """Start them while others run, and log what keeps one from it."""
        for reporter in reporters:
            try:
                self.start([reporter])
            except Exception as error:  # noqa: BLE001, PERF203 -- whatever it is, the others start
                import logging

                logging.getLogger(LOGGER_NAME).error(
                    "%r does not start: %s. The others run. SIGHUP tries again.", reporter, str(error).rstrip(".")
                )

    def stop_pages(self) -> None:
        """Stop those that have no last report to make, which lets go of their ports."""
        self.stop([each for each in self._running if not isinstance(each, ScheduledReporter)])

    def stop_all(self) -> None:
        """Stop those that run."""
        self.stop(list(self._running))

    def stop(self, reporters: Iterable[Reporter]) -> None:
        """Stop these in turn, each with its share of the time that is left."""
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


class Course(NamedTuple):
    """What an aggregator does, from when it works until it ends."""

    begin: Callable[[], None]
    wanted: Callable[[], bool]
    has_to_change: Callable[[], bool]
    retire: Callable[[], Change]
    """Stop reporters, and say which ones follow."""
    renew: Callable[[Change], None]
    """Start these."""
    end: Callable[[], None]


def needs_a_loop(reporters: Iterable[Reporter]) -> bool:
    """Whether one of the reporters is driven by the event loop of Tornado."""
    return any(each.needs_loop for each in reporters)


def drive(course: Course, *, on_a_loop: bool) -> None:
    """Begin, wait for as long as it is wanted, and end. If need be on a loop that Tornado knows."""
    with _collecting_seldom(), _in_long_turns():
        if on_a_loop:
            import asyncio

            asyncio.run(_drive_on_a_loop(course))
            return
        course.begin()
        while course.wanted():
            if course.has_to_change():
                course.renew(course.retire())
            time.sleep(LOOK)
        course.end()


async def _drive_on_a_loop(course: Course) -> None:
    import asyncio

    from tornado.ioloop import IOLoop

    IOLoop.current()  # from here on reporters find it
    loop = asyncio.get_running_loop()
    course.begin()
    while course.wanted():
        if course.has_to_change():
            course.renew(await loop.run_in_executor(None, course.retire))
        await asyncio.sleep(LOOK)
    # Not on the loop, which reporters need for what they have begun.
    await loop.run_in_executor(None, course.end)


@contextmanager
def _in_long_turns() -> Iterator[None]:
    """Give up no turns while a page is made, where there is no application that waits for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, turns.piece = turns.piece, math.inf
    try:
        yield
    finally:
        turns.piece = before


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for garbage less often. There is next to none among some hundred thousand objects that all are looked at."""
    import gc

    before = gc.get_threshold() if hasattr(gc, "get_threshold") else (0,)  # PyPy has none
    if not before[0]:  # somebody has done without it altogether
        yield
        return
    gc.set_threshold(*map(max, before, _YOUNG))
    try:
        yield
    finally:
        gc.set_threshold(*before)
