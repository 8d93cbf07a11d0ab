"""Pages as type checkers see them. Nothing in here is run."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Hashable, MutableMapping
from wsgiref.simple_server import make_server

from typing_extensions import assert_type

import tapes
from tapes import pages, plugins
from tapes.pages import Headers, Page, Route
from tapes.pages.asgi_app import ASGI
from tapes.pages.wsgi_app import WSGI
from tapes.snapshot import Snapshot

Message = MutableMapping[str, Any]

assert_type(pages.wsgi(), WSGI)
assert_type(pages.asgi(tapes.Registry(), "json", allowed_hosts=["metrics.example.org"]), ASGI)
assert_type(tapes.configure().wsgi(), WSGI)
assert_type(tapes.configure().asgi("json"), ASGI)
assert_type(plugins.route_at("/metrics"), Route)
pages.wsgi("json")  # type: ignore[arg-type]  # no registry
pages.asgi(allowed_hosts=7)  # type: ignore[arg-type]  # no list

make_server("127.0.0.1", 0, pages.wsgi())
mounted: Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
] = pages.asgi()


class Text:
    """A route that depends on a header."""

    def variant(self, headers: Headers) -> str:
        """Return the language."""
        return headers.get("accept-language", "")[:2]

    def page(self, snapshot: Snapshot, variant: str) -> Page:
        """Say how much there is."""
        return Page("text/plain", str(len(snapshot.readings)).encode())


class Half:
    """No route."""

    def variant(self, headers: Headers) -> Hashable:
        """Return something."""


whole: Route = Text()
half: Route = Half()  # type: ignore[assignment]  # it has no page
