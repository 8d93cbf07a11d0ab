"""A snapshot as the lines that StatsD reads. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from tapes.reporting.statsd.deliveries import COUNTER
from tapes.reporting.statsd.names import STYLES, TagStyle, told_apart
from tapes.reporting.statsd.numbers import plain, signed

if TYPE_CHECKING:
    from tapes.reporting.statsd.deliveries import Change
    from tapes.snapshot import Snapshot

_Statistic = Tuple[str, str, float]  # its name at StatsD, its key in the reading, and what it is multiplied by

# `total` and not `count`, because common configurations of Graphite add up whatever ends in `.count` when they make
# coarser points of finer ones, and this is a total already.
_TOTAL: Tuple[_Statistic, ...] = (("total", "count", 1),)
_RATES: Tuple[_Statistic, ...] = (("m1_rate", "m1", 1), ("m5_rate", "m5", 1), ("m15_rate", "m15", 1))
_SPREAD = ("min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999")
_MILLISECONDS = 1000

GAUGES: Dict[str, Tuple[_Statistic, ...]] = {
    "gauge": (("value", "value", 1),),
    "meter": (*_TOTAL, *_RATES),
    "histogram": (*_TOTAL, *((key, key, 1) for key in _SPREAD)),
    "timer": (*_TOTAL, *_RATES, *((key, key, _MILLISECONDS) for key in _SPREAD)),
}
"""What is sent of each kind of metric but counters, as gauges."""


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


def counters(changes: Iterable[Change], named: Names) -> Iterator[str]:
    """Write one line for each change of a counter, one at a time."""
    for each in changes:
        yield f"{named.paths[each.place]}.value:{signed(each.value)}|c{named.suffixes[each.place]}"


def gauges(snapshot: Snapshot, named: Names) -> Iterator[str]:
    """Write a line for each statistic that has a value. Below zero it is two lines, which must not be parted.

    To StatsD a number with a sign is a change of a gauge, except where the gauge is zero. So it is set to zero first.

    One at a time: to throw away 100,000 lines at once would keep every other thread from running.
    """
    for reading, path, suffix in zip(snapshot.readings, named.paths, named.suffixes):
        if reading.kind == COUNTER:
            continue
        statistics = reading.statistics
        # Of kinds that are not known here everything is sent as it is.
        for name, key, factor in GAUGES.get(reading.kind) or [(key, key, 1) for key in statistics]:
            value = statistics[key]
            if value is None:
                continue
            start, end = f"{path}.{name}:", f"|g{suffix}"
            line = f"{start}{plain(value if factor == 1 else value * factor)}{end}"
            yield line if value >= 0 else f"{start}0{end}\n{line}"
