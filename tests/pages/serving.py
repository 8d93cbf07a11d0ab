"""Everything that serves the page, for tests that hold for all of it, and what clients do."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from tapes import pages
from tapes.pages.connections import Waiting
from tapes.pages.reporter import PageReporter
from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter
from tapes.reporting.tornado.http import MetricsHandler, TornadoHTTPReporter
from tapes.reporting.tornado.loops import asyncio_loop
from tapes.snapshot import Snapshot
from tests.conftest import PATIENCE
from tests.pages.mounting import asgi_server, uvicorn_server, wsgi_server
from tests.tornado.conftest import LoopThread

PAGE = b'{"orders":{"value":3}}'
"""The page of a `FaultyRegistry` that is new."""

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

REPORTERS = ("HTTPReporter", "TornadoHTTPReporter")
"""What serves the page at a port of its own."""

EVERYTHING = (*REPORTERS, "MetricsHandler", "wsgi", "asgi")
"""What serves the page. `"uvicorn"` does too, where it is installed."""

MakeReporter = Callable[..., PageReporter]
"""Takes what `HTTPReporter` takes."""

Connect = Callable[[], socket.socket]
"""Makes a new connection each time."""


class FaultyRegistry(Registry):
    """A registry with a counter, of which no page can be made while there is a `fault`."""

    fault: Optional[BaseException] = None

    def __init__(self) -> None:
        super().__init__()
        self.counter("orders").increment(3)
        self.snapshots = 0
        """How many pages have been begun."""

    def snapshot(self) -> Snapshot:
        """Fail, or not."""
        self.snapshots += 1
        if self.fault is not None:
            raise self.fault
        return super().snapshot()


class Served(NamedTuple):
    """A page, and where it is."""

    kind: str
    registry: FaultyRegistry
    port: int


@contextmanager
def reporters(kind: str) -> Iterator[MakeReporter]:
    """Give the way to make reporters of that kind; those of Tornado are served by a loop in a thread."""
    if kind == "HTTPReporter":
        yield HTTPReporter
        return
    loop = LoopThread()
    try:
        yield partial(TornadoHTTPReporter, io_loop=loop.io_loop)
    finally:
        loop.close()


@contextmanager
def connecting(port: int) -> Iterator[Connect]:
    """Give the way to connect to a port of this machine, and close all connections in the end."""
    with ExitStack() as clients:
        yield lambda: clients.enter_context(socket.create_connection(("127.0.0.1", port), 30))


@contextmanager
def application(handlers: List[Any], **settings: Any) -> Iterator[Tuple[LoopThread, int]]:
    """Serve an ordinary application at a free port, with a loop in a thread. Give both."""
    loop = LoopThread()
    (listener,) = bind_sockets(0, "127.0.0.1")

    def begin() -> HTTPServer:
        server = HTTPServer(Application(handlers, **settings))
        server.add_sockets([listener])
        return server

    try:
        server: HTTPServer = loop.call(begin)
        try:
            yield loop, listener.getsockname()[1]
        finally:
            loop.call(server.stop)
            closing = asyncio.run_coroutine_threadsafe(server.close_all_connections(), asyncio_loop(loop.io_loop))
            closing.result(PATIENCE)
    finally:
        loop.close()


@contextmanager
def served(kind: str) -> Iterator[Served]:
    """Serve the page in that way."""
    registry = FaultyRegistry()
    if kind == "MetricsHandler":
        with application([("/", MetricsHandler, {"registry": registry})]) as (_, port):
            yield Served(kind, registry, port)
    elif kind == "wsgi":
        with wsgi_server(pages.wsgi(registry)) as port:
            yield Served(kind, registry, port)
    elif kind == "asgi":
        with asgi_server(pages.asgi(registry)) as port:
            yield Served(kind, registry, port)
    elif kind == "uvicorn":
        with uvicorn_server(pages.asgi(registry)) as port:
            yield Served(kind, registry, port)
    else:
        with reporters(kind) as make, make(0, registry) as reporter:
            yield Served(kind, registry, reporter.port)


def clients_of(reporter: PageReporter) -> int:
    """Return how many clients it has at the moment."""
    if isinstance(reporter, HTTPReporter):
        return len(reporter._connections)
    assert isinstance(reporter, TornadoHTTPReporter)
    return 0 if reporter._server is None else len(reporter._server.clients)


def answering(reporter: PageReporter) -> int:
    """Return how many of its clients have sent a request and wait for the answer."""
    clients: Iterable[Waiting] = ()
    if isinstance(reporter, HTTPReporter):
        clients = list(reporter._connections._open)
    elif isinstance(reporter, TornadoHTTPReporter) and reporter._server is not None:
        clients = reporter._server.clients
    return sum(client.answering for client in clients)


def ask(
    port: int, method: str, target: str, body: Any = None, host: str = "127.0.0.1", **headers: str
) -> Tuple[int, Dict[str, str], bytes]:
    """Send one request; return the status, the headers but for the date, and the body."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": "localhost", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return (
            response.status,
            {name: value for name, value in response.getheaders() if name != "Date"},
            response.read(),
        )
    finally:
        connection.close()


def fetch(port: int) -> int:
    """Fetch the page as a good client does, and return the status."""
    return ask(port, "GET", "/")[0]


def everything(client: socket.socket) -> bytes:
    """Read until the server closes the connection, in one way or another."""
    received = b""
    try:
        while True:
            data = client.recv(65536)
            if not data:
                return received
            received += data
    except ConnectionError:
        return received


def exchange(port: int, *pieces: bytes, ends: bool = True) -> bytes:
    """Send these bytes and no more, and return all that is answered, but for the date.

    If it `ends` it says that no more will come, which some servers take for the wish to get nothing either.
    """
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                client.sendall(piece)
            if ends:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has read enough
        return re.sub(rb"\r\nDate: [^\r]*", b"", everything(client))
