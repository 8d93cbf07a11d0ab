"""The statistics as a page that is fetched over HTTP from a loop of Tornado: in an application, or by themselves."""

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
from tapes.pages.application import CANNOT_MAKE, Application
from tapes.pages.formats import format_named
from tapes.pages.message import METHODS, SERVER, TEXT, Fields, Request, Response, fields_of
from tapes.pages.reporter import PageReporter
from tapes.pages.route import FormatRoute, only
from tapes.pages.waiter import Waiter
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting import checked
from tapes.reporting.reporter import LOGGER_NAME
from tapes.reporting.run import Run
from tapes.reporting.tornado.loops import checked_loop, when_running
from tapes.reporting.tornado.server import Server
from tapes.snapshot import Snapshot
from tapes.streak import Streak

_PIECE = 65536  # bytes that are written at once: an application that compresses does so on the loop


class MetricsHandler(RequestHandler):
    """Answers `GET` and `HEAD` with the statistics, in an application of your own:

        Application([("/metrics", MetricsHandler)])
        Application([("/metrics", MetricsHandler, {"registry": registry, "format": "json"})])

    The page is as of a moment after the request. It is made in a daemon thread, and not on the loop, once for all who
    wait for the next one. One that cannot be made, because there is no such format for instance, is answered with 500,
    and the first in a row is logged by `tapes.reporting`. Other methods are answered with 405.

    The answers are those of `tapes.reporting.http.HTTPReporter`: without an Etag, with `Cache-Control: no-store`, and
    with `Server: tapes`, because no version of Tornado needs to be told; override `set_default_headers()` for another.
    Limits, compression and the access log are those of the application. When large pages are taken slowly, the answers
    with the oldest end early: no more than a few are kept in memory.
    """

    SUPPORTED_METHODS = METHODS

    def initialize(self, registry: Optional[Registry] = None, format: str = "json") -> None:  # noqa: A002
        """Show `registry`, by default the process-wide one, in the format named `format`.

        Raises ReporterOptionError for a registry that is none.
        """
        self._registry = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
        self._mounted = _mounted.setdefault(self._registry, {}).setdefault(format, _Mounted(self._registry, format))
        self._waiter: Optional[Waiter] = None
        self._gone = False

    def set_default_headers(self) -> None:
        """Call the server tapes."""
        self.set_header("Server", SERVER)

    async def get(self) -> None:
        """Answer with the page."""
        await self._answer()

    async def head(self) -> None:
        """Answer with the headers of the page."""
        await self._answer()

    def compute_etag(self) -> None:
        """Return None: a page is never the same as another."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a line of plain text, in debug mode too."""
        body = f"{status_code} {self._reason}\n".encode()
        self._write_headers(fields_of(status_code, TEXT, len(body)))
        self.finish(body)

    def on_connection_close(self) -> None:
        """Give up what the client has not waited for."""
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
        """Write a page, or as much of it as its client takes until its memory is needed for others."""
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
    """What all requests for one registry in one format share."""

    def __init__(self, registry: Registry, format: str) -> None:  # noqa: A002 -- the word that users know
        self._registry = ref(registry)  # so that one that nobody else has is let go of
        self._name = format
        self._format: Optional[Format] = None
        streak = Streak(LOGGER_NAME, f"MetricsHandler(format={format!r})")
        self.application = Application(
            self._snapshot,
            only(FormatRoute(self._get_format)),
            "MetricsHandler",
            made=streak.succeeded,
            failed=lambda error: streak.failed(CANNOT_MAKE, error),
        )

    def _snapshot(self) -> Snapshot:
        registry = self._registry()
        return (Registry() if registry is None else registry).snapshot()  # nobody waits for that of one that is gone

    def _get_format(self) -> Format:
        if self._format is None:
            self._format = format_named(self._name)
        return self._format


_mounted: MutableMapping[Registry, Dict[str, _Mounted]] = WeakKeyDictionary()


class TornadoHTTPReporter(PageReporter):
    """Serves the statistics at `/` over HTTP/1.1 on the loop of a Tornado application, at a port of its own.

    It answers as `tapes.reporting.http.HTTPReporter` does, byte for byte, because both read requests and write answers
    with the same code; not even Tornado's own server is in between. The limits are the same too: 32 connections, 10
    seconds for a request to come in and 10 for its answer to be taken, and a minute for a connection that is not used.
    A page is made in a daemon thread, and not on the loop, once for all who wait for the next one. What clients do
    wrong, and an access log, go to the logger `tapes.reporting` at level DEBUG.

    It may be started before the loop runs: it listens at once, and answers as soon as the loop does. Stopped on the
    thread of the loop, it listens no more when `stop()` returns, and the loop finishes within a second the answers that
    are under way. After a fork the parent goes on; a forked child closes what it has inherited, and may start another.
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
        """Serve what `registry` (by default the process-wide one) holds at `host` and `port`, in the format `format`.

        With port 0 a free one is chosen at the start. The default host is reached from this machine only; `"0.0.0.0"`
        and `"::"` stand for all addresses that it has. Where it is reached from this machine only, browsers that were
        led here by another name than an address or `localhost` are refused, with 403, unless `allowed_hosts` has it.
        `io_loop` is the loop that serves; by default it is the one that runs where `start()` is called, or else the
        first that runs in this process.

        Raises ReporterOptionError for options of the wrong type or range, and UnknownPluginError for an unknown format.
        `start()` raises OSError if it cannot listen there.
        """
        super().__init__(port, registry, host, format=format, allowed_hosts=allowed_hosts)
        self._io_loop = checked_loop(io_loop)
        self._server: Optional[Server] = None

    def open(self) -> None:
        """Listen. Who comes now is answered when the loop runs."""
        self._server = Server(self.listen(), self.application(), self.could_not_accept)

    def launch(self, run: Run) -> None:
        """Have the loop serve, as soon as it runs."""
        assert self._server is not None  # open() has returned
        when_running(self._io_loop, run, self._server.begin, type(self).__name__)

    def work(self, run: Run) -> None:
        """Do nothing: the loop does it."""

    def halt(self, run: Run, timeout: float) -> bool:
        """Stop to serve, on the loop or in its place."""
        server = self._server
        if server is None:
            return run.done.wait(timeout)
        return server.stop(lambda: self.end(run), run.done, timeout)

    def close(self) -> None:
        """Listen no more."""
        self._server = None
        self.release()

    def close_inherited(self) -> None:
        """Close the descriptors of the parent, whose loop is left alone."""
        if self._server is not None:
            self._server.close_inherited()
        self.close()
