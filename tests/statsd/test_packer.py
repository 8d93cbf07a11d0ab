"""Packets: the bytes that they are, and which changes are delivered with them."""

from __future__ import annotations

import random
from typing import Dict, Iterator, List, Optional, Tuple

import pytest
from statsd.client.base import StatsClientBase
from statsd.client.udp import Pipeline

from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.statsd.deliveries import Change
from tapes.reporting.statsd.packer import pack
from tapes.testing import ManualClock
from tests.statsd.listeners import counted, sender_of


class FarEnd:
    """A connection to a StatsD that takes as much as it is told to."""

    def __init__(self, protocol: str) -> None:
        self._is_stream = protocol != "udp"
        self.trouble = TimeoutError("It takes nothing more.")
        self.room: Optional[int] = None
        """How many more bytes are taken on a stream, and how many more datagrams; None for all."""
        self.packets: List[bytes] = []
        """What was taken."""

    def refusal(self) -> Optional[OSError]:
        """Return nothing: what is refused here is refused at once."""
        return None

    def connect(self, now: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def send(self, data: bytes) -> int:
        """Take as many bytes of a stream as there is room for, or a datagram."""
        taken = len(data) if self.room is None else min(self.room, len(data)) if self._is_stream else len(data)
        if self.room is not None:
            if not self._is_stream and not self.room:
                raise ConnectionRefusedError("It is down.")
            self.room -= taken if self._is_stream else 1
        self.packets.append(data[:taken])
        return taken

    def counted(self) -> Dict[str, float]:
        """Return the sums of the counters in all that can be read: whole lines."""
        if self._is_stream:
            return counted(b"".join(self.packets).decode("ascii").split("\n")[:-1])
        return counted(b"\n".join(self.packets).decode("ascii").split("\n"))


def fill(registry: Registry) -> None:
    """Make metrics of all kinds, a line of a counter and one of a gauge that are long, and a gauge of two lines."""
    registry.counter("shop.orders", {"item": "book"}).increment(3)
    registry.counter("shop.refunds").decrement(12)
    registry.counter("shop.idle")
    registry.counter(f"shop.{'n' * 60}").increment()
    registry.counter("shop.visits").increment(0.5)
    registry.gauge("shop.balance").set(-2.5)
    registry.gauge("shop.stock", tags={"of": "t" * 60}).set(1)
    registry.meter("shop.views").mark(4)


def reporting(protocol: str, far_end: FarEnd, registry: Registry, **options: int) -> StatsdReporter:
    """Make a reporter to this far end."""
    path = "/nowhere" if protocol == "unix" else None
    reporter = StatsdReporter(10, registry=registry, protocol=protocol, path=path, **options)  # type: ignore[arg-type]
    reporter.open()
    connect(reporter, far_end)
    return reporter


def connect(reporter: StatsdReporter, far_end: FarEnd) -> None:
    """Have a reporter send to this far end from now on."""
    sender_of(reporter)._connection = far_end  # type: ignore[assignment]  # it does what is needed here


@pytest.fixture
def registry() -> Registry:
    """Return a registry of these metrics, on a clock that stands still."""
    registry = Registry(clock=ManualClock())
    fill(registry)
    return registry


GOLDEN = {
    ("udp", 64): [
        b"shop.orders.item_book.value:+3|c\nshop.refunds.value:-12|c",
        b"shop.visits.value:+0.5|c",
        b"shop.balance.value:0|g\nshop.balance.value:-2.5|g",
        b"shop.views.total:4|g\nshop.views.m1_rate:0|g",
        b"shop.views.m5_rate:0|g\nshop.views.m15_rate:0|g",
    ],
    ("tcp", 64): [
        b"shop.orders.item_book.value:+3|c\nshop.refunds.value:-12|c\n",
        b"shop." + b"n" * 60 + b".value:+1|c\n",
        b"shop.visits.value:+0.5|c\n",
        b"shop.balance.value:0|g\nshop.balance.value:-2.5|g\n",
        b"shop.stock.of_" + b"t" * 60 + b".value:1|g\n",
        b"shop.views.total:4|g\nshop.views.m1_rate:0|g\n",
        b"shop.views.m5_rate:0|g\nshop.views.m15_rate:0|g\n",
    ],
}
"""The packets of these metrics, as they always were."""


@pytest.mark.parametrize(("protocol", "max_packet"), GOLDEN)
def test_packets_are_these_very_bytes(registry: Registry, protocol: str, max_packet: int) -> None:
    """The lines are in their order, pairs are together, and a datagram does not end with a newline."""
    far_end = FarEnd(protocol)
    reporting(protocol, far_end, registry, max_packet=max_packet).report()

    assert far_end.packets == GOLDEN[protocol, max_packet]


class Library(StatsClientBase):  # type: ignore[misc]  # the library has no types
    """A client of the library `statsd` that keeps what it would send."""

    def __init__(self, max_packet: int) -> None:
        self._prefix = None
        self._maxudpsize = max_packet + 1  # it stays below
        self.packets: List[bytes] = []

    def _send(self, data: str) -> None:
        self.packets.append(data.encode("ascii"))

    def pack(self, lines: List[str]) -> List[bytes]:
        """Return packets of these lines."""
        pipeline = Pipeline(self)
        for line in lines:
            pipeline._after(line)
        pipeline.send()
        return self.packets


@pytest.mark.parametrize("seed", range(20))
def test_packets_are_those_of_the_library(seed: int) -> None:
    """The packets of the library `statsd` hold the same lines, whatever their lengths; on a stream a newline more."""
    chosen = random.Random(seed)
    lines = ["x" * chosen.choice([1, 5, 30, 62, 63, 64, chosen.randrange(1, 80)]) for _ in range(200)]
    fitting = [line for line in lines if len(line) <= 64]
    left_out: List[str] = []

    datagrams = pack([([line], None) for line in lines], 64, is_stream=False, leave_out=left_out.append)
    of_stream = pack([([line], None) for line in lines], 64, is_stream=True, leave_out=left_out.append)

    assert [packet.data for packet in datagrams] == Library(64).pack(fitting)
    assert [packet.data for packet in of_stream] == [data + b"\n" for data in Library(63).pack(lines)]
    assert left_out == [line for line in lines if len(line) > 64]


def test_a_packet_says_where_its_changes_end() -> None:
    """A change ends with its line, on a stream with the newline behind it. Lines without a change are not mentioned."""
    changes = [Change(number, object(), (0, 0), (number, 0)) for number in range(3)]
    lines = [(["a:1|c"], changes[0]), (["g:0|g\ng:-1|g"], None), (["bc:2|c"], changes[1]), (["d:3|c"], changes[2])]

    (datagram,) = pack(lines, 64, is_stream=False, leave_out=pytest.fail)
    (of_stream,) = pack(lines, 64, is_stream=True, leave_out=pytest.fail)

    assert tuple(datagram) == (b"a:1|c\ng:0|g\ng:-1|g\nbc:2|c\nd:3|c", tuple(changes), (5, 25, 31))
    assert tuple(of_stream) == (b"a:1|c\ng:0|g\ng:-1|g\nbc:2|c\nd:3|c\n", tuple(changes), (6, 26, 32))
    assert [len(of_stream.delivered(taken)) for taken in (0, 5, 6, 25, 26, 31, 32)] == [0, 0, 1, 1, 2, 2, 3]


def test_a_packet_is_made_when_the_one_before_has_been_dealt_with() -> None:
    """So that 100,000 lines are never there at once."""
    asked: List[int] = []

    def lines() -> Iterator[Tuple[List[str], None]]:
        for number in range(10):
            asked.append(number)
            yield ["x" * 40], None

    packets = pack(lines(), 64, is_stream=False, leave_out=pytest.fail)
    next(packets)

    assert asked == [0, 1]


TOTALS = {
    "shop.orders.item_book.value": 3,
    "shop.refunds.value": -12,
    f"shop.{'n' * 60}.value": 1,
    "shop.visits.value": 0.5,
}


def added_up(*parts: Dict[str, float]) -> Dict[str, float]:
    """Return the sums of several counts."""
    names = {name: None for part in parts for name in part}
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def test_on_a_stream_that_is_cut_off_delivered_and_left_are_all_changes() -> None:
    """Wherever it is cut: what could be read, and what the next report tells, are what was counted, each time once."""
    length = sum(map(len, GOLDEN["tcp", 64]))
    for cut in range(length):
        registry = Registry(clock=ManualClock())
        fill(registry)
        before, after = FarEnd("tcp"), FarEnd("tcp")
        before.room = cut
        reporter = reporting("tcp", before, registry, max_packet=64)
        with pytest.raises(TimeoutError, match="takes nothing more"):
            reporter.report()
        registry.counter("shop.refunds").increment(100)
        connect(reporter, after)
        reporter.report()

        delivered, left = before.counted(), after.counted()
        assert sum(map(len, before.packets)) == cut
        assert added_up(delivered, left) == {**TOTALS, "shop.refunds.value": 88}
        assert all(name == "shop.refunds.value" or name not in left for name in delivered)


def test_of_datagrams_that_are_refused_nothing_counts_as_delivered() -> None:
    """A refusal may be one of all that were sent before, so the next report tells all of them."""
    for taken in range(len(GOLDEN["udp", 64])):
        registry = Registry(clock=ManualClock())
        fill(registry)
        before, after = FarEnd("udp"), FarEnd("udp")
        before.room = taken
        reporter = reporting("udp", before, registry, max_packet=64)
        with pytest.raises(ConnectionRefusedError):
            reporter.report()
        connect(reporter, after)
        reporter.report()

        assert len(before.packets) == taken
        assert after.packets == GOLDEN["udp", 64]


def test_a_change_whose_line_is_too_long_is_left(registry: Registry) -> None:
    """It is told as soon as there is room for it, by whatever reporter to the same place."""
    small, large = FarEnd("udp"), FarEnd("udp")
    reporting("udp", small, registry, max_packet=64).report()
    reporting("udp", large, registry, max_packet=100).report()

    assert large.counted() == {f"shop.{'n' * 60}.value": 1}
    assert added_up(small.counted(), large.counted()) == TOTALS
