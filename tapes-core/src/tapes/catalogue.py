"""The content of a registry: its series by name and tags, with the name tree and lookup caches derived from them."""

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
"""The first item of the lookup key of a metric with tags. It differs from every name that a caller can pass."""

_GONE = 10_000  # series that have gone of which totals are kept, at the most


class Catalogue:
    """The series of a registry, the tree of their names, and the lookup caches.

    The cost of adding or removing a series depends only on its own name and lookup keys. Hold `changing` for any change
    and for `names()`. A signal handler or a finalizer may make a change in the middle of another, and an exception may
    cut one off; the next call that notices rebuilds the tree and the lookup caches.
    """

    def __init__(self) -> None:
        self.changing = RLock()
        self.series: Dict[Series, Instrument] = {}
        """All series, in the order of their creation."""
        self.aside: Dict[Series, Instrument] = {}
        """Series that were made in an isolation, kept for code that still holds them or asks for them again."""
        self.totals: Dict[Series, Total] = {}
        """What is known of the totals of producers, also of series that have gone and may be made again."""
        self.described: Dict[str, Facts] = {}
        """The facts of series, by name."""
        self.described_aside: Dict[str, Facts] = {}
        """The facts of names created in an isolation. They hold until others are given."""
        self._lookups: List[Dict[Any, Any]] = []
        self._keys: Dict[Series, List[Any]] = {}  # the lookup keys of each tagged series
        self._tree = NameTree()
        self._change_in_progress: Optional[object] = None

    def facts(self, name: str) -> Facts:
        """Return the facts of a name. Safe without `changing`."""
        facts = self.described.get(name, NO_FACTS)
        return facts.or_else(self.described_aside.get(name, NO_FACTS)) if self.described_aside else facts

    def all_facts(self) -> Dict[str, Facts]:
        """Return the facts of all names that have some. Safe without `changing`."""
        found = self.described.copy()
        for name in list(self.described_aside):
            found[name] = self.facts(name)
        return found

    def has_facts(self, name: str, facts: Facts) -> bool:
        """Return whether each fact in `facts` is already set for this name. Safe without `changing`."""
        there = self.described.get(name, NO_FACTS)
        return bool((there.description or not facts.description) and (there.unit or not facts.unit))

    def describe(self, name: str, facts: Facts) -> None:
        """Set the facts of a name. A fact that is already set stays."""
        self.described[name] = self.described.get(name, NO_FACTS).or_else(facts)
        if self.names().kind(name) is None:  # a signal handler has just removed it
            self.described.pop(name, None)

    def lookup(self) -> Dict[Any, Any]:
        """Return a new lookup cache, keyed by the caller's exact arguments, which saves checking each tag."""
        lookup: Dict[Any, Any] = {}
        self._lookups.append(lookup)
        return lookup

    def names(self) -> NameTree:
        """Return the tree of names. Rebuilds it if a change was cut off, or is in progress below this call."""
        if self._change_in_progress is not None:
            self._rebuild()
        return self._tree

    def everything(self) -> List[Instrument]:
        """Return all metrics, those set aside last, in the order of their creation."""
        return [*self.series.values(), *self.aside.values()]

    def visible(self, clock: Clock, name: Optional[str] = None) -> List[Instrument]:
        """Return the visible metrics, all or those of one name. One set aside is visible after its first record.

        Those of one name cost no look at others.
        """
        if name is None:
            visible, aside = list(self.series.values()), list(self.aside.values())
        else:
            with self.changing:
                series = self.series_of(name)
                visible = list(filter(None, map(self.series.get, series)))
                aside = list(filter(None, map(self.aside.get, series)))
        if aside:
            now = clock.monotonic()
            visible += [metric for metric in aside if not metric.is_at_zero(now) and self._fits(metric)]
        return visible

    def series_of(self, name: str) -> List[Series]:
        """Return the series of one name, in the order of their creation, those set aside last."""
        place = self.names().at(name)
        tag_sets: List[Tags] = [] if place is None else list(place.labels.values())
        return [(name, tags) for tags in tag_sets] + [series for series in list(self.aside) if series[0] == name]

    def __contains__(self, metric: Instrument) -> bool:
        series = metric.name, metric.tags
        return self.series.get(series) is metric or self.aside.get(series) is metric

    def put(self, series: Series, made: Instrument) -> Instrument:
        """Add a series, and return its metric: `made`, or the one that was there before."""
        change = self._begin()
        metric = self.series.setdefault(series, made)
        self._tree.add(type(metric), *series)
        self._end(change)
        return metric

    def drop(self, series: Series) -> bool:
        """Remove a series; return False if it is not there."""
        change = self._begin()
        # Clear the lookups first: if an exception cuts this off, no lookup finds a removed series.
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
        """Replace the whole content by these series and facts."""
        self._begin()
        self._forget_lookups()
        self.series, self.aside = series, aside
        self.described, self.described_aside = described, described_aside
        self._rebuild()

    def remember(self, lookup: Dict[Any, Any], key: Any, series: Series, metric: Instrument) -> None:
        """Enter a metric in a lookup cache under `key`, until it is removed. Idempotent."""
        if series[1] and lookup.get(key) is not metric:
            self._keys.setdefault(series, []).append(key)
        lookup[key] = metric
        if self.series.get(series) is not metric:  # a signal handler has just removed it
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
        """Set the same metrics to zero in a child process."""
        self.changing = RLock()  # a thread of the parent may hold the old one
        for metric in self.everything():
            metric.restart()
        for total in self.totals.values():
            total.known()  # while no other thread is there

    def _fits(self, metric: Instrument) -> bool:
        """Return whether a metric that was set aside collides with no other."""
        name, tags = metric.name, metric.tags
        with self.changing:  # without it, names() would rebuild the tree during a change of another thread
            names = self.names()
            try:
                names.check(type(metric), name, tags)
            except NameCollisionError:
                return False
            return (name, tags) not in self.series and names.kind(name) in (None, type(metric))

    def _begin(self) -> object:
        self.names()
        self._change_in_progress = change = object()
        return change

    def _end(self, change: object) -> None:
        """End a change. If another one came in between, rebuild everything derived."""
        if self._change_in_progress is not change:
            self._rebuild()
        self._change_in_progress = None

    def _rebuild(self) -> None:
        """Rebuild everything that is derived from the series."""
        before: Optional[List[Series]] = None
        while before != list(self.series):  # repeat if a signal handler or a finalizer changed it meanwhile
            before = list(self.series)
            self._tree = NameTree(self.series.copy().values())
        for name in list(self.described):
            if self._tree.kind(name) is None:
                self.described.pop(name, None)
        self._forget_lookups()
        self._change_in_progress = None

    def _forget_lookups(self) -> None:
        for lookup in self._lookups:
            lookup.clear()
        self._keys = {}
