"""What the workers of these tests record, and what everybody has to see of it."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence

from tapes.registry import Registry

QUANTILES = {"q50": 0.5, "q75": 0.75, "q95": 0.95, "q98": 0.98, "q99": 0.99, "q999": 0.999}
"""Each by its key."""

CLOSE = 0.01
"""How far a quantile may be from the exact one, as a part of that."""


class Events:
    """Records one event after the other, each by all kinds of metrics. Every event of a worker has its own value."""

    def __init__(self, registry: Registry) -> None:
        """Make the metrics, and record nothing."""
        self.total = 0
        """How many have been recorded."""
        self._worker = -1
        self._counted = registry.counter("events.counted")
        self._marked = registry.meter("events.marked")
        self._measured = registry.histogram("events.measured")
        self._timed = registry.timer("events.timed")
        self._tagged = [registry.counter("events.tagged", {"parity": parity}) for parity in ("even", "odd")]
        self._workers = registry.gauge("events.workers")

    def begin(self, worker: int) -> None:
        """Be a worker, with a number by which its values are known."""
        self._worker = worker
        self._workers.set(1)

    def record(self, number: int) -> None:
        """Record so many more."""
        for index in range(self.total, self.total + number):
            given = value(self._worker, index)
            self._counted.increment(3)
            self._counted.decrement()
            self._marked.mark(2)
            self._measured.update(given)
            self._timed.update(given)
            self._tagged[index % 2].increment()
        self.total += number


def value(worker: int, index: int) -> int:
    """Return the value of an event."""
    return 1 + (worker * 389 + index * 7919) % 1999


def values(worker: int, total: int) -> List[int]:
    """Return the values of so many events."""
    return [value(worker, index) for index in range(total)]


class Picture(NamedTuple):
    """All that is counted of events, down to the last one."""

    counted: int = 0
    marked: int = 0
    measured: int = 0
    sum_measured: float = 0.0
    timed: int = 0
    sum_timed: float = 0.0
    even: int = 0
    odd: int = 0

    @classmethod
    def of(cls, stats: Dict[str, Any]) -> Picture:
        """Take it from a tree of statistics. What has not been published yet is not there."""
        return cls(
            shown(stats, "counted", "value"),
            shown(stats, "marked", "count"),
            shown(stats, "measured", "count"),
            shown(stats, "measured", "sum"),
            shown(stats, "timed", "count"),
            shown(stats, "timed", "sum"),
            shown(stats, "tagged", "parity=even", "value"),
            shown(stats, "tagged", "parity=odd", "value"),
        )

    @classmethod
    def after(cls, totals: Iterable[Sequence[int]]) -> Picture:
        """Return what it has to be when workers have recorded so much: their numbers, with how many events each."""
        pairs = list(totals)
        events = sum(total for _, total in pairs)
        added = float(sum(sum(values(worker, total)) for worker, total in pairs))
        even = sum((total + 1) // 2 for _, total in pairs)
        return cls(2 * events, 2 * events, events, added, events, added, even, events - even)

    @property
    def events(self) -> int:
        """How many, by the metric that is published first."""
        return self.counted // 2

    def is_below(self, earlier: Picture) -> bool:
        """Whether something of it is less than it was earlier."""
        return any(now < before for now, before in zip(self, earlier))


def shown(stats: Dict[str, Any], *path: str) -> Any:
    """Return what statistics of events show there, 0 if there is nothing."""
    node: Any = stats.get("events", {})
    for key in path:
        node = node.get(key, {})
    return node or 0


def wrong_spreads(stats: Dict[str, Any], recorded: Sequence[int]) -> List[str]:
    """Return what is wrong with the distributions, given all values that were recorded in the last five minutes."""
    ordered = sorted(recorded)
    wrong = []
    for name in ("measured", "timed"):
        shown = stats["events"][name]
        if (shown["min"], shown["max"]) != (ordered[0], ordered[-1]):
            wrong.append(f"{name}: from {shown['min']} to {shown['max']}, not from {ordered[0]} to {ordered[-1]}")
        for key, share in QUANTILES.items():
            exact = ordered[math.ceil(share * len(ordered)) - 1]
            if abs(shown[key] - exact) > CLOSE * exact:
                wrong.append(f"{name}: {key} is {shown[key]}, not {exact}")
    return wrong
