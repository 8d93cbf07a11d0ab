"""The HTTP connections of clients: how many there may be, how long each may take, and what it is told.

No client is trusted. One that sends nothing, or a byte now and then, or takes its answer as slowly, loses its
connection when its time is up; and when there are too many, the one that has waited longest makes room for a new one.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, List, Optional
from urllib.parse import urlsplit

from tapes.reporting.reporter import LOGGER_NAME

MAX_CONNECTIONS = 32
"""How many connections there may be at a time."""

REQUEST_TIMEOUT = 10.0
"""Seconds from the first byte of a request, or from the connection, to the last byte of the answer."""

IDLE_TIMEOUT = 60.0
"""Seconds that a connection is kept for a further request."""

_FAREWELL = 1.0  # seconds for a client to read why its connection is closed

Page = Callable[[bool], "tuple[str, Optional[bytes]]"]
"""Given whether it is asked for by GET, the media type and the content of the page; None if there is none to be had."""


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
        self.deadline = time.monotonic() + _FAREWELL
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(_FAREWELL)
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

    def __init__(self, page: Page, thread_name: str) -> None:
        self._page = page
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
            waiting: List[Connection] = [one for one in list(self._open) if not one.answering] or list(self._open)
            if waiting:
                longest = min(waiting, key=lambda connection: connection.deadline)
                longest.shut_down()
                self._open.pop(longest, None)

    def _await_end(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._open and time.monotonic() < deadline:
            time.sleep(0.005)

    def _serve(self, connection: Connection) -> None:
        try:
            _Handler(connection, self._page)
        except Exception as error:  # noqa: BLE001 -- whatever a client does, it is the client's fault
            _log("%s: %r", connection.address, error)
        finally:
            connection.take_leave()
            self._open.pop(connection, None)


class _Handler(BaseHTTPRequestHandler):
    """Reads the requests of one connection and answers them, all of it in the constructor."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that even the worst request is answered with a status line
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, connection: Connection, page: Page) -> None:
        self._client = connection
        self._page = page
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

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """Called by http.server when a request is wrong; what it has to say repeats what the client has sent."""
        self.close_connection = True
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:  # how http.server calls methods that it finds no function for
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._send_status(status)

    def version_string(self) -> str:
        return "tapes"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as it is called in http.server
        _log("%s: " + format, self.client_address, *args)

    def _answer(self) -> None:
        self._client.answering = True
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # the body is not read, and must not be taken for the next request
        if self._path() != "/":
            self._send_status(HTTPStatus.NOT_FOUND)
            return
        media_type, body = self._page(self.command == "GET")
        if body is None:
            self._send_status(HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self._send(HTTPStatus.OK, media_type, body)

    def _path(self) -> str:
        if self.path.startswith("/"):
            return self.path.partition("?")[0]
        try:
            return urlsplit(self.path).path or "/"  # the absolute form, as it is sent to proxies
        except ValueError:
            return ""

    def _send_status(self, status: HTTPStatus) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{status.value} {status.phrase}\n".encode("ascii"))

    def _send(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


def _log(message: str, *args: object) -> None:
    logging.getLogger(LOGGER_NAME).debug(message, *args)
