"""The timer of reports on an event loop: at whole intervals, by the clock of the loop."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional

from tapes.reporting.scheduled import Schedule
from tapes.reporting.tornado.loops import asyncio_loop

if TYPE_CHECKING:
    import asyncio

    from tornado.ioloop import IOLoop

    from tapes.reporting.run import Run


class Pace:
    """Has the loop make calls: at the beginning, at whole intervals after that, and at the end.

    It uses the clock of the asyncio loop, since `IOLoop.time()` is the time of day, which may be set.
    """

    def __init__(self, interval: float, run: Run, call: Callable[[], None]) -> None:
        self.loop: Optional[asyncio.AbstractEventLoop] = None
        """The loop, once it has begun."""
        self._interval = interval
        self._run = run
        self._call = call
        self._schedule: Optional[Schedule] = None
        self._timer: Optional[asyncio.TimerHandle] = None

    def begin(self, io_loop: IOLoop) -> None:
        """Begin. Called on the thread of this loop, and again on that of the next one if this one ends."""
        loop = asyncio_loop(io_loop)
        self._schedule = Schedule(loop.time(), self._interval)
        self.loop = loop
        if self._run.in_child:
            self._wait()
        else:
            self._tick(loop)

    def wake(self) -> None:
        """If the run is stopping, have the loop make its last call now. Call it from any thread or signal handler."""
        loop = self.loop
        if loop is not None and self._run.stopping.is_set() and self._run.pid == os.getpid():
            with suppress(Exception):  # the loop may be closed
                loop.call_soon_threadsafe(self._end)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._run.stopping.is_set() or loop is not self.loop:  # an earlier loop that runs again
            return
        try:
            self._call()
        finally:  # Ctrl-C may cut in
            self._wait()

    def _wait(self) -> None:
        if not self._run.stopping.is_set():
            assert self.loop is not None
            assert self._schedule is not None
            self._timer = self.loop.call_at(self._schedule.next_after(self.loop.time()), self._tick, self.loop)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()  # or it would keep the reporter in memory until it is due
        self._call()
