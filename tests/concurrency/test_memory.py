"""Memory follows the number of series, not the number of events or of tags that were tried."""

from __future__ import annotations

import gc
import logging
import random
from typing import Any, Dict, List

import pytest

from tapes.registry import Registry
from tests.concurrency.alone import alone
from tests.concurrency.kinds import counted

tracemalloc = pytest.importorskip("tracemalloc", reason="this interpreter does not tell what it has allocated")

MANY = 200_000


def traced() -> int:
    """Return how many bytes Python has allocated since tracemalloc was started."""
    gc.collect()
    return int(tracemalloc.get_traced_memory()[0])


def idle(kind: str) -> float:
    """Return what each of many metrics of a kind costs, their names apart."""
    registry = Registry()
    names = [f"application.module.metric{number}" for number in range(1_000)]
    getattr(registry, kind)("the.first")
    tracemalloc.start()
    before = traced()
    kept = [getattr(registry, kind)(name) for name in names]
    return (traced() - before) / len(kept)


@pytest.mark.parametrize("kind", ["counter", "gauge", "meter", "histogram", "timer"])
def test_an_idle_metric_takes_two_kilobytes_at_most(kind: str) -> None:
    """A metric that nobody records to is cheap enough to have thousands of, its place in the registry included."""
    assert alone(idle, kind) <= 2_000


def unread(kind: str) -> Dict[str, float]:
    """Record very often to a metric that nobody reads. Return its count, and the most memory that it took."""
    registry = Registry()
    metric = getattr(registry, kind)("unread")
    record = {
        "counter": lambda: metric.increment,
        "gauge": lambda: metric.set,
        "meter": lambda: metric.mark,
        "histogram": lambda: metric.update,
        "timer": lambda: metric.update,
    }[kind]()
    tracemalloc.start()
    tracemalloc.reset_peak()
    if kind in ("counter", "meter"):
        for _ in range(MANY):
            record(1)
    else:
        for number in range(MANY):
            record(number * 0.001 + 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"recorded": counted(metric) if kind != "gauge" else registry.get_stats().unread.value, "peak": peak}


@pytest.mark.parametrize("kind", ["counter", "gauge", "meter", "histogram", "timer"])
def test_a_metric_that_nobody_reads_does_not_grow(kind: str) -> None:
    """Hundreds of thousands of records to a metric that no reporter reads are folded as they come."""
    result = alone(unread, kind)

    assert result["recorded"] == ((MANY - 1) * 0.001 + 0.5 if kind == "gauge" else MANY)
    assert result["peak"] < 1_000_000


def wide() -> List[float]:
    """Record values over 600 powers of ten. Return the memory of it in the middle and in the end."""
    draw = random.Random(1)
    registry = Registry()
    histogram = registry.histogram("wide")
    tracemalloc.start()
    sizes: List[float] = []
    for _ in range(2):
        for _ in range(150_000):
            histogram.update(draw.choice((-1, 1)) * 10 ** draw.uniform(-300, 300))
        counted(histogram)
        sizes.append(traced())
    return sizes


def test_an_active_histogram_is_bounded_by_its_buckets() -> None:
    """Even values over 600 powers of ten, of both signs, fill a bounded number of buckets, then no more memory."""
    middle, end = alone(wide)

    # 2 signs, 1,994 powers of two, 64 buckets to each, some 100 bytes for each as they fill.
    assert end < 30_000_000
    assert end < middle * 2


def many_tags(kind: str) -> Dict[str, Any]:
    """Record under very many different tags."""
    lines: List[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logging.getLogger("tapes").addHandler(Lines())
    registry = Registry()
    tracemalloc.start()
    sizes = []
    for start in (0, 10_000):
        for number in range(start, 10_000 if not start else 40_000):
            metric: Any = getattr(registry, kind)("requests", tags={"user": f"user{number}"})
            metric.increment() if kind == "counter" else metric.update(1)
        sizes.append(traced())
    return {
        "series": len(registry),
        "total": sum(map(counted, registry)),
        "overflow": counted(getattr(registry, kind)("requests", tags={"overflow": "true"})),
        "lines": len(lines),
        "grown": sizes[1] - sizes[0],
        "size": sizes[1],
    }


@pytest.mark.parametrize("kind", ["counter", "timer"])
def test_very_many_tags_are_bounded_and_keep_their_total(kind: str) -> None:
    """Of 40,000 tag sets 2,000 have a series, one series has the rest, it is logged once and memory stays."""
    result = alone(many_tags, kind)

    assert (result["series"], result["total"], result["overflow"], result["lines"]) == (2_001, 40_000, 38_000, 1)
    assert result["grown"] < 500_000
    assert result["size"] < 2_001 * 4_000
