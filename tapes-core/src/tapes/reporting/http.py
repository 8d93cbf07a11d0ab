"""The statistics as a page that is fetched over HTTP."""

# ruff: noqa: TC001 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import errno
import os
import selectors
import socket
from contextlib import suppress
from typing import Any, Optional, Tuple

from tapes.encoding import Format
from tapes.encoding.json import JsonFormat
from tapes.errors import ReporterOptionError
from tapes.registry import Registry
from tapes.reporting.connections import Connections
from tapes.reporting.reporter import Reporter
from tapes.reporting.run import Run

_GRACE = 1.0  # seconds for answers that are under way when the reporter is stopped
_BACKLOG = 128
_TICK = 1.0  # seconds between looks at the deadlines of connections, while there are any
_RETRY = 0.1  # seconds to wait when no connection can be accepted, for want of descriptors for instance


class HTTPReporter(Reporter):
    """Serves the statistics at `/` over HTTP/1.1, as they are at the moment of the request.

    `GET` and `HEAD` of any query are answered; a page that cannot be made is answered with 500 and is a failed report.
    Each connection has a thread of its own; there may be 32, and a request and its answer may take 10 seconds, so that
    clients that stall keep nobody else waiting. What clients do wrong, and an access log, go to the logger
    `tapes.reporting` at level DEBUG.

    It listens in the process that has started it: a forked child closes what it has inherited, and may start another.
    """

    def __init__(
        self,
        port: int,
        registry: Optional[Registry] = None,
        host: str = "127.0.0.1",
        *,
        format: str = "json",  # noqa: A002 -- the word that users know
    ) -> None:
        """Serve what `registry` (by default the process-wide one) holds at `host` and `port`, in the format `format`.

        With port 0 a free one is chosen at the start. The default host is reached from this machine only; `"0.0.0.0"`
        and `"::"` stand for all addresses that it has.

        Raises ReporterOptionError for options of the wrong type or range, and UnknownPluginError for an unknown format.
        `start()` raises OSError if it cannot listen there.
        """
        super().__init__(registry)
        self._port = _checked_port(port)
        self._host = _checked_str("host", host, "an address, like '127.0.0.1'")
        self._format = _format_named(_checked_str("format", format, "the name of a format, like 'json'"))
        self._listener: Optional[socket.socket] = None
        self._wake: Optional[Tuple[socket.socket, socket.socket]] = None
        self._connections = self._no_connections()

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
        return f"http://{self._location()}/"

    def open(self) -> None:
        """Listen."""
        self.close()  # what a run that hung has left open
        listener = self._listen()
        try:
            self._wake = socket.socketpair()
        except BaseException:
            listener.close()
            raise
        for end in self._wake:
            end.setblocking(False)
        self._connections = self._no_connections()
        self._listener = listener

    def work(self, run: Run) -> None:
        """Accept connections until it is stopped."""
        listener, wake, connections = self._listener, self._wake, self._connections
        assert listener is not None  # open() has returned
        assert wake is not None
        # Not epoll: its descriptor would be shared with forked children.
        with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wake[0], selectors.EVENT_READ)
            while not run.stopping.is_set():
                ready = selector.select(_TICK if connections else None)
                if any(key.fileobj is listener for key, _ in ready):
                    self._accept(run, listener, connections)
                connections.shut_down_overdue()
        listener.close()
        connections.shut_down(_GRACE)

    def interrupt(self) -> None:
        """Wake the thread that waits for connections."""
        wake = self._wake
        if wake is not None:
            with suppress(OSError):  # full, so it will wake; or closed, so it has
                wake[1].send(b"\0")

    def close(self) -> None:
        """Listen no more."""
        listener, self._listener = self._listener, None
        wake, self._wake = self._wake, None
        if listener is not None:
            listener.close()
        for end in wake or ():
            end.close()

    def close_inherited(self) -> None:
        """Close the descriptors of the parent. What they stand for goes on in the parent."""
        self._connections.close_inherited()
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._location()})"

    def _location(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    def _no_connections(self) -> Connections:
        return Connections(self._page, f"tapes-{type(self).__name__}-connection")

    def _page(self, counted: bool) -> Tuple[str, Optional[bytes]]:
        try:
            body = self._format.encode(self.registry.snapshot())
        except BaseException as error:  # noqa: BLE001 -- not even SystemExit ends the program from here
            with suppress(Exception):  # by a logging handler or an observer
                self.failed(error, "could not make its page, and has answered 500 Internal Server Error.")
            return self._format.media_type, None
        if counted:
            self.succeeded()
        return self._format.media_type, body

    def _accept(self, run: Run, listener: socket.socket, connections: Connections) -> None:
        try:
            client, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # the client has gone before it was its turn
        except OSError as error:
            self._cannot_accept(run, error)
            return
        try:
            connections.add(client, address)
        except RuntimeError as error:  # no more threads
            self._cannot_accept(run, error)

    def _cannot_accept(self, run: Run, error: Exception) -> None:
        with suppress(Exception):  # by a logging handler or an observer
            self.failed(error, "could not accept a connection; it goes on.")
        run.stopping.wait(_RETRY)

    def _listen(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise ReporterOptionError(
                f"{self!r} cannot listen on host {self._host!r}: {error}. Use an address of this machine, "
                f"like '127.0.0.1', or '0.0.0.0' for all that it has."
            ) from error
        absent: Optional[OSError] = None
        for family, _, _, _, address in found:
            try:
                return _listener(family, address)
            except OSError as error:  # noqa: PERF203 -- there are one or two
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise self._cannot_listen(error) from error
                absent = error  # a name may stand for addresses of which only some exist here
        raise self._cannot_listen(absent or OSError(errno.EADDRNOTAVAIL, "")) from absent

    def _cannot_listen(self, error: OSError) -> OSError:
        remedy = {
            errno.EADDRINUSE: "Stop what listens there, or choose another port: 0 takes a free one.",
            errno.EACCES: "Choose a port above 1023.",
        }.get(error.errno or 0, "Use an address of this machine.")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return OSError(error.errno, f"{self!r} cannot listen on {self._location()}: {reason}. {remedy}")


def _checked_port(port: object) -> int:
    if isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= 65535:
        return port
    raise ReporterOptionError(f"port is an int from 0, which is any free one, to 65535, not {port!r}.")


def _checked_str(option: str, value: object, meaning: str) -> str:
    if isinstance(value, str):
        return value
    raise ReporterOptionError(f"{option} is {meaning}, not {value!r} ({type(value).__name__}).")


def _listener(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # not to wait for connections that are closed
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _format_named(name: str) -> Format:
    if name == "json":
        return JsonFormat()
    from tapes.plugins import format_named  # pluggy is imported by nobody who does not need it

    return format_named(name)
