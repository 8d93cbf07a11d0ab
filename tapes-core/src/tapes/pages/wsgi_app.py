"""Pages as an application for WSGI servers (PEP 3333), to mount in another one."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from tapes.pages.connections import RETRY
from tapes.pages.message import Page, Request, Response, Wanted, refusal

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.pages.renderings import Renderings

Environ = Dict[str, Any]
StartResponse = Callable[[str, List[Tuple[str, str]]], object]

TIMEOUT = 25.0
"""Seconds that a request waits for its page. A server may kill a worker whose thread is busy for thirty."""

_PIECE = 65536  # bytes handed to the server at once: a slow client can be dropped between two pieces


class WSGI:
    """Answers requests with pages, in the server's thread that calls it. Thread-safe, and works after a fork.

    Pages are made in their own threads; waiting clients share one. A request that waits too long for its page is
    answered with 503. If clients take large pages slowly, the responses with the oldest pages are cut off, with an
    error in the server.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = _request(environ)
        decided = self._application.decide(request)
        if isinstance(decided, Response):
            return _begin(decided, start_response)
        asker = _Asker(self._application.renderings)
        try:
            page = asker.wait(decided, counted=request.method == "GET")
            if page is None:
                response = refusal(request.method, HTTPStatus.SERVICE_UNAVAILABLE)
            else:
                response = self._application.respond(request, page)
            body: Union[List[bytes], _Body] = _begin(response, start_response)
            if len(response.body) > _PIECE:
                asker.keep(response.body)
                body = _Body(len(response.body), asker)
        except BaseException:
            asker.leave()
            raise
        if isinstance(body, list):
            asker.leave()
        return body


class _Asker:
    """A request that waits for a page in the thread that serves it."""

    def __init__(self, renderings: Renderings) -> None:
        self._renderings = renderings
        self._page: Optional[Page] = None
        self._body: Optional[bytes] = None
        self._woken = threading.Event()
        self._dropped = False

    def wait(self, wanted: Wanted, *, counted: bool) -> Optional[Page]:
        """Return the page, or None if it took too long."""
        deadline = time.monotonic() + TIMEOUT
        while not self._renderings.ask(self, wanted, counted=counted):
            if time.monotonic() >= deadline:
                return None
            time.sleep(RETRY)
        self._woken.wait(max(0.0, deadline - time.monotonic()))
        page, self._page = self._page, None
        return page

    def keep(self, body: bytes) -> None:
        """Have this to hand over, unless its memory is needed for others already."""
        self._body = body
        if self._dropped:
            self._body = None

    def piece(self, start: int) -> bytes:
        """Return what is handed over next. Raises ConnectionResetError if it has been let go of."""
        body = self._body
        if body is None:  # too late to say so, other than by closing the connection
            raise ConnectionResetError("The client reads the page too slowly: its memory is needed for other pages.")
        return body[start : start + _PIECE]

    def leave(self) -> None:
        """Let go of the page."""
        self._body = None
        self._renderings.leave(self)

    def waits(self) -> bool:
        return not self._woken.is_set()

    def take(self, page: Page) -> None:
        self._page = page
        self._woken.set()

    def drop(self) -> None:
        self._dropped = True
        self._body = None


class _Body:
    """A large page, in pieces. The server closes it. Nothing of it is kept here, so that it can be let go of."""

    def __init__(self, length: int, asker: _Asker) -> None:
        self._length = length
        self._asker = asker

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, self._length, _PIECE):
            yield self._asker.piece(start)
        self.close()  # not every server does

    def close(self) -> None:
        """Let go of the page."""
        self._asker.leave()


def _begin(response: Response, start_response: StartResponse) -> List[bytes]:
    start_response(f"{response.status.value} {response.status.phrase}", list(response.headers))
    return [response.body]


def _request(environ: Environ) -> Request:
    headers = {name[5:].replace("_", "-").lower(): environ[name] for name in environ if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    # PATH_INFO is the path below the mount point, and empty for the mount point itself.
    path = environ.get("PATH_INFO", "") or "/"
    return Request(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers)
