"""The reporter named `zmq`: it publishes a registry to an aggregator."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Hashable, List, Mapping, Optional, Tuple, Union
from weakref import WeakKeyDictionary, WeakValueDictionary

from tapes.clock import Clock
from tapes.distributed import addresses
from tapes.distributed import keys as curve
from tapes.distributed.connection import Connection
from tapes.distributed.link import Link
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.publishing import Publisher, has_anything_to_say, hello
from tapes.distributed.trust import Trust, users
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError, ReporterOptionError, ReporterStateError
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.run import Run

INTERVAL = 1.0
"""Seconds between two flushes, unless told otherwise."""

_LISTEN = 0.25  # seconds between two looks at what the aggregator has to say

_inherited: List[object] = []
"""Sockets of a parent process, and those whose descriptors are not theirs any more. They are neither closed nor thrown
away, which would close them."""


class ZmqReporter(ScheduledReporter):
    """Publishes what a registry holds to the aggregator at `socket_addr`, every `interval`.

    Sent are the states of the series that have changed, so a flush costs what has changed and not what was recorded. An
    aggregator that comes later, or again, is told everything; without one nothing is sent, and nothing is lost or piled
    up. One that is not there for five seconds is a failed report, which says why.

    The last report is confirmed by the aggregator, for which `stop()` waits: at most four seconds, one if it gives no
    sign of life, and 0.3 if there is none.

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
        trust: Trust = None,
        clock: Optional[Clock] = None,
    ) -> None:
        """Publish `registry` (by default the process-wide one) every `interval`, a timedelta or seconds.

        `socket_addr` is `ipc://PATH` or `tcp://HOST:PORT`; a relative path begins at the working directory of this
        moment. For `tcp://` `keys` is a folder with the keys of a worker and the aggregator's public one, as made by
        `python -m tapes.distributed keygen`; or the connection is open to everybody, which `insecure=True` allows.
        They are read again for each connection. Nothing is published to the socket of another user than this one and
        root, unless `trust` names that user, by name or number, or is a list that does.

        Raises ReporterOptionError for options that cannot be. `start()` raises ReporterStateError if this process
        publishes the same registry to the same aggregator already.
        """
        super().__init__(interval, registry, clock=clock)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """Where the aggregator is."""
        self._folder = None if keys is None else os.path.abspath(os.fspath(keys))
        self._keys = None if keys is None else curve.of_worker(keys)
        self._trusted = users(trust)
        self._link: Optional[Link] = None
        self._sleep = time.sleep
        self._complains = False
        self._has_something = False

    def told(self) -> Mapping[Instrument, Any]:
        """Return the numbers that this process has told the aggregator, by their metrics."""
        publisher = (self.registry.notes or {}).get(_note(self))
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
        if self._link is not None and self._link.is_taken:
            self.close_inherited()
        publisher = _publisher(self)
        if publisher is None:
            return  # an isolation is beginning or ending; with the next report
        if self._link is not None and self._link.publisher is not publisher:
            self.close()
        if self._link is None:
            connection = Connection(self.address, self._current_keys, self._trusted)
            self._link = Link(connection, publisher, self._sleep)
        self._link.flush(self.registry)
        complaint = self._complaint(self._link)
        self._complains = complaint is not None
        if complaint is not None:
            raise complaint

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
                "%r stops, and no aggregator has confirmed its last report: %s. What was counted since the one before "
                "may be lost.",
                *(self, link.fault),
            )

    def wait(self, run: Run, deadline: float) -> bool:
        """Wait for the next flush, and make one at once if the aggregator has just appeared, or misses something."""
        while not run.stopping.is_set():
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            self.clock.wait(run.stopping, min(left, _LISTEN))
            link = None if run.stopping.is_set() else self._link
            if link is not None and link.is_taken:
                return False  # a report makes another connection
            if link is not None:
                self._answer(link, run)
        return True

    def _answer(self, link: Link, run: Run) -> None:
        try:
            if link.is_asked() and link.publisher is _publisher(self):
                link.flush(self.registry)
            complaint = None if self._complains else self._complaint(link)
            if complaint is not None:
                self._complains = True
                self.note(run, complaint)
        except Exception as error:
            if run.pid != os.getpid():
                raise  # this has gone on in a forked child, where it has to end
            self.note(run, error)  # what could not be told now comes with the next report

    def _complaint(self, link: Link) -> Optional[ReporterError]:
        """Return the error that there is no aggregator for what this process has to say; None if that is not so."""
        if not link.is_missed:
            return None
        self._has_something = self._has_something or has_anything_to_say(self.registry)
        if not self._has_something:
            return None
        return ReporterError(
            f"No aggregator takes anything at {self.address}: {link.fault}. What is counted meanwhile is told later."
        )

    def _current_keys(self) -> Optional[curve.WorkerKeys]:
        if self._folder is not None:
            with suppress(ReporterOptionError):  # one that may not read them any more goes on with those that it has
                self._keys = curve.of_worker(self._folder)
        return self._keys

    def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None and link.is_taken:
            _inherited.append(link)
        elif link is not None:
            link.close()

    def close_inherited(self) -> None:
        """Let go of the connection of the parent."""
        link, self._link = self._link, None
        _inherited.append(link)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(interval={self.interval:g}, socket_addr={self.address.text!r})"


_CLAIMS: WeakKeyDictionary[Registry, WeakValueDictionary[Tuple[int, str], ZmqReporter]] = WeakKeyDictionary()
"""Who publishes which registry, by process and address."""


def _note(reporter: ZmqReporter) -> Hashable:
    """Return the key of what an aggregator has been told by this process, in the notes of the registry."""
    return "zmq", os.getpid(), reporter.address.text


def _publisher(reporter: ZmqReporter) -> Optional[Publisher]:
    """Return what the aggregator knows of the registry, and who tells it: another reporter goes on where the last was.

    An isolated registry is told by another worker, and so is that of a child. None while an isolation begins or ends.
    """
    registry = reporter.registry
    notes = registry.notes
    if notes is None:
        return None
    key = _note(reporter)
    publisher: Optional[Publisher] = notes.get(key)
    if publisher is None:
        if isinstance(registry, UnifiedRegistry):
            identity = hashlib.sha256(registry.identity + reporter.address.text.encode()).digest()[:16]
            publisher = Publisher(hello(reporter.interval, settles=False), identity)
        else:
            publisher = Publisher(hello(reporter.interval, settles=True))
        notes[key] = publisher
    publisher.announce(reporter.interval)
    return publisher
