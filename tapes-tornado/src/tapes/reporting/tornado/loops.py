"""Which event loop drives a reporter: the one that is given, the one that runs here, or the next one that does."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, List, Optional

from tornado.ioloop import IOLoop

from tapes.errors import ReporterOptionError
from tapes.reporting.reporter import LOGGER_NAME

if TYPE_CHECKING:
    from tapes.reporting.run import Run

Begin = Callable[[IOLoop], None]

WARN_AFTER = 10.0
"""Seconds without a loop after which a lookout says what it waits for."""

_SHORTEST_PAUSE = 0.02  # seconds between the first looks: whoever starts a loop does so soon after the reporter
_LONGEST_PAUSE = 0.25

_forks = 0  # how often this process has forked
_ghosts: List[IOLoop] = []  # ran in the parent at the moment of the fork, and asyncio says that they run here too


def when_running(io_loop: Optional[IOLoop], run: Run, begin: Begin, name: str) -> None:
    """Call `begin(loop)` on the thread of the event loop, as soon as that loop runs, unless `run` is stopping by then.

    The loop is `io_loop`, or else the one that runs in this thread, or else the first one that runs in this process,
    for which a daemon thread named `tapes-<name>-lookout` looks until `run` is stopping. It makes no loop and does
    nothing to one that does not run: that would be in the way of `fork_processes()` and of `asyncio.run()`.

    In a forked child (`run.in_child`) neither `io_loop` nor the loops that ran in the parent count: they are the
    parent's. Call it from the hook after the fork, when none of the child's own can be running yet.

    May be called from any thread. Raises RuntimeError if no thread can be started.
    """
    if run.in_child:
        _note_ghosts()
    elif io_loop is None:
        io_loop = IOLoop.current() if running_loop() is not None else None
    if io_loop is None or run.in_child:
        lookout = _Lookout(run, begin, name)
        threading.Thread(target=lookout.work, name=f"tapes-{name}-lookout", daemon=True).start()
    else:
        io_loop.add_callback(_begin, io_loop, run, begin)


def checked_loop(io_loop: object) -> Optional[IOLoop]:
    """Return `io_loop` if it is an IOLoop or None. Raises ReporterOptionError for anything else."""
    if io_loop is not None and not isinstance(io_loop, IOLoop):
        raise ReporterOptionError(
            f"io_loop is an IOLoop of Tornado, like IOLoop.current(), not {io_loop!r} ({type(io_loop).__name__})."
        )
    return io_loop


def asyncio_loop(io_loop: IOLoop) -> asyncio.AbstractEventLoop:
    """Return the loop of asyncio that `io_loop` stands for."""
    loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop  # type: ignore[attr-defined]  # all have it since 5.0
    return loop


def running_loop() -> Optional[asyncio.AbstractEventLoop]:
    """Return the loop of asyncio that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Lookout:
    """Looks for a loop that runs, and has it begin. Once, whichever of the loops that it has asked comes first."""

    def __init__(self, run: Run, begin: Begin, name: str) -> None:
        self._run = run
        self._name = name
        self._begins = [begin]  # emptied by the loop that begins
        self._forks = _forks

    def work(self) -> None:
        """Look until a loop has begun, or until the run is to stop."""
        started, pause, warned = time.monotonic(), _SHORTEST_PAUSE, False
        asked: Optional[IOLoop] = None
        while self._begins and not self._run.stopping.is_set():
            loops = _running()
            if asked not in loops:  # not yet, or it has stopped before it came to it
                asked = loops[0] if loops else None
                if asked is not None:
                    asked.add_callback(self._begin_on, asked)
            if asked is None and not warned and time.monotonic() - started >= WARN_AFTER:
                warned = True
                self._warn()
            self._run.stopping.wait(pause)
            pause = min(pause * 1.25, _LONGEST_PAUSE)

    def _begin_on(self, loop: IOLoop) -> None:
        try:
            begin = self._begins.pop()
        except IndexError:
            return  # another loop has been faster
        _begin(loop, self._run, begin)

    def _warn(self) -> None:
        if _forks != self._forks:
            return  # this is the parent of processes that run loops, and never runs one itself
        import logging

        with suppress(Exception):  # by handlers
            logging.getLogger(LOGGER_NAME).warning(
                "%s waits for an event loop: no loop of Tornado has been running in this process for %g s since it was "
                "started, and nothing is reported until one runs, except for a last report when it is stopped. "
                "Start it on the thread of the loop, or give it the loop as io_loop.",
                self._name,
                WARN_AFTER,
            )


def _begin(loop: IOLoop, run: Run, begin: Begin) -> None:
    if not run.stopping.is_set():
        begin(loop)


def _running() -> List[IOLoop]:
    """Return the loops that run in this process, one of the main thread first."""
    main = threading.main_thread().ident
    loops = [loop for loop in _said_to_run() if loop not in _ghosts]
    return sorted(loops, key=lambda loop: getattr(asyncio_loop(loop), "_thread_id", None) != main)


def _said_to_run() -> List[IOLoop]:
    # The only way to see loops without making one: IOLoop.current() makes one where there is none, and knows nothing of
    # other threads. The mapping is a private one of Tornado's, which has kept an entry for each of its loops since 5.0.
    return [loop for loop in IOLoop._ioloop_for_asyncio.copy().values() if asyncio_loop(loop).is_running()]


def _note_ghosts() -> None:
    _ghosts[:] = _said_to_run()  # at one stroke: a lookout may be at work already


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_count_fork, after_in_child=_note_ghosts)
