"""The base class of reporters that serve the statistics as pages."""

# ruff: noqa: TC001 -- the annotations of constructors are evaluated, for example by tapes.config

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Mapping, Optional, Sequence

from tapes.pages.application import CANNOT_MAKE, Application
from tapes.pages.formats import checked_format
from tapes.pages.hosts import checked_hosts, is_allowed
from tapes.pages.plugin_routes import PluginRoutes
from tapes.pages.route import FormatRoute
from tapes.registry import Registry
from tapes.reporting import checked
from tapes.reporting.listening import is_loopback, listen, location, overlap
from tapes.reporting.reporter import LOGGER_NAME, Reporter
from tapes.streak import Streaks

if TYPE_CHECKING:
    from tapes.process.descriptors import OwnSocket


class PageReporter(Reporter):
    """Serves the statistics of the moment of the request at `/`. Subclasses decide how.

    A subclass calls `listen()` in `open()`, `release()` in `close()`, and serves the result of `application()`.
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
        and `"::"` stand for all its addresses. While it is reached from this machine only, a request whose Host is not
        an address, `localhost` or in `allowed_hosts` is refused with 403, as a protection against DNS rebinding.

        Raises ReporterOptionError for options of the wrong type or range, and UnknownPluginError for an unknown format.
        `start()` raises OSError if it cannot listen there.
        """
        super().__init__(registry)
        self._port = checked.integer("port", port, 0, 65535, "an int from 0, which is any free one, to 65535")
        meaning = "an address of this machine, like '127.0.0.1', or '0.0.0.0' for all"
        self._host = checked.host("host", host, meaning, least=0) or "0.0.0.0"  # bind() treats "" like this
        self._format = checked_format(format)
        self._allowed_hosts = checked_hosts(allowed_hosts)
        self._is_private = True  # can be reached only from this machine
        self._listener: Optional[OwnSocket] = None

    @property
    def port(self) -> int:
        """The port it listens on; the one from the constructor while it is not running."""
        listener = self._listener
        if listener is not None:
            with suppress(OSError):  # it was closed just now
                return int(listener.getsockname()[1])
        return self._port

    @property
    def url(self) -> str:
        """The URL of the page, valid while it is running."""
        return f"http://{location(self._host, self.port, in_url=True)}/"

    def listen(self) -> OwnSocket:
        """Listen, and return the non-blocking socket. Raises the errors of `start()`."""
        self._listener = listener = listen(self._host, self._port, self)
        self._is_private = is_loopback(listener)
        return listener

    def release(self) -> None:
        """Close the listening socket, in a forked child too. Does nothing if there is none."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def application(self) -> Application:
        """Return the application that answers requests. Each page is a report, one that cannot be made a failure."""
        streaks = Streaks(LOGGER_NAME, repr(self))

        def made(path: str) -> None:
            if path == "/":
                self.succeeded()
            else:
                self._count_success(streaks.of(path))

        def failed(path: str, error: BaseException) -> None:
            if path == "/":
                self.failed(error, CANNOT_MAKE)
            else:
                self._count_failure(streaks.of(path), error, CANNOT_MAKE)

        return Application(
            lambda: self.registry.snapshot(),
            PluginRoutes(FormatRoute(lambda: self._format)),
            type(self).__name__,
            made=made,
            failed=failed,
            allows_host=self.allows_host,
        )

    def obstacles(self, earlier: Mapping[str, Reporter]) -> Sequence[str]:
        """Return a sentence for each earlier reporter with the same port and host."""
        return [
            f"it cannot listen on {location(self._host, self._port)}, where {name} listens: choose another port"
            for name, other in earlier.items()
            if isinstance(other, PageReporter) and self._port == other._port != 0 and overlap(self._host, other._host)
        ]

    def allows_host(self, host: str) -> bool:
        """Return True if a request with this Host is answered (DNS rebinding). `host` is empty without the header."""
        return not self._is_private or is_allowed(host, self._allowed_hosts)

    def could_not_accept(self, error: BaseException) -> None:
        """Count a failed accept, for example for lack of descriptors, as a failed report. Raises nothing."""
        with suppress(Exception):  # from a log handler or an observer
            self.failed(error, "could not accept a connection.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({location(self._host, self.port)})"
