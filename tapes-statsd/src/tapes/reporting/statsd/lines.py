"""A snapshot as the lines that StatsD reads. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from tapes.reporting.statsd.names import STYLES, SeriesName, TagStyle, told_apart
from tapes.reporting.statsd.numbers import plain, signed

if TYPE_CHECKING:
    from tapes.naming import Tags
    from tapes.reporting.statsd.deliveries import Change, Series
    from tapes.snapshot import Reading, Snapshot

_Statistic = Tuple[str, str, float]  # its name at StatsD, its key in the reading, and what it is multiplied by

# `total` and not `count`, because common configurations of Graphite add up whatever ends in `.count` when they make
# coarser points of finer ones, and this is a total already.
_TOTAL: Tuple[_Statistic, ...] = (("total", "count", 1),)
_RATES: Tuple[_Statistic, ...] = (("m1_rate", "m1", 1), ("m5_rate", "m5", 1), ("m15_rate", "m15", 1))
_SPREAD = ("min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999")
_MILLISECONDS = 1000

COUNTER = "counter"

GAUGES: Dict[str, Tuple[_Statistic, ...]] = {
    "gauge": (("value", "value", 1),),
    "meter": (*_TOTAL, *_RATES),
    "histogram": (*_TOTAL, *((key, key, 1) for key in _SPREAD)),
    "timer": (*_TOTAL, *_RATES, *((key, key, _MILLISECONDS) for key in _SPREAD)),
}
"""What is sent of each kind of metric but counters, as gauges."""


class Names(NamedTuple):
    """The names of all series of a snapshot, each of them once."""

    of: Dict[Series, SeriesName]
    clashes: List[Series]
    """The series that could not have the name which they should have, because another had it."""


def names(snapshot: Snapshot, prefix: str, style: TagStyle) -> Names:
    """Name every series of a snapshot. `prefix` is empty or ends with a dot."""
    named: Callable[[str, Tags], SeriesName] = STYLES[style]
    of: Dict[Series, SeriesName] = {}
    clashes: List[Series] = []
    taken: Dict[SeriesName, None] = {}
    for reading in snapshot.readings:
        name = named(reading.name, reading.tags)
        if name in taken:
            name = told_apart(name, reading.tags)
            clashes.append((reading.name, reading.tags))
        taken[name] = None
        of[reading.name, reading.tags] = SeriesName(prefix + name.path, name.suffix)
    return Names(of, clashes)


def counters(changes: Iterable[Change], of: Dict[Series, SeriesName]) -> List[str]:
    """Write one line for each change of a counter."""
    lines = []
    for change in changes:
        path, suffix = of[change.series]
        lines.append(f"{path}.value:{signed(change.value)}|c{suffix}")
    return lines


def gauges(readings: Iterable[Reading], of: Dict[Series, SeriesName]) -> Iterator[str]:
    """Write a line for each statistic that has a value. Below zero it is two lines, which must not be parted.

    To StatsD a number with a sign is a change of a gauge, except where the gauge is zero. So it is set to zero first.

    One at a time: to throw away 100,000 lines at once would keep every other thread from running.
    """
    for reading in readings:
        path, suffix = of[reading.name, reading.tags]
        # Of kinds that are not known here everything is sent as it is.
        for name, key, factor in GAUGES.get(reading.kind) or [(key, key, 1) for key in reading.statistics]:
            value = reading.statistics[key]
            if value is None:
                continue
            start, end = f"{path}.{name}:", f"|g{suffix}"
            line = f"{start}{plain(value if factor == 1 else value * factor)}{end}"
            yield line if value >= 0 else f"{start}0{end}\n{line}"
