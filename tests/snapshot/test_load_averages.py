"""Rates beside a reference that is computed as the load averages of Unix are."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=60)

KINDS = ("meter", "timer")


class Reference:
    """Three averages that a timer of the operating system would update every 5 s."""

    def __init__(self, start: float) -> None:
        self.next_tick = 5 * (start // 5) + 5
        self.events = 0
        self.averages = [0.0, 0.0, 0.0]

    def at(self, time: float) -> List[float]:
        """Let the ticks up to `time` happen, and return the averages after them."""
        while self.next_tick <= time:
            for index, minutes in enumerate((1, 5, 15)):
                weight = math.exp(-5 / (60 * minutes))
                self.averages[index] = self.averages[index] * weight + self.events / 5 * (1 - weight)
            self.events = 0
            self.next_tick += 5
        return list(self.averages)

    def mark(self, time: float, events: int) -> None:
        """Let `events` happen at `time`."""
        self.at(time)
        self.events += events


def record(metric: Any, events: int) -> None:
    """Let `events` happen, one by one for a timer."""
    if metric.kind == "meter":
        metric.mark(events)
    else:
        for _ in range(events):
            metric.update(0.25)


def rates(metric: Any, clock: ManualClock) -> List[float]:
    """Return what a reader sees."""
    statistics: Dict[str, Any] = Reading.of(metric, clock.monotonic()).statistics
    return [statistics[key] for key in ("m1", "m5", "m15")]


TRAFFIC: Dict[str, Callable[[int], int]] = {
    "steady": lambda second: 3,
    "seldom": lambda second: 1 if second % 17 == 0 else 0,
    "bursty": lambda second: 100 if second % 60 == 30 else second % 2,
    "idle after a burst": lambda second: 1000 if second < 20 else 0,
    "a burst after idling": lambda second: 1000 if second == 2900 else 0,
    "idle in between": lambda second: 5 if second < 300 or second > 2400 else 0,
}


@pytest.mark.parametrize(("start", "interval"), [(0.0, 1), (1234.7, 60), (-3.2, None), (1e6 + 0.1, 1)])
@pytest.mark.parametrize("traffic", TRAFFIC)
@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_of_the_reference(kind: str, traffic: str, interval: Optional[int], start: float) -> None:
    """However often it is read, and wherever its clock began, a meter shows what the reference shows."""
    clock = ManualClock(start)
    metric = getattr(Registry(clock=clock), kind)("metric")
    reference = Reference(start)
    for second in range(3000):
        events = TRAFFIC[traffic](second)
        if events:
            record(metric, events)
            reference.mark(clock.monotonic(), events)
        clock.advance(1)
        if interval is not None and second % interval == interval - 1 and (interval > 1 or second % 7 == 0):
            assert rates(metric, clock) == pytest.approx(reference.at(clock.monotonic()), rel=1e-9, abs=1e-300)

    assert rates(metric, clock) == pytest.approx(reference.at(clock.monotonic()), rel=1e-9, abs=1e-300)
    clock.advance(3600)
    assert rates(metric, clock) == pytest.approx(reference.at(clock.monotonic()), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(
    start=st.floats(0, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 200), st.integers(0, 20), st.booleans()), max_size=30),
)
def test_rates_at_any_times(kind: str, start: float, steps: Any) -> None:
    """Events and readings at any moments give the reference's rates, with each event in its own tick."""
    clock = ManualClock(start)
    metric = getattr(Registry(clock=clock), kind)("metric")
    reference = Reference(start)
    for pause, events, read in steps:
        clock.advance(pause)
        if events:
            record(metric, events)
            reference.mark(clock.monotonic(), events)
        if read:
            assert rates(metric, clock) == pytest.approx(reference.at(clock.monotonic()), rel=1e-9, abs=1e-300)

    assert rates(metric, clock) == pytest.approx(reference.at(clock.monotonic()), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("kind", KINDS)
def test_events_at_the_edges_of_ticks(kind: str) -> None:
    """An event at a multiple of five seconds is in the tick that begins there."""
    clock = ManualClock()
    metric = getattr(Registry(clock=clock), kind)("metric")
    clock.advance(4.875)
    record(metric, 1)
    clock.advance(0.125)
    record(metric, 2)

    first = rates(metric, clock)
    clock.advance(5)
    second = rates(metric, clock)

    weight = math.exp(-5 / 60)
    assert first[0] == pytest.approx(1 / 5 * (1 - weight), rel=1e-12)
    assert second[0] == pytest.approx(1 / 5 * (1 - weight) * weight + 2 / 5 * (1 - weight), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_steady_rate_is_reached(kind: str) -> None:
    """After an hour of two events a second, m1 and m5 say two events a second."""
    clock = ManualClock()
    metric = getattr(Registry(clock=clock), kind)("metric")
    for _ in range(3600):
        record(metric, 2)
        clock.advance(1)

    assert rates(metric, clock) == pytest.approx([2.0, 2.0, 2.0 * (1 - math.exp(-4))], rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_merged_rates_are_those_of_all_events(kind: str) -> None:
    """Two meters that began at different times, merged, are the reference of their traffic together."""
    clock = ManualClock(3.5)
    one = getattr(Registry(clock=clock), kind)("metric")
    reference = Reference(3.5)
    clock.advance(57)
    other = getattr(Registry(clock=clock), kind)("metric")
    for second in range(1500):
        record(one, second % 3)
        reference.mark(clock.monotonic(), second % 3)
        if second > 700:
            record(other, 7)
            reference.mark(clock.monotonic(), 7)
        clock.advance(1)
    now = clock.monotonic()
    early = one.read(now)
    for _ in range(11):
        record(other, 4)
        reference.mark(clock.monotonic(), 4)
        clock.advance(1)
    now = clock.monotonic()

    # The first is as of eleven seconds ago, when it sent its state.
    merged = early.merge(other.read(now))

    merged = getattr(merged, "events", merged)
    assert merged.advanced(int(now // 5)).rates == pytest.approx(reference.at(now), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_rates_decay_to_nothing(kind: str) -> None:
    """A meter that has been idle for weeks has no rate left, in none of the three."""
    clock = ManualClock()
    metric = getattr(Registry(clock=clock), kind)("metric")
    record(metric, 1000)
    for _ in range(60):
        clock.advance(12 * 3600)
        rates(metric, clock)

    assert rates(metric, clock) == [0.0, 0.0, 0.0]
