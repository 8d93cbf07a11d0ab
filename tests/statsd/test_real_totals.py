"""The totals of StatsD equal ours, whatever happens to it and to the reporters."""

from __future__ import annotations

import logging

import pytest

from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.servers.statsd import Protocol, StatsD
from tests.statsd.conftest import MakeReporter


def test_over_many_intervals(
    server: StatsD, protocol: Protocol, registry: Registry, clock: ManualClock, make_reporter: MakeReporter
) -> None:
    """Changes of many intervals add up to what was counted, up and down."""
    up, down = registry.counter("up"), registry.counter("down")

    with make_reporter(protocol) as reporter:
        for number in range(1, 41):
            clock.settle()
            up.increment(number)
            down.decrement(2)
            down.increment()
            clock.advance(10)
        clock.settle()
    server.settle()

    assert (reporter.reports, reporter.failures) == (42, 0)
    assert server.totals() == {"up.value": 820, "down.value": -40}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_of_a_server_that_goes_and_comes_back(
    server: StatsD,
    protocol: Protocol,
    end: str,
    registry: Registry,
    clock: ManualClock,
    make_reporter: MakeReporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was counted while StatsD was gone, several times, is kept; each absence is one line in the log."""
    caplog.set_level(logging.WARNING)
    counter = registry.counter("orders")

    with make_reporter(protocol) as reporter:
        for _ in range(2):
            for _ in range(3):
                clock.settle()
                counter.increment()
                clock.advance(10)
            clock.settle()
            server.settle()
            getattr(server, end)()
            for _ in range(2):
                counter.increment(100)
                clock.advance(10)
                clock.settle()
            server.start()
    server.settle()

    assert server.totals() == {"orders.value": 406}
    assert (reporter.failures, len(caplog.records)) == (4, 2)


def test_of_a_server_that_is_replaced_between_two_reports(
    server: StatsD, protocol: Protocol, registry: Registry, clock: ManualClock, make_reporter: MakeReporter
) -> None:
    """A StatsD that was killed and is back before anything was sent loses nothing."""
    counter = registry.counter("orders")

    with make_reporter(protocol) as reporter:
        for _ in range(2):
            clock.settle()
            counter.increment()
            clock.advance(10)
            clock.settle()
            server.settle()
            server.kill()
            server.start()
    server.settle()

    assert server.totals() == {"orders.value": 2}
    assert reporter.failures <= 2


def test_of_a_server_that_hangs_for_a_while(
    server: StatsD, protocol: Protocol, registry: Registry, clock: ManualClock, make_reporter: MakeReporter
) -> None:
    """What is sent while StatsD stands still waits for it, and is counted once when it goes on."""
    counter = registry.counter("orders")
    registry.gauge("stock", producer=lambda: 7)

    with make_reporter(protocol) as reporter:
        clock.settle()
        server.pause()
        for _ in range(10):
            counter.increment()
            clock.advance(10)
            clock.settle()
        made = reporter.reports
        server.resume()
        counter.increment()
        clock.advance(10)
        clock.settle()
    server.settle()

    assert (made, reporter.failures) == (11, 0)
    assert server.totals() == {"orders.value": 11}
    assert server.gauges() == {"stock.value": 7}
