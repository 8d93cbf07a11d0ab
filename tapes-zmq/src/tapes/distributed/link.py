"""What a worker and its aggregator have to say to each other, from the side of the worker."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

import zmq

from tapes.distributed import frames, upstream
from tapes.distributed.processes import is_at_work
from tapes.process.ending import is_ending

if TYPE_CHECKING:
    from tapes.distributed.connection import Connection
    from tapes.distributed.publishing import Publisher
    from tapes.registry import Registry
    from tapes.reporting.run import Run

FAREWELL = 4.0
"""Seconds for which a worker that leaves waits at most for an aggregator that is at work."""

_SILENT = 1.0  # seconds for which it waits for one that gives no sign of life
_NOBODY = 0.3  # seconds for which it waits where nobody is
_GRACE = 5.0  # seconds in which an aggregator may come, or come back, before somebody has to know
_STALLED = 0.5  # seconds for which a frame waits for an aggregator that reads nothing
_REPEAT = 0.5  # seconds after which the last report is made again if it is not confirmed, doubled each time
_TICK = 0.005  # seconds between two looks at what is waited for
_WELCOME = 0.1  # seconds that the first flush waits for an aggregator that is there to say so


class Link:
    """The talk with an aggregator, if there is one, for the thread of a reporter."""

    def __init__(self, connection: Connection, publisher: Publisher, sleep: Callable[[float], None]) -> None:
        self._connection = connection
        self.publisher = publisher
        """What it tells, and as whom."""
        self._sleep = sleep
        self._wanted = False
        self._is_first = True
        self._missed = time.monotonic()
        self._silent = 0.0  # seconds since the last sign of life, as far as this process has run
        self._confirmed: Optional[Tuple[int, int]] = None
        self._stalled: Optional[float] = None

    @property
    def fault(self) -> str:
        """Why there is no aggregator that takes what it is told, and what helps."""
        if self._stalled is not None:
            return "it reads nothing: it is held still, or has too much to do"
        if self._wanted:
            return "it does not answer: it is held still, or has too much to do"
        return self._connection.fault or "who listens there asks for nothing: it is no aggregator"

    @property
    def is_taken(self) -> bool:
        """Whether the program has closed the descriptors of its connection."""
        return self._connection.is_taken

    @property
    def is_missed(self) -> bool:
        """Whether an aggregator takes nothing, or there has been none for so long that somebody has to know."""
        since = self._stalled if self._wanted else self._missed
        return since is not None and time.monotonic() - since > _GRACE

    def flush(self, registry: Registry, flags: int = 0) -> bool:
        """Send what has changed to the aggregator; False if there is none, or if it does not take everything."""
        self._listen()
        if self._is_first:
            self._is_first = False
            deadline = time.monotonic() + _WELCOME
            while not self._wanted and self._connection.is_pending and time.monotonic() < deadline:
                self._pause()
                self._listen()
        if not self._wanted:
            self._stalled = None
            return False
        if self._takes_more():  # or nothing need be read and encoded
            flush = self.publisher.flush(registry, flags)
            if all(self._takes_more() and self._connection.send(frame) for frame in flush):
                self._stalled = None
                return True
            flush.close()
        self._stalled = self._stalled or time.monotonic()
        return False

    def take_leave(self, registry: Registry, run: Run) -> bool:
        """Tell the aggregator everything, and wait until it has confirmed it; False if it does not."""
        start = time.monotonic()
        self._silent = 0.0
        told: List[Tuple[int, int]] = []
        flags = frames.LEAVING | (frames.ENDING if is_ending() else 0)
        patience, repeat = _REPEAT, math.inf
        while not run.abandoned and not self._is_in_vain(start):
            self._listen()
            if time.monotonic() > repeat:
                # Its last frame, or one before it, is lost. No later one would show that.
                self.publisher.begin()
                patience *= 2
            if self._wanted and self.publisher.position not in told[-1:] and self.flush(registry, flags):
                told.append(self.publisher.position)
                repeat = time.monotonic() + patience
            if self._confirmed in told:
                return True
            before = time.monotonic()
            self._pause()
            # On a machine that is busy both ends are late.
            self._silent += min(time.monotonic() - before, 2 * _TICK)
        return False

    def close(self) -> None:
        """Close it. What has not been confirmed may be lost."""
        self._connection.close()

    def is_asked(self) -> bool:
        """Hear what the aggregator has to say, and return whether it waits to be told something."""
        session, _ = self.publisher.position
        self._listen()
        return self._wanted and self.publisher.position[0] != session

    def _is_in_vain(self, start: float) -> bool:
        """Whether nobody is going to confirm the last report, which is being made since `start`."""
        now = time.monotonic()
        if not self._connection.is_pending and not self._wanted:
            return now - start > (FAREWELL if self._connection.is_expected else _NOBODY)
        if self._silent < _SILENT:
            return now - start > FAREWELL
        peer = self._connection.peer
        return now - start > FAREWELL or peer is None or not is_at_work(peer.pid)

    def _listen(self) -> None:
        """Hear what the aggregator has to say."""
        before = self._connection.ready
        if not self._connection.attend() and self._wanted:
            self._wanted = False
            self._missed = time.monotonic()
        if self._connection.ready and not before:
            self._silent = 0.0
        begins = False
        while (message := self._connection.receive()) is not None:
            self._silent = 0.0
            there, topic = message[:1] == b"\1", message[1:]
            if topic == upstream.EVERYTHING:
                if self._wanted and not there:
                    self._missed = time.monotonic()
                self._wanted = begins = there
            elif there:
                word = upstream.heard(topic)
                if word is not None and word.worker == self.publisher.worker:
                    begins = begins or word.what == upstream.BEGIN_ANEW
                    if word.what == upstream.FAREWELL:
                        self._confirmed = word.position
                    elif word.what == upstream.BEGIN_AS_ANOTHER:
                        self.publisher.begin_as_another(word.position)
        if begins:
            self.publisher.begin()

    def _takes_more(self) -> bool:
        """Wait until a frame can be sent; False if none can be for a while.

        An aggregator that takes in one after the other, but slowly, slows this worker down.
        """
        deadline = time.monotonic() + _STALLED
        while not self._connection.allows(zmq.POLLOUT):
            if time.monotonic() >= deadline:
                return False
            self._pause()
        return True

    def _pause(self) -> None:
        """Wait a moment, and not in 0MQ, where greenlets would wait too."""
        self._sleep(_TICK)
