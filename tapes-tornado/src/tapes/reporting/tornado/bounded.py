"""Tornado's HTTP server, with bounds on the number of its clients and on the time that an answer takes."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Dict

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from tapes.pages import connections
from tapes.pages.connections import MAX_CONNECTIONS, first_to_go
from tapes.pages.parser import MAX_HEAD, log_answer, path_and_query
from tapes.reporting.tornado.handler import PageHandler

if TYPE_CHECKING:
    from tornado.httputil import HTTPConnection, HTTPMessageDelegate
    from tornado.iostream import IOStream

    from tapes.pages.application import Application as Pages
    from tapes.pages.message import Response

MAX_BODY = 65536
"""The most bytes of the body of a request. It is read, and left aside."""

MAX_BUFFER = 4 * 65536
"""The most bytes of requests that are kept for a client."""


class Client:
    """One connection. Tornado closes it if a request takes too long to arrive, `Server` if an answer does to leave."""

    def __init__(self, stream: IOStream) -> None:
        self.stream = stream
        self.since = time.monotonic()
        """When it connected or became idle, or when its first request after that came."""
        self.deadline = math.inf
        """When the current answer must have been taken."""
        self.begun = False
        """Whether an answer is being made or written."""
        self.idle = False
        """Whether no request is there. Between requests that are sent ahead a client is not idle, and keeps its age."""

    @property
    def answering(self) -> bool:
        """Whether an answer is being made or sent."""
        return self.begun or self.stream.writing()

    def look(self) -> None:
        """Note if no request is there."""
        if self.stream.reading():
            self.idle = True
            self.since = time.monotonic()

    def close(self) -> None:
        """Close the connection, also if the loop has been closed."""
        with suppress(RuntimeError):  # the loop was closed, with everything on it
            self.stream.close()
        self.close_inherited()

    def close_inherited(self) -> None:
        """Close the descriptor without a word to the loop."""
        if self.stream.socket is not None:
            self.stream.socket.close()


class BoundedServer(HTTPServer):
    """Serves pages to at most `MAX_CONNECTIONS` clients. Call it on the thread of the loop.

    It accepts nobody: give each new client to `handle_stream()`.
    """

    def initialize(self, pages: Pages) -> None:  # type: ignore[override]
        """Serve `pages`. The constructor takes the same."""
        self.clients: Dict[IOStream, Client] = {}
        self.stopping = False
        """True if no further requests are read."""
        options = {"pages": pages, "clients": self.clients}
        super().initialize(
            Application([(r"(?s:.*)", _Handler, options)], log_function=_log),
            idle_connection_timeout=connections.REQUEST_TIMEOUT,
            body_timeout=connections.REQUEST_TIMEOUT,
            max_header_size=MAX_HEAD,
            max_body_size=MAX_BODY,
        )

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a new client. If there are too many, the one that has waited longest has to go."""
        while len(self.clients) >= MAX_CONNECTIONS:
            going = first_to_go(list(self.clients.values()))
            del self.clients[going.stream]
            going.close()
        self.clients[stream] = Client(stream)
        super().handle_stream(stream, address)

    def start_request(self, server_conn: Any, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Read the next request of a client."""
        client = self.clients.get(server_conn.stream)
        if client is not None:
            client.stream.io_loop.add_callback(client.look)
        if self.stopping:
            server_conn.stream.close()
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: Any) -> None:
        """Forget a client that has left, or whose loop ends."""
        super().on_close(server_conn)
        server_conn.stream.close()
        self.clients.pop(server_conn.stream, None)

    def close_clients(self) -> None:
        """Close all connections, also in place of a loop that has been closed."""
        for client in list(self.clients.values()):
            client.close()
        self.clients.clear()


class _Handler(PageHandler):
    """Answers one request at our own port."""

    def initialize(self, pages: Pages, clients: Dict[IOStream, Client]) -> None:  # type: ignore[override]
        super().initialize(pages)
        stream = self.request.connection.stream  # type: ignore[union-attr]  # HTTP1Connection has it
        self._client = clients.get(stream) or Client(stream)

    def prepare(self) -> None:
        client, now = self._client, time.monotonic()
        client.since = now if client.idle else client.since
        client.begun, client.idle = True, False
        client.deadline = now + connections.PAGE_TIMEOUT

    def on_finish(self) -> None:
        self._client.begun = False

    def _path(self) -> str:
        return path_and_query(str(self.request.uri))[0]

    def _begin(self, response: Response) -> None:
        self._client.deadline = time.monotonic() + connections.REQUEST_TIMEOUT
        super()._begin(response)

    async def _answer(self) -> None:
        try:
            await super()._answer()
        except asyncio.CancelledError:  # the loop ends
            self._client.close()


def _log(handler: RequestHandler) -> None:
    request = handler.request
    log_answer(request.remote_ip, HTTPStatus(handler.get_status()), f"{request.method} {request.uri} {request.version}")
