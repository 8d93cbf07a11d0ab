"""One client of a server on a loop: what it asks, what it is answered, and how long it may take."""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Optional

from tornado.ioloop import IOLoop

from tapes.reporting import connections
from tapes.reporting.exchange import Exchange, log

if TYPE_CHECKING:
    import asyncio

    from tapes.reporting.page import Page

_PIECE = 65536  # bytes that are read at once
_DRAINED = 64  # pieces that are read and thrown away before a connection is closed all the same


class Client:
    """A connection, driven by the events of its socket. All methods are called on the thread of the loop.

    It is either read from, or answered, or taken leave of. While it is answered nothing is read, so that a client
    that does not take its answers cannot ask for more.
    """

    def __init__(
        self,
        loop: IOLoop,
        client: socket.socket,
        address: Any,
        fetch: Callable[[bool], asyncio.Future[Page]],
        closed: Callable[[Client], None],
    ) -> None:
        """Serve `client` on `loop`: `fetch` the page, given whether it is counted, and call `closed` in the end."""
        self._loop = loop
        self._socket = client
        self._address = address
        self._fetch = fetch
        self._closed = closed
        self._received = bytearray()
        self._ended = False  # the client sends no more
        self._begun = False  # a request has begun to come in
        self._unsent = memoryview(b"")
        self._last = False  # no request is read after this answer
        self._leaving = 0  # how many pieces have yet to be read before it is closed
        self._page: Optional[asyncio.Future[Page]] = None
        self.answering = False
        """Whether it waits for an answer that is under way."""
        self.deadline = time.monotonic() + connections.REQUEST_TIMEOUT
        """When its time is up."""
        client.setblocking(False)
        with suppress(OSError):  # not that of a Unix socket
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add_handler(client, self._ready, IOLoop.READ)

    def leave(self) -> None:
        """Read no further request: close when the answer that is under way has been taken, and now if there is none."""
        self._last = True
        if not self.answering:
            self.close()

    def close(self) -> None:
        """Close at once. Doing it again does nothing."""
        if self._socket.fileno() < 0:
            return
        with suppress(RuntimeError):  # the loop has been closed, and everything on it with it
            self._loop.remove_handler(self._socket)
            if self._page is not None:
                self._page.cancel()
        self._socket.close()
        self._closed(self)

    def close_inherited(self) -> None:
        """Close the descriptor in a forked child, whose loop shares with the parent what it waits for."""
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

    def _receive(self) -> None:
        data = self._socket.recv(_PIECE)
        self._ended = not data
        self._received += data
        if self._ended or b"\n" in data or len(self._received) > _PIECE:
            self._read()
        elif not self._begun:
            self._begin()

    def _begin(self) -> None:
        self._begun = True
        self.deadline = time.monotonic() + connections.REQUEST_TIMEOUT

    def _read(self) -> None:
        """Answer the first request of what has been received, if it is complete."""
        if not self._received:
            if self._ended:
                self.close()
            return
        if not self._begun:
            self._begin()
        received = _Received(self._received, ended=self._ended)
        try:
            exchange = _Exchange(received, self._address)
        except _IncompleteError:
            return
        del self._received[: received.tell()]
        self.answering = True
        self._loop.update_handler(self._socket, 0)
        if exchange.fetching:
            self._page = self._fetch(exchange.command == "GET")
            self._page.add_done_callback(lambda page: self._answer(exchange, page))
        else:
            self._answer(exchange, None)

    def _answer(self, exchange: _Exchange, page: Optional[asyncio.Future[Page]]) -> None:
        if self._socket.fileno() < 0:
            return
        self._page = None
        try:
            if page is not None:
                exchange.answer_with(page.result())
            self._last = self._last or exchange.close_connection
            self._unsent = exchange.wfile.getbuffer()
            self._send()
        except BlockingIOError:
            self._loop.update_handler(self._socket, IOLoop.WRITE)
        except Exception as error:  # noqa: BLE001 -- the client has gone
            log("%s: %r", self._address, error)
            self.close()

    def _send(self) -> None:
        if self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        if self._unsent:
            self._loop.update_handler(self._socket, IOLoop.WRITE)
            return
        self._unsent = memoryview(b"")
        self.answering = self._begun = False
        if self._last:
            self._take_leave()
            return
        self.deadline = time.monotonic() + connections.IDLE_TIMEOUT
        self._loop.update_handler(self._socket, IOLoop.READ)
        if self._received or self._ended:
            self._loop.add_callback(self._go_on)  # others come first

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0 and not (self.answering or self._leaving):
            self._read()

    def _take_leave(self) -> None:
        """Close. Closed with unread input, a connection is reset, and the client may not get to see its last answer."""
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


class _IncompleteError(Exception):
    """There is more to come before a request can be answered."""


class _Received(io.BytesIO):
    """What a client has sent until now, read as the connection would be."""

    def __init__(self, received: bytearray, *, ended: bool) -> None:
        super().__init__(received)
        self._ended = ended

    def readline(self, size: Optional[int] = -1) -> bytes:
        limit = -1 if size is None else size
        line = super().readline(limit)
        if line.endswith(b"\n") or self._ended or len(line) == limit:
            return line
        raise _IncompleteError


class _Exchange(Exchange):
    """Reads one request from what has been received, all of it in the constructor, and writes the answer to memory."""

    wfile: io.BytesIO

    def __init__(self, received: _Received, address: Any) -> None:
        # Not the constructor of the base class: that one reads from a socket, and waits.
        self.client_address = address
        self.rfile = received
        self.wfile = io.BytesIO()
        self.close_connection = True
        self.fetching = False
        self.handle_one_request()

    def fetch(self) -> None:
        self.fetching = True
