"""The contract of reporters, for the page that a loop serves at a port of its own."""

from __future__ import annotations

import os
import socket
from typing import Dict, List, Optional

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.tornado.http import TornadoHTTPReporter
from tapes.testing import ReporterContract
from tests.pages.serving import ask
from tests.tornado.conftest import LoopThread


class TestTornadoHTTPReporter(ReporterContract):
    """Served by the loop that runs, and scraped."""

    scheduled = False
    threaded = False

    def setup_method(self) -> None:
        """Run a loop, and count what is received."""
        self.loops: Dict[int, LoopThread] = {}
        self.run_loop()
        self.answers = 0
        self.clients: List[socket.socket] = []
        self.stalling = False
        self.blocker = socket.socket()

    def teardown_method(self) -> None:
        """Let go of the clients that stall, and stop the loop."""
        for client in (*self.clients, self.blocker):
            client.close()
        self.loops[os.getpid()].close()

    def run_loop(self) -> None:
        """Run a loop in this process, which may be a child of the one that the test began in."""
        if os.getpid() not in self.loops:
            self.loops[os.getpid()] = LoopThread()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Serve at any free port."""
        if not self.stalling:
            return TornadoHTTPReporter(0, registry)
        stall = self.stall

        class Stalled(TornadoHTTPReporter):
            def start(self) -> None:
                super().start()
                stall(self.port)

        return Stalled(0, registry)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Serve at a port that is taken."""
        self.blocker.bind(("127.0.0.1", 0))
        self.blocker.listen(1)
        return TornadoHTTPReporter(self.blocker.getsockname()[1], registry)

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
        assert isinstance(reporter, TornadoHTTPReporter)
        self.run_loop()
        status = ask(reporter.port, "GET", "/")[0]
        assert status in (200, 500)
        self.answers += status == 200

    def received(self) -> Optional[int]:
        """Count the answers."""
        return self.answers
