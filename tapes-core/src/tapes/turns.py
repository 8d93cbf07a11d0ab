"""Long work in short pieces, so that it holds up nobody else.

Python lets one thread run at a time, and takes the turn from one that computes only after five milliseconds. An
application that comes back from a system call waits for as long, and with a page, a StatsD and a publisher at work
several times as long. So what reads thousands of series gives up its turn by itself.

Nobody has a turn while CPython looks for garbage among what is new. It does so when some hundred objects more have been
made than let go of. A state takes the place of the one before, so thousands of new states give no cause to look, until
whatever comes next does, and looks at all of them. So who makes them has it look at a few at a time.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from time import perf_counter, sleep

piece = PIECE = 0.002
"""Seconds of work after which others have their turn. With shorter ones a busy application would hold up each page.

`piece` may be set to infinity in a process that does nothing else, such as that of an aggregator.
"""

_REST = 0.0003  # seconds between two pieces, in which whoever waits is sure to be woken
_PATIENCE = 0.1  # seconds for which a thread makes room for others at the most

_AT_ONCE = 1_000  # series of which the new states are looked at together, unless the program has it look less often

# Elsewhere each look is one at all objects of the program.
_looks_at_what_is_new = sys.implementation.name == "cpython" and "free-threading" not in sys.version

_free_at = 0.0  # when the next piece may begin, in any thread


class Turns:
    """When whoever does a long piece of work gives up its turn. For any thread.

    Threads that do such work take turns with one another, too: if they only made room for each other, none would be
    left for the application. None waits for one that has stopped within its piece, whatever that one waits for.
    """

    __slots__ = ("_unseen", "ends")

    def __init__(self) -> None:
        self._unseen = 0
        self.ends = perf_counter() + piece
        """When its piece is over."""

    def go_on(self) -> None:
        """Let other threads run, if a piece of work has been done since they have. To be called for each series."""
        self._unseen += 1
        if self._unseen >= _AT_ONCE and self._unseen > (threshold := gc.get_threshold()[0]):
            if threshold and gc.isenabled() and _looks_at_what_is_new:
                gc.collect(0)
            self._unseen = 0
        if perf_counter() >= self.ends:
            self.ends = _begun() + piece


def _begun() -> float:
    """Wait until the next piece may begin, begin it, and return when that was."""
    global _free_at
    now = perf_counter()
    latest = now + _PATIENCE
    _free_at = max(_free_at, now + _REST)
    with suppress(Exception):  # of gevent, in a callback of its loop, where nobody can wait
        while now < min(_free_at, latest):
            sleep(min(_free_at, latest) - now)
            now = perf_counter()
    _free_at = now + piece + _REST
    return now
