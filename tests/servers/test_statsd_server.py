"""The StatsD of the tests shows what it was sent, and survives what is done to it."""

from __future__ import annotations

from typing import Dict, Iterator, List

import pytest

from tests.servers.installed import statsd_command
from tests.servers.processes import free_port, states
from tests.servers.statsd import PROTOCOLS, Protocol, StatsD, parse


@pytest.fixture
def server() -> Iterator[StatsD]:
    """Run a StatsD."""
    with StatsD() as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_sent_is_shown(server: StatsD, protocol: Protocol) -> None:
    """Counters, gauges and timers are what was sent, with all digits, by each way, before and after a flush."""
    server.send(
        "a.b:2|c\na.b:-5|c\nplain:1|c\nsum:0.30000000000000004|g\nhuge:1000000000000000000000|g\n"
        "tiny:0.0000001|g\nminus:-3|g\nzero:0|g\ntook:3|ms\ntook:4.5|ms\n",
        protocol,
    )
    server.settle()
    gauges = {"sum": 0.1 + 0.2, "huge": 1e21, "tiny": 1e-7, "minus": -3, "zero": 0}

    assert server.totals() == {"a.b": -3, "plain": 1}
    assert server.gauges() == gauges
    assert (server.lines(), server.bad_lines()) == (10, 0)
    server.flush()
    assert (server.counters(), server.timers()) == ({}, {"took": []})
    assert server.flushed_totals() == server.totals() == {"a.b": -3, "plain": 1}
    assert server.flushed_gauges() == server.gauges() == gauges


def test_timers_are_shown(server: StatsD) -> None:
    """The values of timers are shown as they came, the first hundred of them."""
    lines = "\n".join(f"took:{number}|ms" for number in range(150))
    shown: Dict[str, List[float]] = {}

    while not shown.get("took"):  # nothing is left of them after a flush
        server.send(lines)
        server.settle()
        shown = server.timers()

    assert shown == {"took": list(range(100))}


def test_thousands_of_series_are_shown(server: StatsD) -> None:
    """Nothing is abbreviated, however much there is."""
    for start in range(0, 5000, 50):
        server.send("".join(f"many.g{number}:{number}|g\n" for number in range(start, start + 50)))
        server.settle()

    assert server.gauges() == {f"many.g{number}": number for number in range(5000)}


def test_bad_lines_are_counted(server: StatsD) -> None:
    """A line that cannot be read is counted, and so are all lines, without those that the tools have sent."""
    server.send("a:1|c\nno number:x|c\na:1|c\nnothing")
    server.settle()

    assert (server.lines(), server.bad_lines()) == (4, 2)
    assert server.totals() == {"a": 2}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_totals_survive_the_server(server: StatsD, end: str) -> None:
    """A server that is stopped or killed and started again is at the same places and has lost nothing it was sent."""
    places = (server.port, server.path)
    for protocol in PROTOCOLS:
        server.send("a:1|c\n", protocol)
    server.settle()

    getattr(server, end)()

    assert server.flushed_totals() == {"a": 3}
    with pytest.raises(OSError, match="refused"):
        server.send("a:1|c\n", "tcp")
    server.start()
    for protocol in PROTOCOLS:
        server.send("a:1|c\n", protocol)
    server.settle()
    assert (server.port, server.path) == places
    assert (server.totals(), server.lines()) == ({"a": 6}, 6)


def test_a_paused_server_takes_nothing_until_it_is_resumed(server: StatsD) -> None:
    """What is sent to a server that is held still waits in the system, and is read afterwards."""
    server.pause()
    for protocol in PROTOCOLS:
        server.send("a:1|c\n", protocol)
    held = set(states(server._running().pid).values())

    server.resume()

    assert held == {"T"}
    assert server.totals() == {"a": 3}


def test_ports_that_are_taken_are_left_to_others(server: StatsD, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody takes between its choice and its use is given up for another."""
    choices = iter([server.port, server.port + 1])
    monkeypatch.setattr("tests.servers.statsd.free_port", lambda: next(choices, 0) or free_port())

    with StatsD() as second:
        second.send("mine:1|c\n", "tcp")
        second.settle()
        totals = second.totals()

    assert second.port not in (server.port, 0)
    assert (totals, server.totals()) == ({"mine": 1}, {})


def test_nothing_is_left_behind_by_a_test_that_fails() -> None:
    """The process has ended and its folder is gone, also when the test raises, and when the server is held still."""
    processes = []

    def fail() -> None:
        with StatsD() as server:
            processes.append(server._running())
            server.pause()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not processes[0].running
    assert not processes[0].log.parent.exists()


def test_what_node_shows_is_read() -> None:
    """All forms in which Node shows the properties of an object are understood."""
    shown = "{\n  'a.b-c;d=e': 1e+21,\n  plain: -0,\n  took: [ 1, 2.5,\n    3 ],\n  none: [] }"

    assert parse(shown) == {"a.b-c;d=e": "1e+21", "plain": "-0", "took": "[ 1, 2.5,\n    3 ]", "none": "[]"}
    assert parse("{}") == {}


def test_a_server_that_cannot_be_started_is_an_error_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server said before it ended is in the error."""
    node, _ = statsd_command()
    monkeypatch.setattr("tests.servers.statsd.statsd_command", lambda: [node, "-e", "throw 'no shelves'"])

    with pytest.raises(AssertionError, match="no shelves"), StatsD():
        pass
