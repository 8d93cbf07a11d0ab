"""Recording and reading in the middle of recording and reading: signal handlers, finalizers and producers."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from typing import Any, Callable, Dict, List

import pytest

from tapes.recording.buffer import CAPACITY
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.concurrency.alone import alone
from tests.concurrency.interruption import at_every_point
from tests.concurrency.kinds import KINDS, OVERFULL, backlog, counted, recording

TICK = 6.0
"""Seconds after which meters and timers begin a new tick, and histograms fold what is older."""


class Interrupted(BaseException):
    """What a signal handler raises to end what the program is at."""


def prepared(kind: str, full: bool) -> Any:
    """Return a registry whose metric `m` folds at the next record: because it is full, or because a tick has passed."""
    clock = ManualClock(1.0)
    registry = Registry(clock=clock)
    metric = getattr(registry, kind)("m")
    record = recording(metric)
    for _ in range(3):
        record(1)
    if full:
        metric._pending.extend([1] * CAPACITY)
    clock.advance(TICK)
    return registry, metric, record


@pytest.mark.parametrize("full", [True, False], ids=["full", "after a tick"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_or_a_record_at_any_point_of_recording_loses_nothing(kind: str, full: bool) -> None:
    """Whatever instruction of a record or its fold a reader and another record interrupt, the count is exact."""
    faults: List[str] = []

    def interrupt() -> None:
        record(1)
        registry.counter("made.in.the.middle").increment()
        registry.get_stats()

    for interruption in at_every_point(interrupt):
        registry, metric, record = prepared(kind, full)
        before = counted(metric) if full else 3
        with interruption:
            record(1)
        record(1)
        expected = before + (3 if interruption.happened else 2)
        if counted(metric) != expected:
            faults.append(f"{counted(metric)} and not {expected} after {interruption.where}")

    assert faults == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_at_any_point_of_reading_loses_nothing(kind: str) -> None:
    """Whatever instruction of get_stats() is interrupted by records and another reader, the count is exact."""
    faults: List[str] = []

    def interrupt() -> None:
        record(1)
        registry.get_stats()
        record(1)

    for interruption in at_every_point(interrupt, step=3):
        registry, metric, record = prepared(kind, False)
        with interruption:
            registry.get_stats()
        expected = 5 if interruption.happened else 3
        if counted(metric) != expected:
            faults.append(f"{counted(metric)} and not {expected} after {interruption.where}")

    assert faults == []


@pytest.mark.parametrize("full", [True, False], ids=["full", "after a tick"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_at_any_point_of_recording_costs_at_most_that_record(kind: str, full: bool) -> None:
    """Raised by a signal handler, it loses no other record, counts none twice, and the metric goes on to be folded."""
    faults: List[str] = []

    def interrupt() -> None:
        raise Interrupted

    for interruption in at_every_point(interrupt):
        registry, metric, record = prepared(kind, full)
        before = 3 + (CAPACITY if full else 0)
        try:
            with interruption:
                record(1)
        except Interrupted:
            pass
        recorded = counted(metric) - before
        if recorded not in ((0, 1) if interruption.happened else (1,)):
            faults.append(f"counted {recorded} after {interruption.where}")
        further = 0
        for filled in (CAPACITY, OVERFULL):
            if not further or backlog(metric) > CAPACITY:
                metric._pending.extend([1] * filled)
                further += filled
                for _ in range(3):
                    registry.clock.advance(TICK)
                    record(1)
                    further += 1
        if backlog(metric) > CAPACITY:
            faults.append(f"not folded any more after {interruption.where}")
        if counted(metric) != before + recorded + further:
            faults.append(f"counted {counted(metric)} in the end after {interruption.where}")

    assert faults == []


ENOUGH = 100
"""Signals that a storm has at least, however slow the machine is."""


def storm(kind: str, seconds: float) -> Dict[str, Any]:
    """Record, with a signal handler that raises all the time. Return how the metrics have come through."""
    registry = Registry()
    interruptions = 0

    def handler(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGALRM, handler)
    metrics = [getattr(registry, kind)(f"m{number}") for number in range(20)]
    done = [0] * len(metrics)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or interruptions < ENOUGH:
        number = interruptions % len(metrics)
        metric = metrics[number]
        record = recording(metric)
        count = 0
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0003 + interruptions % 89 * 1e-6)
            while True:
                record(1)
                count += 1
        except Interrupted:
            interruptions += 1
        done[number] += count
    surplus = [counted(metric) - count for metric, count in zip(metrics, done)]
    for metric in metrics:
        metric._pending.extend([1] * OVERFULL)
        time.sleep(0.011)  # meters and timers look at their length only then
        for _ in range(3):
            recording(metric)(1)
    return {
        "lost": min(0, *surplus),
        # A record that was interrupted may have been made; it has not been noted here.
        "counted twice": max(0, max(surplus) - interruptions // len(metrics) - 1),
        "stuck": sum(backlog(metric) > CAPACITY for metric in metrics),
    }


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no interval timers here")
@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_a_storm_of_signals_that_raise_leaves_no_metric_stuck(kind: str) -> None:
    """However often a signal handler raises out of recording, each metric is folded in the end and has lost nothing."""
    assert alone(storm, kind, 1.0) == {"lost": 0, "counted twice": 0, "stuck": 0}


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
        getattr(registry, kind)("made", tags={"number": str(handled)}).reading(0.0)
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
    result = alone(storm_of_records, kind, 1.0)

    assert result == {"difference": 0, "difference of made": 0, "gone back": 0}


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
    for _ in range(1500):
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
    assert alone(collect, kind) == {"finalized": 1500, "difference": 0}


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


def read_in_producers(gauges: int) -> Dict[str, Any]:
    """Read a registry whose gauges are made from its own statistics."""
    logging.disable(logging.CRITICAL)
    registry = Registry()
    registry.counter("requests").increment(4)
    for number in range(gauges):
        registry.gauge(f"half{number}", lambda: registry.get_stats().requests.value / 2)
    stats: Dict[str, Any] = registry.get_stats()
    return stats


@pytest.mark.parametrize("gauges", [1, 2, 3])
def test_a_producer_may_read_the_registry(gauges: int) -> None:
    """A gauge that is computed from get_stats() of its registry has its value, and costs no more than that reading."""
    stats = alone(read_in_producers, gauges)

    assert stats == {"requests": {"value": 4}, **{f"half{number}": {"value": 2} for number in range(gauges)}}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_at_any_point_of_a_fold_is_counted_in_the_parent_only(kind: str) -> None:
    """A signal handler that forks in the middle of a fold leaves the child at zero, and the parent with everything."""
    assert alone(fork_everywhere, kind) == []


def fork_everywhere(kind: str) -> List[str]:
    """Fork at points of recording and folding; the children must find nothing of the parent's."""
    faults: List[str] = []
    children: List[int] = []

    def interrupt() -> None:
        children.append(os.fork())

    for interruption in at_every_point(interrupt, step=2):
        children.clear()
        _, metric, record = prepared(kind, True)

        parent = os.getpid()
        try:
            with interruption:
                record(1)
            # The record that was interrupted may be made in the child too, where all of the program goes on as well.
            if os.getpid() != parent:
                record(1)
                os._exit(0 if counted(metric) in (1, 2) else 1)
        finally:
            if os.getpid() != parent:
                os._exit(2)
        if counted(metric) != 3 + CAPACITY + 1:
            faults.append(f"parent: {counted(metric)} after {interruption.where}")
        if children and os.waitpid(children[0], 0)[1]:
            faults.append(f"child: not at zero after {interruption.where}")
    return faults
