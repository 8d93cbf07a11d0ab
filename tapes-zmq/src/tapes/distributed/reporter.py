"""The reporter named `zmq`: it publishes a registry to an aggregator."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import hashlib
import math
import os
import time
from datetime import timedelta
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union
from weakref import WeakKeyDictionary, WeakValueDictionary

import zmq

from tapes.clock import Clock
from tapes.distributed import addresses, frames, upstream
from tapes.distributed import keys as curve
from tapes.distributed.publishing import Publisher, has_anything_to_say, hello
from tapes.distributed.unified import LOGGER_NAME, UnifiedRegistry
from tapes.errors import ReporterError, ReporterStateError
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.run import Run, is_ending
from tapes.streak import Streak

INTERVAL = 1.0
"""Seconds between two flushes, unless told otherwise."""

FAREWELL = 4.0
"""Seconds for which a reporter that stops waits at most until the aggregator has everything."""

_STRANGER = 1.0  # seconds for which it waits for one that has never been heard of, and has left no trace
_STALLED = 0.5  # seconds for which a flush waits for an aggregator that reads nothing
_WAITING = 64  # frames that may wait to be sent; with the size of frames, some 8 MB
_REPEAT = 0.5  # seconds after which the last report is made again if it is not confirmed, doubled each time
_TICK = 0.005  # seconds between two looks at what is waited for
_LISTEN = 0.25  # seconds between two looks at what the aggregator has to say
_WELCOME = 0.1  # seconds that the first flush waits for an aggregator that is there to say so
_RECONNECT, _RECONNECT_MAX = 100, 500  # milliseconds

_inherited: List[object] = []
"""Sockets of a parent process, which are neither closed, on its behalf, nor thrown away, which would close them."""


class ZmqReporter(ScheduledReporter):
    """Publishes what a registry holds to the aggregator at `socket_addr`, every `interval`.

    Sent are the states of the series that have changed, so a flush costs what has changed and not what was recorded. An
    aggregator that comes later, or again, is told everything; without one nothing is sent, and nothing is lost or piled
    up. The last report is confirmed by the aggregator, for which `stop()` waits: at most four seconds, and one if no
    aggregator has ever been there.

    It goes on by itself in a forked child, as another worker.
    """

    def __init__(
        self,
        interval: Union[timedelta, float] = INTERVAL,
        socket_addr: str = addresses.DEFAULT,
        registry: Optional[Registry] = None,
        *,
        keys: Optional[Union[str, os.PathLike[str]]] = None,
        insecure: bool = False,
        clock: Optional[Clock] = None,
    ) -> None:
        """Publish `registry` (by default the process-wide one) every `interval`, a timedelta or seconds.

        `socket_addr` is `ipc://PATH` or `tcp://HOST:PORT`; a relative path begins at the working directory of this
        moment. Beyond loopback `keys` is a folder with the keys of a worker and the aggregator's public one, as made by
        `python -m tapes.distributed keygen`; or the connection is open to everybody, which `insecure=True` allows.

        Raises ReporterOptionError for options that cannot be. `start()` raises ReporterStateError if this process
        publishes the same registry to the same aggregator already.
        """
        super().__init__(interval, registry, clock=clock)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """Where the aggregator is."""
        self._keys = None if keys is None else curve.of_worker(keys)
        self._link: Optional[_Link] = None
        self._sleep = time.sleep

    def told(self) -> Mapping[Instrument, Any]:
        """Return the states that this process has told the aggregator, by their metrics."""
        publisher = _PUBLISHERS.get(self.registry, {}).get((os.getpid(), self.address.text))
        return {} if publisher is None else publisher.told()

    def open(self) -> None:
        """Make sure that nobody else publishes the same."""
        claims = _CLAIMS.setdefault(self.registry, WeakValueDictionary())
        claimed = claims.get((os.getpid(), self.address.text))
        if claimed is not None and claimed is not self and claimed.running:
            raise ReporterStateError(
                f"The same registry is published to {self.address} by {claimed!r} already: stop one of the two."
            )
        claims[os.getpid(), self.address.text] = self
        # That of this moment, as its thread is. gevent may replace it later, as in the workers of gunicorn, and where a
        # thread calls what is for greenlets the import lock of the whole process may be held for ever.
        self._sleep = time.sleep

    def report(self) -> None:
        """Send what has changed, if there is an aggregator."""
        if self._link is None:
            self._link = _Link(self.address, self._keys, _publisher(self), self._sleep)
        self._link.flush(self.registry)

    def work(self, run: Run) -> None:
        """Report until it is stopped, and then until the aggregator has confirmed that it knows everything."""
        super().work(run)
        link = self._link
        if link is None or run.abandoned:
            return
        if not has_anything_to_say(self.registry):
            return  # a parent, most likely, which only forks those who have
        if not link.take_leave(self.registry, run) and not run.abandoned:
            import logging

            logging.getLogger(LOGGER_NAME).warning(
                "%r stops, and no aggregator has confirmed its last report: what was counted since the one before may "
                "be lost. Is an aggregator running there?",
                self,
            )

    def wait(self, run: Run, deadline: float) -> bool:
        """Wait for the next flush, and make one at once if the aggregator has just appeared, or misses something."""
        while not run.stopping.is_set():
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            self.clock.wait(run.stopping, min(left, _LISTEN))
            link = None if run.stopping.is_set() else self._link
            if link is not None:
                self._answer(link, run)
        return True

    def _answer(self, link: _Link, run: Run) -> None:
        try:
            if link.is_asked():
                link.flush(self.registry)
        except Exception as error:
            if run.pid != os.getpid():
                raise  # this has gone on in a forked child, where it has to end
            self.note(run, error)  # what could not be told now comes with the next report

    def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def close_inherited(self) -> None:
        """Let go of the connection of the parent."""
        link, self._link = self._link, None
        _inherited.append(link)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(interval={self.interval:g}, socket_addr={self.address.text!r})"


class _Link:
    """The connection to an aggregator, if there is one, for the thread of a reporter."""

    def __init__(
        self,
        address: addresses.Address,
        keys: Optional[curve.WorkerKeys],
        publisher: Publisher,
        sleep: Callable[[float], None],
    ) -> None:
        self._publisher = publisher
        self._sleep = sleep
        self._path = address.path
        self._pid = os.getpid()
        self._wanted = False
        self._is_first = True
        self._known = False
        self._confirmed: Optional[Tuple[int, int]] = None
        self._stalls = Streak(LOGGER_NAME, f"The aggregator at {address}")
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(zmq.XPUB)
        # Each time that an aggregator appears or comes back it subscribes, and is told everything.
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        # What cannot be sent is an error, and not dropped: it comes with the next flush.
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.SNDHWM, _WAITING)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX)
        if keys is not None:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, keys.aggregator)
        socket.connect(address.text)

    def flush(self, registry: Registry, flags: int = 0) -> bool:
        """Send what has changed to the aggregator; False if there is none, or if it does not take everything."""
        self._listen()
        if self._is_first:
            self._is_first = False
            deadline = time.monotonic() + _WELCOME
            while not self._wanted and time.monotonic() < deadline:
                self._pause()
                self._listen()
        if not self._wanted:
            return False
        deadline = time.monotonic() + _STALLED
        if self._takes_more(deadline):  # or nothing need be read and encoded
            flush = self._publisher.flush(registry, flags)
            if all(self._send(frame, deadline) for frame in flush):
                self._stalls.succeeded()
                return True
            flush.close()
        self._stalls.failed("reads nothing. What it has not been sent comes later, nothing is lost.")
        return False

    def take_leave(self, registry: Registry, run: Run) -> bool:
        """Tell the aggregator everything, and wait until it has confirmed it; False if it does not."""
        start = time.monotonic()
        told: List[Tuple[int, int]] = []
        flags = frames.LEAVING | (frames.ENDING if is_ending() else 0)
        patience, repeat = _REPEAT, math.inf
        # On a busy machine one that is there may not have come to say so yet.
        expected = self._path is not None and os.path.exists(self._path)
        while not run.abandoned and time.monotonic() - start < (FAREWELL if self._known or expected else _STRANGER):
            self._listen()
            if time.monotonic() > repeat:
                # Its last frame, or one before it, is lost. No later one would show that.
                self._publisher.begin()
                patience *= 2
            if self._wanted and self._publisher.position not in told[-1:] and self.flush(registry, flags):
                told.append(self._publisher.position)
                repeat = time.monotonic() + patience
            if self._confirmed in told:
                return True
            self._pause()
        return False

    def close(self) -> None:
        """Close it. What has not been confirmed may be lost."""
        self._socket.close()
        self._context.term()

    def is_asked(self) -> bool:
        """Hear what the aggregator has to say, and return whether it waits to be told something."""
        session, _ = self._publisher.position
        self._listen()
        return self._wanted and self._publisher.position[0] != session

    def _listen(self) -> None:
        """Hear what the aggregator has to say."""
        begins = False
        while self._is_ready(zmq.POLLIN):
            message = self._socket.recv()
            there, topic = message[:1] == b"\1", message[1:]
            if topic == upstream.EVERYTHING:
                self._wanted = begins = there
            elif there:
                word = upstream.heard(topic)
                if word is not None and word.worker == self._publisher.worker:
                    begins = begins or word.what == upstream.BEGIN_ANEW
                    if word.what == upstream.FAREWELL:
                        self._confirmed = word.position
                    elif word.what == upstream.BEGIN_AS_ANOTHER:
                        self._publisher.begin_as_another(word.position)
        if begins:
            self._known = True
            self._publisher.begin()

    def _send(self, frame: bytes, deadline: float) -> bool:
        if not self._takes_more(deadline):
            return False
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _takes_more(self, deadline: float) -> bool:
        """Wait until a frame can be sent; False if none can be until the deadline."""
        while not self._is_ready(zmq.POLLOUT):
            if time.monotonic() >= deadline:
                return False
            self._pause()
        return True

    def _is_ready(self, event: int) -> bool:
        """Whether the socket can be used for that without waiting. Asked before each use. Raises in a forked child.

        There 0MQ would wait for ever. Greenlets go on there with what their parent has begun, and so does the thread in
        which a gauge, when it was asked for its value, has forked.
        """
        if os.getpid() != self._pid:
            raise ReporterError("This connection is of the parent process.")
        return bool(self._socket.poll(0, event))

    def _pause(self) -> None:
        """Wait a moment, and not in 0MQ, where greenlets would wait too."""
        self._sleep(_TICK)


# What a receiver knows of a registry, and who tells it, outlives the reporters: another one goes on where the last was.
_PUBLISHERS: WeakKeyDictionary[Registry, Dict[Tuple[int, str], Publisher]] = WeakKeyDictionary()
_CLAIMS: WeakKeyDictionary[Registry, WeakValueDictionary[Tuple[int, str], ZmqReporter]] = WeakKeyDictionary()


def _publisher(reporter: ZmqReporter) -> Publisher:
    registry = reporter.registry
    known = _PUBLISHERS.setdefault(registry, {})
    key = os.getpid(), reporter.address.text
    publisher = known.get(key)
    if publisher is None:
        for foreign in [each for each in known if each[0] != key[0]]:
            del known[foreign]  # what a parent process has told is none of this one's business
        if isinstance(registry, UnifiedRegistry):
            identity = hashlib.sha256(registry.identity + key[1].encode()).digest()[:16]
            publisher = Publisher(hello(reporter.interval, settles=False), identity)
        else:
            publisher = Publisher(hello(reporter.interval, settles=True))
        known[key] = publisher
    publisher.announce(reporter.interval)
    return publisher
