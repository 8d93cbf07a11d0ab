"""Real servers, and reporters to them."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest

from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tapes.testing import ManualClock
from tests.servers.collectd import Collectd
from tests.servers.processes import PATIENCE
from tests.servers.statsd import PROTOCOLS, Protocol, StatsD

MakeReporter = Callable[..., StatsdReporter]


@pytest.fixture
def server() -> Iterator[StatsD]:
    """Run the original StatsD."""
    with StatsD() as running:
        yield running


@pytest.fixture(scope="module")
def shared_server() -> Iterator[StatsD]:
    """Run the original StatsD for all tests of a module: prefixes tell apart what they send."""
    with StatsD() as running:
        yield running


@pytest.fixture(scope="session")
def collectd() -> Iterator[Collectd]:
    """Run collectd, the same for all tests: names tell apart what they send."""
    with Collectd() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> Registry:
    """Return an empty registry."""
    return Registry(clock=clock)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    """Name each way to StatsD."""
    found: Protocol = request.param
    return found


@pytest.fixture
def make_reporter(server: StatsD, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeReporter]:
    """Make reporters on the registry to the server, by one of the protocols; stop and close them in the end.

    They have patience with a server that is late for want of a processor.
    """
    monkeypatch.setattr("tapes.reporting.statsd.connection.SEND_TIMEOUT", PATIENCE)
    made = []

    def make(protocol: Protocol, interval: float = 10, max_packet: int = 1432) -> StatsdReporter:
        path = server.path if protocol == "unix" else None
        reporter = StatsdReporter(
            interval, server.host, server.port, None, registry, protocol=protocol, path=path, max_packet=max_packet
        )
        made.append(reporter)
        return reporter

    yield make
    for reporter in made:
        reporter.stop()
        reporter.close()  # of reports that were made without a start
