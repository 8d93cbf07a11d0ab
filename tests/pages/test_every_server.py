"""One suite for all that serve the page: damaged and hostile requests. What plain ones get, test_http.py says.

Four of them have a reader of requests that is not ours. Tornado's is as strict as ours, and says less; wsgiref and
uvicorn make of most damaged requests what they like. No harm comes of it either. What no server may take for a request
gets no page from any.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Callable, Iterator, List

import pytest

from tapes.pages.renderings import AT_ONCE
from tests.conftest import PATIENCE
from tests.pages.serving import EVERYTHING, GET, LAST, PAGE, Served, ask, connecting, exchange, served

OURS = (
    b"HTTP/1.1 400 Bad Request\r\nServer: tapes\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 16\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n400 Bad Request\n"
)

TORNADO = b"HTTP/1.1 400 Bad Request\r\n\r\n"

REFUSALS = {"HTTPReporter": OURS, "asgi": OURS, "TornadoHTTPReporter": TORNADO, "MetricsHandler": TORNADO}
"""The answers to a damaged request. Of a server that is not here they may be anything but a page."""

TOLERATED = (b"X: y\r\n folded: header\r\n", b"X: y\r\n\tfolded\r\n", b"GET / HTTP/1.1\r")
"""What Tornado, or an old one, can read in one way."""

SERVERS = (*EVERYTHING, "uvicorn")
"""What serves the page; the tests of a server that is not installed are skipped, or fail."""

TWO_LENGTHS = (
    b"Content-Length: 3\r\nContent-Length: 4\r\n",
    b"Content-Length: 3, 4\r\n",
    b"Content-Length: 0\r\nContent-Length: 34\r\n",
)
"""Where a request with them ends, nobody knows."""

NO_REQUESTS = (b"GET", b"GET / HTTP/1.1 more", b"GET / HTTP/1", b"GET / http/1.1", b"POST /")
"""Request lines that mean nothing in any version."""


@pytest.fixture(scope="module", params=SERVERS)
def everywhere(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Serve the page, in every way that there is, to all tests."""
    with served(request.param) as page:
        yield page


@pytest.fixture
def page(everywhere: Served) -> Served:
    """Count the pages that are made from now on."""
    everywhere.registry.snapshots = 0
    return everywhere


def assert_unharmed(page: Served, pages: int) -> None:
    """Check that no more pages were made than that, and that the next client gets what it asks for."""
    assert page.kind not in REFUSALS or page.registry.snapshots <= pages
    assert ask(page.port, "GET", "/")[::2] == (200, PAGE)


def assert_refused(page: Served, damaged: bytes, part: bytes, *, everywhere: bool) -> None:
    """Send a request with a damaged `part`, and another one: neither gets a page.

    Unless it is to get none `everywhere`, that is left to the servers without a refusal of their own.
    """
    answer = exchange(page.port, damaged + LAST, ends=REFUSALS.get(page.kind) != TORNADO)

    tolerated = part in TOLERATED and REFUSALS.get(page.kind) == TORNADO
    assert tolerated or answer == REFUSALS.get(page.kind, answer)
    assert not everywhere or PAGE not in answer
    assert page.kind != "wsgi" or answer.count(b"HTTP/1.") <= 1  # it reads no more than one request
    assert_unharmed(page, 2 if tolerated else 0)


@pytest.mark.parametrize(
    "headers",
    [
        *TWO_LENGTHS,
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: nonsense\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: 0x1\r\n",
        b"Content-Length: \r\n",
        b"Content-Length : 34\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding\t: chunked\r\n",
        b"X: y\r\n folded: header\r\n",
        b" folded: header\r\n",
        b"X: y\r\n\tfolded\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"X\x00Y: z\r\n",
        b"X: y\x00z\r\n",
        b"X: y\rContent-Length: 34\r\n",
        b"X: y\x0bz\r\n",
        b"X\xff: y\r\n",
        b"Host: localhost\r\n",
    ],
)
def test_a_damaged_request_is_400_and_the_last(page: Served, headers: bytes) -> None:
    """What two readers may understand in two ways gets one answer, the connection is closed, and no page is made."""
    # wsgiref has no use for lengths, as it closes the connection.
    everywhere = headers in TWO_LENGTHS and page.kind != "wsgi"
    assert_refused(page, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n", headers, everywhere=everywhere)


@pytest.mark.parametrize(
    "line",
    [
        *NO_REQUESTS,
        b"GET / HTTP/1.1.1",
        b"GET / HTTP/+1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET / HTTP/1.1\r",
        b"G(T / HTTP/1.1",
    ],
)
def test_a_damaged_request_line_is_400_and_the_last(page: Served, line: bytes) -> None:
    """So is a request line that is none."""
    assert_refused(page, line + b"\r\nHost: localhost\r\n\r\n", line, everywhere=line in NO_REQUESTS)


@pytest.mark.parametrize(
    "headers", [b"Content-Length: 0\r\nContent-Length: 0\r\n", b"X: \xff\xfe\ty\r\n", b"X:\r\n", b"X: a: b\r\n"]
)
def test_an_odd_request_is_answered(page: Served, headers: bytes) -> None:
    """What can be understood in one way only is no damage."""
    answer = exchange(page.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n" + LAST, ends=False)

    answered = 1 if page.kind == "wsgi" else 2  # wsgiref answers one
    assert answer.count(b" 200 OK\r\n") == answer.count(PAGE) == answered
    assert_unharmed(page, 2)


def test_blank_lines_before_a_request_are_left_out(page: Served) -> None:
    """Old clients send a blank line after what they have sent before."""
    answer = exchange(page.port, b"\r\n\n" + GET)

    assert answer.count(PAGE) == 1 if REFUSALS.get(page.kind) == OURS else answer.count(PAGE) <= 1
    assert_unharmed(page, 1)


def threads_that_make_pages() -> int:
    """Return how many threads there are that make pages, or are about to."""
    return sum(thread.name.startswith("tapes-") and thread.name.endswith("-page") for thread in threading.enumerate())


def stay_silent(client: socket.socket) -> None:
    """Send nothing."""


def stay_halfway(client: socket.socket) -> None:
    """Send half a request."""
    client.sendall(GET[:-2])


def read_nothing(client: socket.socket) -> None:
    """Ask for many pages, and take none."""
    client.sendall(GET * 20)


def reset(client: socket.socket) -> None:
    """Ask for a page, and close the connection so that the other side is told at once."""
    client.sendall(GET)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def end(client: socket.socket) -> None:
    """Ask for a page, and close the connection in an orderly way."""
    client.sendall(GET)
    client.close()


def send_garbage(client: socket.socket) -> None:
    """Send what is no request."""
    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")


def send_much(client: socket.socket) -> None:
    """Send more than any request has."""
    client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)


def ask_for_the_headers(client: socket.socket) -> None:
    """Ask with HEAD, and never read."""
    client.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)


HOSTILE: List[Callable[[socket.socket], None]] = [
    stay_silent,
    stay_halfway,
    read_nothing,
    reset,
    end,
    send_garbage,
    send_much,
    ask_for_the_headers,
]


@pytest.mark.parametrize("kind", SERVERS)
def test_hostile_clients_keep_nobody_from_the_page(kind: str) -> None:
    """Two hundred of every sort, and all who mean well get their page; few threads make pages, and none is left."""
    with served(kind) as page, connecting(page.port) as connect:
        most = 0
        for number in range(200):
            with suppress(OSError):  # it has been turned out
                HOSTILE[number % len(HOSTILE)](connect())
            if number % 40 == 0:
                assert ask(page.port, "GET", "/")[::2] == (200, PAGE)
            most = max(most, threads_that_make_pages())

        assert ask(page.port, "GET", "/")[::2] == (200, PAGE)
        assert most <= AT_ONCE + 1
        deadline = time.monotonic() + PATIENCE
        while threads_that_make_pages():
            assert time.monotonic() < deadline, "Pages are made although nobody asks."
            time.sleep(0.01)
