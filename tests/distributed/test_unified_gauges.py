"""The gauges of many workers made into one."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from tapes.distributed.frames import LEAVING
from tapes.state.gauge import MERGES
from tests.distributed.simulated import Bench, record, stats_of

EXPECTED: Dict[str, float] = {"sum": 14, "min": 2, "max": 7, "mean": 14 / 3, "last": 5}


class Gauges(Bench):
    """Three workers with gauges, and their aggregator."""

    def set(self, number: int, value: float, merge: str = "sum") -> None:
        """Set the gauge of a worker, a second later than the last."""
        self.clock.advance(1)
        self.workers[number].registry.gauge("level", merge=merge).set(value)

    @property
    def value(self) -> Any:
        """What is shown of the gauge."""
        return self.stats.level.value


@pytest.fixture
def bench() -> Gauges:
    """Return them."""
    return Gauges(0, 1, 2)


@pytest.mark.parametrize("merge", MERGES)
def test_values_are_combined_as_the_gauge_says(bench: Gauges, merge: str) -> None:
    """One value of all workers, however they are told."""
    for number, value in ((0, 7), (2, 2), (1, 5)):
        bench.set(number, value, merge)
    bench.tell(2, 1, 0)

    assert bench.value == EXPECTED[merge]


@pytest.mark.parametrize("merge", MERGES)
def test_a_worker_without_a_value_has_no_part(bench: Gauges, merge: str) -> None:
    """One that has the gauge and has not set it does not count as zero. A gauge that nobody has set is null."""
    bench.workers[1].registry.gauge("level", merge=merge)
    bench.tell()
    assert bench.value is None
    bench.set(0, 3, merge)
    bench.tell()

    assert bench.value == 3


@pytest.mark.parametrize("merge", MERGES)
def test_a_producer_runs_in_its_worker(bench: Gauges, merge: str) -> None:
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


def test_the_last_value_is_the_one_that_was_set_last_even_if_it_was_set_before(bench: Gauges) -> None:
    """A worker that sets the value that its gauge had already has set it last."""
    for number, value in ((0, 5), (1, 7), (0, 5)):
        bench.set(number, value, "last")
        bench.tell()

        assert bench.value == value


def test_a_gauge_is_merged_as_its_first_worker_says(bench: Gauges) -> None:
    """Workers that do not agree do no harm."""
    for number, merge in enumerate(("max", "sum", "min")):
        bench.set(number, number + 1, merge)
    bench.tell()

    assert bench.value == 3


@pytest.mark.parametrize("merge", MERGES)
def test_a_lease_that_runs_out(bench: Gauges, merge: str) -> None:
    """The gauges of a worker count for ten seconds after it was last heard of, and again when it is heard of again."""
    bench.set(0, 100, merge)
    bench.set(1, 1, merge)
    bench.tell()
    both = bench.value
    for seconds, expected in [(2, both)] * 5 + [(1, 1)]:
        bench.clock.advance(seconds)
        bench.tell(1)
        bench.aggregator.tidy()
        assert bench.value == expected

    assert bench.figures.workers.value == 1
    bench.tell(0)
    assert bench.value == both


def test_a_worker_that_says_that_it_leaves_takes_its_gauges_along(bench: Gauges) -> None:
    """At once, and not when its lease runs out. One that comes back brings them again."""
    bench.set(0, 100)
    bench.set(1, 1)
    bench.tell()
    bench.tell(0, flags=LEAVING)
    assert bench.value == 1
    bench.workers[0].publisher.begin()
    bench.tell(0)

    assert bench.value == 101


def test_a_gauge_that_no_worker_has_any_more_is_gone(bench: Gauges) -> None:
    """An aggregator does not keep a series for each worker that ever lived. One that some worker has stays."""
    for number, worker in enumerate(bench.workers):
        record(worker, "gauge", 100 - number, "highest")
        record(worker, "gauge", name="memory", tags={"pid": str(number)})
        record(worker, "counter", name="orders")
    bench.tell()
    bench.end(0, 1)

    shown = {"highest": {"value": 98}, "memory": {"pid=2": {"value": 1}}, "orders": {"value": 3}}
    assert stats_of(bench.aggregator) == shown
