"""The HTTP connections of clients: how many there may be, how long each may take, and what it is told.

No client is trusted. One that sends nothing, or a byte now and then, or takes its answer as slowly, loses its
connection when its time is up; and when there are too many, the one that has waited longest makes room for a new one.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, Protocol, Sequence, TypeVar

from tapes.reporting.exchange import Exchange, log

if TYPE_CHECKING:
    from tapes.reporting.page import MakePage

MAX_CONNECTIONS = 32
"""How many connections there may be at a time."""

REQUEST_TIMEOUT = 10.0
"""Seconds from the first byte of a request, or from the connection, to the last byte of the answer."""

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
    deadline: float
    """When its time is up."""


AnyClient = TypeVar("AnyClient", bound=Waiting)


def first_to_go(clients: Sequence[AnyClient]) -> AnyClient:
    """Return who of these, at least one, makes room for a new client.

    That is who has waited longest; one that is getting an answer goes only if all are.
    """
    waiting = [one for one in clients if not one.answering] or clients
    return min(waiting, key=lambda one: one.deadline)


class Connection:
    """One client. Its thread is the only one that reads and writes; others only shut it down."""

    def __init__(self, client: socket.socket, address: Any) -> None:
        self.socket = client
        self.address = address
        self.deadline = time.monotonic() + REQUEST_TIMEOUT
        self.answering = False

    def shut_down(self) -> None:
        """Wake the thread that reads or writes: it gets an end of file or an error."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def take_leave(self) -> None:
        """Close. Closed with unread input, a connection is reset, and the client may not get to see its last answer."""
        self.deadline = time.monotonic() + FAREWELL
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(FAREWELL)
            for _ in range(64):
                if not self.socket.recv(65536):
                    break
        self.close()

    def close(self) -> None:
        """Close the descriptor. `socket.close()` would leave it open for as long as there are files made of it."""
        with suppress(OSError):
            socket.close(self.socket.detach())


class Connections:
    """All clients of one server. Every operation on the dictionary is atomic, so no lock is held over a fork."""

    def __init__(self, make_page: MakePage, thread_name: str) -> None:
        self._make_page = make_page
        self._thread_name = thread_name
        self._open: Dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, client: socket.socket, address: Any) -> None:
        """Serve a new client in a thread of its own."""
        client.settimeout(max(REQUEST_TIMEOUT, IDLE_TIMEOUT))  # what accept() returns may block or not
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
            _Exchange(connection, self._make_page)
        except Exception as error:  # noqa: BLE001 -- whatever a client does, it is the client's fault
            log("%s: %r", connection.address, error)
        finally:
            connection.take_leave()
            self._open.pop(connection, None)


class _Exchange(Exchange):
    """Reads the requests of one connection and answers them, all of it in the constructor."""

    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, connection: Connection, make_page: MakePage) -> None:
        self._client = connection
        self._make_page = make_page
        super().__init__(connection.socket, connection.address, None)  # type: ignore[arg-type]  # it has no such server

    def handle_one_request(self) -> None:
        try:
            if not self.rfile.peek(1):  # type: ignore[attr-defined]  # a BufferedReader
                self.close_connection = True
                return
            self._client.deadline = time.monotonic() + REQUEST_TIMEOUT
            super().handle_one_request()
            self.wfile.flush()
        finally:
            self._client.answering = False
            self._client.deadline = time.monotonic() + IDLE_TIMEOUT

    def answer(self) -> None:
        self._client.answering = True
        super().answer()

    def fetch(self) -> None:
        self.answer_with(self._make_page(self.command == "GET"))
