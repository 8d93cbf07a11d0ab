"""Near the largest number everything goes on being recorded, merged and shown."""

from __future__ import annotations

import json
import math
import sys
from decimal import Decimal
from itertools import chain
from typing import Any, List

import pytest

from tapes.encoding.json import JsonFormat
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.reporting.statsd.deliveries import Deliveries
from tapes.reporting.statsd.lines import counters, gauges, names
from tapes.snapshot import Reading, Snapshot
from tapes.state.meter import TICK
from tapes.state.numbers import LARGEST
from tapes.testing import ManualClock

HUGE: List[List[Any]] = [
    [1.7e308, 1.7e308],
    [1.7e308, 1.7e308, -1.7e308, -1.7e308],
    [-1.7e308, -1.7e308],
    [2**20_000, 0.5],
    [0.5, 2**20_000, -(2**20_000), 0.5],
    [2**1023, 2**1023, 1e308],
    [int(sys.float_info.max), 1, 0.25],
    [Decimal("1e400"), 1],
    [sys.float_info.max] * 300,
    [*[1.0] * 20, 2**1023, 2**20_000],
    [5e-324, 1.7e308],
]


def record(registry: Registry, values: List[Any], read: bool) -> None:
    """Record `values` in every kind, and perhaps read in between."""
    for value in values:
        registry.counter("added").increment(value)
        registry.counter("taken").decrement(value)
        registry.gauge("set").set(value)
        registry.gauge("risen").increment(value)
        registry.gauge("fallen").decrement(value)
        registry.gauge("least", merge="mean").increment(value)
        registry.histogram("h").update(value)
        registry.timer("t").update(value)
        registry.meter("m").mark(2**63 - 1)
        if read:
            registry.get_stats()


def written(snapshot: Snapshot) -> Any:
    """Return what is written of a snapshot as JSON, after a look at what is written of it for StatsD."""
    named = names(snapshot, "", "name")
    deliveries = Deliveries()
    lines = chain.from_iterable([*counters(deliveries.changes(snapshot.readings), named), *gauges(snapshot, named)])
    for line in "\n".join(lines).splitlines():
        number = line.partition(":")[2].partition("|")[0]
        assert math.isfinite(float(number)), line
        assert set(number) <= set("+-.0123456789"), line
    page = json.loads(JsonFormat().encode(snapshot))
    for reading in snapshot.readings:
        for key, value in reading.statistics.items():
            assert abs(value or 0) <= LARGEST, (reading, key)
    return page


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("values", HUGE, ids=[str(number) for number in range(len(HUGE))])
def test_every_kind_of_metric_saturates(values: List[Any], read: bool) -> None:
    """Whatever is recorded in whatever order, it is written as finite numbers, now and an hour later."""
    clock = ManualClock()
    registry = Registry(clock=clock)
    record(registry, values, read)
    first = written(registry.snapshot())
    assert json.loads(json.dumps(registry.get_stats(), allow_nan=False)) == first
    for seconds in (TICK, 60, 400, 3600):
        clock.advance(seconds)
        written(registry.snapshot())
        record(registry, values, read)

    assert written(registry.snapshot())["h"]["count"] == 5 * len(values)
    assert first["h"]["min"] <= first["h"]["q50"] <= first["h"]["max"]


@pytest.mark.parametrize("first", HUGE, ids=[str(number) for number in range(len(HUGE))])
@pytest.mark.parametrize("second", HUGE[:5], ids=[str(number) for number in range(5)])
def test_merged_states_saturate(first: List[Any], second: List[Any]) -> None:
    """What several processes have recorded is merged in any order, and shown."""
    clock = ManualClock()
    registries = Registry(clock=clock), Registry(clock=clock)
    for registry, values in zip(registries, (first, second)):
        record(registry, values, read=False)
    clock.advance(TICK)
    now = clock.monotonic()

    for one, other in zip(*registries):
        pages = []
        for state in (one.read(now).merge(other.read(now)), other.read(now).merge(one.read(now))):
            state = state.merge(state)
            pages.append(written(Snapshot(0.0, (reading_of(one, state, now),))))
        assert pages[0] == pages[1]


def reading_of(metric: Instrument, state: Any, now: float) -> Reading:
    """Return the reading of a state that a metric of this kind might have had."""
    return Reading(metric.name, metric.tags, metric.kind, metric.kind.view(state, now), state)


def test_what_is_largest_is_shown_as_that() -> None:
    """Saturated, a number stays where it is and what is taken from it again is seen."""
    clock = ManualClock()
    registry = Registry(clock=clock)
    counter, gauge, mean = registry.counter("c"), registry.gauge("g"), registry.gauge("mean", merge="mean")
    histogram = registry.histogram("h")
    for _ in range(2):
        counter.increment(1.7e308)
        gauge.increment(1.7e308)
        histogram.update(1.7e308)
    mean.set(1.7e308)
    merged = mean.read(0.0).merge(mean.read(0.0))

    assert registry.get_stats().c.value == registry.get_stats().g.value == LARGEST
    counter.decrement(LARGEST)
    gauge.decrement(LARGEST)
    assert registry.get_stats().c.value == registry.get_stats().g.value == 0.0
    assert registry.get_stats().h.sum == LARGEST
    assert registry.get_stats().h.mean == registry.get_stats().h.max == 1.7e308
    assert merged.value("mean") == 1.7e308


def test_a_rate_near_the_largest_number() -> None:
    """The averages of states that no single process could have made are finite, too."""
    from tapes.kinds.meter import METER
    from tapes.state.meter import MeterState

    state = MeterState(int(LARGEST), 5, int(LARGEST), (LARGEST, LARGEST, LARGEST))
    shown = METER.view(state.merge(state).marked(10**400), 8 * TICK)

    assert list(shown) == list(METER.keys)
    assert all(0 <= number <= LARGEST for number in shown.values() if number is not None)
