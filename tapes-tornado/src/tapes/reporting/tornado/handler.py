"""Handlers that answer with pages: `MetricsHandler` in an application of Tornado, and the base of that at our port."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, MutableMapping, Optional
from weakref import WeakKeyDictionary, ref

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from tapes.pages.application import Application
from tapes.pages.formats import format_named
from tapes.pages.message import METHODS, SERVER, TEXT, Fields, Request, Response, fields_of
from tapes.pages.route import FormatRoute, only
from tapes.pages.waiter import Waiter
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting import checked

if TYPE_CHECKING:
    from tapes.encoding import Format
    from tapes.snapshot import Snapshot

_PIECE = 65536  # the most bytes in one write: an application that compresses does so on the loop


class PageHandler(RequestHandler):
    """Answers `GET` and `HEAD` with the pages of an application of `tapes.pages`."""

    SUPPORTED_METHODS = METHODS

    def initialize(self, application: Application) -> None:
        """Answer with the pages of `application`."""
        self._pages = application
        self._waiter: Optional[Waiter] = None
        self._gone = False

    def set_default_headers(self) -> None:
        """Set the header `Server: tapes`."""
        self.set_header("Server", SERVER)

    async def get(self) -> None:
        """Answer with the page."""
        await self._answer()

    async def head(self) -> None:
        """Answer with the headers of the page."""
        await self._answer()

    def compute_etag(self) -> None:
        """Return None: no two pages are the same."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a line of plain text, also in debug mode."""
        body = f"{status_code} {self._reason}\n".encode()
        self._write_headers(fields_of(status_code, TEXT, len(body)))
        self.finish(body)

    def on_connection_close(self) -> None:
        """Give up the answer: the client is gone."""
        self._gone = True
        if self._waiter is not None:
            self._waiter.leave()

    def _path(self) -> str:
        """Return the path of the page that is asked for."""
        return "/"

    async def _answer(self) -> None:
        headers = {name.lower(): ",".join(self.request.headers.get_list(name)) for name in self.request.headers}
        request = Request(str(self.request.method), self._path(), self.request.query, headers)
        decided = self._pages.decide(request)
        if isinstance(decided, Response):
            self._begin(decided)
            self.write(decided.body)
            return
        self._waiter = waiter = Waiter(self._pages, decided, counted=request.method == "GET")
        try:
            response = self._pages.respond(request, await waiter.page)
            self._begin(response)
            with suppress(StreamClosedError):
                await self._write(response.body, waiter.dropped)
        except asyncio.CancelledError:
            if not self._gone:
                raise
        finally:
            waiter.leave()
            self._waiter = None  # and the page with it: a handler is let go of when the collector comes by

    def _begin(self, response: Response) -> None:
        self.set_status(response.status)
        self._write_headers(response.headers)

    def _write_headers(self, fields: Fields) -> None:
        for name, value in fields:
            self.set_header(name, value)

    async def _write(self, body: bytes, dropped: asyncio.Future[None]) -> None:
        """Write a page, or as much of it as the client takes until its memory is needed."""
        for start in range(0, len(body), _PIECE):
            self.write(body[start : start + _PIECE])
            if len(body) > _PIECE:
                flushed = self.flush()
                await asyncio.wait([flushed, dropped], return_when=asyncio.FIRST_COMPLETED)
                if not flushed.done():
                    self.detach().close()
                    return
                await flushed


class MetricsHandler(PageHandler):
    """Answers `GET` and `HEAD` with the statistics, in your own application:

        Application([("/metrics", MetricsHandler)])
        Application([("/metrics", MetricsHandler, {"registry": registry, "format": "json"})])

    The page shows a moment after the request. A daemon thread makes it, not the loop, once for all requests that wait.
    If it cannot be made, because the format is unknown for instance, the answer is 500, and `tapes.reporting` logs the
    first in a row. For other methods the answer is 405.

    The answers are those of `tapes.reporting.http.HTTPReporter`: without an Etag, with `Cache-Control: no-store`, and
    with `Server: tapes`, to keep the version of Tornado private; override `set_default_headers()` to change that.
    Limits, compression and the access log are those of the application. When clients take large pages slowly, the
    answers with the oldest pages end early, because only a few pages are kept in memory.
    """

    def initialize(self, registry: Optional[Registry] = None, format: str = "json") -> None:  # type: ignore[override]  # noqa: A002
        """Show `registry` (default: the process-wide one) in the format named `format`.

        Raises ReporterOptionError if `registry` is not a Registry.
        """
        shown = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
        by_format = _mounted.setdefault(shown, {})
        mounted = by_format.get(format) or by_format.setdefault(format, _Mounted(shown, format))
        super().initialize(mounted.application)


class _Mounted:
    """The application that all requests for one registry and format share."""

    def __init__(self, registry: Registry, format: str) -> None:  # noqa: A002 -- the word that users know
        self._registry = ref(registry)  # weak, so as not to keep the registry alive
        self._name = format
        self._format: Optional[Format] = None
        self.application = Application.with_log(
            *(self._snapshot, only(FormatRoute(self._get_format)), "MetricsHandler"),
            f"MetricsHandler(format={format!r})",
        )

    def _snapshot(self) -> Snapshot:
        registry = self._registry()
        return (Registry() if registry is None else registry).snapshot()  # no client waits for a registry that is gone

    def _get_format(self) -> Format:
        if self._format is None:
            self._format = format_named(self._name)
        return self._format


_mounted: MutableMapping[Registry, Dict[str, _Mounted]] = WeakKeyDictionary()
