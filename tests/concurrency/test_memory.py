"""Memory follows the number of series, not the number of events or of tags that were tried."""

from __future__ import annotations

import logging
from typing import Any, Dict, List

import pytest

from tapes.registry import Registry
from tests.concurrency.alone import alone
from tests.concurrency.kinds import counted
from tests.concurrency.memory import traced, tracemalloc


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
    for start, end in ((0, 4_000), (4_000, 12_000)):
        for number in range(start, end):
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
    """Of 12,000 tag sets 2,000 have a series, one series has the rest, it is logged once and memory stays."""
    result = alone(many_tags, kind)

    assert (result["series"], result["total"], result["overflow"], result["lines"]) == (2_001, 12_000, 10_000, 1)
    assert result["grown"] < 150_000
    assert result["size"] < 2_001 * 4_000
