"""A StatsD on another machine, whose refusals come when the reporter has gone on."""

from __future__ import annotations

import logging
from typing import Iterator

import pytest

from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tapes.testing import ManualClock
from tests.servers.network import OtherMachine
from tests.servers.statsd import StatsD


@pytest.fixture
def machine() -> Iterator[OtherMachine]:
    """Make another machine."""
    with OtherMachine() as made:
        yield made


@pytest.fixture
def server(machine: OtherMachine) -> Iterator[StatsD]:
    """Run a StatsD on the other machine that is down to begin with."""
    with StatsD(machine.host, machine.inside) as running:
        running.stop()
        yield running


def test_what_is_refused_later_is_sent_again(
    machine: OtherMachine, server: StatsD, registry: Registry, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A change whose refusal comes after its report is kept and arrives when StatsD is up; one line is logged."""
    caplog.set_level(logging.WARNING)
    counter = registry.counter("orders")
    counter.increment(5)

    machine.hide()
    with StatsdReporter(10, machine.host, server.port, registry=registry) as reporter:
        clock.settle()
        taken = (reporter.reports, reporter.failures)
        machine.wait_for_refusals(server.port)
        for _ in range(3):
            counter.increment()
            clock.advance(10)
            clock.settle()
        refused = (reporter.reports, reporter.failures)
        server.start()
        clock.advance(10)
        clock.settle()
    server.settle()

    assert (taken, refused) == ((1, 0), (1, 3))
    where = f"udp://{machine.host}:{server.port}"
    assert [record.getMessage() for record in caplog.records] == [
        (
            f"StatsdReporter(interval=10, {where}) could not report: [Errno 111] {where}: Connection refused. Start "
            "the server there, or correct the address. It will try again."
        )
    ]
    assert server.totals() == {"orders.value": 8}


def test_a_server_that_goes_and_comes_back_on_another_machine(
    machine: OtherMachine, server: StatsD, registry: Registry, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The totals are right over several absences, of which each is one line in the log."""
    caplog.set_level(logging.WARNING)
    counter = registry.counter("orders")

    with StatsdReporter(10, machine.host, server.port, registry=registry):
        for _ in range(3):
            clock.settle()
            server.start()
            counter.increment()
            clock.advance(10)
            clock.settle()
            server.settle()
            server.kill()
            machine.hide()
            counter.increment(10)
            clock.advance(10)
            clock.settle()
            machine.wait_for_refusals(server.port)
            counter.increment(100)
            clock.advance(10)
        clock.settle()
        server.start()
    server.settle()

    assert server.totals() == {"orders.value": 333}
    assert len(caplog.records) == 3
