"""The worker's side of the protocol between a worker and its aggregator."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

import zmq

from tapes.distributed import frames, upstream
from tapes.distributed.processes import is_busy
from tapes.process.shutdown import is_ending

if TYPE_CHECKING:
    from tapes.distributed.connection import Connection
    from tapes.distributed.publishing import Publisher
    from tapes.registry import Registry
    from tapes.reporting.run import Run

FAREWELL = 4.0
"""The most seconds that a leaving worker waits for the answer of an aggregator that is at work."""

_SILENT = 1.0  # the same, for an aggregator that does not respond
_NOBODY = 0.3  # the same, if there is no aggregator
_GRACE = 5.0  # seconds without an aggregator that are not reported
_STALLED = 0.5  # seconds for which a frame waits for an aggregator that reads nothing
_REPEAT = 0.5  # seconds until an unconfirmed last report is sent again, doubled each time
_TICK = 0.005  # seconds between two polls
_WELCOME = 0.1  # seconds for which the first flush waits for the subscription of the aggregator


class Link:
    """The protocol with an aggregator. For the thread of one reporter."""

    def __init__(self, connection: Connection, publisher: Publisher, sleep: Callable[[float], None]) -> None:
        self._connection = connection
        self.publisher = publisher
        """Makes the frames, under its identity."""
        self._sleep = sleep
        self._wanted = False
        self._is_first = True
        self._missed = time.monotonic()
        self._silent = 0.0  # seconds since the aggregator last responded, without those when this process did not run
        self._confirmed: Optional[Tuple[int, int]] = None
        self._stalled: Optional[float] = None

    @property
    def fault(self) -> str:
        """Why no aggregator takes the frames, with the remedy."""
        if self._stalled is not None:
            return "it reads nothing: it is suspended or overloaded"
        if self._wanted:
            return "it does not answer: it is suspended or overloaded"
        return self._connection.fault or "the process that listens there asks for nothing: it is no aggregator"

    @property
    def is_cut_off(self) -> bool:
        """Whether the program has closed the descriptors of its connection."""
        return self._connection.is_cut_off

    @property
    def is_missed(self) -> bool:
        """Whether there has been no aggregator, or one that takes nothing, for so long that it has to be reported."""
        since = self._stalled if self._wanted else self._missed
        return since is not None and time.monotonic() - since > _GRACE

    @property
    def is_served(self) -> bool:
        """Whether there is an aggregator, or one is about to start."""
        return self._wanted or self._connection.is_pending or self._connection.is_expected

    def hurry(self) -> None:
        """Connect at once: an aggregator has just been started."""
        self._connection.hurry()

    def flush(self, registry: Registry, flags: int = 0) -> bool:
        """Send the changes to the aggregator. Return False if there is none, or if it does not take everything."""
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
        if self._takes_more():  # checked first, to read and encode nothing in vain
            flush = self.publisher.flush(registry, flags)
            if all(self._takes_more() and self._connection.send(frame) for frame in flush):
                self._stalled = None
                return True
            flush.close()
        self._stalled = self._stalled or time.monotonic()
        return False

    def take_leave(self, registry: Registry, run: Run, patience: float = 1.0) -> bool:
        """Send the last report, and wait until the aggregator confirms it. Return False if it does not.

        All that it waits for is multiplied by `patience`.
        """
        start = time.monotonic()
        self._silent = 0.0
        sent: List[Tuple[int, int]] = []
        flags = frames.LEAVING | (frames.ENDING if is_ending() else 0)
        pause, repeat = _REPEAT, math.inf
        while not run.abandoned and not self._is_in_vain(start, patience):
            self._listen()
            if time.monotonic() > repeat:
                # Its last frame, or one before it, may be lost. No later frame would reveal that.
                self.publisher.begin()
                pause *= 2
            if self._wanted and self.publisher.position not in sent[-1:] and self.flush(registry, flags):
                sent.append(self.publisher.position)
                repeat = time.monotonic() + pause
            if self._confirmed in sent:
                return True
            before = time.monotonic()
            self._pause()
            # Counts at most two ticks a round, as on a busy machine both ends are late.
            self._silent += min(time.monotonic() - before, 2 * _TICK)
        return False

    def close(self) -> None:
        """Close the connection. What is not confirmed may be lost."""
        self._connection.close()

    def is_asked(self) -> bool:
        """Process messages of the aggregator, and return whether they ask for a flush now."""
        session, _ = self.publisher.position
        self._listen()
        return self._wanted and self.publisher.position[0] != session

    def _is_in_vain(self, start: float, patience: float) -> bool:
        """True if no confirmation of the last report, begun at `start`, will come."""
        waited = (time.monotonic() - start) / patience
        if not self._connection.is_pending and not self._wanted:
            return waited > (FAREWELL if self._connection.is_expected else _NOBODY)
        if self._silent / patience < _SILENT:
            return waited > FAREWELL
        peer = self._connection.peer
        return waited > FAREWELL or peer is None or not is_busy(peer.pid)

    def _listen(self) -> None:
        """Process messages of the aggregator."""
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
        """Wait until a frame can be sent. Return False if that takes too long.

        An aggregator that takes frames slowly, but steadily, slows this worker down.
        """
        deadline = time.monotonic() + _STALLED
        while not self._connection.allows(zmq.POLLOUT):
            if time.monotonic() >= deadline:
                return False
            self._pause()
        return True

    def _pause(self) -> None:
        """Sleep for a tick. Not in 0MQ, which would block all greenlets."""
        self._sleep(_TICK)
