"""Long work in short pieces, so that other threads are not held up.

Python runs one thread at a time, and interrupts a computing thread only after five milliseconds. An application thread
that returns from a system call waits that long, and several times as long if a page, a StatsD and a publisher are all
at work. So code that reads thousands of series gives up its turn by itself.

No thread runs while CPython looks for garbage among new objects. It does so when it has made some hundred objects more
than it has freed. A state replaces the one before, so thousands of new states do not trigger it; but the next trigger
then looks at all of them at once. So the code that makes states triggers it regularly, for a few states at a time.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from time import perf_counter, sleep

piece = PIECE = 0.002
"""Seconds of work before other threads get their turn. With shorter pieces a busy application would delay each page.

Set `piece` to infinity in a process that does nothing else, like an aggregator.
"""

_REST = 0.0003  # seconds between two pieces, enough for a waiting thread to wake up
_PATIENCE = 0.1  # the longest that a thread waits for others, in seconds

_AT_ONCE = 1_000  # series between two collections, or more if the program has set a larger threshold

# Other interpreters would look at all objects of the program each time.
_collects_new_objects_alone = sys.implementation.name == "cpython" and "free-threading" not in sys.version

_free_at = 0.0  # when the next piece may begin, in any thread


class Turns:
    """Lets a thread with long work give up its turn regularly. Usable in any thread.

    Threads with such work also take turns among themselves: if they only made room for each other, no time would be
    left for the application. No thread waits for one that has blocked within its piece.
    """

    __slots__ = ("_uncollected", "ends")

    def __init__(self) -> None:
        self._uncollected = 0
        self.ends = perf_counter() + piece
        """The end of the current piece, a time of `perf_counter`."""

    def yield_if_due(self) -> None:
        """Let other threads run if the current piece is over. Call it for each series."""
        self._uncollected += 1
        if self._uncollected >= _AT_ONCE and self._uncollected > (threshold := gc.get_threshold()[0]):
            if threshold and gc.isenabled() and _collects_new_objects_alone:
                gc.collect(0)
            self._uncollected = 0
        if perf_counter() >= self.ends:
            self.ends = _wait_for_turn() + piece


def _wait_for_turn() -> float:
    """Wait until the next piece may begin, and return its start."""
    global _free_at
    now = perf_counter()
    latest = now + _PATIENCE
    _free_at = max(_free_at, now + _REST)
    with suppress(Exception):  # from gevent, which does not allow sleeping in a callback of its loop
        while now < min(_free_at, latest):
            sleep(min(_free_at, latest) - now)
            now = perf_counter()
    _free_at = now + piece + _REST
    return now
