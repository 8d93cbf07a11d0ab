"""The totals of StatsD equal ours, whatever happens to it and to the reporters."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.servers.processes import until
from tests.servers.statsd import Protocol, StatsD
from tests.statsd.conftest import MakeReporter
from tests.statsd.listeners import sender_of


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


def test_nothing_is_sent_for_no_change(
    server: StatsD, protocol: Protocol, registry: Registry, clock: ManualClock, make_reporter: MakeReporter
) -> None:
    """A counter that has not changed, or is where it was, makes no line."""
    counter = registry.counter("orders")
    counter.increment(2)

    with make_reporter(protocol) as reporter:
        clock.settle()
        for _ in range(5):
            counter.increment(3)
            counter.decrement(3)
            clock.advance(10)
            clock.settle()
    server.settle()

    assert reporter.reports == 7
    assert (server.lines(), server.totals()) == (1, {"orders.value": 2})


def test_of_two_reporters_with_different_intervals(
    server: StatsD, protocol: Protocol, registry: Registry, clock: ManualClock, make_reporter: MakeReporter
) -> None:
    """Two reporters on one registry to one StatsD send each change once between them."""
    counter = registry.counter("orders")

    with make_reporter(protocol, 10) as often, make_reporter(protocol, 25) as seldom:
        for _ in range(20):
            clock.settle(2)
            counter.increment()
            clock.advance(5)
        clock.settle(2)
    server.settle()

    assert (often.reports, seldom.reports) == (12, 6)
    assert server.totals() == {"orders.value": 20}


def test_of_two_reporters_to_two_servers(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """Each StatsD is told everything, also by reporters on one registry."""
    registry.counter("orders").increment(4)
    with StatsD() as other:
        make_reporter(protocol).report()
        away, server.port, server.path = (server.port, server.path), other.port, other.path
        make_reporter(protocol).report()
        server.port, server.path = away
        server.settle()
        other.settle()

        assert (server.totals(), other.totals()) == ({"orders.value": 4}, {"orders.value": 4})


def test_after_a_stop_and_a_start(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """A reporter that is stopped and started again goes on where it was, with what was counted in between."""
    counter = registry.counter("orders")
    reporter = make_reporter(protocol)

    for _ in range(3):
        counter.increment(10)
        with reporter:
            counter.increment()
    server.settle()

    assert (reporter.reports, reporter.failures) == (6, 0)
    assert server.totals() == {"orders.value": 33}


def test_of_a_new_reporter_in_place_of_an_old_one(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """A new reporter on the same registry, to the same place, goes on and repeats nothing."""
    counter = registry.counter("orders")

    for _ in range(3):
        counter.increment(10)
        with make_reporter(protocol):
            counter.increment()
    server.settle()

    assert server.totals() == {"orders.value": 33}


def test_of_a_counter_that_is_made_anew(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """A counter that was removed and made again is counted from zero once more."""
    reporter = make_reporter(protocol)

    for count in (5, 2, 9):
        registry.counter("orders").increment(count)
        reporter.report()
        registry.remove("orders")
    server.settle()

    assert server.totals() == {"orders.value": 16}


def test_of_a_server_that_is_down_at_the_start(
    server: StatsD,
    protocol: Protocol,
    registry: Registry,
    clock: ManualClock,
    make_reporter: MakeReporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was counted while StatsD was not there yet arrives as soon as it is; its absence is one line in the log."""
    caplog.set_level(logging.WARNING)
    server.stop()
    counter = registry.counter("orders")
    counter.increment()

    with make_reporter(protocol) as reporter:
        clock.settle()
        for _ in range(3):
            counter.increment()
            clock.advance(10)
            clock.settle()
        failures, lines = reporter.failures, len(caplog.records)
        server.start()
        clock.advance(10)
        clock.settle()
    server.settle()

    assert (failures, reporter.failures, lines, len(caplog.records)) == (4, 4, 1, 1)
    assert server.totals() == {"orders.value": 4}


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
        for _ in range(3):
            clock.settle()
            counter.increment()
            clock.advance(10)
            clock.settle()
            server.settle()
            server.kill()
            server.start()
    server.settle()

    assert server.totals() == {"orders.value": 3}
    assert reporter.failures <= 3


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


def test_of_a_server_that_refuses_in_the_middle_of_a_report(
    server: StatsD, registry: Registry, make_reporter: MakeReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report of which a StatsD that goes away may have read nothing is sent again as a whole."""
    for number in range(1000):
        registry.counter(f"orders.{number:0200d}").increment(number)
    server.stop()
    with socket.socket(type=socket.SOCK_DGRAM) as goes_away:
        goes_away.bind((server.host, server.port))
        sleep = time.sleep

        def pause(seconds: float) -> None:
            # So many packets were sent that the reporter gives StatsD a moment to read them.
            goes_away.close()
            sleep(seconds)

        monkeypatch.setattr(time, "sleep", pause)
        reporter = make_reporter("udp")  # which keeps what it sleeps by

        with pytest.raises(ConnectionRefusedError):
            reporter.report()
        monkeypatch.undo()
    server.start()
    reporter.report()
    server.settle()

    assert server.totals() == {f"orders.{number:0200d}.value": number for number in range(1, 1000)}


@pytest.mark.parametrize("max_packet", [1432, 60_000])
@pytest.mark.parametrize("protocol", ["tcp", "unix"])
def test_of_a_server_that_hangs_until_nothing_more_goes_in(
    server: StatsD,
    protocol: Protocol,
    max_packet: int,
    registry: Registry,
    make_reporter: MakeReporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the buffers on the way to a StatsD that stands still are full, the rest is kept, and no line is cut off."""
    counters = [registry.counter(f"orders.{number:0200d}") for number in range(2000)]
    reporter = make_reporter(protocol, max_packet=max_packet)
    reporter.report()
    connected = sender_of(reporter)._connection._socket
    assert connected is not None
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)  # so that of a packet only a part fits
    rounds = 0

    def fill() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            for counter in counters:
                counter.increment()
            reporter.report()

    server.pause()
    with monkeypatch.context() as patch:
        patch.setattr("tapes.reporting.statsd.connection.SEND_TIMEOUT", 0.05)
        with pytest.raises(TimeoutError, match="takes nothing"):
            fill()
    server.resume()
    reporter.report()
    expected = {f"{counter.name}.value": rounds for counter in counters}
    until(lambda: server.totals() == expected, "the totals of StatsD are ours")
    server.settle()

    assert server.totals() == expected
    assert server.bad_lines() == 0
