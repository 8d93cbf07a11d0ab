"""The page in an application of Tornado, whatever that application is like."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Dict, Iterator, List

import pytest
from tornado.web import RequestHandler

from tapes.registry import Registry
from tapes.reporting.tornado.http import MetricsHandler
from tapes.testing import isolated_registry
from tests.conftest import Until
from tests.pages.serving import PAGE, FaultyRegistry, application, ask

HEADERS = {
    "Server": "tapes",
    "Content-Type": "application/json",
    "Content-Length": "22",
    "Cache-Control": "no-store",
}
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def registry() -> FaultyRegistry:
    """Make a registry that holds one counter."""
    return FaultyRegistry()


class Blocked:
    """A gauge that blocks whoever reads it, until it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.reads = 0

    def __call__(self) -> int:
        """Block."""
        self.reads += 1
        self.release.wait(60)
        return 1


@pytest.fixture
def blocked(registry: FaultyRegistry) -> Iterator[Blocked]:
    """Make every page block, and release all in the end."""
    blocked = Blocked()
    registry.gauge("blocked", blocked)
    yield blocked
    blocked.release.set()


def records_of_tapes(caplog: pytest.LogCaptureFixture) -> List[str]:
    """Return what was logged but for the access log of the application."""
    return [f"{one.name} {one.levelname}" for one in caplog.records if one.name != "tornado.access"]


def test_it_shows_the_process_wide_registry_by_default() -> None:
    """Mounted without options it shows what tapes.timer() and the like have made."""
    with isolated_registry() as registry, application([("/metrics", MetricsHandler)]) as (_, port):
        registry.counter("handler.seen").increment(2)

        assert b'"handler":{"seen":{"value":2}}' in ask(port, "GET", "/metrics")[2]


def test_it_is_mounted_as_often_as_one_likes(registry: FaultyRegistry) -> None:
    """Each place shows its own registry."""
    other = Registry()
    other.counter("visits").increment()
    handlers: List[Any] = [
        ("/orders", MetricsHandler, {"registry": registry, "format": "json"}),
        ("/visits", MetricsHandler, {"registry": other}),
    ]

    with application(handlers) as (_, port):
        assert ask(port, "GET", "/orders") == (200, HEADERS, PAGE)
        assert ask(port, "GET", "/visits")[2] == b'{"visits":{"value":1}}'


@pytest.mark.parametrize(
    "settings",
    [
        {"xsrf_cookies": True, "cookie_secret": "secret"},
        {"debug": True, "autoreload": False},
        {"serve_traceback": True},
        {"default_handler_class": RequestHandler},
        {"login_url": "/login"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_no_setting_of_the_application_changes_the_answers(registry: FaultyRegistry, settings: Dict[str, Any]) -> None:
    """Neither a protection against forged requests nor a debug mode shows in the answers."""
    refused = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Content-Length": "23", "Allow": "GET, HEAD"}
    failed = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Content-Length": "26"}

    with application([("/metrics", MetricsHandler, {"registry": registry})], **settings) as (_, port):
        assert ask(port, "GET", "/metrics") == (200, HEADERS, PAGE)
        assert ask(port, "HEAD", "/metrics") == (200, HEADERS, b"")
        assert ask(port, "POST", "/metrics", b"a=1") == (405, refused, b"405 Method Not Allowed\n")
        registry.fault = OSError("no snapshot")
        assert ask(port, "GET", "/metrics") == (500, failed, b"500 Internal Server Error\n")


@pytest.mark.parametrize(("timers", "pieces"), [(30, "one"), (1000, "many")])
def test_an_application_may_compress_it(timers: int, pieces: str) -> None:
    """Compressed by the application a page is the same page; a long one in pieces, so that none holds the loop."""
    registry = Registry()
    for number in range(timers):
        registry.timer(f"timer{number}")
    handlers = [("/metrics", MetricsHandler, {"registry": registry})]

    with application(handlers, compress_response=True) as (_, port):
        status, headers, body = ask(port, "GET", "/metrics", Accept_Encoding="gzip")
        plain = ask(port, "GET", "/metrics")

    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == plain[2]
    assert headers.get("Transfer-Encoding") == {"one": None, "many": "chunked"}[pieces]
    assert "Content-Encoding" not in plain[1]


def test_a_handler_derived_from_it_may_add_what_it_likes(registry: FaultyRegistry) -> None:
    """Headers and an early refusal are added as in any other handler, and a refusal is a line of text too."""

    class Guarded(MetricsHandler):
        def set_default_headers(self) -> None:
            self.set_header("Server", "shop")

        def prepare(self) -> None:
            if "Authorization" not in self.request.headers:
                self.send_error(401)

    with application([("/metrics", Guarded, {"registry": registry})]) as (_, port):
        refused = ask(port, "GET", "/metrics")
        allowed = ask(port, "GET", "/metrics", Authorization="me")

    assert (refused[0], refused[1]["Server"], refused[2]) == (401, "shop", b"401 Unauthorized\n")
    assert allowed == (200, {**HEADERS, "Server": "shop"}, PAGE)


def test_an_unknown_format_is_500_and_logged_once(registry: FaultyRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """A format that is not installed is told by the log, with what is, and not by a traceback for each request."""
    with application([("/metrics", MetricsHandler, {"registry": registry, "format": "no-such"})]) as (_, port):
        statuses = [ask(port, "GET", "/metrics")[0] for _ in range(3)]

    assert statuses == [500] * 3
    assert records_of_tapes(caplog) == ["tapes.reporting WARNING"]
    assert "MetricsHandler(format='no-such') could not make its page" in caplog.text
    assert "UnknownPluginError" in caplog.text


def test_a_registry_that_is_none_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """An option of the wrong type is an error of the program, which Tornado logs as it logs all of them."""
    handlers = [("/metrics", MetricsHandler, {"registry": "the registry"})]
    with application(handlers) as (_, port), socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(REQUEST)

        assert client.recv(100) == b""

    assert "registry is a tapes.Registry, not 'the registry' (str)." in caplog.text


def test_a_producer_that_blocks_does_not_block_the_application(
    registry: FaultyRegistry, blocked: Blocked, until: Until
) -> None:
    """While a page waits for something, the application answers other requests."""

    class Hello(RequestHandler):
        def get(self) -> None:
            self.finish("hello")

    handlers: List[Any] = [("/metrics", MetricsHandler, {"registry": registry}), ("/", Hello)]
    before = set(threading.enumerate())
    with application(handlers) as (_, port), socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(REQUEST)
        until(lambda: blocked.reads == 1)

        assert ask(port, "GET", "/")[2] == b"hello"
        pages = [thread for thread in set(threading.enumerate()) - before if thread.name == "tapes-MetricsHandler-page"]
        assert [thread.daemon for thread in pages] == [True]


def test_a_page_is_made_for_none_who_have_left(
    registry: FaultyRegistry,
    blocked: Blocked,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    capfd: Any,
) -> None:
    """One page is made at a time, however many ask; none for clients that have gone, about whom nothing is logged."""
    caplog.set_level(logging.INFO)
    asked: List[object] = []
    left: List[object] = []

    class Watched(MetricsHandler):
        """Says who has asked, and who has left."""

        def prepare(self) -> None:
            asked.append(self)

        def on_connection_close(self) -> None:
            super().on_connection_close()
            left.append(self)

    with application([("/metrics", Watched, {"registry": registry})]) as (_, port):
        clients = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(9)]
        for client in clients:
            client.sendall(REQUEST)
        until(lambda: len(asked) == len(clients) and blocked.reads == 1)

        for client in clients:
            client.close()
        until(lambda: len(left) == len(clients))
        begun = blocked.reads
        blocked.release.set()
        status = ask(port, "GET", "/metrics")[0]

    assert (begun, status, blocked.reads) == (1, 200, 2)
    assert records_of_tapes(caplog) == []
    assert capfd.readouterr() == ("", "")


class Large:
    """A format of a page that no socket takes at once."""

    media_type = "text/plain"

    def encode(self, snapshot: Any) -> bytes:
        """Return so many bytes."""
        return b"x" * 20_000_000


def size_of_rest(client: socket.socket) -> int:
    """Read until the server closes the connection, in one way or another, and return how much that was."""
    size = 0
    with suppress(ConnectionError):
        while data := client.recv(1 << 20):
            size += len(data)
    return size


def test_pages_that_are_taken_slowly_are_not_kept_without_end(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When large pages wait to be taken by slow clients, those with the oldest go before another is made."""
    monkeypatch.setattr("tapes.reporting.tornado.handler.format_named", lambda name: Large())
    handlers = [("/metrics", MetricsHandler, {"registry": registry, "format": "large"})]
    slow: List[socket.socket] = []

    with application(handlers) as (_, port), ExitStack() as clients:
        for _ in range(6):
            slow.append(clients.enter_context(socket.create_connection(("127.0.0.1", port), 30)))
            slow[-1].sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert slow[-1].recv(15) == b"HTTP/1.1 200 OK"
        with ThreadPoolExecutor(len(slow)) as pool:
            taken = [size > 20_000_000 for size in pool.map(size_of_rest, slow)]

    assert taken == [False, False, True, True, True, True]
    assert records_of_tapes(caplog) == []


def test_a_handler_keeps_no_page_when_it_has_answered(registry: FaultyRegistry) -> None:
    """It may be in memory until the collector comes by, and a page may be large."""
    handlers: List[MetricsHandler] = []

    class Handler(MetricsHandler):
        """Can be looked at later."""

        def on_finish(self) -> None:
            handlers.append(self)

    with application([("/metrics", Handler, {"registry": registry})]) as (loop, port):
        assert ask(port, "GET", "/metrics")[2] == PAGE
        assert [handler._waiter for handler in loop.call(lambda: handlers)] == [None]
