"""The gauges of many workers made into one."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import pytest

from tapes.distributed.frames import ENDING, LEAVING
from tapes.state.gauge import MERGES
from tapes.testing import ManualClock
from tests.distributed.simulated import Asking, Simulated, stats_of


class Bench(NamedTuple):
    """Three workers and their aggregator."""

    clock: ManualClock
    workers: List[Simulated]
    aggregator: Asking

    def tell(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told."""
        for number in numbers or range(len(self.workers)):
            self.workers[number].tell(self.aggregator, flags=flags)

    def set(self, number: int, value: float, merge: str = "sum", name: str = "level") -> None:
        """Set the gauge of a worker, a second later than the last."""
        self.clock.advance(1)
        self.workers[number].registry.gauge(name, merge=merge).set(value)

    @property
    def value(self) -> Any:
        """What is shown of the gauge."""
        return self.aggregator.get_stats().level.value


@pytest.fixture
def bench() -> Bench:
    """Return them."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(3)]
    return Bench(clock, workers, Asking(clock, workers))


EXPECTED: Dict[str, float] = {"sum": 14, "min": 2, "max": 7, "mean": 14 / 3, "last": 5}


@pytest.mark.parametrize("merge", MERGES)
def test_values_are_combined_as_the_gauge_says(bench: Bench, merge: str) -> None:
    """One value of all workers, however they are told."""
    for number, value in ((0, 7), (2, 2), (1, 5)):
        bench.set(number, value, merge)
    bench.tell(2, 1, 0)

    assert bench.value == EXPECTED[merge]


@pytest.mark.parametrize("merge", MERGES)
def test_a_worker_without_a_value_has_no_part(bench: Bench, merge: str) -> None:
    """One that has the gauge and has not set it does not count as zero."""
    bench.set(0, 3, merge)
    bench.workers[1].registry.gauge("level", merge=merge)
    bench.tell()

    assert bench.value == 3


@pytest.mark.parametrize("merge", MERGES)
def test_a_gauge_that_nobody_has_set_has_no_value(bench: Bench, merge: str) -> None:
    """It is shown as null."""
    bench.workers[1].registry.gauge("level", merge=merge)
    bench.tell()

    assert bench.value is None


@pytest.mark.parametrize("merge", MERGES)
def test_a_producer_runs_in_its_worker(bench: Bench, merge: str) -> None:
    """The value is asked for when it is told; a producer that fails is a worker without a value."""
    values: List[Any] = [7, 5, 2]
    for number, worker in enumerate(bench.workers):
        worker.registry.gauge("level", lambda number=number: values[number], merge=merge)  # type: ignore[misc]
    for number in (0, 2, 1):
        bench.tell(number)
        bench.clock.advance(1)
    assert bench.value == EXPECTED[merge]

    values[0] = "no number"
    values[2] = None
    bench.tell()

    assert bench.value == 5


def test_the_value_of_a_worker_is_its_newest(bench: Bench) -> None:
    """Setting replaces what was told before."""
    for value in (1, 5, 2.5):
        bench.set(0, value)
        bench.set(1, value)
        bench.tell()
        assert bench.value == 2 * value


def test_increments_and_decrements_come_together(bench: Bench) -> None:
    """A gauge that is changed by steps is the sum of the steps in all workers."""
    for number, worker in enumerate(bench.workers):
        worker.registry.gauge("level").increment(10)
        worker.registry.gauge("level").decrement(number)
    bench.tell()

    assert bench.value == 27


def test_the_last_value_is_the_one_that_was_set_last_even_if_it_was_set_before(bench: Bench) -> None:
    """A worker that sets the value that its gauge had already has set it last."""
    bench.set(0, 5, "last")
    bench.set(1, 7, "last")
    bench.tell()
    assert bench.value == 7

    bench.set(0, 5, "last")
    bench.tell()

    assert bench.value == 5


def test_the_last_value_does_not_depend_on_who_tells_last(bench: Bench) -> None:
    """It is told late and is the last nevertheless."""
    bench.set(0, 5, "last")
    bench.set(1, 7, "last")
    bench.tell(1, 0)

    assert bench.value == 7


def test_a_gauge_is_merged_as_its_first_worker_says(bench: Bench) -> None:
    """Workers that do not agree do no harm."""
    for number, merge in enumerate(("max", "sum", "min")):
        bench.set(number, number + 1, merge)
    bench.tell()

    assert bench.value == 3


@pytest.mark.parametrize("merge", MERGES)
def test_a_lease_that_runs_out(bench: Bench, merge: str) -> None:
    """The gauges of a worker count for ten seconds after it was last heard of, and again when it is heard of again."""
    bench.set(0, 100, merge)
    bench.set(1, 1, merge)
    bench.tell()
    both = bench.value
    for _ in range(5):
        bench.clock.advance(2)
        bench.tell(1)
        bench.aggregator.tidy()
        assert bench.value == both

    bench.clock.advance(1)
    bench.tell(1)
    bench.aggregator.tidy()
    assert bench.value == 1
    assert bench.aggregator.get_stats().tapes.aggregator.workers.value == 1

    bench.tell(0)
    assert bench.value == both


def test_a_lease_of_other_length() -> None:
    """It is as long as the aggregator is told."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    aggregator = Asking(clock, [worker], lease=100)
    worker.registry.gauge("level").set(3)
    worker.tell(aggregator)
    seen = []
    for _ in range(3):
        clock.advance(50)
        aggregator.tidy()
        seen.append(aggregator.get_stats().level.value)

    assert seen == [3, 3, None]


def test_a_worker_that_says_that_it_leaves_takes_its_gauges_along(bench: Bench) -> None:
    """At once, and not when its lease runs out."""
    bench.set(0, 100)
    bench.set(1, 1)
    bench.tell()
    bench.tell(0, flags=LEAVING)

    assert bench.value == 1


def test_a_worker_that_comes_back_brings_them_again(bench: Bench) -> None:
    """After a close() and another connect()."""
    bench.set(0, 100)
    bench.set(1, 1)
    bench.tell()
    bench.tell(0, flags=LEAVING)
    bench.workers[0].publisher.begin()
    bench.tell(0)

    assert bench.value == 101


def test_progress_does_not_leak_when_a_worker_dies(bench: Bench) -> None:
    """What was in progress in a worker that is gone is not in progress."""
    bench.workers[0].registry.gauge("level").track_in_progress().__enter__()
    with bench.workers[1].registry.gauge("level").track_in_progress():
        bench.tell()
        assert bench.value == 2
        for _ in range(12):
            bench.clock.advance(1)
            bench.tell(1)
            bench.aggregator.tidy()
        assert bench.value == 1
    bench.tell(1)

    assert bench.value == 0


def test_a_gauge_that_no_worker_has_any_more_is_gone(bench: Bench) -> None:
    """Nothing is left of it: an aggregator does not keep a series for each worker that ever lived."""
    for number, worker in enumerate(bench.workers):
        worker.registry.gauge("memory", tags={"pid": str(number)}).set(1)
        worker.registry.counter("orders").increment()
    bench.tell()
    bench.tell(0, 1, flags=LEAVING | ENDING)
    bench.clock.advance(3)
    bench.aggregator.tidy()

    assert stats_of(bench.aggregator) == {"memory": {"pid=2": {"value": 1}}, "orders": {"value": 3}}


def test_a_gauge_that_some_worker_still_has_stays(bench: Bench) -> None:
    """With the values of those that are left."""
    bench.set(0, 100, "max")
    bench.set(1, 1, "max")
    bench.tell()
    bench.tell(0, flags=LEAVING | ENDING)
    bench.clock.advance(3)
    bench.aggregator.tidy()

    assert bench.value == 1
