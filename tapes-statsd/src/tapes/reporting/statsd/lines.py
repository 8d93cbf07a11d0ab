"""Encodes a snapshot as lines for StatsD. Pure functions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from tapes.kinds.kind import RATE, SUM, TOTAL, kind_named
from tapes.reporting.statsd.names import STYLES, TagStyle, distinguished
from tapes.reporting.statsd.numbers import plain_each, signed

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.reporting.statsd.deliveries import Change
    from tapes.snapshot import Snapshot

_Statistic = Tuple[str, str, float]  # its name at StatsD, its key in the reading, and a factor

_MILLISECONDS = 1000  # in a second: StatsD has times in milliseconds


@lru_cache(maxsize=64)
def statistics_of(kind: Kind) -> Tuple[_Statistic, ...]:
    """Return the statistics of a kind that are sent as gauges: all but the sum, which tools could not add up.

    The total is named `total`, not `count`: common configurations of Graphite add up names that end in `.count` when
    they aggregate points, and this is a total already.
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
    """The unique names of all series of a snapshot, in the order of its readings.

    Lists of strings, not tuples, which the garbage collector would have to visit.
    """

    paths: List[str]
    """The part before the statistic, with the prefix."""
    suffixes: List[str]
    """The end of the line."""
    clashes: List[int]
    """The places of series that got another name because theirs was taken."""


def names(snapshot: Snapshot, prefix: str, style: TagStyle) -> Names:
    """Name every series of a snapshot. `prefix` is empty or ends with a dot."""
    found = Names([], [], [])
    taken: Dict[str, None] = {}
    named = STYLES[style]
    for number, reading in enumerate(snapshot.readings):
        name = named(reading.name, reading.tags)
        if name.path + name.suffix in taken:
            name = distinguished(name, reading.tags)
            found.clashes.append(number)
        taken[name.path + name.suffix] = None
        found.paths.append(prefix + name.path)
        found.suffixes.append(name.suffix)
    return found


def counters(changes: Iterable[Change], named: Names) -> Iterator[List[str]]:
    """Yield one line for each change of a counter."""
    for each in changes:
        yield [f"{named.paths[each.place]}.value:{signed(each.value)}|c{named.suffixes[each.place]}"]


def gauges(snapshot: Snapshot, named: Names) -> Iterator[List[str]]:
    """Yield, for each series, a line for each statistic with a value; for a negative value, two lines in one string.

    StatsD takes a number with a sign as a change of the gauge. So a gauge is set to zero before a negative value, and
    the two lines must stay in one packet.

    It yields series by series, since freeing 100,000 lines at once would hold up every other thread.
    """
    for reading, path, suffix in zip(snapshot.readings, named.paths, named.suffixes):
        kind = kind_named(reading.kind)
        if kind is not None and kind.adds_up:
            continue
        statistics = reading.statistics
        # For an unknown kind, send all statistics as they are.
        sent = [(key, key, 1) for key in statistics] if kind is None else statistics_of(kind)
        known = [(each, value) for each in sent if (value := statistics[each[1]]) is not None]
        texts = plain_each([value if factor == 1 else value * factor for (_, _, factor), value in known])
        yield [_gauge(f"{path}.{name}:", text, f"|g{suffix}") for ((name, _, _), _), text in zip(known, texts)]


def _gauge(start: str, text: str, end: str) -> str:
    return f"{start}0{end}\n{start}{text}{end}" if text.startswith("-") else f"{start}{text}{end}"
