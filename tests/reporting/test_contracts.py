"""The contract of reporters, for those of core."""

from __future__ import annotations

import http.client
import socket
from typing import Any, Optional

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import MemoryReporter, ReporterContract
from tests.reporting import far_ends, tally


class TestMemoryReporter(ReporterContract):
    """The simplest one there is."""

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Keep it, to count what it has received."""
        self.made = MemoryReporter(self.interval, registry)
        return self.made

    def received(self) -> Optional[int]:
        """Count the snapshots."""
        return len(self.made.snapshots)


class Threaded(far_ends.FarEnd):
    """Tests of a reporter of JSON lines that has a thread."""

    def writing(self, registry: Optional[Registry], **where: Any) -> Reporter:
        """Make it."""
        return ThreadedStreamReporter(self.interval, registry=registry, **where)


class TestThreadedStreamReporter(Threaded, far_ends.ToAStream):
    """To a stream."""


class TestThreadedStreamReporterToAFile(Threaded, far_ends.ToAFile):
    """To a file."""


class TestThreadedStreamReporterToAPipe(Threaded, far_ends.ToAPipe):
    """To a pipe."""


class TestHTTPReporter(ReporterContract):
    """Served and scraped."""

    scheduled = False
    clients: list[socket.socket]

    def setup_method(self) -> None:
        """Count what is received."""
        self.answers = 0
        self.clients = []
        self.stalling = False

    def teardown_method(self) -> None:
        """Let go of the clients that stall."""
        for client in self.clients:
            client.close()
        if hasattr(self, "blocker"):
            self.blocker.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Serve at any free port."""
        if not self.stalling:
            return HTTPReporter(0, registry)
        stall = self.stall

        class Stalled(HTTPReporter):
            def start(self) -> None:
                super().start()
                stall(self.port)

        return Stalled(0, registry)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Serve at a port that is taken."""
        self.blocker = socket.socket()
        self.blocker.bind(("127.0.0.1", 0))
        self.blocker.listen(1)
        return HTTPReporter(self.blocker.getsockname()[1], registry)

    def hang_far_end(self) -> None:
        """Let a client stall in the middle of a request."""
        self.stalling = True

    def stall(self, port: int) -> None:
        """Send half a request."""
        client = socket.create_connection(("127.0.0.1", port), 20)
        client.sendall(b"GET / HT")
        self.clients.append(client)

    def scrape(self, reporter: Reporter) -> None:
        """Fetch the page."""
        assert isinstance(reporter, HTTPReporter)
        connection = http.client.HTTPConnection("127.0.0.1", reporter.port, timeout=20)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 500)
            self.answers += response.status == 200
        finally:
            connection.close()

    def received(self) -> Optional[int]:
        """Count the answers."""
        return self.answers


class TestAPushReporter(tally.FarEnd, ReporterContract):
    """A destination that is one sender of three methods, by a thread, from a config by its name."""

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the file."""
        return tally.configured("tally", registry, interval=self.interval, path=str(self.path))

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Write to something that is a folder."""
        self.path.mkdir()
        return self.make_reporter(registry)
