"""Clients that mean no good, or are in no hurry: they hold nobody up."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from typing import Any, Iterator, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.pages import connections
from tapes.pages.reporter import PageReporter
from tapes.reporting.http import HTTPReporter
from tapes.testing.contract.bench import Hanging
from tests.conftest import PATIENCE, RunScript, Until
from tests.pages.serving import (
    GET,
    LAST,
    PAGE,
    REPORTERS,
    Connect,
    FaultyRegistry,
    clients_of,
    everything,
    exchange,
    fetch,
    reporters,
)


@pytest.fixture
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client that is slow, for want of a processor, read why its connection is closed."""
    monkeypatch.setattr(connections, "FAREWELL", PATIENCE)


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the clients of a reporter that is made afterwards little time."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.5)
    monkeypatch.setattr(connections, "IDLE_TIMEOUT", 0.5)


@pytest.fixture(scope="module")
def both() -> Iterator[List[PageReporter]]:
    """Serve the same statistics in both ways, for all tests of this module."""
    with reporters(REPORTERS[0]) as make, reporters(REPORTERS[1]) as make_other:
        registry = FaultyRegistry()
        with make(0, registry) as reporter, make_other(0, registry) as other:
            yield [reporter, other]


def test_clients_that_stall_keep_nobody_waiting(reporter: PageReporter, connect: Connect) -> None:
    """However many clients send nothing, or half a request, others are served."""
    for number in range(connections.MAX_CONNECTIONS * 3):
        client = connect()
        if number % 2:
            client.sendall(b"GET / HTTP/1.1\r\nHost: ")

    assert [fetch(reporter.port) for _ in range(3)] == [200, 200, 200]


def test_there_are_no_more_connections_than_allowed(reporter: PageReporter, connect: Connect, until: Until) -> None:
    """Clients beyond the limit take the places of those that have waited longest."""
    clients = [connect() for _ in range(connections.MAX_CONNECTIONS + 10)]

    assert [everything(client) for client in clients[:10]] == [b""] * 10
    until(lambda: clients_of(reporter) == connections.MAX_CONNECTIONS)
    clients[-1].sendall(GET)
    assert clients[-1].recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("make", ["HTTPReporter"], indirect=True)
def test_there_are_no_more_threads_than_connections_allowed(
    reporter: PageReporter, connect: Connect, until: Until
) -> None:
    """Where connections have threads, clients beyond the limit get none besides."""
    clients = [connect() for _ in range(connections.MAX_CONNECTIONS + 10)]

    def serving() -> int:
        return sum(thread.name == "tapes-HTTPReporter-connection" for thread in threading.enumerate())

    until(lambda: serving() == connections.MAX_CONNECTIONS)
    assert everything(clients[0]) == b""


def test_a_client_that_is_being_answered_keeps_its_place(
    reporter: PageReporter, connect: Connect, until: Until
) -> None:
    """A client whose page is being made is not the one that has to go for a new one."""
    slow = Hanging(lambda: 1, 6)
    reporter.registry.gauge("slow", slow)
    answered = connect()
    answered.sendall(GET)
    until(slow.begun.is_set)

    others = [connect() for _ in range(connections.MAX_CONNECTIONS * 2)]
    assert everything(others[0]) == b""
    slow.release()

    assert answered.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX-Slow: "])
@pytest.mark.usefixtures("_in_a_hurry")
def test_a_client_that_trickles_loses_its_connection(reporter: PageReporter, connect: Connect, start: bytes) -> None:
    """A request has one deadline as a whole: a byte now and then does not put it off."""

    def trickle() -> None:
        client = connect()
        client.sendall(start)
        for _ in range(3000):
            client.sendall(b"x")
            time.sleep(0.01)

    with pytest.raises(ConnectionError):
        trickle()

    assert reporter.running


def test_a_client_that_does_not_read_its_answer_loses_its_connection(
    reporter: PageReporter, connect: Connect, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """The deadline holds for the answer as well: a client that takes none of it is let go."""

    def encode(_: object, snapshot: object) -> bytes:
        monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.3)  # the request has come in, in its own time
        return b"x" * 50_000_000

    monkeypatch.setattr(reporter, "_format", type("Huge", (), {"media_type": "text/plain", "encode": encode})())
    client = connect()
    client.sendall(GET)
    until(lambda: reporter.reports)

    until(lambda: not clients_of(reporter))

    assert reporter.running


@pytest.mark.usefixtures("_in_a_hurry")
def test_an_idle_connection_is_closed_in_the_end(reporter: PageReporter, connect: Connect) -> None:
    """A connection that is kept but not used is closed without a word when its time is up."""
    client = connect()
    client.sendall(GET)

    answer = everything(client)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(PAGE)


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
@pytest.mark.parametrize("make", ["HTTPReporter"], indirect=True)
@pytest.mark.usefixtures("_no_hurry")
def test_garbage_is_answered_shortly_and_the_connection_closed(
    reporter: PageReporter, connect: Connect, capfd: Any, request_: bytes, status: bytes
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
    assert fetch(reporter.port) == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "request_",
    [
        LAST,
        LAST.replace(b"\r\n", b"\n"),
        GET + LAST,
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /x HTTP/1.0\r\n\r\n",
        LAST.replace(b"1.1", b"1.9"),
        LAST.replace(b"/ ", b"/\xff ", 1),
        LAST.replace(b"/ ", b"//x ", 1),
        LAST.replace(b"/ ", b"?a ", 1),
        LAST.replace(b"/ ", b"http://localhost/?a ", 1),
        LAST.replace(b"GET", b"HEAD"),
        LAST.replace(b"GET /", b"OPTIONS *"),
        LAST.replace(b"GET", b"BREW"),
        LAST[:-2] + b"Content-Length: 0\r\n\r\n" + GET,
        LAST[:-2] + b"Content-Length: 4\r\n\r\nbody" + GET,
        LAST[:-2] + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" + GET,
    ],
)
@pytest.mark.usefixtures("_no_hurry")
def test_all_answer_the_same(both: List[PageReporter], request_: bytes) -> None:
    """However odd a request is, its answers do not depend on who serves, nor on the pieces in which it comes."""
    pieces = [request_[index : index + 1] for index in range(len(request_))]

    answers = [exchange(reporter.port, *sent, ends=False) for reporter in both for sent in ([request_], pieces)]

    assert answers[0].startswith(b"HTTP/1.1 ")
    assert len({re.sub(rb"\r\nConnection: [^\r]*", b"", answer, flags=re.IGNORECASE) for answer in answers}) == 1


@given(
    st.lists(
        st.sampled_from(
            [b"GET", b"HEAD", b"PUT", b" ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b":", b"Host: a"]
        )
        | st.binary(max_size=3),
        max_size=20,
    ).map(b"".join)
)
@pytest.mark.usefixtures("_no_hurry")
def test_anything_is_answered_or_not_but_harms_nobody(both: List[PageReporter], request_: bytes) -> None:
    """Whatever bytes a client sends, it gets answers or none, and the next client gets its page."""
    for reporter in both:
        answer = exchange(reporter.port, request_)

        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert fetch(reporter.port) == 200


@pytest.mark.parametrize("make", ["HTTPReporter"], indirect=True)
@pytest.mark.usefixtures("_no_hurry")
def test_a_client_that_is_still_sending_gets_its_answer(connect: Connect) -> None:
    """An answer that comes before the body has been sent is not lost in a reset of the connection."""
    client = connect()

    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)

    assert client.makefile("rb").read().startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


@pytest.mark.parametrize("make", ["HTTPReporter"], indirect=True)
def test_a_client_that_sends_no_more_gets_its_answers(reporter: PageReporter) -> None:
    """A client that ends its half of the connection after its requests still gets all the answers."""
    answer = exchange(reporter.port, GET * 3)

    assert answer.count(PAGE) == 3


def test_clients_that_go_away_leave_no_trace(
    reporter: PageReporter, connect: Connect, caplog: pytest.LogCaptureFixture, capfd: Any, until: Until
) -> None:
    """Clients that close or reset in the middle cost nothing and are not written about."""
    caplog.set_level(logging.INFO)
    for request in (b"", b"GET /", GET * 50):
        client = connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.sendall(request)
        client.close()

    until(lambda: not clients_of(reporter))

    assert fetch(reporter.port) == 200
    assert reporter.failures == 0
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_stop_does_not_wait_for_clients_that_stall(reporter: PageReporter, connect: Connect, until: Until) -> None:
    """stop() closes connections that are idle, stalled, or in the middle of an answer, and the port is free."""
    huge: Any = type("Huge", (), {"media_type": "text/plain", "encode": lambda self, snapshot: b"x" * 50_000_000})()
    clients = [connect() for _ in range(10)]
    clients[0].sendall(b"GET / HTTP/1.1\r\n")
    fetch(reporter.port)
    reporter._format = huge
    clients[1].sendall(GET)
    until(lambda: reporter.reports == 2)
    port, began = reporter.port, time.monotonic()

    reporter.stop(60)

    assert time.monotonic() - began < 30
    assert not reporter.running
    assert everything(clients[0]) == b""
    assert everything(clients[5]) == b""
    with HTTPReporter(port):
        pass


def test_a_page_that_hangs_does_not_hold_up_a_stop(reporter: PageReporter, connect: Connect, until: Until) -> None:
    """stop() ends although a gauge never answers, and the port is free."""
    hanging = Hanging(lambda: 1, 24)
    reporter.registry.gauge("hanging", hanging)
    connect().sendall(GET)
    until(hanging.begun.is_set)
    port = reporter.port

    reporter.stop(0.2)

    assert not reporter.running
    until(lambda: reporter._listener is None)
    with HTTPReporter(port):
        pass
    hanging.release()


OUT_OF_DESCRIPTORS = """
import asyncio, os, resource, socket, sys, threading, time
from tapes import Registry
from tornado.ioloop import IOLoop

def until(happened):
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.005)

async def run_for_ever():
    IOLoop.current()
    await asyncio.Event().wait()

if sys.argv[1] == "HTTPReporter":
    from tapes.reporting.http import HTTPReporter as Reporter
else:
    from tapes.reporting.tornado.http import TornadoHTTPReporter as Reporter
    threading.Thread(target=asyncio.run, args=(run_for_ever(),), daemon=True).start()

reporter = Reporter(0, Registry())
reporter.start()
client = socket.socket()
first = socket.create_connection(("127.0.0.1", reporter.port), 30)
first.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
assert first.recv(15) == b"HTTP/1.1 200 OK"
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
began = time.monotonic()
client.connect(("127.0.0.1", reporter.port))
client.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
until(lambda: reporter.failures >= 4)
took = time.monotonic() - began
assert took > 0.25, f"it has tried again and again within {took} s"
for descriptor in taken:
    os.close(descriptor)
assert client.recv(15) == b"HTTP/1.1 200 OK"
print(type(reporter.last_error).__name__, reporter.last_error.errno)
"""


@pytest.mark.parametrize("kind", REPORTERS)
def test_running_out_of_descriptors_is_survived(run_script: RunScript, kind: str) -> None:
    """When no connection can be accepted, that is counted and logged once, tried again, and not in a busy loop."""
    done = run_script(OUT_OF_DESCRIPTORS, kind)

    assert (done.returncode, done.stdout) == (0, "OSError 24\n")
    assert done.stderr.count(f"{kind}(127.0.0.1:") == 1
    assert "could not accept a connection." in done.stderr
    assert "Too many open files. Raise the limit of open files (ulimit -n), or open fewer." in done.stderr
    assert "Traceback" not in done.stderr
