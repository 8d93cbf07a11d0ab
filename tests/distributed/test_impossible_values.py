"""Well-formed frames that say what no recording can have produced: dropped, counted, and of no effect on anybody."""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, List
from zlib import crc32

import pytest

from tapes.distributed import frames, state_format
from tapes.distributed.frames import END, ENDING, LEAVING
from tapes.distributed.pools import StatePool
from tapes.encoding.json import JsonFormat
from tapes.kinds.meter import MeterKind
from tapes.kinds.timer import TIMER, TimerKind
from tapes.state.meter import MeterState
from tests.distributed.forging import counter, facts, frame, gauge, hello, histogram, meter, number, part, series, timer
from tests.distributed.simulated import (
    HERE,
    NAMES,
    Asking,
    Bench,
    above,
    assert_alike,
    record,
    restarted,
    stats_of,
    told,
)

NAN, INF, LARGEST = float("nan"), float("inf"), 1.7976931348623157e308
HUGE = 1 << 20_000
NOW = 1000.0


def of(kind: str, *states: bytes) -> bytes:
    """Return a hello, a series and its states."""
    return hello() + series(kind, "forged") + b"".join(states)


def one(**fields: Any) -> bytes:
    """Return a histogram with one slice, of 950 to 960 unless told otherwise."""
    return of("histogram", histogram(part(**{"start": 950.0, "end": 960.0, **fields})))


def closed(**then: Any) -> bytes:
    """Return a histogram with five closed values, and what is said of them later."""
    first = histogram(part(0.0, 0.0, count=5, total=5.0, lanes=b"\5"), flags=3, through=100.0)
    return of("histogram", first, histogram(part(0.0, 0.0, **then), flags=2, through=150.0))


def described(said: bytes) -> bytes:
    """Return a hello, a series and what is said of a name."""
    return hello() + series("counter", "a") + said


IMPOSSIBLE: Dict[str, bytes] = {
    "a pid of 2**31": hello(pid=1 << 31),
    "no interval": hello(interval=0.0),
    "a negative interval": hello(interval=-1.0),
    "an interval of 30 years": hello(interval=1.1e9),
    "an interval that is NaN": hello(interval=NAN),
    "a worker that settles twice": hello(settles=2),
    "a host with a line break": hello(host="here\nCRITICAL everything is lost"),
    "a host of many bytes": hello(host="h" * 1025),
    "a machine of many bytes": hello(machine="m" * 1025),
    "processes of many bytes": hello(processes="p" * 1025),
    "no name": hello() + series("counter", ""),
    "a name with an empty segment": hello() + series("counter", "a..b"),
    "a name of 65 segments": hello() + series("counter", ".".join("a" * 65)),
    "a name of 1,025 bytes": hello() + series("counter", "a" * 1025),
    "65 tags": hello() + series("counter", "a", [(f"k{number:02}", "") for number in range(65)]),
    "an empty key": hello() + series("counter", "a", [("", "v")]),
    "a key of 257 bytes": hello() + series("counter", "a", [("k" * 257, "")]),
    "a value of 4,097 bytes": hello() + series("counter", "a", [("k", "v" * 4097)]),
    "a key twice": hello() + series("counter", "a", [("k", "v"), ("k", "w")]),
    "keys that are not sorted": hello() + series("counter", "a", [("l", "v"), ("k", "w")]),
    "a name of the aggregator's own": hello() + series("counter", "tapes.aggregator.messages"),
    "a counter that is merged": hello() + series("counter", "a", merge="max"),
    "a number for two series": hello() + series("counter", "a") + series("counter", "b"),
    "a name of the aggregator's own that is described": described(facts("tapes.aggregator.messages")),
    "a description of no name": described(facts("a..b")),
    "a description that is too long": described(facts("a", "d" * 4097)),
    "a description of two lines": described(facts("a", "one\ntwo")),
    "a description that is no UTF-8": described(facts("a", b"\xff")),
    "a unit that is too long": described(facts("a", unit="u" * 65)),
    "a unit of two lines": described(facts("a", unit="s\r")),
    "nothing that is said of a name": described(facts("a", "")),
    "more than is said of a name": described(frames.record(4, facts("a")[5:] + b"\0")),
    "increments below zero": of("counter", counter(-1)),
    "decrements below zero": of("counter", counter(1, -0.5)),
    "increments beyond the largest number": of("counter", counter(HUGE)),
    "decrements beyond the largest number": of("counter", counter(1, 1 << 1024)),
    "an integer of very many bytes": of("counter", counter(b"\2" + b"\0\0\1\0" + bytes(1 << 16))),
    "a gauge set at NaN": of("gauge", gauge(1, NAN, 1, 1, 1, 1)),
    "a gauge set in the future": of("gauge", gauge(1, NOW + 100, 1, 1, 1, 1)),
    "a gauge set a million years ago": of("gauge", gauge(1, -1e30, 1, 1, 1, 1)),
    "a gauge of one worker in many processes": of("gauge", gauge(2, NOW, 2, 1, 1, 1)),
    "a gauge beyond the largest number": of("gauge", gauge(1, NOW, HUGE, HUGE, HUGE, HUGE)),
    "a minimum above the maximum": of("gauge", gauge(1, NOW, 1, 2, 1, 1)),
    "a last value below the minimum": of("gauge", gauge(1, NOW, 1, 1, 1, 0)),
    "a sum that is not the only value": of("gauge", gauge(1, NOW, 2, 1, 1, 1)),
    "events below zero": of("meter", meter(-1, 0, 200)),
    "half an event": of("meter", meter(1.5, 0, 200)),
    "more events in a tick than in all": of("meter", meter(1, 2, 200)),
    "events in a tick below zero": of("meter", meter(1, -1, 200)),
    "events beyond the largest number": of("meter", meter(HUGE, 0, 200)),
    "a tick in the future": of("meter", meter(1, 0, 203)),
    "the last tick that can be written": of("meter", meter(1, 0, (1 << 63) - 1)),
    "the first tick that can be written": of("meter", meter(1, 0, -(1 << 63))),
    "a rate below zero": of("meter", meter(1, 0, 200, (0.1, -0.1, 0.1))),
    "a rate that is NaN": of("meter", meter(1, 0, 200, (0.1, 0.1, NAN))),
    "2**64 - 1 durations": of("timer", timer((1 << 64) - 1, 0, 200)),
    "more durations in a tick than in all": of("timer", timer(1, 2, 200)),
    "a timer whose tick is in the future": of("timer", timer(1, 0, 300)),
    "a timer whose rate is infinite": of("timer", timer(1, 0, 200, (INF, 0.0, 0.0))),
    "a slice that ends in the future": one(end=1011.0),
    "a slice from the future": one(start=1e300, end=1e300),
    "a slice of a million years ago": one(start=-1e30, end=-1e30),
    "a slice that ends before it starts": one(end=949.0),
    "a slice of hours": one(start=100.0),
    "a slice twice": of("histogram", histogram(part(900.0, 910.0), part(900.0, 910.0))),
    "slices that are not sorted": of("histogram", histogram(part(950.0, 960.0), part(900.0, 910.0))),
    "more slices than there is time for": of(
        "histogram", histogram(*[part(900.0 + 0.1 * number, 960.0) for number in range(257)])
    ),
    "closed through the end of time": of("histogram", histogram(part(950.0, 960.0), through=INF)),
    "closed through the future": of("histogram", histogram(part(950.0, 960.0), through=1e6)),
    "closed values of some minute": of("histogram", histogram(part(950.0, 960.0), flags=3, through=940.0)),
    "more values than lanes": one(count=2),
    "fewer values than lanes": one(count=5, lanes=b"\xff" * 16, width=4),
    "lanes that overflow": one(count=0x1FFFFFFFE, lanes=b"\xff" * 8, width=4),
    "more values than pairs": one(count=2, lanes=b"", pairs=[(0x3F80, 1)]),
    "a pair twice": one(count=2, lanes=b"", pairs=[(0x3F80, 1), (0x3F80, 2)]),
    "a pair of nothing": one(lanes=b"", pairs=[(0x3F80, 1), (0x3F82, 0)]),
    "2**64 - 1 values": one(count=(1 << 64) - 1, lanes=b"", pairs=[(0x3F80, (1 << 64) - 1)]),
    "a minimum above the maximum of a slice": one(minimum=1.5),
    "deviations below zero": one(deviations=-1.0),
    "no values in lanes": one(count=0, total=0.0, minimum=INF, maximum=-INF),
    "no values with a sum": one(count=0, minimum=INF, maximum=-INF, lanes=b""),
    "no values with extremes": one(count=0, total=0.0, lanes=b""),
    "no values with extremes that are NaN": one(count=0, total=0.0, minimum=NAN, maximum=NAN, lanes=b""),
    "closed values that are not all of those before": closed(count=9, total=9.0, low=0x4000, lanes=b"\x09"),
    "closed values that are fewer": closed(count=3, total=3.0, lanes=b"\3"),
    "closed values some of which have moved": closed(count=6, total=6.0, lanes=b"\4\2"),
}

TIMES = [NAN, INF, 1e30, -1e30, 1.1e9, -1.1e9]


class Health(Bench):
    """A healthy worker that has recorded to all kinds, and an aggregator that knows of it."""

    def __init__(self) -> None:
        super().__init__(1)
        (self.healthy,) = self.workers
        for kind, value in (("counter", 3), ("gauge", 7), ("meter", 5), ("histogram", 0.25), ("timer", 0.5)):
            record(self.healthy, kind, value, NAMES[kind])
        self.aggregator.ask = lambda worker: None
        self.tell()

    def take(self, *content: bytes, worker: bytes = b"x" * 16, **how: Any) -> None:
        """Hand a frame of another worker to the aggregator."""
        self.aggregator.apply(frame(worker, *content, **how))

    def assert_healthy(self) -> None:
        """Check that what the healthy worker has told is shown and kept, now and long after."""
        for seconds in (0.0, 5.0, 400.0):
            self.clock.advance(seconds)
            self.tell()
            self.aggregator.tidy()
            for shown in (self.aggregator, restarted(self.aggregator)):
                page = page_of(shown)
                for name, wanted in stats_of(self.healthy.registry).items():
                    if shown is self.aggregator or name != "level":  # gauges are not kept
                        assert_alike(page[name], wanted, name)


@pytest.fixture
def bench() -> Health:
    """Return them."""
    return Health()


def page_of(aggregator: Asking) -> Dict[str, Any]:
    """Return a page as who reads JSON gets it."""
    page: Dict[str, Any] = json.loads(JsonFormat().encode(aggregator.snapshot()))
    return page


def fail(*_: Any) -> Any:
    """Be what cannot be done."""
    raise ZeroDivisionError


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_is_a_bad_frame(bench: Health, name: str) -> None:
    """It is counted, and everything that the worker beside it has told is shown and kept as before."""
    bench.take(IMPOSSIBLE[name])

    assert told(bench.aggregator)["bad_frames"] == 1
    bench.assert_healthy()


@pytest.mark.parametrize("machine", [HERE, "another"], ids=["here", "elsewhere"])
@pytest.mark.parametrize("flags", [END, END | LEAVING | ENDING])
@pytest.mark.parametrize("time", TIMES)
def test_a_time_that_no_clock_shows_is_a_bad_frame(bench: Health, time: float, flags: int, machine: str) -> None:
    """Whatever machine the worker says it is on."""
    content = hello(machine=machine) + series("meter", "hits") + meter(3, 1, 5, (1.0, 1.0, 1.0))
    bench.take(content, time=time, flags=flags)

    assert told(bench.aggregator)["bad_frames"] == 1
    bench.assert_healthy()


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("counter", [counter(LARGEST, LARGEST), counter(1 << 1000, 1.5)]),
        ("gauge", [gauge(1, NOW, *[1 << 1000] * 4), gauge(1, NOW, *[1.5] * 4), gauge(1, NOW, *[LARGEST] * 4)]),
        ("meter", [meter(1 << 1023, 1 << 1023, 200, (1e307,) * 3), meter(LARGEST, 0, 200, (LARGEST,) * 3)]),
        ("timer", [timer(1 << 53, 1 << 53, 200, (1e15,) * 3)] * 2),
        (
            "histogram",
            [
                histogram(part(950.0, 960.0, total=LARGEST, deviations=LARGEST, minimum=-LARGEST, maximum=LARGEST)),
                histogram(part(950.0, 960.0, count=1 << 53, lanes=b"", pairs=[(0x3F80, 1 << 53)])),
                histogram(part(950.0, 960.0, total=-LARGEST, deviations=LARGEST, minimum=-LARGEST, maximum=LARGEST)),
            ],
        ),
    ],
)
@pytest.mark.parametrize("merge", ["sum", "mean", "last"])
def test_the_largest_numbers_of_many_workers_are_merged(
    bench: Health, kind: str, states: List[bytes], merge: str
) -> None:
    """What they make together stops at the largest number, in pages, in what is kept, and one level up."""
    merge = merge if kind == "gauge" else "sum"
    for place in range(4):
        content = hello() + series(kind, "large", merge=merge) + states[place % len(states)]
        bench.take(content, worker=bytes([place]) * 16)
    up, top = above(bench.aggregator)

    for _ in range(3):
        bench.assert_healthy()
        up.tell(top)
        assert told(bench.aggregator)["bad_frames"] == told(top)["bad_frames"] == 0
        assert page_of(top).get("large", {}).keys() == bench.stats.get("large", {}).keys()
        for worker in list(bench.aggregator.workers.values()):
            if worker.identity != bench.healthy.identity:
                bench.aggregator.retire(worker)


@pytest.mark.parametrize("what", ["series", "state", "share", "worker"])
def test_what_cannot_be_in_a_file_is_left_out(bench: Health, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """And logged, with everything else of the file shown."""
    for identity in (b"x", b"y"):
        content = hello(host="bad" + identity.decode()) + series("counter", "bad") + counter(123)
        bench.take(content, worker=identity * 16)
    bench.aggregator.retire(bench.aggregator.workers[b"x" * 16])
    whole = state_format.encode(bench.aggregator)
    place = whole.index(b"\3\0\0\0bad\0\0\0\0")
    state = whole.index(number(123), place)
    at, wrong = {
        "series": (place + 4, b"a.."),
        "state": (state, number(-1)),
        "share": (whole.index(number(123), state + 9), number(-1)),
        "worker": (whole.index(b"bady"), b"ba\ny"),
    }[what]
    body = (whole[:at] + wrong + whole[at + len(wrong) :])[16:]
    other = Asking(bench.clock)
    state_format.fill(other, state_format.decode(whole[:12] + struct.pack("<I", crc32(body)) + body))

    shown, wanted = stats_of(other), stats_of(bench.healthy.registry)
    for name in ("orders", "hits", "spread", "time"):
        assert_alike(shown[name], wanted[name])
    assert shown.get("bad") == ({"value": 123} if what == "worker" else None)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1 invalid series or workers" in caplog.text


def test_a_series_that_cannot_be_merged_shows_what_it_showed(bench: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all others are shown, kept, and told to the aggregator above, whatever is wrong with it."""
    up, top = above(bench.aggregator)
    bench.aggregator.get_stats()
    share = StatePool.share
    monkeypatch.setattr(MeterKind, "all_shifted", fail)
    monkeypatch.setattr(
        StatePool, "share", lambda pool, source: (fail if type(pool.merged()) is MeterState else share)(pool, source)
    )
    record(bench.healthy, "counter", 4, "orders")
    record(bench.healthy, "meter", 4, "hits")
    bench.tell()
    up.tell(top)
    kept = state_format.decode(state_format.encode(bench.aggregator))

    for shown in (bench.aggregator, top):
        page = page_of(shown)
        assert (page["orders"]["value"], page["spread"]["count"], page["level"]["value"]) == (7, 1, 7)
    assert bench.stats.hits["count"] == 5
    assert sorted(each.series.name for each in kept.series if each is not None) == ["level", "orders", "spread"]


def test_a_series_that_cannot_be_shown_is_null(
    bench: Health, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All others are on the page, and there is one log line."""
    monkeypatch.setattr("tapes.snapshot.snapshot._broken", set())
    monkeypatch.setattr(TimerKind, "view", fail)
    bench.aggregator.get_stats()
    page = page_of(bench.aggregator)

    assert page["time"] == dict.fromkeys(TIMER.keys)
    assert [message[:78] for message in caplog.messages] == [
        "The statistics of <MergedTimer 'time'> cannot be computed: ZeroDivisionError()"
    ]
    assert {name: page[name] for name in ("orders", "level")} == {"orders": {"value": 3}, "level": {"value": 7}}


def test_a_worker_that_cannot_be_merged_takes_no_other_along(bench: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other series are merged, and what the others have told is kept over a restart, of the same series too."""
    gone = bench.employ(2)
    for name in ("orders", "other", "last"):
        record(gone, "counter", 100, name)
    record(gone, "meter", 100, "hits")
    bench.tell(1)
    with monkeypatch.context() as patched:
        patched.setattr(MeterKind, "shifted", fail)
        bench.give_up(1)

    shown, kept = bench.stats, restarted(bench.aggregator).get_stats()
    for stats in (shown, kept):
        assert [stats[name].value for name in ("orders", "other", "last")] == [103, 100, 100]
    assert (shown.hits["count"], kept.hits["count"]) == (105, 5)
    assert told(bench.aggregator)["bad_frames"] == 1


def test_a_worker_that_cannot_be_dealt_with_is_lost_alone(bench: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is let go of, counted and logged; the healthy one stays."""
    bench.take(hello(host="odd") + series("counter", "odd") + counter(1))
    retire = bench.aggregator.retire
    monkeypatch.setattr(
        bench.aggregator, "retire", lambda worker: (fail if worker.hello.host == "odd" else retire)(worker)
    )
    for _ in range(5):
        bench.clock.advance(50)
        bench.tell()
        bench.aggregator.tidy()

    assert [worker.hello.host for worker in bench.aggregator.workers.values()] == ["here"]
    assert told(bench.aggregator)["bad_frames"] == 1
    bench.assert_healthy()
