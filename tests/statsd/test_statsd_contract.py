"""The life of the StatsD reporter, by the contract that every reporter is held to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import List, Optional

import pytest

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.statsd import StatsdReporter
from tapes.testing import ReporterContract
from tests.statsd.listeners import Datagrams, Stream


class TestOverUDP(ReporterContract):
    """To a socket that takes datagrams."""

    def setup_method(self) -> None:
        """Listen."""
        self.statsd = Datagrams()

    def teardown_method(self) -> None:
        """Listen no more."""
        self.statsd.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Report to the socket."""
        return StatsdReporter(self.interval, "127.0.0.1", self.statsd.port, "contract", registry)

    def break_far_end(self) -> None:
        """Go down."""
        self.statsd.close()

    def mend_far_end(self) -> None:
        """Be back."""
        self.statsd.reopen()


class TestOverTCP(ReporterContract):
    """To a server that takes connections."""

    def setup_method(self) -> None:
        """Listen."""
        self.listener = Stream()

    def teardown_method(self) -> None:
        """Listen no more."""
        self.listener.close()

    hanging = False

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Report to the server; so much, if it hangs, that all buffers are full."""
        if self.hanging and registry is not None:
            for number in range(2000):
                registry.counter("large", {"filler": "large" * 600, "number": str(number)}).increment()
        return self.reporter_to_server(registry)

    def reporter_to_server(self, registry: Optional[Registry]) -> Reporter:
        """Report to the server."""
        return StatsdReporter(self.interval, "127.0.0.1", self.listener.port, registry=registry, protocol="tcp")

    def break_far_end(self) -> None:
        """Go down."""
        self.listener.close()

    def mend_far_end(self) -> None:
        """Be back."""
        self.listener.reopen()

    def hang_far_end(self) -> None:
        """Take connections and read nothing."""
        self.hanging = True
        self.listener.close()
        self.listener = Stream(reading=False)


class TestOverAUnixSocket(TestOverTCP):
    """To a server at a path."""

    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "statsd.sock"
        self.listener.close()
        self.listener = Stream(self.path)

    def reporter_to_server(self, registry: Optional[Registry]) -> Reporter:
        """Report to the server."""
        return StatsdReporter(self.interval, registry=registry, protocol="unix", path=self.path)

    def hang_far_end(self) -> None:
        """Do the same at the path."""
        super().hang_far_end()
        self.listener.close()
        self.listener = Stream(self.path, reading=False)


def test_it_is_found_by_its_name(tmp_path: Path) -> None:
    """A configuration names it `statsd`, with all of its options."""
    import tapes

    statsd = Datagrams()
    registry = Registry()
    registry.counter("hits", {"page": "home"}).increment()
    options = {"interval": 10, "host": "127.0.0.1", "port": statsd.port, "prefix": "shop", "protocol": "udp"}
    config = {"reporters": {"statsd": {**options, "tags": "datadog", "max_packet": 512}}}
    with contextlib.closing(statsd):
        tapes.configure(config, registry=registry).stop()
        lines: List[str] = statsd.read()

    assert lines == ["shop.hits.value:+1|c|#page:home"]
