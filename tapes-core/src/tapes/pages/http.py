"""The reporter that serves the statistics over HTTP."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Optional, Tuple

from tapes.errors import ReporterError
from tapes.pages.connections import GRACE, RETRY, Connections
from tapes.pages.renderings import no_thread
from tapes.pages.reporter import PageReporter
from tapes.process.descriptors import OwnSocket, own

if TYPE_CHECKING:
    from tapes.reporting.run import Run

_TICK = 1.0  # seconds between checks of the connections' deadlines, and of the sockets' identities
_LOST = "The program has closed the sockets of the reporter: start the reporter after that."


class HTTPReporter(PageReporter):
    """Serves the statistics of the moment of the request at `/`, over HTTP/1.1.

    It answers `GET` and `HEAD`, with any query. A page that cannot be made is answered with 500 and is a failed report.
    Clients that wait at the same time share one page; no page is made for clients that have gone. Each connection has
    its own thread, and there are at most 32. A client has 10 seconds to send a request, and 10 to take the response, so
    that clients that stall do not block others. Errors of clients, and an access log, go to the logger
    `tapes.reporting` at level DEBUG.

    It listens in the process that started it: a forked child closes what it inherited, and may start its own.
    """

    _wake: Optional[Tuple[OwnSocket, OwnSocket]] = None
    _connections: Connections  # set by open()

    def open(self) -> None:
        """Listen on the port."""
        self.close()  # anything left open by a run that hung
        listener = self.listen()
        try:
            reading, writing = socket.socketpair()
        except BaseException:
            listener.close()
            raise
        self._wake = own(reading), own(writing)
        for end in self._wake:
            end.setblocking(False)
        self._connections = Connections(self.application(), type(self).__name__)

    def work(self, run: Run) -> None:
        """Accept connections until the stop."""
        listener, wake, connections = self._listener, self._wake, self._connections
        assert listener is not None  # open() has returned
        assert wake is not None
        # Not epoll: forked children would share its descriptor.
        with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wake[0], selectors.EVENT_READ)
            while not run.stopping.is_set():
                ready = selector.select(_TICK)
                if listener.lost or wake[0].lost:
                    with suppress(Exception):  # from a log handler or an observer
                        self.failed(ReporterError(_LOST), "has stopped serving.")
                    break
                if any(key.fileobj is listener for key, _ in ready):
                    self._accept(run, listener, connections)
                connections.shut_down_overdue()
        listener.close()
        connections.shut_down(GRACE)

    def interrupt(self) -> None:
        """Wake the thread that waits for connections."""
        wake = self._wake
        if wake is not None:
            with suppress(OSError):  # full, so the thread will wake up; or closed, so it has
                wake[1].send(b"\0")

    def close(self) -> None:
        """Stop listening."""
        wake, self._wake = self._wake, None
        self.release()
        for end in wake or ():
            end.close()

    def close_inherited(self) -> None:
        """Close the descriptors inherited from the parent, which keeps its connections."""
        self._connections.close_inherited()
        self.close()

    def _accept(self, run: Run, listener: OwnSocket, connections: Connections) -> None:
        try:
            client, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # the client has gone before it was accepted
        except OSError as error:
            self._cannot_accept(run, error)
            return
        try:
            connections.add(client, address)
        except RuntimeError as error:
            self._cannot_accept(run, ReporterError(no_thread(error)))

    def _cannot_accept(self, run: Run, error: Exception) -> None:
        self.could_not_accept(error)
        run.stopping.wait(RETRY)
