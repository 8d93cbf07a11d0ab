"""A registry in use in the middle of recording and reading: by signal handlers, finalizers and producers."""

from __future__ import annotations

import gc
import logging
import signal
import time
from typing import Any, Callable, Dict, List

import pytest

from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock
from tests.concurrency.alone import alone
from tests.concurrency.interruption import at_every_point
from tests.concurrency.kinds import KINDS, counted, recording

TICK = 6.0
"""Seconds after which meters and timers begin a new tick, and histograms fold what is older."""

FEW = 3


def prepared(kind: str) -> Any:
    """Return a registry whose metric `m` folds at the next record, as a tick has passed, and how it is recorded to."""
    clock = ManualClock(1.0)
    registry = Registry(clock=clock)
    metric = getattr(registry, kind)("m")
    record = recording(metric)
    for _ in range(FEW):
        record(1)
    clock.advance(TICK)
    return registry, metric, record


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_at_any_point_of_reading_loses_nothing(kind: str) -> None:
    """Whatever instruction of get_stats() is interrupted by records and another reader, the count is exact."""
    faults: List[str] = []

    def interrupt() -> None:
        record(1)
        registry.get_stats()
        record(1)

    for interruption in at_every_point(interrupt, step=7):
        registry, metric, record = prepared(kind)
        with interruption:
            registry.get_stats()
        expected = FEW + (2 if interruption.happened else 0)
        if counted(metric) != expected:
            faults.append(f"{counted(metric)} and not {expected} after {interruption.where}")

    assert faults == []


ENOUGH = 100
"""Signals that a storm has at least, however slow the machine is."""


def storm_of_records(kind: str, seconds: float) -> Dict[str, Any]:
    """Record, with a signal handler that records, reads and creates all the time."""
    logging.disable(logging.CRITICAL)
    registry = Registry(max_tag_sets=100)
    metric = getattr(registry, kind)("m")
    record = recording(metric)
    handled = recorded = 0
    gone_back = 0
    seen = 0

    def handler(*_: object) -> None:
        nonlocal handled, gone_back, seen
        record(1)
        Reading.of(getattr(registry, kind)("made", tags={"number": str(handled)}), 0.0)
        recording(getattr(registry, kind)("made", tags={"number": str(handled)}))(1)
        handled += 1
        if handled % 5 == 0:
            now = registry.get_stats().m["count" if "count" in metric.keys else "value"]
            gone_back += now < seen
            seen = now
        signal.setitimer(signal.ITIMER_REAL, 0.00005 + handled % 89 * 1e-6)

    signal.signal(signal.SIGALRM, handler)
    end = time.perf_counter() + seconds
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    while time.perf_counter() < end or handled < ENOUGH:
        for _ in range(500):
            record(1)
        getattr(registry, kind)("made", tags={"turn": str(recorded)})
        registry.get_stats()
        recorded += 500
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    made = sum(counted(found) for found in registry if found.name == "made")
    return {
        "difference": counted(metric) - recorded - handled,
        "difference of made": made - handled,
        "gone back": gone_back,
    }


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no interval timers here")
@pytest.mark.parametrize("kind", KINDS)
def test_signal_handlers_may_record_read_and_create(kind: str) -> None:
    """In the middle of recording, folding, reading and creating, a signal handler does all that and loses nothing."""
    result = alone(storm_of_records, kind, 0.3)

    assert result == {"difference": 0, "difference of made": 0, "gone back": 0}


FINALIZED = 300


class Finalized:
    """Records when it is collected, and is garbage that only the collector finds."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.itself = self

    def __del__(self) -> None:
        self.act()


def collect(kind: str) -> Dict[str, int]:
    """Record while the garbage collector runs at each allocation, and finalizers record, read and create."""
    gc.set_threshold(1)
    registry = Registry()
    metric = getattr(registry, kind)("m")
    record = recording(metric)
    finalized = 0

    def act() -> None:
        nonlocal finalized
        finalized += 1
        record(1)
        registry.counter(f"made{finalized % 50}").increment()
        if finalized % 10 == 0:
            registry.get_stats()

    recorded = 0
    for _ in range(FINALIZED):
        Finalized(act)
        for _ in range(5):
            record(1)
        recorded += 5
        registry.snapshot()
    gc.set_threshold(700)
    gc.collect()
    return {"finalized": finalized, "difference": counted(metric) - recorded - finalized}


@pytest.mark.parametrize("kind", KINDS)
def test_finalizers_may_record_read_and_create(kind: str) -> None:
    """What the garbage collector finalizes in the middle of anything is free to use metrics."""
    assert alone(collect, kind) == {"finalized": FINALIZED, "difference": 0}


def test_a_producer_may_record_and_create() -> None:
    """A gauge's producer that uses metrics of its own registry does not disturb the reading that asks it."""
    registry = Registry()
    calls = registry.counter("calls")

    def produce() -> int:
        calls.increment()
        registry.timer(f"made{counted(calls)}").update(1)
        return 7

    registry.gauge("produced", produce)
    first, second = registry.get_stats(), registry.get_stats()

    assert (first.produced.value, second.produced.value) == (7, 7)
    assert registry.get_stats().made1.count == 1
    assert counted(calls) == 3


@pytest.mark.parametrize("gauges", [1, 3])
def test_a_producer_may_read_the_registry(gauges: int) -> None:
    """A gauge that is computed from get_stats() of its registry has its value, and costs no more than that reading."""
    registry = Registry()
    registry.counter("requests").increment(4)
    for number in range(gauges):
        registry.gauge(f"half{number}", lambda: registry.get_stats().requests.value / 2)

    assert registry.get_stats() == {
        "requests": {"value": 4},
        **{f"half{number}": {"value": 2} for number in range(gauges)},
    }
