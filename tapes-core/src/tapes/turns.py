"""Long work in short pieces, so that it holds up nobody else.

Python lets one thread run at a time, and takes the turn from one that computes only after five milliseconds. An
application that comes back from a system call waits for as long, and with a page, a StatsD and a publisher at work
several times as long. So what reads thousands of series gives up its turn by itself.
"""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter, sleep
from typing import Iterable, Iterator, TypeVar

piece = PIECE = 0.002
"""Seconds of work after which others have their turn. With shorter ones a busy application would hold up each page.

`piece` may be set to infinity in a process that does nothing else, such as that of an aggregator.
"""

_BREATH = 0.0001  # seconds in which whoever waits is sure to be woken

Item = TypeVar("Item")


def in_turns(items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items`, and let other threads run after each piece of what is done with them. For any thread."""
    until = perf_counter() + piece
    for item in items:
        yield item
        if perf_counter() >= until:
            with suppress(Exception):  # of gevent, in a callback of its loop, where nobody can wait
                sleep(_BREATH)
            until = perf_counter() + piece
