"""What is on the wire: whole lines, in packets that are full but not too large, each line once."""

from __future__ import annotations

import collections
import contextlib
import re
import socket
import threading
from functools import partial
from typing import Dict, List, Optional

import pytest

from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tests.servers.processes import PATIENCE, until
from tests.servers.statsd import Protocol, StatsD
from tests.statsd.conftest import MakeReporter

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
LAST = b"the last one"
SO_RCVBUFFORCE = 33  # of Linux: more than the system grants, for root


class Capture:
    """A UDP socket that keeps the datagrams that are sent to it, while it is entered."""

    def __init__(self) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE)
        for option in (socket.SO_RCVBUF, SO_RCVBUFFORCE):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, 1 << 25)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._received: List[bytes] = []

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def datagrams(self) -> List[str]:
        """Return what was sent before, in its order."""
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(LAST, ("127.0.0.1", self.port))
        self._thread.join(PATIENCE)
        assert self._received[-1] == LAST
        return [datagram.decode("ascii") for datagram in self._received[:-1]]

    def _receive(self) -> None:
        while self._received[-1:] != [LAST]:
            self._received.append(self._socket.recv(1 << 16))


def fill(registry: Registry) -> Dict[str, str]:
    """Make 5,000 metrics of all kinds, with names and numbers of all lengths. Return the kind of each."""
    made = {}
    for number in range(5000):
        kind = list(KEYS)[number % len(KEYS)]
        name = f"{kind}.{'n' * (number % 83)}{number}"
        metric = getattr(registry, kind)(name)
        if kind == "gauge":
            metric.set((number - 2500) / 7)
        elif kind == "counter":
            metric.increment(number + 1)
        elif kind == "meter":
            metric.mark(number)
        else:
            metric.update(number / 11)
        made[name] = kind
    return made


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


def names_of(made: Dict[str, str]) -> List[str]:
    """Return the names that these metrics have at StatsD."""
    return [f"{name}.{key}" for name, kind in made.items() for key in KEYS[kind]]


@pytest.mark.parametrize("max_packet", [None, 8192])
def test_packets_are_full_and_lines_are_whole(registry: Registry, max_packet: Optional[int]) -> None:
    """Of 5,000 metrics every line arrives once and whole, and no datagram had room for what the next begins with."""
    made = fill(registry)
    largest = max_packet or 1432

    with Capture() as capture:
        make = partial(StatsdReporter, 10, "127.0.0.1", capture.port, registry=registry)
        reporter = make() if max_packet is None else make(max_packet=max_packet)
        reporter.report()
        reporter.close()
        datagrams = capture.datagrams()

    split = [parts(datagram) for datagram in datagrams]
    together = [part for whole in split for part in whole]
    lines = [line for part in together for line in part.split("\n")]
    too_large = [datagram for datagram in datagrams if len(datagram) > largest]
    with_room = [
        (datagram, following[0])
        for datagram, following in zip(datagrams, split[1:])
        if len(datagram) + len("\n") + len(following[0]) <= largest
    ]
    assert too_large == []
    assert with_room == []
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert collections.Counter(part.partition(":")[0] for part in together) == collections.Counter(names_of(made))


def test_a_number_below_zero_stays_with_the_zero_before_it(registry: Registry) -> None:
    """No datagram, which might be lost, stands between the two lines that a negative gauge is written as."""
    for number in range(1000):
        registry.gauge(f"gauge.{'n' * (number % 83)}{number}").set(-number - 1)

    with Capture() as capture:
        reporter = StatsdReporter(10, "127.0.0.1", capture.port, registry=registry)
        reporter.report()
        reporter.close()
        datagrams = capture.datagrams()

    pairs = [part for datagram in datagrams for part in parts(datagram)]
    assert pairs == [
        f"gauge.{'n' * (number % 83)}{number}.value:0|g\ngauge.{'n' * (number % 83)}{number}.value:{-number - 1}|g"
        for number in range(1000)
    ]


@pytest.mark.parametrize("protocol", ["tcp", "unix"])
def test_statsd_reads_all_of_it(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """Of 5,000 metrics that are sent on a stream the original StatsD holds every name."""
    made = fill(registry)
    expected = len(names_of(made)) + 500  # gauges are below zero, for which a line more is written

    make_reporter(protocol).report()
    until(lambda: server.lines() >= expected, "StatsD has read as many lines")
    server.settle()

    assert server.lines() == expected
    assert server.totals() == {
        f"{reading.name}.value": reading.statistics["value"]
        for reading in registry.snapshot().readings
        if reading.kind == "counter"
    }
    assert {**server.totals(), **server.gauges()}.keys() == set(names_of(made))
    assert server.bad_lines() == 0
