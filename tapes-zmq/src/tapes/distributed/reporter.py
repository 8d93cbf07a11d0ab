"""The reporter `zmq`, which publishes a registry to an aggregator."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import hashlib
import os
import threading
import time
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Hashable, List, Mapping, Optional, Tuple, Union
from weakref import WeakKeyDictionary, WeakValueDictionary

from tapes.clock import Clock
from tapes.distributed import addresses
from tapes.distributed import keys as curve
from tapes.distributed.connection import Connection
from tapes.distributed.link import Link
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.publishing import Publisher, has_values, hello
from tapes.distributed.rendezvous import Rendezvous
from tapes.distributed.trust import Trust, users
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError, ReporterOptionError, ReporterStateError
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.run import Run
from tapes.reporting.wakeup import Wakeup

if TYPE_CHECKING:
    from tapes.pages.message import Page

INTERVAL = 1.0
"""Default seconds between two flushes."""

ASKING = 5.0
"""Seconds that a question to the aggregator may take, by default."""

_TICK = 0.002
_LEAST = 0.1  # seconds that the aggregator has to answer, if to send took nearly all of the time
_AGAIN = 0.05  # seconds until an aggregator that was not there is looked for again
_LISTEN = 0.25  # seconds between two checks for messages of the aggregator

_inherited: List[object] = []
"""Sockets inherited from a parent, and those whose descriptors the program has closed. They are kept for ever, since
collecting them would close descriptors that may belong to others."""


class ZmqReporter(ScheduledReporter):
    """Publishes a registry to the aggregator at `socket_addr`, every `interval`.

    A flush sends the states of the series that have changed: its cost grows with these, not with the number of records.
    An aggregator that starts later, or again, gets everything. Without one nothing is sent, lost or queued; after five
    seconds without one the report fails, and the error says why.

    `stop()` waits for the aggregator to confirm the last report: at most four seconds, one second if it does not
    respond, and 0.3 if there is none.

    In a forked child it continues by itself, as another worker.
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
        """Publish `registry` (default: the process-wide one). `clock` is by default that of the registry.

        It is published every `interval`, a timedelta or seconds (default 1), to `socket_addr`, which is `ipc://PATH` or
        `tcp://HOST:PORT`; a relative path is resolved against the working directory now. For `tcp://`, `keys` is a
        folder with the keys of a worker and the public key of the aggregator, as made by `python -m tapes.distributed
        keygen`. It is read again for each connection. `insecure=True` allows a connection without keys, open to
        everybody. Nothing is published to the socket of a user other than this one and root, unless `trust` is that
        user's name or number, or a list that contains it.

        Raises ReporterOptionError for invalid options, and ReporterStateError at the start if another reporter of this
        process already publishes the same registry to the same aggregator.
        """
        super().__init__(interval, registry, clock=clock)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """The address of the aggregator."""
        self._folder = None if keys is None else os.path.abspath(os.fspath(keys))
        self._keys = None if keys is None else self._first_keys(keys)
        self._trusted = users(trust)
        self._link: Optional[Link] = None
        self._sleep = time.sleep
        self._nudge = Wakeup()
        self._asking = threading.Lock()
        self._asked = 0  # how often this process was asked to send what was recorded
        self._answered: Tuple[int, Optional[str]] = (0, None)  # the same at the last flush, and what was sent then
        self._complains = False
        self._has_something = False

    def sent_numbers(self) -> Mapping[Instrument, Any]:
        """Return the numbers that this process has published to the aggregator, by metric."""
        publisher = (self.registry.notes or {}).get(_note(self))
        return {} if publisher is None else publisher.sent_numbers()

    def open(self) -> None:
        """Check that no other reporter publishes the same. Raises ReporterStateError if one does."""
        claimed = self.claimed()
        if claimed is not None:
            raise ReporterStateError(
                f"The same registry is published to {self.address} by {claimed!r} already: stop one of the two."
            )
        _CLAIMS.setdefault(self.registry, WeakValueDictionary())[self._claim()] = self
        # Looked up now, when the thread starts. gevent may patch it later, as gunicorn workers do, and a real thread
        # that calls the patched one may hold the import lock of the whole process for ever.
        self._sleep = time.sleep

    def claimed(self) -> Optional[ZmqReporter]:
        """Return the other reporter of this process that publishes the same registry to the same aggregator."""
        of_registry = _CLAIMS.get(self.registry)
        claimed = None if of_registry is None else of_registry.get(self._claim())
        return claimed if claimed is not None and claimed is not self and claimed.running else None

    def _claim(self) -> Tuple[int, str]:
        return os.getpid(), self.address.text

    def report(self) -> None:
        """Send the changed series, if there is an aggregator."""
        if self._link is not None and self._link.is_cut_off:
            self.close_inherited()
        publisher = _publisher(self)
        if publisher is None:
            return  # an isolation is beginning or ending: the next report sends it
        if self._link is not None and self._link.publisher is not publisher:
            self.close()
        if self._link is None:
            connection = Connection(self.address, self._current_keys, self._trusted)
            self._link = Link(connection, publisher, self._sleep)
        ticket = self._asked
        is_sent = self._link.flush(self.registry)
        identity, (session, sequence) = publisher.worker, publisher.position
        self._answered = ticket, f"{identity.hex()} {session} {sequence}" if is_sent else None
        complaint = self._complaint(self._link)
        self._complains = complaint is not None
        if complaint is not None:
            raise complaint

    def ask(self, path: str, headers: Mapping[str, str], timeout: float = ASKING) -> Page:
        """Return the page of the aggregator at `path`, which includes all that this process recorded before the call.

        Safe in any thread. With no aggregator in reach it is a page with status 503 and the reason.
        """
        from tapes.distributed.asking import page_at
        from tapes.distributed.serving import AFTER
        from tapes.pages.message import TEXT, Page

        try:
            deadline = time.monotonic() + timeout
            after = self._flushed(deadline)
            if self.address.path is None:
                raise ReporterError("over tcp:// workers cannot ask it: ask the page of the aggregator itself")
            socket = Rendezvous(self.address.path).page
            return page_at(
                socket, path, {**headers, AFTER: after}, self._trusted, max(deadline - time.monotonic(), _LEAST)
            )
        except ReporterError as error:
            body = f"503 No aggregator answers{self._where()}: {str(error).rstrip('.')}.\n".encode()
            return Page(TEXT, body, (), HTTPStatus.SERVICE_UNAVAILABLE)

    def get_unified_stats(self, timeout: float = ASKING) -> Any:
        """Return the statistics of all processes as an `addict.Dict` tree, like `get_stats()`.

        They include all that this process recorded before the call. Raises ReporterError if no aggregator can be
        reached within `timeout` seconds.
        """
        import json

        import addict

        page = self.ask("/format/json", {}, timeout)
        if page.status is not HTTPStatus.OK:
            raise ReporterError((page.body or b"").decode("utf-8", "replace").strip().partition(" ")[2])
        return addict.Dict(json.loads(page.body or b""))

    def _where(self) -> str:
        """Return the continuation of a message that says where the aggregator is."""
        return f" at {self.address}"

    def _flushed(self, deadline: float) -> str:
        """Have the reporting thread send all that was recorded, and return what it has sent, as the aggregator asks."""
        while True:
            if not self.running:
                raise ReporterError("this process does not publish to it")
            with self._asking:
                ticket = self._asked = self._asked + 1
            self._nudge.set()
            while self._answered[0] < ticket and time.monotonic() < deadline:
                time.sleep(_TICK)
            number, position = self._answered
            if number >= ticket and position is not None:
                return position
            if time.monotonic() >= deadline:
                link = self._link
                why = self.last_error or "it takes nothing in"
                raise ReporterError(str(why) if link is None else link.fault)
            time.sleep(_AGAIN)

    def interrupt(self) -> None:
        """Wake the thread."""
        self._nudge.set()

    def work(self, run: Run) -> None:
        """Report until stopped, then until the aggregator has confirmed the last report."""
        super().work(run)
        link = self._link
        if link is None or run.abandoned:
            return
        if not has_values(self.registry):
            return  # most likely a parent that only forks workers
        if not link.take_leave(self.registry, run, self._patience()) and not run.abandoned:
            self._leave_unconfirmed(link)

    def _patience(self) -> float:
        """Return by how much to multiply the seconds that are waited for the aggregator at the end."""
        return 1.0

    def _leave_unconfirmed(self, link: Link) -> None:
        """End without an aggregator that has confirmed the last report."""
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "%r stops, and no aggregator has confirmed its last report: %s. What was counted since the report before "
            "may be lost.",
            *(self, link.fault),
        )

    def wait(self, run: Run, deadline: float) -> bool:
        """Wait for the next flush. Flush at once if the aggregator has just appeared, or misses something."""
        while not run.stopping.is_set():
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            self.pause(run, min(left, _LISTEN))
            asked = self._asked
            if asked > self._answered[0] and not run.stopping.is_set():
                self.attempt(run)
                if asked > self._answered[0]:
                    self._answered = asked, None
                continue
            link = None if run.stopping.is_set() else self._link
            if link is not None and link.is_cut_off:
                return False  # the next report opens another connection
            if link is not None:
                self._answer(link, run)
        return True

    def pause(self, run: Run, seconds: float) -> None:
        """Wait, but not beyond a stop, or a request for what was recorded."""
        nudge = self._nudge  # before looking, since both are set before they wake this thread
        if not run.stopping.is_set() and self._asked <= self._answered[0]:
            self.clock.wait(nudge, seconds)
        if nudge.is_set():
            self._nudge = Wakeup()

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
                raise  # this is the copy of the thread in a forked child, which has to end
            self.note(run, error)  # the next report sends what this one could not

    def _complaint(self, link: Link) -> Optional[ReporterError]:
        """Return the error that no aggregator takes what this process has to publish; None if there is none."""
        if not link.is_missed:
            return None
        self._has_something = self._has_something or has_values(self.registry)
        if not self._has_something:
            return None
        return ReporterError(
            f"No aggregator receives anything at {self.address}: {link.fault}. What is counted meanwhile is sent later."
        )

    def _first_keys(self, folder: Union[str, os.PathLike[str]]) -> Optional[curve.WorkerKeys]:
        """Return the keys at the start. Raises ReporterOptionError if they cannot be used."""
        return curve.of_worker(folder)

    def _current_keys(self) -> Optional[curve.WorkerKeys]:
        """Return the keys for a new connection. Raises ReporterOptionError if there were never any that can be used."""
        if self._folder is not None:
            try:
                self._keys = curve.of_worker(self._folder)
            except ReporterOptionError:
                if self._keys is None:  # a process that may not read them any more keeps those that it has
                    raise
        return self._keys

    def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None and link.is_cut_off:
            _inherited.append(link)
        elif link is not None:
            link.close()

    def close_inherited(self) -> None:
        """Abandon the connection of the parent, without closing it."""
        link, self._link = self._link, None
        _inherited.append(link)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(interval={self.interval:g}, socket_addr={self.address.text!r})"


_CLAIMS: WeakKeyDictionary[Registry, WeakValueDictionary[Tuple[int, str], ZmqReporter]] = WeakKeyDictionary()
"""The reporter that publishes each registry, by process and address."""


def _note(reporter: ZmqReporter) -> Hashable:
    """Return the key, in the registry's notes, of the publisher of this process for the reporter's aggregator."""
    return "zmq", os.getpid(), reporter.address.text


def _publisher(reporter: ZmqReporter) -> Optional[Publisher]:
    """Return the publisher for the reporter's aggregator, kept with the registry so that a next reporter continues it.

    An isolated registry has its own publisher, and so has each child. None while an isolation begins or ends.
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
