"""The page of statistics over HTTP, on a loop of Tornado: as a handler in an application, or at its own port."""

# ruff: noqa: TC001, TC002 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Dict, MutableMapping, Optional, Sequence
from weakref import WeakKeyDictionary, ref

from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from tapes.encoding import Format
from tapes.pages.application import Application
from tapes.pages.formats import format_named
from tapes.pages.message import METHODS, SERVER, TEXT, Fields, Request, Response, fields_of
from tapes.pages.reporter import PageReporter
from tapes.pages.route import FormatRoute, only
from tapes.pages.waiter import Waiter
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting import checked
from tapes.reporting.run import Run
from tapes.reporting.tornado.loops import checked_loop, when_running
from tapes.reporting.tornado.server import Server
from tapes.snapshot import Snapshot

_PIECE = 65536  # the most bytes in one write: an application that compresses does so on the loop


class MetricsHandler(RequestHandler):
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

    SUPPORTED_METHODS = METHODS

    def initialize(self, registry: Optional[Registry] = None, format: str = "json") -> None:  # noqa: A002
        """Show `registry` (default: the process-wide one) in the format named `format`.

        Raises ReporterOptionError if `registry` is not a Registry.
        """
        self._registry = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
        self._mounted = _mounted.setdefault(self._registry, {}).setdefault(format, _Mounted(self._registry, format))
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

    async def _answer(self) -> None:
        application = self._mounted.application
        headers = {name.lower(): ",".join(self.request.headers.get_list(name)) for name in self.request.headers}
        request = Request(str(self.request.method), "/", self.request.query, headers)
        decided = application.decide(request)
        if isinstance(decided, Response):
            self._begin(decided)
            self.write(decided.body)
            return
        self._waiter = waiter = Waiter(application, decided, counted=request.method == "GET")
        try:
            response = application.respond(request, await waiter.page)
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


class TornadoHTTPReporter(PageReporter):
    """Serves the statistics at `/` over HTTP/1.1, at its own port, on the loop of a Tornado application.

    It answers like `tapes.reporting.http.HTTPReporter`, byte for byte, because both use the same code to read requests
    and write answers, without Tornado's own server. The limits are the same: 32 connections, 10 seconds for a request
    to arrive and 10 for its answer to be taken, and a minute for an idle connection. A daemon thread makes the page,
    not the loop, once for all requests that wait. The logger `tapes.reporting` gets faults of clients and an access
    log, at level DEBUG.

    It may be started before the loop runs: it listens at once, and answers when the loop runs. `stop()` on the thread
    of the loop returns once it no longer listens; the loop then has a second to finish the current answers. After a
    fork the parent goes on; a forked child closes what it has inherited, and may start another reporter.
    """

    needs_loop = True

    def __init__(
        self,
        port: int,
        registry: Optional[Registry] = None,
        host: str = "127.0.0.1",
        io_loop: Optional[IOLoop] = None,
        *,
        format: str = "json",  # noqa: A002 -- the word that users know
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """Serve `registry` (default: the process-wide one) at `host` and `port`, in the format named `format`.

        Port 0 picks a free port at the start. The default host can be reached from this machine only; `"0.0.0.0"` and
        `"::"` stand for all addresses of the machine. If it can be reached from this machine only, requests with a
        `Host` other than an address or `localhost` are refused with 403, unless `allowed_hosts` has it. `io_loop` is
        the loop that serves; by default the one that runs where `start()` is called, or else the first that runs in
        this process.

        Raises ReporterOptionError for options of the wrong type or range, and UnknownPluginError for an unknown format.
        `start()` raises OSError if it cannot listen there.
        """
        super().__init__(port, registry, host, format=format, allowed_hosts=allowed_hosts)
        self._io_loop = checked_loop(io_loop)
        self._server: Optional[Server] = None

    def open(self) -> None:
        """Listen. Requests are answered once the loop runs."""
        self._server = Server(self.listen(), self.application(), self.could_not_accept)

    def launch(self, run: Run) -> None:
        """Serve on the loop, as soon as it runs."""
        assert self._server is not None  # open() has returned
        when_running(self._io_loop, run, self._server.begin, type(self).__name__)

    def work(self, run: Run) -> None:
        """Do nothing: the loop does the work."""

    def halt(self, run: Run, timeout: float) -> bool:
        """Stop serving, on the loop or in its place."""
        server = self._server
        if server is None:
            return run.done.wait(timeout)
        return server.stop(lambda: self.end(run), run.done, timeout)

    def close(self) -> None:
        """Stop listening."""
        self._server = None
        self.release()

    def close_inherited(self) -> None:
        """Close the inherited descriptors, and leave the loop of the parent alone."""
        if self._server is not None:
            self._server.close_inherited()
        self.close()
