"""The tree of `get_stats()` as a table that people can read. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Tree = Mapping[str, Any]

COLUMNS = ("metric", "total", "m1", "mean", "median", "95 %", "99 %", "max")


class Series(NamedTuple):
    """One series of a metric: its name with its tags, and its statistics."""

    name: str
    statistics: Tree


def series(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[Series]:
    """Find the series in a tree: a node with statistics is one, and its children may be more."""
    statistics = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    if statistics:
        yield Series(_name(path), statistics)
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from series(value, (*path, key))


def total_count(tree: Tree, name: str) -> int:
    """Add up the counts of all series of a metric, whatever their tags."""
    return sum(
        found.statistics.get("count", 0)
        for found in series(tree)
        if found.name == name or found.name.startswith(f"{name}{{")
    )


def total_value(tree: Tree, pattern: str) -> int:
    """Add up the values of all counters whose names match a pattern, like `http.*.requests`."""
    return sum(found.statistics.get("value", 0) for found in series(tree) if fnmatchcase(found.name, pattern))


def render(tree: Tree) -> str:
    """Lay out all series, one a line, below a line of headings."""
    rows = [COLUMNS, *(_row(found) for found in sorted(series(tree)))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _name(path: tuple[str, ...]) -> str:
    tags = path[-1] if path and "=" in path[-1] else ""
    return ".".join(path[:-1]) + f"{{{tags}}}" if tags else ".".join(path)


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
