"""A snapshot as the lines that StatsD reads. Pure functions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from tapes.kinds.kind import RATE, SUM, TOTAL, kind_named
from tapes.reporting.statsd.names import STYLES, TagStyle, told_apart
from tapes.reporting.statsd.numbers import plain_each, signed

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.reporting.statsd.deliveries import Change
    from tapes.snapshot import Snapshot

_Statistic = Tuple[str, str, float]  # its name at StatsD, its key in the reading, and what it is multiplied by

_MILLISECONDS = 1000  # of a second: what StatsD has times in


@lru_cache(maxsize=64)
def statistics_of(kind: Kind) -> Tuple[_Statistic, ...]:
    """Return what is sent of a kind of metric as gauges: all but the sum, which is none that tools could add up.

    The total is named `total` and not `count`, because common configurations of Graphite add up whatever ends in
    `.count` when they make coarser points of finer ones, and this is a total already.
    """
    factor = _MILLISECONDS if kind.unit == "s" else 1
    found: List[_Statistic] = []
    for key, role in kind.statistics:
        if role == TOTAL:
            found.append(("total", key, 1))
        elif role == RATE:
            found.append((f"{key}_rate", key, 1))
        elif role != SUM:
            found.append((key, key, factor))
    return tuple(found)


class Names(NamedTuple):
    """The names of all series of a snapshot, each of them once, in the order of its readings.

    Two lists of strings, and no tuples, which the garbage collector would have to look at.
    """

    paths: List[str]
    """What stands before the statistic, the prefix included."""
    suffixes: List[str]
    """What ends the line."""
    clashes: List[int]
    """Which of the series could not have the name that they should have, because another had it."""


def names(snapshot: Snapshot, prefix: str, style: TagStyle) -> Names:
    """Name every series of a snapshot. `prefix` is empty or ends with a dot."""
    found = Names([], [], [])
    taken: Dict[str, None] = {}
    named = STYLES[style]
    for number, reading in enumerate(snapshot.readings):
        name = named(reading.name, reading.tags)
        if name.path + name.suffix in taken:
            name = told_apart(name, reading.tags)
            found.clashes.append(number)
        taken[name.path + name.suffix] = None
        found.paths.append(prefix + name.path)
        found.suffixes.append(name.suffix)
    return found


def counters(changes: Iterable[Change], named: Names) -> Iterator[List[str]]:
    """Write one line for each change of a counter, one at a time."""
    for each in changes:
        yield [f"{named.paths[each.place]}.value:{signed(each.value)}|c{named.suffixes[each.place]}"]


def gauges(snapshot: Snapshot, named: Names) -> Iterator[List[str]]:
    """Write a line for each statistic that has a value. Below zero it is two lines, which must not be parted.

    To StatsD a number with a sign is a change of a gauge, except where the gauge is zero. So it is set to zero first.

    Series by series: to throw away 100,000 lines at once would keep every other thread from running.
    """
    for reading, path, suffix in zip(snapshot.readings, named.paths, named.suffixes):
        kind = kind_named(reading.kind)
        if kind is not None and kind.adds_up:
            continue
        statistics = reading.statistics
        # Of kinds that are not known here everything is sent as it is.
        sent = [(key, key, 1) for key in statistics] if kind is None else statistics_of(kind)
        known = [(each, value) for each in sent if (value := statistics[each[1]]) is not None]
        texts = plain_each([value if factor == 1 else value * factor for (_, _, factor), value in known])
        yield [_gauge(f"{path}.{name}:", text, f"|g{suffix}") for ((name, _, _), _), text in zip(known, texts)]


def _gauge(start: str, text: str, end: str) -> str:
    return f"{start}0{end}\n{start}{text}{end}" if text.startswith("-") else f"{start}{text}{end}"
