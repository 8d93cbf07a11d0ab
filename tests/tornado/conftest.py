"""Loops for the tests of reporters that a loop drives, and what else they share."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Iterator
from typing import Any, Callable, List, Optional

import pytest
from tornado.ioloop import IOLoop

from tapes.testing import ManualClock
from tests.conftest import PATIENCE


class ClockedSelector(selectors.SelectSelector):
    """Waits until a descriptor is ready or a clock has been turned. A loop that has no timers waits for no clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: Optional[float] = None) -> Any:
        """Wait."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        look = super().select
        found: List[Any] = []

        class Ready:
            def is_set(self) -> bool:
                return self.wait(0)

            def wait(self, seconds: Optional[float] = None) -> bool:
                found[:] = look(seconds)
                return bool(found)

        self.clock.wait(Ready(), timeout)
        return found


class ClockedLoop(asyncio.SelectorEventLoop):
    """A loop whose time is that of a manual clock, which others turn."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(ClockedSelector(clock))
        self.clock = clock

    def time(self) -> float:
        """Return what the clock shows."""
        return self.clock.monotonic()


class LeapingSelector(selectors.SelectSelector):
    """Waits for nothing: if no descriptor is ready, the time leaps to where the wait would have ended."""

    now = 0.0

    def select(self, timeout: Optional[float] = None) -> Any:
        """Leap."""
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """A loop whose time leaps from one timer to the next, so that a day passes in no time."""

    def __init__(self) -> None:
        self.selector = LeapingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return the seconds that it has leapt."""
        return self.selector.now

    def spend(self, seconds: float) -> None:
        """Let time pass while the loop is busy, as a callback does that blocks."""
        self.selector.now += seconds


class LoopThread:
    """A loop that runs in a daemon thread of its own."""

    def __init__(self, loop: Optional[asyncio.AbstractEventLoop] = None) -> None:
        self.io_loop: Any = IOLoop(make_current=False, asyncio_loop=asyncio.new_event_loop() if loop is None else loop)
        self.thread = threading.Thread(target=self._run, name="the loop of the test", daemon=True)
        self.thread.start()
        running = threading.Event()
        self.io_loop.add_callback(running.set)
        assert running.wait(PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self.io_loop.asyncio_loop)
        self.io_loop.start()

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function on the thread of the loop, and return what it returns."""
        done = threading.Event()
        results: List[Any] = []

        def call() -> None:
            try:
                results.append(function())
            finally:
                done.set()

        self.io_loop.add_callback(call)
        assert done.wait(PATIENCE)
        return results[0]

    def stop(self) -> None:
        """Stop the loop, and wait until it has."""
        self.io_loop.add_callback(self.io_loop.stop)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def close(self) -> None:
        """Stop the loop if it runs, cancel what is left on it, and close it."""
        if self.thread.is_alive():
            self.stop()
        loop = self.io_loop.asyncio_loop
        if loop.is_closed():
            return
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.io_loop.close()


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    """Run a loop in a thread."""
    running = LoopThread()
    yield running
    running.close()


@pytest.fixture
def io_loop() -> Iterator[Any]:
    """Make a loop that does not run yet, and is nobody's current one."""
    loop: Any = IOLoop(make_current=False, asyncio_loop=asyncio.new_event_loop())
    yield loop
    if not loop.asyncio_loop.is_closed():
        loop.close()


@pytest.fixture
def leaping() -> Iterator[LeapingLoop]:
    """Make a loop whose time leaps, with an IOLoop, so that `IOLoop.current()` finds it."""
    loop = LeapingLoop()
    io_loop: Any = IOLoop(make_current=False, asyncio_loop=loop)
    yield loop
    io_loop.close()


async def happened(condition: Callable[[], object]) -> None:
    """Wait on a loop until something is true."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "It has not happened."
        await asyncio.sleep(0.002)
