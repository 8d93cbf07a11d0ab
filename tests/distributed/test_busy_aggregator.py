"""An aggregator that is there, and reads nothing for a while."""

from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace
from typing import Any, List, Optional

import pytest

from tapes import turns
from tapes.distributed import link as links
from tapes.distributed import upstream
from tapes.distributed.driving import _without_yielding
from tapes.distributed.link import Link
from tapes.distributed.publishing import Publisher, hello
from tapes.registry import Registry
from tapes.testing import ManualClock
from tapes.turns import PIECE


class FakeConnection:
    """A connection to an aggregator that asks for everything, and takes frames while it `reads`."""

    is_pending = ready = True
    is_cut_off = is_expected = False
    peer = fault = None

    def __init__(self) -> None:
        self.reads = True
        self.frames: List[bytes] = []
        self._words = [b"\1" + upstream.EVERYTHING]

    def attend(self) -> bool:
        """Say that it is still there."""
        return True

    def receive(self) -> Optional[bytes]:
        """Return the next word of the aggregator."""
        return self._words.pop(0) if self._words else None

    def allows(self, _events: int) -> bool:
        """Say whether a frame can be sent."""
        return self.reads

    def send(self, frame: bytes) -> bool:
        """Take a frame."""
        self.frames.append(frame)
        return True


def test_a_flush_that_cannot_be_sent_is_made_later() -> None:
    """It raises nothing, is no failure at once, and what was counted meanwhile is sent as soon as there is room."""
    connection: Any = FakeConnection()
    registry = Registry(clock=ManualClock())
    counter = registry.counter("c")
    link = Link(connection, Publisher(hello(1.0, settles=True)), time.sleep)

    sent = [link.flush(registry)]
    counter.increment()
    connection.reads = False
    sent.append(link.flush(registry))
    missed = link.is_missed
    fault = link.fault
    connection.reads = True
    sent.append(link.flush(registry))

    assert sent == [True, False, True]
    assert not missed
    assert fault == "it reads nothing: it is suspended or overloaded"
    assert len(connection.frames) == 2


def test_an_aggregator_that_confirms_nothing_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has read everything: a worker that leaves waits in vain, and says so."""
    monkeypatch.setattr(links, "FAREWELL", 0.05)
    registry = Registry(clock=ManualClock())
    connection: Any = FakeConnection()
    run: Any = SimpleNamespace(abandoned=False)
    link = Link(connection, Publisher(hello(1.0, settles=True)), time.sleep)

    assert link.flush(registry)
    assert not link.take_leave(registry, run)
    assert link.fault == "it does not answer: it is suspended or overloaded"


def test_only_an_aggregator_with_a_process_of_its_own_makes_pages_without_a_break() -> None:
    """In a thread there is an application beside it, which waits for its turn."""
    seen: List[float] = []

    def look() -> None:
        with _without_yielding():
            seen.append(turns.piece)

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [math.inf, PIECE]
    assert turns.piece == PIECE
