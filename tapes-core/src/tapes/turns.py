"""Long work in short pieces, so that it holds up nobody else.

Python lets one thread run at a time, and takes the turn from one that computes only after five milliseconds. An
application that comes back from a system call waits for as long, and with a page, a StatsD and a publisher at work
several times as long. So what reads thousands of series gives up its turn by itself.
"""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter, sleep

piece = PIECE = 0.002
"""Seconds of work after which others have their turn. With shorter ones a busy application would hold up each page.

`piece` may be set to infinity in a process that does nothing else, such as that of an aggregator.
"""

_BREATH = 0.0001  # seconds in which whoever waits is sure to be woken


class Turns:
    """When whoever does a long piece of work has given up its turn last. For any thread."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = perf_counter() + piece

    def go_on(self) -> None:
        """Let other threads run, if a piece of work has been done since they have. To be called often."""
        if perf_counter() >= self._until:
            with suppress(Exception):  # of gevent, in a callback of its loop, where nobody can wait
                sleep(_BREATH)
            self._until = perf_counter() + piece
