"""What requests are answered with, whoever serves them: no socket, and no thread but that in which pages are made."""

from __future__ import annotations

import itertools
import os
from http import HTTPStatus
from typing import Any, Callable, Dict, Hashable, List, Optional

import pytest

from tapes.pages.application import Application
from tapes.pages.message import Headers, Page, Request, Response, Wanted
from tapes.pages.route import FormatRoute, Route
from tapes.registry import Registry
from tapes.snapshot import Snapshot
from tests.pages.test_renderings import Asker

NO_STORE = ("Cache-Control", "no-store")


class Languages:
    """A page that depends on a header, with a header of its own."""

    def variant(self, headers: Headers) -> Hashable:
        """Return the language."""
        return "de" if headers.get("accept-language") == "de" else "en"

    def page(self, snapshot: Snapshot, variant: Hashable) -> Page:
        """Say how many readings there are, in that language."""
        text = f"{'Werte' if variant == 'de' else 'readings'}: {len(snapshot.readings)}"
        return Page("text/plain", text.encode(), (("Vary", "Accept-Language"),))


class Odd:
    """A route whose methods return or raise what they are told."""

    def __init__(self, variant: Any = None, page: Any = None) -> None:
        self._variant, self._page = variant, page

    def variant(self, headers: Headers) -> Hashable:
        """Raise or return."""
        if isinstance(self._variant, BaseException):
            raise self._variant
        return self._variant  # type: ignore[no-any-return]  # whatever it is

    def page(self, snapshot: Snapshot, variant: Hashable) -> Page:
        """Raise or return."""
        if isinstance(self._page, BaseException):
            raise self._page
        return self._page  # type: ignore[no-any-return]  # whatever it is


class Fickle(str):
    """A variant whose hash changes."""

    def __hash__(self) -> int:
        return next(_HASHES)


_HASHES = itertools.count()


class Served:
    """An application with a registry of one counter, and what it has told."""

    def __init__(self, routes: Dict[str, Route], allows_host: Optional[Callable[[str], bool]] = None) -> None:
        self.registry = Registry()
        self.registry.counter("orders").increment(3)
        self.made = 0
        self.errors: List[BaseException] = []
        self.application = Application(
            self.registry.snapshot,
            routes.get,
            "Served",
            made=self._count,
            failed=lambda path, error: self.errors.append(error),
            allows_host=allows_host,
        )

    def get(self, path: str, method: str = "GET", **headers: str) -> Response:
        """Answer a request as any server does."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method, path, "", named)
        decided = self.application.decide(request)
        if isinstance(decided, Response):
            return decided
        asker, renderings = Asker(), self.application.renderings
        renderings.ask(asker, decided, counted=method == "GET")
        assert asker.taken.wait(60)
        renderings.leave(asker)
        return self.application.respond(request, asker.pages[0])

    def _count(self, path: str) -> None:
        self.made += 1


def text(status: HTTPStatus, body: bytes, *more: Any) -> Response:
    """Return the answer that is a line of text."""
    media_type = ("Content-Type", "text/plain; charset=utf-8")
    return Response(status, (media_type, ("Content-Length", str(len(body))), NO_STORE, *more), body)


def test_each_path_has_its_page() -> None:
    """What is at a path, for that request, is what its route says."""
    served = Served({"/": FormatRoute(), "/languages": Languages()})

    assert served.get("/") == Response(
        HTTPStatus.OK,
        (("Content-Type", "application/json"), ("Content-Length", "22"), NO_STORE),
        b'{"orders":{"value":3}}',
    )
    assert served.get("/languages", accept_language="de") == Response(
        HTTPStatus.OK,
        (("Content-Type", "text/plain"), ("Content-Length", "8"), NO_STORE, ("Vary", "Accept-Language")),
        b"Werte: 1",
    )
    assert served.get("/languages").body == b"readings: 1"
    assert (served.made, served.errors) == (3, [])


def test_head_is_answered_with_the_headers_alone() -> None:
    """They are those of GET, and that is not counted."""
    served = Served({"/": FormatRoute()})

    answer = served.get("/", "HEAD")

    assert answer == served.get("/")._replace(body=b"")
    assert served.made == 1


def test_what_is_not_a_page_is_decided_at_once() -> None:
    """The host comes first, then the method, then the path."""
    served = Served({"/": FormatRoute()}, allows_host=lambda host: host == "here")
    remedy = b"403 Forbidden (the host that was asked for is not one of allowed_hosts)\n"

    assert served.get("/x", "PUT", host="There:80") == text(HTTPStatus.FORBIDDEN, remedy)
    assert served.get("/x", "PUT", host="HERE.:80") == text(
        HTTPStatus.METHOD_NOT_ALLOWED, b"405 Method Not Allowed\n", ("Allow", "GET, HEAD")
    )
    assert served.get("/x", host="here") == text(HTTPStatus.NOT_FOUND, b"404 Not Found\n")
    assert served.get("", host="here").status == HTTPStatus.NOT_FOUND


def test_who_wants_the_same_wants_one_page() -> None:
    """A query and other headers make no other page; what the route depends on does."""
    application = Served({"/": FormatRoute(), "/languages": Languages()}).application

    wanted = [
        application.decide(Request("GET", "/", "", {"user-agent": "a"})),
        application.decide(Request("HEAD", "/", "a=1", {})),
        application.decide(Request("GET", "/languages", "", {"accept-language": "de"})),
        application.decide(Request("GET", "/languages", "", {})),
    ]

    assert wanted == [Wanted("/"), Wanted("/"), Wanted("/languages", "de"), Wanted("/languages", "en")]


@pytest.mark.parametrize(
    ("route", "error"),
    [
        (Odd(KeyError("variant")), KeyError),
        (Odd(SystemExit("variant")), SystemExit),
        (Odd([]), TypeError),
        (Odd(Fickle("de")), TypeError),
        (Odd(("de", Fickle("de"))), TypeError),
        (Odd(page=SystemExit("page")), SystemExit),
        (Odd(page=None), TypeError),
        (Odd(page=Page("text/plain", None)), TypeError),
        (Odd(page=Page("text/plain", "text")), TypeError),  # type: ignore[arg-type]  # on purpose
        (Odd(page=Page("text/plain\r\nX: y", b"")), ValueError),
        (Odd(page=Page("text/plain", b"", (("X Y", "z"),))), ValueError),
        (Odd(page=Page("text/plain", b"", (("X", "\u20ac"),))), ValueError),
        (Odd(page=Page("text/plain", b"", (("content-length", "5"),))), ValueError),
        (Odd(page=Page("text/plain", b"", (("Transfer-Encoding", "chunked"),))), ValueError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_route_does_wrong_is_500(route: Route, error: type) -> None:
    """An error, or a page that cannot be sent, is told, and the other pages are served."""
    served = Served({"/": FormatRoute(), "/odd": route})

    assert served.get("/odd") == text(HTTPStatus.INTERNAL_SERVER_ERROR, b"500 Internal Server Error\n")
    assert list(map(type, served.errors)) == [error]
    assert served.get("/").status == HTTPStatus.OK
    assert served.made == 1


def test_a_page_that_works_does_not_end_the_streak_of_another(caplog: pytest.LogCaptureFixture) -> None:
    """One log line says what fails, although others are made in between."""
    routes: Dict[str, Route] = {"/": FormatRoute(), "/odd": Odd(page=ValueError("odd"))}
    served = Served({})
    served.application = Application.with_log(served.registry.snapshot, routes.get, "pages", "The page")
    for _ in range(3):
        served.get("/odd")
        served.get("/")

    assert [record.getMessage().partition(" could")[0] for record in caplog.records] == ["The page at /odd"]


def test_headers_may_come_one_after_the_other() -> None:
    """What makes them is asked once, for the look at them and for the answer."""
    headers: Any = (each for each in [("X", "z")])

    assert ("X", "z") in Served({"/": Odd(page=Page("text/plain", b"", headers))}).get("/").headers


@pytest.mark.parametrize("variant", [None, "de", b"de", 1, 1.5, True, ("de", (None, 2))])
def test_a_variant_may_be_any_plain_value(variant: Any) -> None:
    """Also a tuple of them."""
    assert Served({"/": Odd(variant, Page("text/plain", b""))}).get("/").status == HTTPStatus.OK


@pytest.mark.parametrize("content", [bytearray(b"page"), memoryview(b"page")])
def test_a_page_may_be_any_kind_of_bytes(content: Any) -> None:
    """It is sent as bytes, which nobody changes any more."""
    assert type(Served({"/": Odd(page=Page("text/plain", content))}).get("/").body) is bytes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork here.")
def test_a_forked_process_makes_pages_of_its_own() -> None:
    """The thread that was about to make a page exists in the parent alone."""
    served = Served({"/": FormatRoute()})
    served.get("/")
    ours = served.application.renderings
    assert ours is served.application.renderings
    read, write = os.pipe()

    pid = os.fork()
    if pid == 0:
        try:
            others = served.application.renderings
            os.write(write, b"another" if others is not ours and others is served.application.renderings else b"ours")
        finally:
            os._exit(0)
    os.close(write)

    with open(read, "rb") as answer:
        assert answer.read() == b"another"
    os.waitpid(pid, 0)
