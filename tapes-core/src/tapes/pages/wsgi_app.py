"""Pages for WSGI servers (PEP 3333): an application to mount in another one."""

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
"""Seconds that a request waits for its page. A server may end a worker whose thread is busy for thirty."""

_PIECE = 65536  # bytes that are handed over at once: a slow client may be let go of between two pieces


class WSGI:
    """Answers requests with pages, in the thread of the server that calls it. Thread-safe, and survives forks.

    A page is made in a thread of its own, once for all who wait for it. One that is not there in time is answered with
    503. When large pages are taken slowly, the answers with the oldest end early, with an error in the server.
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
        """Return the page, or None if it has taken too long."""
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
            raise ConnectionResetError("The page has been taken too slowly: its memory is needed for others.")
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
    # The path is the part below where this is mounted, which has nothing of its own if that is asked for as it is.
    path = environ.get("PATH_INFO", "") or "/"
    return Request(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers)
