"""What is on the wire: whole lines, in packets that are full but not too large, each line once."""

from __future__ import annotations

import re
from typing import List

import pytest

from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tests.servers.processes import until
from tests.servers.statsd import Protocol, StatsD
from tests.statsd.conftest import MakeReporter
from tests.statsd.listeners import Datagrams

RATES = ("total", "m1_rate", "m5_rate", "m15_rate")
SPREAD = ("min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999")
KEYS = {
    "counter": ("value",),
    "gauge": ("value",),
    "meter": RATES,
    "histogram": ("total", *SPREAD),
    "timer": (*RATES, *SPREAD),
}
"""The names that a series of each kind has at StatsD."""

LINE = re.compile(r"[\w.-]+:(-?\d+(\.\d+)?\|g|[+-]\d+(\.\d+)?\|c)", re.ASCII)


def fill(registry: Registry, size: int) -> List[str]:
    """Make metrics of all kinds, with names and numbers of all lengths. Return the names that they have at StatsD."""
    expected = []
    for number in range(size):
        kind = list(KEYS)[number % len(KEYS)]
        name = f"{kind}.{'n' * (number % 83)}{number}"
        method = {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update")
        value = (number - size / 2) / 7 if kind == "gauge" else number + 1
        getattr(getattr(registry, kind)(name), method)(value)
        expected += [f"{name}.{key}" for key in KEYS[kind]]
    return expected


def parts(datagram: str) -> List[str]:
    """Split a datagram into what must stay together: a line, or a zero and the number below zero that follows it."""
    whole: List[str] = []
    for line in datagram.split("\n"):
        name = line.partition(":")[0]
        if f"{name}:-" in line and line.endswith("|g") and whole[-1:] == [f"{name}:0|g"]:
            whole[-1] += f"\n{line}"
        else:
            whole.append(line)
    return whole


def test_packets_are_full_and_lines_are_whole(registry: Registry) -> None:
    """Every line arrives once and whole, and no datagram had room for what the next begins with."""
    expected = fill(registry, 200)
    statsd = Datagrams()

    reporter = StatsdReporter(10, "127.0.0.1", statsd.port, registry=registry)
    reporter.report()
    reporter.close()
    lines = statsd.read()
    statsd.close()

    split = [parts(datagram) for datagram in statsd.packets]
    assert max(map(len, statsd.packets)) <= 1432
    for datagram, following in zip(statsd.packets, split[1:]):
        assert len(datagram) + len("\n") + len(following[0]) > 1432
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert sorted(part.partition(":")[0] for whole in split for part in whole) == sorted(expected)


@pytest.mark.parametrize("protocol", ["tcp", "unix"])
def test_statsd_reads_all_of_it(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """Of metrics that are sent on a stream in many packets the original StatsD holds every name."""
    expected = fill(registry, 500)
    count = len(expected) + 50  # gauges are below zero, for which a line more is written

    make_reporter(protocol).report()
    until(lambda: server.lines() >= count, "StatsD has read as many lines")
    server.settle()

    assert server.lines() == count
    assert server.totals() == {
        f"{reading.name}.value": reading.statistics["value"]
        for reading in registry.snapshot().readings
        if reading.kind == "counter"
    }
    assert {**server.totals(), **server.gauges()}.keys() == set(expected)
    assert server.bad_lines() == 0
