"""One client of a server on a loop: its requests, answers and deadlines."""

from __future__ import annotations

import socket
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Deque, Optional

from tornado.ioloop import IOLoop

from tapes.pages import connections
from tapes.pages.message import Response, refusal
from tapes.pages.parser import BadRequestError, Incoming, Received, log, log_answer, written

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.pages.message import Page, Wanted

_PIECE = 65536  # the most bytes in one read
_DRAINED = 64  # the most pieces read and dropped before a connection is closed


class Client:
    """A connection, driven by the events of its socket. Call methods on the loop, unless they say otherwise.

    It is either reading, or answering, or closing. While it answers it reads nothing, so a client that does not take
    its answers cannot ask for more.
    """

    def __init__(
        self,
        loop: IOLoop,
        client: socket.socket,
        address: Any,
        application: Application,
        closed: Callable[[Client], None],
    ) -> None:
        """Serve `application` to `client` on `loop`, and call `closed` at the end."""
        self._loop = loop
        self._socket = client
        self._address = address
        self._application = application
        self._renderings = application.renderings
        self._closed = closed
        self._incoming = Incoming()
        self._received: Optional[Received] = None  # the request that is being answered
        self._ended = False  # the client sends no more
        self._unsent: Deque[memoryview] = deque()
        self._last = False  # no request is read after this answer
        self._leaving = 0  # how many pieces have yet to be read before it is closed
        self.answering = False
        """Whether an answer is being made or sent."""
        self.since = time.monotonic()
        """When the client connected or became idle, or when the first request after that began to arrive."""
        self.deadline = self.since + connections.REQUEST_TIMEOUT
        """When it is closed, unless it gets on."""
        client.setblocking(False)
        with suppress(OSError):  # a Unix socket has no such option
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add_handler(client, self._ready, IOLoop.READ)

    def leave(self) -> None:
        """Read no further request. Close when the current answer is sent, or now if there is none."""
        self._last = True
        if not self.answering:
            self.close()

    def close(self) -> None:
        """Close at once. Does nothing the second time."""
        if self._socket.fileno() < 0:
            return
        with suppress(RuntimeError):  # the loop was closed, with everything on it
            self._loop.remove_handler(self._socket)
        self._socket.close()
        self._unsent.clear()
        self._renderings.leave(self)
        self._closed(self)

    def close_inherited(self) -> None:
        """Close only the descriptor, in a forked child: its loop shares the selector of the parent's."""
        self._socket.close()

    def _ready(self, fileobj: Any, events: int) -> None:
        try:
            if self._leaving:
                self._drain()
            elif self.answering:
                self._send()
            else:
                self._receive()
        except (BlockingIOError, InterruptedError):
            pass  # it was not ready
        except Exception as error:  # noqa: BLE001 -- whatever a client does, it is the client's fault
            log("%s: %r", self._address, error)
            self.close()

    def waits(self) -> bool:
        """Return whether the client is still connected. Thread-safe."""
        try:
            return not self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError:
            return False

    def take(self, page: Page) -> None:
        """Answer with `page`. Thread-safe."""
        self._loop.add_callback(self._take, page)

    def drop(self) -> None:
        """Close. Thread-safe."""
        self._loop.add_callback(self.close)

    def _receive(self) -> None:
        begun = bool(self._incoming)
        data = self._socket.recv(_PIECE)
        self._ended = not data
        if data and not begun:
            self.since = time.monotonic()
            self.deadline = self.since + connections.REQUEST_TIMEOUT
        self._incoming.feed(data)
        self._read()

    def _read(self) -> None:
        """Answer the next request, if it is complete."""
        try:
            received = self._received = self._incoming.next()
        except BadRequestError as error:
            self._last = True
            self._answer(refusal("", error.status), "close", "")
            return
        if received is None:
            if self._ended:
                self.close()
            return
        self._last = self._last or received.closes
        decided = self._application.decide(received.request)
        if isinstance(decided, Response):
            self._answer(decided, received.connection, received.line)
        else:
            self.deadline = time.monotonic() + connections.PAGE_TIMEOUT
            self._wait()
            self._ask(decided, received.request.method == "GET")

    def _wait(self) -> None:
        self.answering = True
        self._loop.update_handler(self._socket, 0)

    def _ask(self, wanted: Wanted, counted: bool) -> None:
        if self._socket.fileno() >= 0 and not self._renderings.ask(self, wanted, counted=counted):
            self._loop.call_later(connections.RETRY, self._ask, wanted, counted)

    def _take(self, page: Page) -> None:
        received = self._received
        if self._socket.fileno() >= 0 and received is not None:
            self.deadline = time.monotonic() + connections.REQUEST_TIMEOUT
            self._answer(self._application.respond(received.request, page), received.connection, received.line)

    def _answer(self, response: Response, connection: str, line: str) -> None:
        """Begin to send an answer; `line` is the request line, for the log."""
        log_answer(self._address, response.status, line)
        self._wait()
        self._unsent.extend(map(memoryview, written(response, connection)))
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 -- the client is gone
            log("%s: %r", self._address, error)
            self.close()

    def _send(self) -> None:
        while self._unsent:
            piece = self._unsent.popleft()
            try:
                sent = self._socket.send(piece)
            except BlockingIOError:
                sent = 0
            if sent < len(piece):
                self._unsent.appendleft(piece[sent:])
                self._loop.update_handler(self._socket, IOLoop.WRITE)
                return
        self._renderings.leave(self)
        self._received = None
        self.answering = False
        if self._last:
            self._take_leave()
            return
        now = time.monotonic()
        self.deadline = now + connections.IDLE_TIMEOUT
        if not self._incoming:
            self.since = now
        self._loop.update_handler(self._socket, IOLoop.READ)
        if self._incoming or self._ended:
            self._loop.add_callback(self._go_on)  # other clients first

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0 and not (self.answering or self._leaving):
            self._read()

    def _take_leave(self) -> None:
        """Read what is left, then close: closing with unread input would reset the connection and lose the answer."""
        if self._ended:
            self.close()
            return
        self.deadline = time.monotonic() + connections.FAREWELL
        self._leaving = _DRAINED
        self._socket.shutdown(socket.SHUT_WR)
        self._loop.update_handler(self._socket, IOLoop.READ)

    def _drain(self) -> None:
        self._leaving -= 1
        if not self._socket.recv(_PIECE) or not self._leaving:
            self.close()
