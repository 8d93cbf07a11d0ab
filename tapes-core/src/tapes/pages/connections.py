"""The HTTP connections of clients, with limits of their number and time.

No client is trusted. One that sends nothing, or sends a request or takes a response byte by byte, is disconnected when
its time is up. If there are too many, the one that has waited longest makes room for a new one.
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
"""The most connections at a time."""

NEWCOMERS = 8
"""Connections reserved for clients without a complete request."""

REQUEST_TIMEOUT = 10.0
"""Seconds for a client to send a request, from its first byte or from connecting, and again to take the response."""

PAGE_TIMEOUT = 60.0
"""Seconds that a client waits for its page to be made."""

IDLE_TIMEOUT = 60.0
"""Seconds that a connection is kept open for a further request."""

FAREWELL = 1.0
"""Seconds for a client to read the last response before its connection is closed."""

GRACE = 1.0
"""Seconds for responses in progress when the server stops."""

RETRY = 0.1
"""Seconds to wait after a failed accept, for example for lack of descriptors."""


class Waiting(Protocol):
    """The part of a client that decides which one is disconnected."""

    @property
    def answering(self) -> bool:
        """True while it gets a response."""

    since: float
    """Start of its pending request, else of its connection or idle time."""


AnyClient = TypeVar("AnyClient", bound=Waiting)


def first_to_go(clients: Sequence[AnyClient]) -> AnyClient:
    """Return the client to disconnect to make room for a new one. `clients` must not be empty.

    It is the one that has waited longest without a complete request. But while others are being answered, up to
    `NEWCOMERS` clients without a request are spared, because they may have just connected. Then the oldest response is
    given up.
    """
    silent = [one for one in clients if not one.answering]
    answering = [one for one in clients if one.answering]
    return min(silent if len(silent) > NEWCOMERS or not answering else answering, key=lambda one: one.since)


class Connection:
    """One client. Only its own thread reads and writes; other threads deliver its page, or shut it down."""

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
        """Return whether the client is still there: not shut down and not gone."""
        try:
            return not self._gone and not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError:
            return False

    def take(self, page: Page) -> None:
        """Deliver the page to the waiting thread."""
        self._page = page
        self._woken.set()

    def drop(self) -> None:
        """Shut the connection down."""
        self.shut_down()

    def shut_down(self) -> None:
        """Shut the connection down. Its thread wakes up with an end of file, an error or no page."""
        self._gone = True
        self._woken.set()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def take_leave(self) -> None:
        """Read the rest of the input, then close: closing with unread input would reset the connection.

        A reset would lose the last response.
        """
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
        """Return the next request, or None if the client closes before it is complete."""
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
            if page is not None:  # None after a shutdown
                self.deadline = time.monotonic() + REQUEST_TIMEOUT
                self._answer(received, application.respond(request, page))
        finally:
            renderings.leave(self)

    def _answer(self, received: Received, response: Response) -> None:
        self._send(response, received.connection, received.line)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a malformed request."""
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
        """Serve a new client in its own thread."""
        client.settimeout(max(REQUEST_TIMEOUT, IDLE_TIMEOUT))  # a socket from accept() may or may not block
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
        """Shut down connections whose time is up."""
        now = time.monotonic()
        for connection in list(self._open):
            if connection.deadline <= now:
                connection.shut_down()

    def shut_down(self, grace: float) -> None:
        """Shut down all connections: those with a response in progress within `grace` seconds, the others at once."""
        for connection in list(self._open):
            if not connection.answering:
                connection.shut_down()
        self._await_end(grace)
        for connection in list(self._open):
            connection.shut_down()
        self._await_end(grace)

    def close_inherited(self) -> None:
        """Close the descriptors inherited by a forked child. The parent keeps the connections."""
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
        except Exception as error:  # noqa: BLE001 -- an error here is the client's fault
            log("%s: %r", connection.address, error)
        finally:
            connection.take_leave()
            self._open.pop(connection, None)
