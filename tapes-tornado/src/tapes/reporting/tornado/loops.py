"""Finds the event loop for a reporter: the given one, the one that runs here, or the next one that runs."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, List, Optional

from tornado.ioloop import IOLoop

from tapes.errors import ReporterStateError
from tapes.reporting import checked
from tapes.reporting.reporter import LOGGER_NAME

if TYPE_CHECKING:
    from tapes.reporting.run import Run

Begin = Callable[[IOLoop], None]

WARN_AFTER = 10.0
"""Seconds without a loop after which a lookout logs what it waits for."""

_SHORTEST_PAUSE = 0.02  # seconds between the first checks: most loops start soon after the reporter
_LONGEST_PAUSE = 0.25
_PATIENCE = 1.0  # seconds for which a loop may stop without being closed before another one replaces it

_forks = 0  # how often this process has forked
_ghosts: List[IOLoop] = []  # loops that ran in the parent at the fork: asyncio says that they run here too


def when_running(io_loop: Optional[IOLoop], run: Run, begin: Begin, name: str) -> None:
    """Call `begin(loop)` on the thread of the event loop as soon as that loop runs, unless `run` is stopping by then.

    The loop is `io_loop`, or else the one that runs in this thread, or else the first one that runs in this process.
    This never makes a loop or touches one that does not run, which would break `fork_processes()` and `asyncio.run()`.
    Until `run` is stopping, a daemon thread named `tapes-<name>-lookout` looks for the loop, and checks that it runs.
    When a loop that was not given has ended, `begin` is called on the next one. If there is none for a while, that is
    logged.

    In a forked child (`run.in_child`) `io_loop` and the loops that ran in the parent are ignored. Call it there from
    the hook after the fork, before a loop of the child can run.

    Thread-safe. Raises ReporterStateError if `io_loop` is closed, and RuntimeError if no thread can be started.
    """
    given = None if run.in_child else io_loop
    if run.in_child:
        _note_ghosts()
    elif given is not None and asyncio_loop(given).is_closed():
        raise ReporterStateError(f"The io_loop of {name} is closed, and can never run: give it another one, or none.")
    first = given
    if first is None and not run.in_child and running_loop() is not None:
        first = IOLoop.current()
    lookout = _Lookout(run, begin, name, given)
    if first is not None:
        lookout.ask(first)
    threading.Thread(target=lookout.work, name=f"tapes-{name}-lookout", daemon=True).start()


def checked_loop(io_loop: object) -> Optional[IOLoop]:
    """Return `io_loop` if it is an IOLoop or None. Raises ReporterOptionError for anything else."""
    if io_loop is not None and not isinstance(io_loop, IOLoop):
        raise checked.refusal("io_loop", "an IOLoop of Tornado, like IOLoop.current()", io_loop)
    return io_loop


def asyncio_loop(io_loop: IOLoop) -> asyncio.AbstractEventLoop:
    """Return the asyncio loop of `io_loop`."""
    loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop  # type: ignore[attr-defined]  # all have it since 5.0
    return loop


def running_loop() -> Optional[asyncio.AbstractEventLoop]:
    """Return the asyncio loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Lookout:
    """Finds a running loop and calls `begin` on it, and on the next one when that has ended."""

    def __init__(self, run: Run, begin: Begin, name: str, given: Optional[IOLoop]) -> None:
        self._run = run
        self._begin = begin
        self._name = name
        self._given = given
        self._due = [begin]  # the loop that begins takes it out
        self._asked: Optional[IOLoop] = None
        self._loop: Optional[IOLoop] = None  # the one that has begun
        self._forks = _forks

    def ask(self, loop: IOLoop) -> None:
        """Call `begin` on this loop when it runs, unless another one has begun by then."""
        self._asked = loop
        loop.add_callback(self._begin_on, loop)

    def work(self) -> None:
        """Look until the run is stopping."""
        seen, pause, warned = time.monotonic(), _SHORTEST_PAUSE, False
        while not self._run.stopping.wait(pause):
            loop = self._loop
            if loop is not None and asyncio_loop(loop).is_running():
                seen, pause, warned = time.monotonic(), _LONGEST_PAUSE, False
                continue
            pause = min(pause * 1.25, _LONGEST_PAUSE)
            ended = loop is None or asyncio_loop(loop).is_closed() or time.monotonic() - seen >= _PATIENCE
            if self._given is None and ended:
                self._ask_next()
            if not warned and time.monotonic() - seen >= WARN_AFTER:
                warned = True
                self._warn()

    def _ask_next(self) -> None:
        loops = _running()
        if self._asked not in loops:  # none was asked yet, or it has stopped before it could begin
            self._asked = None
            if loops:
                if self._loop is not None and not self._due:
                    self._due.append(self._begin)
                self.ask(loops[0])

    def _begin_on(self, loop: IOLoop) -> None:
        try:
            begin = self._due.pop()
        except IndexError:
            return  # another loop was faster
        self._loop = loop
        if not self._run.stopping.is_set():
            begin(loop)

    def _warn(self) -> None:
        if _forks != self._forks:
            return  # most likely a parent that only forks the processes that run loops
        import logging

        missing, remedy = (
            "no loop of Tornado has",
            "Start it on the thread of the loop, or give it the loop as io_loop.",
        )
        if self._given is not None:
            missing, remedy = "the loop that it was given has not", "Give it the running loop as io_loop, or none."
        with suppress(Exception):  # of logging handlers
            logging.getLogger(LOGGER_NAME).warning(
                "%s waits for an event loop: %s been running in this process for %g s, and nothing is reported until "
                "one runs, except for a last report when it is stopped. %s",
                *(self._name, missing, WARN_AFTER, remedy),
            )


def _running() -> List[IOLoop]:
    """Return the running loops of this process, that of the main thread first."""
    main = threading.main_thread().ident
    loops = [loop for loop in _said_to_run() if loop not in _ghosts]
    return sorted(loops, key=lambda loop: getattr(asyncio_loop(loop), "_thread_id", None) != main)


def _said_to_run() -> List[IOLoop]:
    # The only way to find loops without making one: IOLoop.current() makes one if there is none, and does not see other
    # threads. The mapping is private to Tornado, which has kept an entry for each loop in it since 5.0.
    return [loop for loop in IOLoop._ioloop_for_asyncio.copy().values() if asyncio_loop(loop).is_running()]


def _note_ghosts() -> None:
    _ghosts[:] = _said_to_run()  # one atomic step: a lookout may run already


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_count_fork, after_in_child=_note_ghosts)
