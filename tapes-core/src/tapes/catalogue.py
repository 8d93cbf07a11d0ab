"""What a registry holds: series by name and tags, and what follows from them."""

from __future__ import annotations

from _thread import RLock
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from tapes.errors import NameCollisionError
from tapes.facts import NO_FACTS, Facts
from tapes.instruments.producing import Total
from tapes.name_tree import NameTree

if TYPE_CHECKING:
    from typing import Tuple

    from tapes.clock import Clock
    from tapes.instruments import Instrument
    from tapes.naming import Tags

    Series = Tuple[str, Tags]

TAGGED = object()
"""The first item of the lookup key of a metric with tags. No caller can pass it as a name."""

_GONE = 10_000  # series that have gone of which totals are kept, at the most


class Catalogue:
    """The series of a registry, the tree of their names, and the lookup caches.

    To put in a series or to take one out costs what its own name and lookups cost. Only to be changed, or asked for
    names, with `changing` held. A signal handler or a finalizer may make a change in the middle of another, and an
    exception may cut one off. Whoever notices that makes the tree and the lookup caches anew.
    """

    def __init__(self) -> None:
        self.changing = RLock()
        self.series: Dict[Series, Instrument] = {}
        """All series, in the order in which they were made."""
        self.aside: Dict[Series, Instrument] = {}
        """Series that were made in an isolation, kept for code that still holds them or asks for them again."""
        self.totals: Dict[Series, Total] = {}
        """What is known of the totals of producers, also of series that have gone and may be made again."""
        self.described: Dict[str, Facts] = {}
        """What has been said of the names of series."""
        self.described_aside: Dict[str, Facts] = {}
        """What was said in an isolation of names that were made there. It holds until something else is said."""
        self._lookups: List[Dict[Any, Any]] = []
        self._keys: Dict[Series, List[Any]] = {}  # of each tagged series in its lookup cache
        self._tree = NameTree()
        self._under_way: Optional[object] = None  # the change that is being made

    def facts(self, name: str) -> Facts:
        """Return what has been said of a name. Safe without `changing`."""
        facts = self.described.get(name, NO_FACTS)
        return facts.or_else(self.described_aside.get(name, NO_FACTS)) if self.described_aside else facts

    def all_facts(self) -> Dict[str, Facts]:
        """Return what has been said of all names of which something has. Safe without `changing`."""
        return {name: self.facts(name) for name in (*self.described, *self.described_aside)}

    def says(self, name: str, facts: Facts) -> bool:
        """Whether all that is said in `facts` has been said of a name before. Safe without `changing`."""
        there = self.described.get(name, NO_FACTS)
        return bool((there.description or not facts.description) and (there.unit or not facts.unit))

    def describe(self, name: str, facts: Facts) -> None:
        """Take note of what is said of the name of a series: what was said first stays."""
        self.described[name] = self.described.get(name, NO_FACTS).or_else(facts)
        if self.names().kind(name) is None:  # a signal handler has just taken it out
            self.described.pop(name, None)

    def lookup(self) -> Dict[Any, Any]:
        """Return a new lookup cache: metrics by the caller's exact arguments, found without a look at each tag."""
        lookup: Dict[Any, Any] = {}
        self._lookups.append(lookup)
        return lookup

    def names(self) -> NameTree:
        """Return the tree of names. It is made anew if a change was cut off, or is interrupted by this very call."""
        if self._under_way is not None:
            self._make_anew()
        return self._tree

    def everything(self) -> List[Instrument]:
        """Return all metrics that there are, in the order in which they were made."""
        return [*self.series.values(), *self.aside.values()]

    def shown(self, clock: Clock) -> List[Instrument]:
        """Return the metrics that readers see: of those aside only the ones that something has been recorded to."""
        shown = list(self.series.values())
        if self.aside:
            now = clock.monotonic()
            shown += [
                metric for metric in list(self.aside.values()) if not metric.is_at_zero(now) and self._fits(metric)
            ]
        return shown

    def series_of(self, name: str) -> List[Series]:
        """Return the series of one name."""
        place = self.names().at(name)
        aside = [series for series in self.aside if series[0] == name]
        return aside if place is None else [*((name, tags) for tags in place.series()), *aside]

    def __contains__(self, metric: Instrument) -> bool:
        series = metric.name, metric.tags
        return self.series.get(series) is metric or self.aside.get(series) is metric

    def put(self, series: Series, made: Instrument) -> Instrument:
        """Put in a series, and return its metric: `made`, or the one that is there already."""
        change = self._begin()
        metric = self.series.setdefault(series, made)
        self._tree.add(type(metric), *series)
        self._end(change)
        return metric

    def drop(self, series: Series) -> bool:
        """Take out a series; False if it is not there."""
        change = self._begin()
        # Before it goes, so that nobody finds what has gone should this be cut off.
        name, tags = series
        for key in self._keys.get(series, ()) if tags else (name, (TAGGED, name)):
            for lookup in self._lookups:
                lookup.pop(key, None)
        self._keys.pop(series, None)
        found = self.series.pop(series, None) is not None
        if found:
            self._tree.remove(name, tags)
        found = self.aside.pop(series, None) is not None or found
        if self._tree.kind(name) is None:
            self.described.pop(name, None)
            if name in self.described_aside and not any(name == other for other, _ in list(self.aside)):
                self.described_aside.pop(name, None)
        self._end(change)
        return found

    def replace(
        self,
        series: Dict[Series, Instrument],
        aside: Dict[Series, Instrument],
        described: Dict[str, Facts],
        described_aside: Dict[str, Facts],
    ) -> None:
        """Hold these series and no others, and what was said of their names."""
        self._begin()
        self._forget_lookups()
        self.series, self.aside = series, aside
        self.described, self.described_aside = described, described_aside
        self._make_anew()

    def remember(self, lookup: Dict[Any, Any], key: Any, series: Series, metric: Instrument) -> None:
        """Let a metric be found by `key` in a lookup cache, for as long as it is there. Doing it again does nothing."""
        if series[1] and lookup.get(key) is not metric:
            self._keys.setdefault(series, []).append(key)
        lookup[key] = metric
        if self.series.get(series) is not metric:  # a signal handler has just taken it out
            lookup.pop(key, None)

    def total(self, series: Series) -> Total:
        """Return what is known of the total of a series, by all counters that it has one after the other."""
        total = self.totals.get(series)
        if total is None:
            total = self.totals.setdefault(series, Total())
            if len(self.totals) > len(self.series) + _GONE:
                gone = [each for each in list(self.totals) if each not in self.series]
                for each in gone[: -_GONE // 2]:
                    self.totals.pop(each, None)
        return total

    def after_fork(self) -> None:
        """Begin at zero in a child process, with the same metrics."""
        self.changing = RLock()  # a thread of the parent may have held it
        for metric in self.everything():
            metric.restart()
        for total in self.totals.values():
            total.known()  # while no other thread is there

    def _fits(self, metric: Instrument) -> bool:
        """Whether a metric that is aside has a place beside the others."""
        name, tags = metric.name, metric.tags
        with self.changing:  # to look at the tree while another thread changes it is to make it anew
            names = self.names()
            try:
                names.check(type(metric), name, tags)
            except NameCollisionError:
                return False
            return (name, tags) not in self.series and names.kind(name) in (None, type(metric))

    def _begin(self) -> object:
        self.names()
        self._under_way = change = object()
        return change

    def _end(self, change: object) -> None:
        """End a change. If another one has been made meanwhile, nothing can be relied on."""
        if self._under_way is not change:
            self._make_anew()
        self._under_way = None

    def _make_anew(self) -> None:
        """Make all that follows from the series."""
        before: Optional[List[Series]] = None
        while before != list(self.series):  # until no signal handler or finalizer has changed it meanwhile
            before = list(self.series)
            self._tree = NameTree(self.series.copy().values())
        for name in list(self.described):
            if self._tree.kind(name) is None:
                self.described.pop(name, None)
        self._forget_lookups()
        self._under_way = None

    def _forget_lookups(self) -> None:
        for lookup in self._lookups:
            lookup.clear()
        self._keys = {}
