"""The tree of `get_stats()` as a table that people can read. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Tree = Mapping[str, Any]

COLUMNS = ("metric", "total", "m1", "mean", "median", "95 %", "99 %", "max")

WORKER = "worker"
"""The tag of the series that one worker has, of which another series has the total."""


class Series(NamedTuple):
    """One series of a metric."""

    metric: str
    tags: Mapping[str, str]
    statistics: Tree

    @property
    def name(self) -> str:
        """The name of the metric with the tags."""
        tags = ",".join(f"{key}={value}" for key, value in self.tags.items())
        return f"{self.metric}{{{tags}}}" if tags else self.metric


def series(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[Series]:
    """Find the series in a tree: a node with statistics is one, and its children may be more."""
    statistics = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    if statistics:
        yield _series(path, statistics)
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from series(value, (*path, key))


def unified(tree: Tree) -> Iterator[Series]:
    """Find the series that are of all workers together."""
    return (found for found in series(tree) if WORKER not in found.tags)


def total_count(tree: Tree, metric: str) -> int:
    """Add up the counts of all series of a metric, whatever their tags."""
    return sum(found.statistics.get("count", 0) for found in unified(tree) if found.metric == metric)


def total_value(tree: Tree, pattern: str) -> int:
    """Add up the values of all counters and gauges whose names match a pattern, like `http.*.requests`.

    A gauge without a value, like one that no worker has set yet, counts as nothing.
    """
    return sum(found.statistics.get("value") or 0 for found in unified(tree) if fnmatchcase(found.name, pattern))


def by_worker(tree: Tree, metric: str, statistic: str) -> dict[int, int]:
    """Return what a metric is for each worker, by its process id."""
    found: dict[int, int] = {}
    for each in series(tree):
        if each.metric == metric and WORKER in each.tags:
            worker = int(each.tags[WORKER])
            found[worker] = found.get(worker, 0) + (each.statistics[statistic] or 0)
    return found


def render(tree: Tree) -> str:
    """Lay out all series that are of all workers together, one a line, below a line of headings."""
    rows = [COLUMNS, *(_row(found) for found in sorted(unified(tree), key=lambda found: found.name))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _series(path: tuple[str, ...], statistics: Tree) -> Series:
    *above, last = path or ("",)
    if "=" not in last:
        return Series(".".join(path), {}, statistics)
    tags = (tag.partition("=") for tag in last.split(","))
    return Series(".".join(above), {key: value for key, _, value in tags}, statistics)


def _row(found: Series) -> tuple[str, ...]:
    statistics = found.statistics
    is_timer = "m1" in statistics and "q50" in statistics
    measured = (statistics.get(key) for key in ("mean", "q50", "q95", "q99", "max"))
    return (
        found.name,
        _number(statistics["count"] if "count" in statistics else statistics.get("value")),
        _number(statistics.get("m1")),
        *(_duration(value) if is_timer else _number(value) for value in measured),
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.2f} ms"


def _line(row: Iterable[str], widths: list[int]) -> str:
    first, *rest = (
        cell.ljust(width) if not at else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))
    )
    return "  ".join([first, *rest]).rstrip()
