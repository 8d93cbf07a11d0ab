"""Statistics are computed when somebody looks at them, and by nobody else."""

from __future__ import annotations

import json
import pickle
from itertools import chain
from typing import Any, Dict, List

import pytest

from tapes.distributed.merging import class_of
from tapes.encoding.json import JsonFormat
from tapes.instruments import Instrument
from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.kind import VALUE, Kind
from tapes.kinds.meter import METER
from tapes.kinds.timer import TIMER
from tapes.registry import Registry
from tapes.reporting.statsd.deliveries import Deliveries
from tapes.reporting.statsd.lines import gauges, names
from tapes.snapshot import Reading, Readings, Snapshot, Statistics
from tapes.state import quantiles
from tapes.state.counter import CounterState
from tapes.testing import ManualClock

SERIES = 50

PICKLED_BEFORE = (
    b"\x80\x04\x95\xd7\x00\x00\x00\x00\x00\x00\x00\x8c\x17tapes.snapshot.snapshot\x94\x8c\x08Snapshot\x93)\x81N}("
    b"\x8c\x08readingsh\x00\x8c\x08Readings\x93]h\x00\x8c\x07Reading\x93(\x8c\x06orders\x8c\x01k\x8c\x01v\x86\x85\x8c\x07"
    b"counter}\x8c\x05valueK\x03s\x8c\x13tapes.state.counter\x8c\x0cCounterState\x93)\x81N}(\x8c\ndecrementsK\x00\x8c\n"
    b"incrementsK\x03u\x86btRa\x85R\x8c\x08taken_atG\x00\x00\x00\x00\x00\x00\x00\x00u\x86b."
)
"""A snapshot of one counter, as it was pickled when readings were made with their statistics."""


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """Return a list that grows with each distribution whose quantiles are looked for."""
    looks: List[int] = []
    compute = quantiles.quantiles

    def quantiles_of(distribution: Any, fractions: Any) -> Any:
        looks.append(distribution.count)
        return compute(distribution, fractions)

    monkeypatch.setattr(quantiles, "quantiles", quantiles_of)
    return looks


def filled(clock: ManualClock) -> Registry:
    """Return a registry of counters, histograms and timers."""
    registry = Registry(clock=clock)
    for number in range(SERIES):
        registry.counter(f"counter{number}").increment(number)
        registry.histogram(f"histogram{number}").update(number)
        registry.timer(f"timer{number}").update(number)
    return registry


class States:
    """A format that writes the totals of states."""

    media_type = "text/plain"

    def encode(self, snapshot: Snapshot) -> bytes:
        """Write how often something was recorded."""
        return b"\n".join(
            f"{reading.name} {reading.state.durations.count}".encode()
            for reading in snapshot.readings
            if reading.kind == "timer"
        )


def test_an_encoder_of_states_computes_no_quantile(looks: List[int]) -> None:
    """Nor does the snapshot. One that looks at statistics computes those of each series once."""
    registry = filled(ManualClock())

    encoded = States().encode(registry.snapshot())
    of_states = len(looks)
    JsonFormat().encode(registry.snapshot())

    assert encoded.splitlines() == [b"timer%d 1" % number for number in range(SERIES)]
    assert (of_states, len(looks)) == (0, 2 * SERIES)


def test_statsd_computes_statistics_only_of_what_it_sends(looks: List[int]) -> None:
    """Neither when it names the series, nor when it looks for the changes of counters; and of counters none at all."""
    registry = filled(ManualClock())
    snapshot = registry.snapshot()

    named = names(snapshot, "shop.", "name")
    changes = Deliveries().changes(snapshot.readings)
    before = len(looks)
    lines = list(chain.from_iterable(gauges(snapshot, named)))

    assert len(changes) == SERIES - 1
    assert len(lines) == SERIES * (11 + 14)
    assert (before, len(looks)) == (0, 2 * SERIES)


def test_what_has_been_recorded_is_found_without_statistics(looks: List[int]) -> None:
    """As a registry does of each metric that a test has made, whenever it is read."""
    registry = filled(ManualClock())

    assert [metric.name for metric in registry if metric.is_at_zero(0.0)] == ["counter0"]
    assert looks == []


def test_to_look_twice_gives_one_dict(looks: List[int]) -> None:
    """Of a reading of a snapshot, and of one that a metric gives."""
    registry = filled(ManualClock())
    for reading in (registry.snapshot().readings[2], Reading.of(registry.timer("timer7"), 0.0)):
        looks.clear()

        assert reading.statistics is reading.statistics
        assert len(looks) == 1


def test_they_are_of_the_moment_of_the_snapshot() -> None:
    """Whatever is recorded, set, forgotten or removed until somebody looks, and however late that is."""
    clock = ManualClock()
    registry = filled(clock)
    registry.meter("meter").mark(300)
    registry.gauge("set").set(1)
    produced = [3]
    registry.gauge("produced", lambda: produced[0])
    clock.advance(5.0)
    at_once: List[Statistics] = [dict(each.statistics) for each in registry.snapshot().readings]
    snapshot = registry.snapshot()
    produced[0] = 4
    registry.counter("counter0").increment()
    registry.timer("timer1").update(100)
    registry.meter("meter").mark()
    registry.gauge("set").set(2)
    clock.advance(1000.0)
    registry.get_stats()
    registry.timer("timer1").update(100)
    registry.get_stats()
    registry.remove("timer2")
    with registry.isolated():
        registry.timer("timer3").update(7)
        registry.get_stats()

    assert [each.statistics for each in snapshot.readings] == at_once
    assert at_once[-1] == {"value": 3}


def test_statistics_that_are_given_stay_as_they_are() -> None:
    """Also of a reading that could compute them."""
    counter = Registry().counter("orders")
    counter.increment(3)
    reading = Reading("orders", (), counter.kind, {"value": 99}, counter.numbers(0.0), counter, now=0.0)
    readings = Readings([Reading.of(counter, 0.0), reading])

    assert [each.statistics for each in readings] == [{"value": 3}, {"value": 99}]
    assert readings[-1].statistics == {"value": 99}


def test_a_reading_may_be_made_with_its_statistics() -> None:
    """As plugins do, by position; also beside those of metrics, from the end, in part and pickled."""
    state = CounterState(12, 0)
    made = Reading("odd", (("k", "v"),), "odometer", {"km": 12, "miles": None}, state)
    registry = filled(ManualClock())
    readings = Readings(
        [Reading.of(registry.counter("counter3"), 0.0), made, Reading.of(registry.timer("timer4"), 0.0), made]
    )
    sent = pickle.loads(pickle.dumps(readings))

    assert (made.statistics, made.state, made.origin) == ({"km": 12, "miles": None}, state, None)
    assert repr(made) == "<Reading of the odometer 'odd': {'km': 12, 'miles': None}>"
    assert [each.statistics["km"] for each in (readings[1], readings[-1], readings[1:2][0], sent[-1])] == [12] * 4
    assert readings[0].statistics == sent[0].statistics == {"value": 3}
    assert readings[-2].statistics["max"] == sent[2].statistics["max"] == 4
    assert readings[1].statistics is not readings[1].statistics  # nobody changes what others are shown


def test_a_snapshot_that_was_pickled_before_can_be_read() -> None:
    """One that waits in a queue while a program is updated, say."""
    snapshot: Snapshot = pickle.loads(PICKLED_BEFORE)

    (reading,) = snapshot.readings
    assert (reading.name, reading.tags, reading.kind) == ("orders", (("k", "v"),), "counter")
    assert reading.statistics == {"value": 3}
    assert reading.state.increments == 3
    assert JsonFormat().encode(snapshot) == b'{"orders":{"k=v":{"value":3}}}'


class BrokenKind(Kind):
    """A kind that cannot be shown."""

    __slots__ = ()

    statistics = (("one", VALUE), ("two", VALUE))

    def view(self, state: int, now: float, merge: str = "sum") -> Statistics:
        """Fail."""
        raise ZeroDivisionError(state)


class Broken(Instrument):
    """A metric of that kind."""

    __slots__ = ("name", "tags")

    kind = BrokenKind("broken")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tags = ()

    def read(self, now: float) -> int:
        """Return what is always the same."""
        return 42


def test_a_view_that_raises_costs_one_series(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Its statistics are null, its state is there, and there is one log line for all that fail."""
    monkeypatch.setattr("tapes.snapshot.snapshot._broken", set())
    registry = filled(ManualClock())
    for name in ("broken.first", "broken.second", "counter1.broken"):
        registry.adopt(Broken(name))

    snapshot = registry.snapshot()
    page: Dict[str, Any] = json.loads(JsonFormat().encode(snapshot))
    lines = list(chain.from_iterable(gauges(snapshot, names(snapshot, "", "name"))))

    assert page["broken"] == {"first": {"one": None, "two": None}, "second": {"one": None, "two": None}}
    assert page["counter1"] == {"value": 1, "broken": {"one": None, "two": None}}
    assert page["timer1"]["max"] == 1.0
    assert len(lines) == SERIES * (11 + 14)
    assert [each.state for each in snapshot.readings if each.kind == "broken"] == [42] * 3
    (record,) = caplog.records
    assert record.getMessage() == (
        "The statistics of <Broken 'counter1.broken'> cannot be computed: ZeroDivisionError(42). They are reported as "
        "null, and so are those of others of its kind that fail. All other series are reported."
    )


@pytest.mark.parametrize("kind", [COUNTER, GAUGE, METER, HISTOGRAM, TIMER])
def test_metrics_of_many_workers_are_computed_as_late(looks: List[int], kind: Kind) -> None:
    """Those that an aggregator merges are read as any other."""
    registry = Registry(clock=ManualClock())
    registry.adopt(class_of(kind)("merged", ()))
    snapshot = registry.snapshot()

    (reading,) = snapshot.readings
    assert list(reading.statistics) == list(kind.keys)
    assert looks == []  # of nothing
