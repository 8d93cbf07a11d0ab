"""The kinds of metrics that take records, told apart by data and not by code."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from tapes.snapshot import Reading

KINDS = ("counter", "meter", "histogram", "timer")

_METHODS: Dict[str, Tuple[str, str]] = {
    "counter": ("increment", "value"),
    "meter": ("mark", "count"),
    "histogram": ("update", "count"),
    "timer": ("update", "count"),
}


def recording(metric: Any) -> Callable[[int], None]:
    """Return the method of `metric` that records."""
    method: Callable[[int], None] = getattr(metric, _METHODS[metric.kind][0])
    return method


def counted(metric: Any) -> int:
    """Return how many records of 1 `metric` has counted."""
    statistics: Dict[str, Any] = Reading.of(metric, metric.now()).statistics
    total: int = statistics[_METHODS[metric.kind][1]]
    return total
