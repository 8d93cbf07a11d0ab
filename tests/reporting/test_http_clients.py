"""Clients that mean no good, or are in no hurry: they hold nobody up."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from typing import Any, Callable, Iterator, List

import pytest

from tapes.registry import Registry
from tapes.reporting import connections
from tapes.reporting.http import HTTPReporter

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def reporter() -> Iterator[HTTPReporter]:
    """Serve a registry with one counter."""
    registry = Registry()
    registry.counter("orders").increment(3)
    with HTTPReporter(0, registry) as reporter:
        yield reporter


@pytest.fixture
def connect(reporter: HTTPReporter) -> Iterator[Callable[[], socket.socket]]:
    """Connect to it, as often as a test likes."""
    clients: List[socket.socket] = []

    def connect() -> socket.socket:
        client = socket.create_connection(("127.0.0.1", reporter.port), 30)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


def fetch(reporter: HTTPReporter) -> int:
    """Fetch the page as a good client does."""
    connection = http.client.HTTPConnection("127.0.0.1", reporter.port, timeout=30)
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


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


def test_clients_that_stall_keep_nobody_waiting(reporter: HTTPReporter, connect: Callable[[], socket.socket]) -> None:
    """However many clients send nothing, or half a request, others are served."""
    for number in range(connections.MAX_CONNECTIONS * 3):
        client = connect()
        if number % 2:
            client.sendall(b"GET / HTTP/1.1\r\nHost: ")

    assert [fetch(reporter) for _ in range(3)] == [200, 200, 200]


def test_there_are_no_more_threads_than_connections_allowed(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], until: Until
) -> None:
    """Clients beyond the limit take the places of those that have waited longest."""
    clients = [connect() for _ in range(connections.MAX_CONNECTIONS + 10)]

    def serving() -> int:
        return sum(thread.name == "tapes-HTTPReporter-connection" for thread in threading.enumerate())

    until(lambda: serving() == connections.MAX_CONNECTIONS)
    assert [everything(client) for client in clients[:5]] == [b""] * 5
    clients[-1].sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert clients[-1].recv(15) == b"HTTP/1.1 200 OK"


def test_a_client_that_is_being_answered_keeps_its_place(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], until: Until
) -> None:
    """A client whose page is being made is not the one that has to go for a new one."""
    release, waiting = threading.Event(), threading.Event()

    def slow() -> int:
        waiting.set()
        release.wait(30)
        return 1

    reporter.registry.gauge("slow", slow)
    answered = connect()
    answered.sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(waiting.is_set)

    others = [connect() for _ in range(connections.MAX_CONNECTIONS * 2)]
    assert everything(others[0]) == b""
    release.set()

    assert answered.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX-Slow: "])
def test_a_client_that_trickles_loses_its_connection(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """A request has one deadline as a whole: a byte now and then does not put it off."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.3)
    client = connect()
    client.sendall(start)

    def trickle() -> None:
        for _ in range(3000):
            client.sendall(b"x")
            time.sleep(0.01)

    with pytest.raises(ConnectionError):
        trickle()
    assert fetch(reporter) == 200


def test_a_client_that_does_not_read_its_answer_loses_its_connection(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """The deadline holds for the answer as well: a client that takes none of it is let go."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.3)
    huge: Any = type("Huge", (), {"media_type": "text/plain", "encode": lambda self, snapshot: b"x" * 50_000_000})()
    monkeypatch.setattr(reporter, "_format", huge)
    client = connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: reporter.reports)

    until(lambda: not len(reporter._connections))

    assert reporter.running


def test_an_idle_connection_is_closed_in_the_end(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is kept but not used is closed without a word when its time is up."""
    monkeypatch.setattr(connections, "IDLE_TIMEOUT", 0.3)
    client = connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")

    answer = everything(client)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"orders":{"value":3}}')


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x00\xff\x00\xff\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/banana\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1 and more words\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", b"400"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n", b"431"),
    ],
)
def test_garbage_is_answered_shortly_and_the_connection_closed(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], capfd: Any, request_: bytes, status: bytes
) -> None:
    """What is no request, or too large a one, gets a status and a line of plain text, and nothing is printed."""
    client = connect()
    client.sendall(request_)

    answer = client.makefile("rb").read()  # to an orderly end, and not to a reset, which may swallow it

    assert answer.split(b" ", 2)[1] == status
    assert b"Connection: close\r\n" in answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body.startswith(status + b" ")
    assert len(body) < 100
    assert b"text/plain" in head
    assert fetch(reporter) == 200
    assert capfd.readouterr() == ("", "")


def test_clients_that_go_away_leave_no_trace(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], capfd: Any, until: Until
) -> None:
    """Clients that close or reset in the middle cost nothing and are not written about."""
    for request in (b"", b"GET /", b"GET / HTTP/1.1\r\n\r\n" * 50):
        client = connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.sendall(request)
        client.close()

    until(lambda: not len(reporter._connections))

    assert fetch(reporter) == 200
    assert reporter.failures == 0
    assert capfd.readouterr() == ("", "")


def test_a_stop_does_not_wait_for_clients_that_stall(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], until: Until
) -> None:
    """stop() closes connections that are idle, stalled, or in the middle of an answer, and the port is free."""
    huge: Any = type("Huge", (), {"media_type": "text/plain", "encode": lambda self, snapshot: b"x" * 50_000_000})()
    clients = [connect() for _ in range(10)]
    clients[0].sendall(b"GET / HTTP/1.1\r\n")
    fetch(reporter)
    reporter._format = huge
    clients[1].sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: reporter.reports == 2)
    port, began = reporter.port, time.monotonic()

    reporter.stop(25)

    assert time.monotonic() - began < 20
    assert not reporter.running
    assert everything(clients[0]) == b""
    assert everything(clients[5]) == b""
    with HTTPReporter(port):
        pass


def test_a_page_that_hangs_does_not_hold_up_a_stop(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], until: Until
) -> None:
    """stop() ends although a gauge never answers, and the port is free."""
    release, waiting = threading.Event(), threading.Event()

    def hang() -> int:
        waiting.set()
        release.wait(120)
        return 1

    reporter.registry.gauge("hanging", hang)
    connect().sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(waiting.is_set)
    port = reporter.port

    reporter.stop(0.2)

    assert not reporter.running
    until(lambda: reporter._listener is None)
    with HTTPReporter(port):
        pass
    release.set()


def test_running_out_of_descriptors_is_survived(
    reporter: HTTPReporter, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """When no connection can be accepted, that is counted and logged, tried again, and not in a busy loop."""
    real = reporter._accept
    listener = reporter._listener
    assert listener is not None
    attempts: List[float] = []

    class Exhausted:
        def accept(self) -> Any:
            """Fail as the system does."""
            attempts.append(time.monotonic())
            raise OSError(24, "Too many open files")

    def accept(run: Any, sock: Any, open_: Any) -> None:
        real(run, Exhausted() if len(attempts) < 3 else sock, open_)  # type: ignore[arg-type]  # a listener that fails

    monkeypatch.setattr(reporter, "_accept", accept)

    assert fetch(reporter) == 200
    assert reporter.failures == 3
    assert attempts[-1] - attempts[0] > 0.1
