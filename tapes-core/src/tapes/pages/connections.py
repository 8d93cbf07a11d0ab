"""The HTTP connections of clients: how many there may be, how long each may take, and what it is told.

No client is trusted. One that sends nothing, or a byte now and then, or takes its answer as slowly, loses its
connection when its time is up; and when there are too many, the one that has waited longest makes room for a new one.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, Optional, Protocol, Sequence, TypeVar

from tapes.pages.message import Response, refusal
from tapes.pages.parser import BadRequestError, Incoming, Received, log, log_answer, written

if TYPE_CHECKING:
    from http import HTTPStatus

    from tapes.pages.application import Application
    from tapes.pages.message import Page, Wanted

MAX_CONNECTIONS = 32
"""How many connections there may be at a time."""

NEWCOMERS = 8
"""How many of them are for clients whose requests have not come in yet, if others want answers."""

REQUEST_TIMEOUT = 10.0
"""Seconds for a request to come in, from its first byte or the connection on, and again for its answer to be taken."""

PAGE_TIMEOUT = 60.0
"""Seconds that a client waits for its page to be made."""

IDLE_TIMEOUT = 60.0
"""Seconds that a connection is kept for a further request."""

FAREWELL = 1.0
"""Seconds for a client to read why its connection is closed."""

GRACE = 1.0
"""Seconds for answers that are under way when the server stops."""

RETRY = 0.1
"""Seconds to wait when no connection can be accepted, for want of descriptors for instance."""


class Waiting(Protocol):
    """A client, as far as it matters when there are too many."""

    answering: bool
    """Whether it is getting an answer."""
    since: float
    """When the first request that it has not been idle after began to come in; when it came, or became idle."""


AnyClient = TypeVar("AnyClient", bound=Waiting)


def first_to_go(clients: Sequence[AnyClient]) -> AnyClient:
    """Return the client that is closed to make room for a new one. There is at least one.

    It is the one that has waited longest without a complete request. While others are being answered, up to `NEWCOMERS`
    clients without a request are spared, because they may just have come. Then the oldest answer is given up.
    """
    silent = [one for one in clients if not one.answering]
    answering = [one for one in clients if one.answering]
    return min(silent if len(silent) > NEWCOMERS or not answering else answering, key=lambda one: one.since)


class Connection:
    """One client. Its thread is the only one that reads and writes; others give it its page, or shut it down."""

    def __init__(self, client: socket.socket, address: Any) -> None:
        self.socket = client
        self.address = address
        self.since = time.monotonic()
        self.deadline = self.since + REQUEST_TIMEOUT
        self.answering = False
        self._gone = False
        self._incoming = Incoming()
        self._page: Optional[Page] = None
        self._woken = threading.Event()

    def serve(self, application: Application) -> None:
        """Answer the requests of this client, one after the other, until it has no more."""
        closes = False
        while not closes:
            try:
                received = self._receive()
            except BadRequestError as error:
                self._refuse(error.status)
                return
            if received is None:
                return
            self.answering = True
            decided = application.decide(received.request)
            if isinstance(decided, Response):
                self._answer(received, decided)
            else:
                self._send_page(received, decided, application)
            closes = received.closes
            self.answering = False
            now = time.monotonic()
            self.deadline = now + IDLE_TIMEOUT
            if not self._incoming:
                self.since = now

    def waits(self) -> bool:
        """Return whether the client has neither been shut down nor gone away."""
        try:
            return not self._gone and not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError:
            return False

    def take(self, page: Page) -> None:
        """Wake the thread, which waits for this page."""
        self._page = page
        self._woken.set()

    def drop(self) -> None:
        """Shut down."""
        self.shut_down()

    def shut_down(self) -> None:
        """Wake the thread that reads, writes or waits: it gets an end of file or an error, or no page."""
        self._gone = True
        self._woken.set()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def take_leave(self) -> None:
        """Read what is left, then close: to close with unread input resets a connection, and loses its last answer."""
        self.deadline = time.monotonic() + FAREWELL
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(FAREWELL)
            for _ in range(64):
                if not self.socket.recv(65536):
                    break
        self.close()

    def close(self) -> None:
        """Close the descriptor."""
        with suppress(OSError):
            self.socket.close()

    def _receive(self) -> Optional[Received]:
        """Return the next request, or None if the client ends before it is complete."""
        received = self._incoming.next()
        while received is None:
            begun = bool(self._incoming)
            data = self.socket.recv(65536)
            if not data:
                return None
            if not begun:
                self.since = time.monotonic()
                self.deadline = self.since + REQUEST_TIMEOUT
            self._incoming.feed(data)
            received = self._incoming.next()
        return received

    def _send_page(self, received: Received, wanted: Wanted, application: Application) -> None:
        self._woken.clear()
        if self._gone:
            return
        self.deadline = time.monotonic() + PAGE_TIMEOUT
        request, renderings = received.request, application.renderings
        try:
            while not renderings.ask(self, wanted, counted=request.method == "GET") and not self._woken.wait(RETRY):
                pass
            self._woken.wait()
            page, self._page = self._page, None
            if page is not None:  # and not shut down
                self.deadline = time.monotonic() + REQUEST_TIMEOUT
                self._answer(received, application.respond(request, page))
        finally:
            renderings.leave(self)

    def _answer(self, received: Received, response: Response) -> None:
        self._send(response, received.connection, received.line)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a damaged request."""
        self._send(refusal("", status), "close", "")

    def _send(self, response: Response, connection: str, line: str) -> None:
        log_answer(self.address, response.status, line)
        for piece in written(response, connection):
            self.socket.sendall(piece)


class Connections:
    """All clients of one server. Every operation on the dictionary is atomic, so no lock is held over a fork."""

    def __init__(self, application: Application, name: str) -> None:
        """Serve `application` in threads named `tapes-<name>-connection`."""
        self._application = application
        self._thread_name = f"tapes-{name}-connection"
        self._open: Dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, client: socket.socket, address: Any) -> None:
        """Serve a new client in a thread of its own."""
        client.settimeout(max(REQUEST_TIMEOUT, IDLE_TIMEOUT))  # what accept() returns may block or not
        with suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._make_room()
        connection = Connection(client, address)
        self._open[connection] = None
        try:
            threading.Thread(target=self._serve, args=(connection,), name=self._thread_name, daemon=True).start()
        except BaseException:
            del self._open[connection]
            client.close()
            raise

    def shut_down_overdue(self) -> None:
        """Shut down those whose time is up."""
        now = time.monotonic()
        for connection in list(self._open):
            if connection.deadline <= now:
                connection.shut_down()

    def shut_down(self, grace: float) -> None:
        """Shut down all: those who are getting an answer within `grace` seconds, the others at once."""
        for connection in list(self._open):
            if not connection.answering:
                connection.shut_down()
        self._await_end(grace)
        for connection in list(self._open):
            connection.shut_down()
        self._await_end(grace)

    def close_inherited(self) -> None:
        """Close the descriptors that a forked child has inherited; the connections stay with the parent."""
        for connection in list(self._open):
            connection.close()
        self._open.clear()

    def _make_room(self) -> None:
        while len(self._open) >= MAX_CONNECTIONS:
            connections = list(self._open)
            if connections:
                going = first_to_go(connections)
                going.shut_down()
                self._open.pop(going, None)

    def _await_end(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._open and time.monotonic() < deadline:
            time.sleep(0.005)

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve(self._application)
        except Exception as error:  # noqa: BLE001 -- whatever a client does, it is the client's fault
            log("%s: %r", connection.address, error)
        finally:
            connection.take_leave()
            self._open.pop(connection, None)
