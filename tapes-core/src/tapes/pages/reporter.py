"""The statistics as a page: what it says, where it is to be had, and what becomes of one that cannot be made."""

# ruff: noqa: TC001 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Mapping, Optional, Sequence

from tapes.pages.application import CANNOT_MAKE, Application
from tapes.pages.formats import checked_format
from tapes.pages.hosts import checked_hosts, is_ours
from tapes.pages.plugin_routes import PluginRoutes
from tapes.pages.route import FormatRoute
from tapes.registry import Registry
from tapes.reporting import checked
from tapes.reporting.listening import is_loopback, listen, location, overlap
from tapes.reporting.reporter import Reporter

if TYPE_CHECKING:
    from tapes.process.descriptors import OwnSocket


class PageReporter(Reporter):
    """Serves the statistics at `/`, as they are at the moment of the request. How, is up to those that derive from it.

    They call `listen()` when they open, and `release()` when they close, and serve what `application()` returns.
    """

    def __init__(
        self,
        port: int,
        registry: Optional[Registry] = None,
        host: str = "127.0.0.1",
        *,
        format: str = "json",  # noqa: A002 -- the word that users know
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """Serve what `registry` (by default the process-wide one) holds at `host` and `port`, in the format `format`.

        With port 0 a free one is chosen at the start. The default host is reached from this machine only; `"0.0.0.0"`
        and `"::"` stand for all addresses that it has. Where it is reached from this machine only, browsers that were
        led here by another name than an address or `localhost` are refused, with 403, unless `allowed_hosts` has it.

        Raises ReporterOptionError for options of the wrong type or range, and UnknownPluginError for an unknown format.
        `start()` raises OSError if it cannot listen there.
        """
        super().__init__(registry)
        self._port = checked.integer("port", port, 0, 65535, "an int from 0, which is any free one, to 65535")
        meaning = "an address of this machine, like '127.0.0.1', or '0.0.0.0' for all"
        self._host = checked.host("host", host, meaning, least=0) or "0.0.0.0"  # as "" is to bind()
        self._format = checked_format(format)
        self._allowed_hosts = checked_hosts(allowed_hosts)
        self._is_private = True  # reached from this machine only
        self._listener: Optional[OwnSocket] = None

    @property
    def port(self) -> int:
        """The port that it listens on; when it is not running, the one that it was given."""
        listener = self._listener
        if listener is not None:
            with suppress(OSError):  # it has been closed in this moment
                return int(listener.getsockname()[1])
        return self._port

    @property
    def url(self) -> str:
        """Where the page is, when it is running."""
        return f"http://{location(self._host, self.port, in_url=True)}/"

    def listen(self) -> OwnSocket:
        """Listen, and return the socket, which does not block. Raises what `start()` raises if that cannot be."""
        self._listener = listener = listen(self._host, self._port, self)
        self._is_private = is_loopback(listener)
        return listener

    def release(self) -> None:
        """Close the socket that listens, in a forked child too. Does nothing if there is none."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def application(self) -> Application:
        """Return what answers the requests that come in. A page is a report, and one that cannot be made a failure."""
        return Application(
            lambda: self.registry.snapshot(),
            PluginRoutes(FormatRoute(lambda: self._format)),
            type(self).__name__,
            made=self.succeeded,
            failed=lambda error: self.failed(error, CANNOT_MAKE),
            admits=self.admits,
        )

    def obstacles(self, earlier: Mapping[str, Reporter]) -> Sequence[str]:
        """Return which of the others listen where it would."""
        return [
            f"it cannot listen on {location(self._host, self._port)}, where {name} listens: choose another port"
            for name, other in earlier.items()
            if isinstance(other, PageReporter) and self._port == other._port != 0 and overlap(self._host, other._host)
        ]

    def admits(self, host: str) -> bool:
        """Return whether the page may be asked for as that of `host`, which is empty where a client does not say."""
        return not self._is_private or host in self._allowed_hosts or is_ours(host)

    def could_not_accept(self, error: BaseException) -> None:
        """Take note of a client that could not be let in, for want of descriptors for instance. Raises nothing."""
        with suppress(Exception):  # by a logging handler or an observer
            self.failed(error, "could not accept a connection.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({location(self._host, self.port)})"
