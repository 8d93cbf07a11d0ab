"""What each kind of metric records."""

from __future__ import annotations

import sys
from datetime import timedelta
from fractions import Fraction
from typing import Any, Callable, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.recording.buffer import CAPACITY
from tapes.registry import Registry
from tapes.snapshot import Statistics
from tapes.testing import ManualClock

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def seen(metric: Any, clock: ManualClock) -> Statistics:
    """Return the metric's statistics."""
    statistics: Statistics = metric.reading(clock.monotonic()).statistics
    return statistics


@LAW
@given(st.lists(st.tuples(st.booleans(), st.integers(-(2**70), 2**70), st.booleans()), max_size=50))
def test_a_counter_counts_ints_exactly(changes: Any) -> None:
    """However large they are, and however often it is read meanwhile."""
    clock = ManualClock()
    counter = Registry(clock=clock).counter("a")
    up = down = 0
    for decrement, n, read in changes:
        (counter.decrement if decrement else counter.increment)(n)
        change = -n if decrement else n
        up, down = up + max(change, 0), down + max(-change, 0)
        if read:
            assert seen(counter, clock) == {"value": up - down}

    state = counter.read(0.0)
    assert (state.increments, state.decrements, state.value) == (up, down, up - down)
    assert type(state.value) is int


def test_a_counter_of_floats() -> None:
    """Floats are added up as floats."""
    counter = Registry().counter("a")
    counter.increment(0.5)
    counter.increment(0.25)
    counter.decrement(1.5)
    counter.increment()

    state = counter.read(0.0)
    assert (state.increments, state.decrements, state.value) == (1.75, 1.5, 0.25)


def test_a_negative_increment_is_a_decrement() -> None:
    """And the other way around, so that both parts only grow."""
    counter = Registry().counter("a")
    counter.increment(-3)
    counter.decrement(-5)

    state = counter.read(0.0)
    assert (state.increments, state.decrements, state.value) == (5, 3, 2)


def test_a_counter_takes_what_counts() -> None:
    """A bool is 0 or 1, and a fraction is a float."""
    counter = Registry().counter("a")
    counter.increment(True)
    counter.increment(False)
    counter.increment(Fraction(1, 2))

    assert seen(counter, ManualClock()) == {"value": 1.5}


@pytest.mark.parametrize("count", [CAPACITY - 1, CAPACITY, CAPACITY + 1, 3 * CAPACITY + 5])
@pytest.mark.parametrize("kind", ["counter", "gauge", "meter", "histogram", "timer"])
def test_a_full_buffer_loses_nothing(kind: str, count: int) -> None:
    """Around the sizes at which it is folded, each record counts once."""
    clock = ManualClock()
    metric: Any = getattr(Registry(clock=clock), kind)("a")
    record = {"counter": "increment", "gauge": "increment", "meter": "mark"}.get(kind, "update")
    for number in range(count):
        getattr(metric, record)(2)
        if number % 100 == 0:
            clock.advance(0.25)

    statistics = seen(metric, clock)

    assert statistics.get("value", statistics.get("sum", statistics.get("count"))) == 2 * count
    assert statistics.get("count") in (None, count, 2 * count)


def test_a_gauge_that_is_set() -> None:
    """It has no value at first, then the last one, and changes relative to it."""
    clock = ManualClock()
    gauge = Registry(clock=clock).gauge("a")
    values = [seen(gauge, clock)]
    changes: List[Callable[[], None]] = [
        lambda: gauge.set(5),
        lambda: gauge.increment(),
        lambda: gauge.decrement(2.5),
        lambda: gauge.set(-1),
        lambda: gauge.increment(-3),
        lambda: gauge.set(2**70),
        lambda: gauge.set(True),
    ]
    for change in changes:
        change()
        clock.advance(1)
        values.append(seen(gauge, clock))

    assert [value["value"] for value in values] == [None, 5, 6, 3.5, -1, -4, 2**70, 1]


def test_changes_between_two_readings() -> None:
    """Relative changes and values that are set are taken in order."""
    gauge = Registry(clock=ManualClock()).gauge("a")
    gauge.increment(100)
    gauge.set(7)
    gauge.increment(2)
    gauge.set(10)
    gauge.decrement()
    gauge.decrement(3)

    assert seen(gauge, ManualClock()) == {"value": 6}


def test_an_unset_gauge_begins_at_zero() -> None:
    """A first change is relative to 0."""
    gauge = Registry().gauge("a")
    gauge.decrement(4)

    assert seen(gauge, ManualClock()) == {"value": -4}


@pytest.mark.parametrize(("merge", "value"), [("sum", 10), ("min", 3), ("max", 7), ("mean", 5.0), ("last", 3)])
def test_gauges_of_two_processes(merge: str, value: float) -> None:
    """Their values are combined as the gauge says; the last is the one that was set last."""
    clock = ManualClock()
    one, other = (Registry(clock=clock).gauge("a", merge=merge) for _ in range(2))
    one.set(7)
    clock.advance(1)
    other.set(3)
    clock.advance(1)
    now = clock.monotonic()

    assert one.read(now).merge(other.read(now)).value(one.merge) == value
    assert other.read(now).merge(one.read(now)).value(one.merge) == value
    assert seen(one, clock) == {"value": 7}


def test_progress_is_tracked() -> None:
    """A gauge tells how many are inside, of blocks and of calls, also when they raise."""
    clock = ManualClock()
    gauge = Registry(clock=clock).gauge("a")
    values: List[Any] = []

    def look() -> None:
        values.append(seen(gauge, clock)["value"])

    @gauge.track_in_progress()
    def call(depth: int) -> None:
        look()
        if depth:
            call(depth - 1)
        else:
            raise KeyError

    tracking = gauge.track_in_progress()
    with tracking, tracking:
        look()
        with pytest.raises(KeyError):
            call(2)
        look()
    look()

    assert values == [2, 3, 4, 5, 2, 0]


def test_progress_is_tracked_beside_other_changes() -> None:
    """What is set meanwhile is what the leaving ones are taken from."""
    gauge = Registry().gauge("a")
    with gauge.track_in_progress():
        gauge.set(10)

    assert seen(gauge, ManualClock()) == {"value": 9}


def test_a_meter_counts_events() -> None:
    """One, several, none; ints and what is equal to one."""
    clock = ManualClock()
    meter = Registry(clock=clock).meter("a")
    for events in (1, 5, 0, True, 2.0, 2**40):
        meter.mark(events)  # type: ignore[arg-type]  # a float that is an int will do
    meter.mark()

    assert seen(meter, clock)["count"] == 2**40 + 10
    assert type(seen(meter, clock)["count"]) is int


def test_a_timer_takes_seconds_and_timedeltas() -> None:
    """All durations are in seconds."""
    clock = ManualClock()
    timer = Registry(clock=clock).timer("a")
    timer.update(2)
    timer.update(0.5)
    timer.update(timedelta(minutes=1, milliseconds=250))
    timer.update(timedelta(0))

    statistics = seen(timer, clock)

    assert (statistics["count"], statistics["sum"]) == (4, 62.75)
    assert (statistics["min"], statistics["max"]) == (0.0, 60.25)


def test_a_timer_measures_blocks() -> None:
    """From entering to leaving, by the clock of the registry."""
    clock = ManualClock(5.0)
    timer = Registry(clock=clock).timer("a")
    for seconds in (0.5, 0.25, 4.0):
        with timer.time():
            clock.advance(seconds)

    statistics = seen(timer, clock)

    assert (statistics["count"], statistics["sum"]) == (3, 4.75)
    assert (statistics["min"], statistics["max"]) == (0.25, 4.0)


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_values_of_all_sorts_together(kind: str) -> None:
    """Ints, floats, fractions, bools and huge ints make one distribution."""
    clock = ManualClock()
    metric: Any = getattr(Registry(clock=clock), kind)("a")
    for value in (1, 2.5, Fraction(1, 4), True, -3, -0.0, 10**300, sys.float_info.max, 5e-324):
        metric.update(value)

    statistics = seen(metric, clock)

    assert statistics["count"] == 9
    least = {"histogram": -3.0, "timer": 0.0}[kind]
    assert (statistics["min"], statistics["max"]) == (least, sys.float_info.max)
    assert statistics["sum"] == pytest.approx(sys.float_info.max)
    assert type(statistics["min"]) is float
    assert statistics["q50"] == pytest.approx(1.0, rel=0.01)
