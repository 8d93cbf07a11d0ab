"""The pages over HTTP, on a loop of Tornado: `MetricsHandler` in an application, or a reporter at its own port."""

# ruff: noqa: TC001, TC002 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

from typing import Optional, Sequence

from tornado.ioloop import IOLoop

from tapes.pages.reporter import PageReporter
from tapes.registry import Registry
from tapes.reporting.run import Run
from tapes.reporting.tornado.handler import MetricsHandler
from tapes.reporting.tornado.loops import checked_loop, when_running
from tapes.reporting.tornado.serving import Server

__all__ = ["MetricsHandler", "TornadoHTTPReporter"]


class TornadoHTTPReporter(PageReporter):
    """Serves the statistics at `/` over HTTP/1.1, at its own port, on the loop of a Tornado application.

    It has the pages of `tapes.reporting.http.HTTPReporter`. Tornado's own server reads the requests, so an HTTP/1.1
    request needs a `Host`, and a damaged one is answered with 400 or not at all. There are at most 32 connections. A
    request has 10 seconds to arrive, from connecting or from the last answer; an answer has 10 seconds to be taken. A
    daemon thread makes the page, not the loop, once for all requests that wait. The logger `tapes.reporting` gets an
    access log, at level DEBUG, and `tornado.general` the faults of clients, at level INFO.

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
