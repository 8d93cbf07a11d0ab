"""What clients cost: damaged, half, slow, hostile and very many requests, and how many pages are made for them."""

from __future__ import annotations

import json
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator

import pytest

from tapes.errors import ReporterOptionError
from tapes.pages import connections
from tapes.pages.connections import MAX_CONNECTIONS
from tapes.pages.reporter import PageReporter
from tests.conftest import PATIENCE, Until
from tests.pages.serving import (
    GET,
    LAST,
    PAGE,
    Connect,
    FaultyRegistry,
    MakeReporter,
    answering,
    ask,
    clients_of,
    everything,
    exchange,
    fetch,
)


class Gate:
    """A gauge that holds up each page until it may pass."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)
        self.reached = 0

    def __call__(self) -> int:
        """Wait."""
        self.reached += 1
        self._permits.acquire(timeout=60)
        return 1

    def open(self, pages: int = 1000) -> None:
        """Let so many pages pass."""
        for _ in range(pages):
            self._permits.release()


@pytest.fixture
def gate(registry: FaultyRegistry) -> Iterator[Gate]:
    """Hold up all pages, and let them pass in the end."""
    gate = Gate()
    registry.gauge("gate", gate)
    yield gate
    gate.open()


def reset(client: socket.socket) -> None:
    """Close a connection so that the other side is told at once."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize(
    "half",
    [b"GET", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", GET[:-2], GET[:-1], GET[:-4] + b"\r\nX: "],
)
def test_half_a_request_makes_no_page(reporter: PageReporter, registry: FaultyRegistry, half: bytes) -> None:
    """A client that ends before its request is complete gets no answer."""
    assert exchange(reporter.port, half) == b""
    assert registry.snapshots == 0


def test_clients_that_are_turned_out_make_no_page(
    reporter: PageReporter, registry: FaultyRegistry, connect: Connect, until: Until
) -> None:
    """Clients that lose their places in the middle of a request cost no page."""
    for _ in range(MAX_CONNECTIONS * 4):
        connect().sendall(GET[:-2])

    until(lambda: clients_of(reporter) == MAX_CONNECTIONS)
    assert fetch(reporter.port) == 200
    assert registry.snapshots == 1


def test_a_page_is_made_once_for_all_who_ask_at_the_same_moment(
    reporter: PageReporter, registry: FaultyRegistry, gate: Gate, connect: Connect, until: Until
) -> None:
    """Who asks while a page is made waits for the next one, all of them for the same, as of after they have asked."""
    clients = [connect() for _ in range(20)]
    clients[0].sendall(LAST)
    until(lambda: gate.reached)
    for client in clients[1:]:
        client.sendall(LAST)
    until(lambda: answering(reporter) == 20)
    registry.counter("orders").increment()

    gate.open()
    pages = [everything(client) for client in clients]

    orders = [json.loads(page.partition(b"\r\n\r\n")[2])["orders"]["value"] for page in pages]
    assert orders[1:] == [4] * 19
    assert (registry.snapshots, reporter.reports) == (2, 2)


def test_twenty_scrapes_of_many_timers_complete(
    reporter: PageReporter, registry: FaultyRegistry, gate: Gate, until: Until
) -> None:
    """Twenty clients that scrape a large page at once all get it whole, at the cost of two."""
    for number in range(5000):
        registry.timer(f"shop.part{number % 100}.timer{number}").update(number)

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, reporter.port, "GET", "/") for _ in range(20)]
        until(lambda: answering(reporter) == 20)
        gate.open()
        answers = [answer.result() for answer in asked]

    assert [len(body) - int(headers["Content-Length"]) for _, headers, body in answers] == [0] * 20
    assert all(json.loads(body)["shop"]["part0"]["timer0"]["count"] == 1 for _, _, body in answers)
    assert registry.snapshots <= 2


def test_no_page_is_made_for_clients_that_have_gone(
    reporter: PageReporter, registry: FaultyRegistry, gate: Gate, connect: Connect, until: Until
) -> None:
    """Of clients that reset their connection while another page is made nothing is left, and no page was made."""
    connect().sendall(GET)
    until(lambda: gate.reached)
    leaving = [connect() for _ in range(10)]
    for client in leaving:
        client.sendall(GET)
    until(lambda: answering(reporter) == 11)
    for client in leaving:
        reset(client)

    gate.open()
    until(lambda: not answering(reporter))

    assert registry.snapshots == 1
    until(lambda: clients_of(reporter) == 1)


def test_no_page_is_made_for_clients_that_were_turned_out(
    reporter: PageReporter, registry: FaultyRegistry, gate: Gate, connect: Connect, until: Until
) -> None:
    """However many clients ask while a page is made, it and one more are made."""
    connect().sendall(GET)
    until(lambda: gate.reached)
    for _ in range(MAX_CONNECTIONS * 3):
        connect().sendall(GET)
    assert ask(reporter.port, "GET", "/x")[0] == 404  # so all who came before have been let in

    gate.open()
    until(lambda: not answering(reporter))

    assert registry.snapshots <= 2
    assert fetch(reporter.port) == 200


def test_who_comes_while_all_are_being_answered_is_answered(
    reporter: PageReporter, gate: Gate, connect: Connect, until: Until
) -> None:
    """Clients that wait for a page, however many, do not keep a newcomer from being heard."""
    for _ in range(MAX_CONNECTIONS * 2):
        connect().sendall(GET)
    until(lambda: answering(reporter) > MAX_CONNECTIONS / 2)
    newcomer = connect()
    for _ in range(4):
        connect().sendall(GET)

    newcomer.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert newcomer.recv(12) == b"HTTP/1.1 404"


def test_who_sends_many_requests_ahead_goes_before_who_sends_one(
    reporter: PageReporter, gate: Gate, connect: Connect, until: Until
) -> None:
    """A client that has been answered already does not outlast one that came later and still waits."""
    greedy, modest = connect(), connect()
    greedy.sendall(GET * 2)
    until(lambda: gate.reached == 1)
    modest.sendall(GET)
    until(lambda: answering(reporter) == 2)
    gate.open(1)
    until(lambda: gate.reached == 2)
    assert greedy.recv(12) == b"HTTP/1.1 200"

    for number in range(MAX_CONNECTIONS - 1):
        connect().sendall(GET)
        until(lambda: answering(reporter) >= min(number + 3, MAX_CONNECTIONS))  # noqa: B023 -- it is not kept

    assert b"HTTP/1.1" not in everything(greedy)
    gate.open()
    assert modest.recv(12) == b"HTTP/1.1 200"


def test_pages_that_are_taken_slowly_are_not_kept_without_end(
    reporter: PageReporter, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When large pages wait to be taken by slow clients, those with the oldest go before another is made."""
    large: Any = type("Large", (), {"media_type": "text/plain", "encode": lambda self, snapshot: b"x" * 20_000_000})()
    monkeypatch.setattr(reporter, "_format", large)
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", PATIENCE)
    slow = []
    for _ in range(6):
        slow.append(connect())
        slow[-1].sendall(GET)
        assert slow[-1].recv(15) == b"HTTP/1.1 200 OK"

    for client in slow:
        client.sendall(LAST.replace(b"/ ", b"/x ", 1))
    with ThreadPoolExecutor(len(slow)) as pool:
        taken = [len(received) > 20_000_000 for received in pool.map(everything, slow)]

    assert taken == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("headers", "kept"),
    [(b"Connection: Keep-Alive\r\n", True), (b"Connection: keep-alive, close\r\n", False), (b"", False)],
)
@pytest.mark.parametrize("target", [b"/", b"/x"])
def test_http_1_0_is_told_whether_its_connection_is_kept(
    reporter: PageReporter, connect: Connect, headers: bytes, kept: bool, target: bytes
) -> None:
    """A client of HTTP/1.0 that wishes to keep its connection is told that it is kept, or sees it closed."""
    client = connect()
    client.sendall(b"GET %s HTTP/1.0\r\n%s\r\n" % (target, headers))
    file = client.makefile("rb")

    head = list(iter(file.readline, b"\r\n"))
    file.read(next(int(line.split()[1]) for line in head if line.startswith(b"Content-Length")))

    assert (b"connection: keep-alive\r\n" in [line.lower() for line in head]) == kept
    if kept:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert file.read().endswith(PAGE)
    else:
        assert file.read() == b""


def test_no_wish_is_needed_from_http_1_1_on(reporter: PageReporter) -> None:
    """A connection of HTTP/1.1 is kept without a word in the answer, and closed for those who wish."""
    answers = exchange(reporter.port, GET + LAST + GET, ends=False)

    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.count(b"Connection:") == answers.count(b"Connection: close\r\n") == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("localhost.", 200),
        ("127.0.0.1:8889", 200),
        ("192.0.2.1", 200),
        ("[::1]:8889", 200),
        ("", 200),
        ("metrics.example.org", 200),
        ("Metrics.Example.ORG.:8889", 200),
        ("rebound.example.org", 403),
        ("localhost.example.org", 403),
        ("127.0.0.1.example.org", 403),
        ("org", 403),
    ],
)
def test_browsers_that_were_led_here_by_a_name_are_refused(
    make: MakeReporter, registry: FaultyRegistry, host: str, status: int
) -> None:
    """On loopback the page is that of addresses, of localhost and of names that are allowed, and of no others."""
    with make(0, registry, allowed_hosts=["metrics.example.org"]) as reporter:
        answered = ask(reporter.port, "GET", "/", Host=host)

    assert answered[0] == status
    assert registry.snapshots == (status == 200)
    assert status == 200 or b"allowed_hosts" in answered[2]


def test_any_name_is_allowed_where_others_are_reached(make: MakeReporter, registry: FaultyRegistry) -> None:
    """At an address that other machines reach it is not known by which names they do."""
    with make(0, registry, "0.0.0.0") as reporter:
        assert ask(reporter.port, "GET", "/", Host="metrics.example.org")[0] == 200


@pytest.mark.parametrize("hosts", ["metrics.example.org", [""], [7], None])
def test_allowed_hosts_are_a_list_of_names(make: MakeReporter, hosts: Any) -> None:
    """Anything else is an option that cannot be."""
    with pytest.raises(ReporterOptionError, match="allowed_hosts"):
        make(0, allowed_hosts=hosts)
