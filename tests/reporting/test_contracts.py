"""The contract of reporters, for those of core."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
from pathlib import Path
from typing import Optional

import pytest

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import MemoryReporter, ReporterContract
from tests.reporting import tally


class TestMemoryReporter(ReporterContract):
    """The simplest one there is."""

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Keep it, to count what it has received."""
        self.made = MemoryReporter(self.interval, registry)
        return self.made

    def received(self) -> Optional[int]:
        """Count the snapshots."""
        return len(self.made.snapshots)


class Mendable(io.StringIO):
    """A stream that can be broken and mended."""

    broken = False

    def write(self, text: str) -> int:
        """Write, or not."""
        if self.broken:
            raise OSError("broken")
        return super().write(text)


class TestThreadedStreamReporter(ReporterContract):
    """To a stream."""

    def setup_method(self) -> None:
        """Make the stream that all reporters of a test write to."""
        self.stream = Mendable()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the stream."""
        return ThreadedStreamReporter(self.interval, self.stream, registry)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Write to a folder that is not there."""
        return ThreadedStreamReporter(self.interval, path="/there/is/no/such/folder/stats.json", registry=registry)

    def received(self) -> Optional[int]:
        """Count the lines."""
        return self.stream.getvalue().count("\n")

    def break_far_end(self) -> None:
        """Break the stream."""
        self.stream.broken = True

    def mend_far_end(self) -> None:
        """Mend it."""
        self.stream.broken = False


class TestThreadedStreamReporterToAFile(ReporterContract):
    """To a file that it opens and closes itself."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "stats.json"

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the file."""
        return ThreadedStreamReporter(self.interval, path=self.path, registry=registry)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Write to something that is a folder."""
        self.path.mkdir()
        return self.make_reporter(registry)

    def received(self) -> Optional[int]:
        """Count the lines."""
        return self.path.read_text().count("\n")


class TestThreadedStreamReporterToAPipe(ReporterContract):
    """To somebody who reads, or not."""

    def setup_method(self) -> None:
        """Make the pipe."""
        self.reading, self.writing = os.pipe()
        self.stream = os.fdopen(self.writing, "w", encoding="ascii")

    def teardown_method(self) -> None:
        """Close it, which wakes a report that hangs."""
        os.close(self.reading)
        with contextlib.suppress(BrokenPipeError):
            self.stream.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the pipe."""
        return ThreadedStreamReporter(self.interval, self.stream, registry)

    def hang_far_end(self) -> None:
        """Fill the pipe."""
        os.set_blocking(self.writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writing, b"x" * 4096)
        os.set_blocking(self.writing, True)


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
