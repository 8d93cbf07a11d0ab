"""The registry: it makes, finds and reads metrics."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Dict, Hashable, List, Optional, Tuple, Type

from tapes import observers, portable
from tapes.catalogue import TAGGED, Catalogue
from tapes.clock import SYSTEM_CLOCK, Clock, is_clock
from tapes.errors import InvalidTypeError, InvalidValueError, KindMismatchError, NotPortableError, quoted
from tapes.facts import NO_FACTS, Facts, check_facts
from tapes.instruments import Counter, Gauge, Histogram, Instrument, Meter, Timer
from tapes.instruments.producing import MOST_PRODUCERS
from tapes.naming import OVERFLOW, Tags, canonical_tags, check_name, check_tags
from tapes.process import forking
from tapes.state.gauge import MERGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeVar

    from tapes.snapshot.snapshot import Reading, Snapshot

    Kind = TypeVar("Kind", bound=Instrument)
    Method = TypeVar("Method", bound=Callable[..., Any])


def _shortcut_to(method: Method) -> Callable[[Callable[..., Any]], Method]:
    """Make a method the fast path of `method`, with the same docstring and annotations.

    It exists because keyword-only parameters, given or not, make each call of a function half as long again.
    """

    def decorated(shortcut: Callable[..., Any]) -> Any:
        shortcut.__doc__ = method.__doc__
        shortcut.__annotations__ = method.__annotations__
        shortcut.__wrapped__ = method  # type: ignore[attr-defined]  # help() and inspect read the signature from it
        method.__name__, method.__qualname__ = shortcut.__name__, shortcut.__qualname__  # for errors about arguments
        return shortcut

    return decorated


class Registry:
    """A set of metrics by name and tags. Registries are independent of each other.

    `counter`, `gauge`, `histogram`, `meter` and `timer` get or create: the same name and tags always return the same
    metric, so a program may keep it or ask again. To ask again costs about 200 ns, with two tags about 500 ns. All
    methods are safe to call from any thread.

    A name consists of non-empty segments with '.' between them. `a.b` and `a.b.c` may both be metrics. A name whose
    segment is a statistics key of a metric above it, like `a.count` where `a` is a meter, raises NameCollisionError. A
    name that belongs to another kind of metric raises KindMismatchError, an invalid name InvalidNameError, invalid tags
    InvalidTagsError.

    `description` says in one line what a metric measures, `unit` the unit of its values. All tag sets of a name share
    them, and the first one given stays. Formats that have a place for them show them. Their limits are 4,096 and 64
    bytes. InvalidTypeError is raised unless they are str, InvalidValueError for more than one line or too many bytes.

    A copy of a registry is the registry itself. Unpickling the default registry gives the default registry of that
    process; pickling another one raises NotPortableError.

    `clock` is where all times come from. `max_tag_sets` is how many different tags a metric name may have, 2,000 unless
    told; further ones share the series tagged `overflow=true`, so that totals stay true while memory stays bounded.
    That is logged once for each name. Of a counter, that series asks up to 1,000 different producers. Raises
    InvalidValueError for anything but an int from 1, and InvalidTypeError for a clock that is none.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, max_tag_sets: int = 2000) -> None:
        limit: Any = max_tag_sets
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise InvalidValueError(
                f"max_tag_sets is how many tag sets a name may have, an int from 1, not {quoted(limit)}."
            )
        if not is_clock(clock):
            raise InvalidTypeError(
                f"clock is an object with monotonic(), time() and wait(), not {quoted(clock)} ({type(clock).__name__})."
            )
        self.clock = clock
        self.max_tag_sets = max_tag_sets
        self.notes: Optional[Dict[Hashable, Any]] = {}
        """Bookkeeping of readers, each under its own key: for example the counts that a StatsD already has.
        Empty when an isolation or a forked child begins. None while an isolation begins or ends."""
        self._logged: Dict[Tuple[str, str], object] = {}  # the log lines written so far, by (what, name)
        self._catalogue = Catalogue()
        self._counters: Dict[Any, Counter] = self._catalogue.lookup()
        self._gauges: Dict[Any, Gauge] = self._catalogue.lookup()
        self._histograms: Dict[Any, Histogram] = self._catalogue.lookup()
        self._meters: Dict[Any, Meter] = self._catalogue.lookup()
        self._timers: Dict[Any, Timer] = self._catalogue.lookup()
        forking.registries.add(self)

    def _counter(
        self,
        name: str,
        tags: Optional[Mapping[str, str]] = None,
        *,
        producer: Optional[Callable[[], Any]] = None,
        description: Optional[str] = None,
        unit: Optional[str] = None,
    ) -> Counter:
        """Return the counter of this name and tags: a number that goes up and down.

        `producer` is called, whenever the counter is read, for a total that only grows, like the CPU seconds of the
        process. What that has grown by since the process began is counted beside what the program adds; in a forked
        child, what it grows by after the first total, or that one whole if it is less than what the parent knew. A
        total that falls has begun anew. Asked for again with another producer it is the same counter, which asks the
        newest from then on, and goes on with the total that was known last; that is logged once for each name. Removed
        and made again, it counts only what has come since. The registry holds on to a producer, and to the object that
        it is a method of.

        Raises InvalidTypeError unless `producer` is callable.
        """
        facts = check_facts(name, description, unit)
        if producer is None:
            return self._metric(Counter, self._counters, name, tags, Counter, facts)
        if not callable(producer):
            raise InvalidTypeError(
                f"The producer of the counter {quoted(name)} is called without arguments for a total, but "
                f"{quoted(producer)} ({type(producer).__name__}) cannot be called: give a function, or use increment()."
            )

        total_of = self._catalogue.total
        # The producer comes when the counter has its place: the newest one counts, also below a signal handler.
        counter = self._metric(Counter, self._counters, name, tags, Counter, facts)
        name = counter.name
        if counter.tags == OVERFLOW:
            own = canonical_tags(check_tags(name, tags))
            if not counter.also_asked_for(own, producer, total_of) and self._is_news("producers", name):
                _log(
                    "The series of %r tagged overflow=true asks %d producers, which is the limit: the growth of "
                    "further totals is not counted.",
                    *(name, MOST_PRODUCERS),
                )
            return counter
        problem = counter.asked_for(producer, total_of)
        if problem is not None and self._is_news("producer", name):
            _log("The counter %r %s If you need both, give them different tags.", name, problem)
        return counter

    @_shortcut_to(_counter)
    def counter(self, name: Any, tags: Any = None, **others: Any) -> Counter:  # noqa: D102  set by the decorator
        if not others:
            try:
                return self._counters[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
        return self._counter(name, tags, **others)

    def _gauge(
        self,
        name: str,
        producer: Optional[Callable[[], Any]] = None,
        tags: Optional[Mapping[str, str]] = None,
        merge: str = "sum",
        *,
        description: Optional[str] = None,
        unit: Optional[str] = None,
    ) -> Gauge:
        """Return the gauge of this name and tags: a current value.

        `producer` is called for the value whenever the gauge is read; without one the program sets the gauge. Asking
        again with another producer returns the same gauge, which calls the newest producer from then on; that is logged
        once for each name. `merge` says how to combine the values of several processes: `sum`, `min`, `max`, `mean` or
        `last`. The first one that is not the default stays; a different one later is logged, too. The registry keeps a
        producer alive, and the object of a bound method too.

        Raises InvalidValueError for an unknown `merge`, and InvalidTypeError unless `producer` is callable.
        """
        if merge not in MERGES:
            raise InvalidValueError(
                f"The gauge {quoted(name)} cannot be merged by {quoted(merge)}: use one of {', '.join(MERGES)}."
            )
        if producer is not None and not callable(producer):
            raise InvalidTypeError(
                f"The producer of the gauge {quoted(name)} is called without arguments for the value, "
                f"but {quoted(producer)} ({type(producer).__name__}) cannot be called: give a function, or use set()."
            )

        merge = str.__str__(merge)

        def make(name: str, tags: Tags, now: Callable[[], float]) -> Gauge:
            return Gauge(name, tags, now, producer, merge, settable=producer is None or tags is OVERFLOW)

        gauge = self._metric(Gauge, self._gauges, name, tags, make, check_facts(name, description, unit))
        # The overflow series has one value for all tag sets, that of the first producer.
        problem = None if gauge.tags == OVERFLOW else gauge.asked_for(producer, merge)
        if problem is not None and self._is_news("producer", gauge.name):
            _log("The gauge %r %s If you need both, give them different tags.", gauge.name, problem)
        return gauge

    @_shortcut_to(_gauge)
    def gauge(  # noqa: D102  set by the decorator
        self, name: Any, producer: Any = None, tags: Any = None, merge: Any = "sum", **others: Any
    ) -> Gauge:
        if producer is None and merge == "sum" and not others:
            try:
                return self._gauges[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
        return self._gauge(name, producer, tags, merge, **others)

    def _histogram(
        self,
        name: str,
        tags: Optional[Mapping[str, str]] = None,
        *,
        description: Optional[str] = None,
        unit: Optional[str] = None,
    ) -> Histogram:
        """Return the histogram of this name and tags: the distribution of values."""
        return self._metric(Histogram, self._histograms, name, tags, Histogram, check_facts(name, description, unit))

    @_shortcut_to(_histogram)
    def histogram(self, name: Any, tags: Any = None, **others: Any) -> Histogram:  # noqa: D102  set by the decorator
        if not others:
            try:
                return self._histograms[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
        return self._histogram(name, tags, **others)

    def _meter(
        self,
        name: str,
        tags: Optional[Mapping[str, str]] = None,
        *,
        description: Optional[str] = None,
        unit: Optional[str] = None,
    ) -> Meter:
        """Return the meter of this name and tags: the number of events and their rate per second."""
        return self._metric(Meter, self._meters, name, tags, Meter, check_facts(name, description, unit))

    @_shortcut_to(_meter)
    def meter(self, name: Any, tags: Any = None, **others: Any) -> Meter:  # noqa: D102  set by the decorator
        if not others:
            try:
                return self._meters[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
        return self._meter(name, tags, **others)

    def _timer(
        self,
        name: str,
        tags: Optional[Mapping[str, str]] = None,
        *,
        description: Optional[str] = None,
        unit: Optional[str] = None,
    ) -> Timer:
        """Return the timer of this name and tags: the number of events, their rate per second and their durations."""
        return self._metric(Timer, self._timers, name, tags, Timer, check_facts(name, description, unit))

    @_shortcut_to(_timer)
    def timer(self, name: Any, tags: Any = None, **others: Any) -> Timer:  # noqa: D102  set by the decorator
        if not others:
            try:
                return self._timers[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
        return self._timer(name, tags, **others)

    def adopt(self, metric: Kind) -> Kind:
        """Add a metric that was made elsewhere, and return the metric that now has its name and tags.

        That is `metric` itself, or one of the same class that is there already. It has a place in the registry like any
        other: it is iterated over and reported. Raises what `counter()` and the others raise. The tags that it was made
        with may be a mapping, or pairs in any order.
        """
        tags: Any = metric.tags
        if isinstance(tags, tuple) and all(isinstance(each, tuple) and len(each) == 2 for each in tags):
            tags = dict(tags)

        def place(_: str, canonical: Tags, __: object) -> Kind:
            if metric.tags != canonical and canonical is not OVERFLOW:
                metric.tags = canonical
            return metric

        return self._metric(type(metric), None, metric.name, tags, place)

    def discard(self, metrics: Iterable[Instrument]) -> None:
        """Remove these metric objects, as far as they are in the registry."""
        catalogue = self._catalogue
        with catalogue.changing:
            for metric in metrics:
                if metric in catalogue:
                    catalogue.drop((metric.name, metric.tags))

    def facts(self, name: str) -> Facts:
        """Return the description and the unit of the metric `name`."""
        return self._catalogue.facts(name)

    def all_facts(self) -> Dict[str, Facts]:
        """Return the description and the unit of each metric that has one, by name."""
        return self._catalogue.all_facts()

    def describe(self, name: str, facts: Facts) -> None:
        """Set the facts of the metric `name`, if it exists. A fact that is already set stays."""
        catalogue = self._catalogue
        with catalogue.changing:
            catalogue.describe(name, facts)

    def snapshot(self) -> Snapshot:
        """Return the readings of all metrics at this moment, in the order of their creation."""
        from tapes.snapshot.snapshot import Readings, Snapshot  # here, to keep it from programs that only record

        now = self.clock.monotonic()
        return Snapshot(self.clock.time(), Readings(self.readings(self, now)))

    def readings(self, metrics: Iterable[Instrument], now: float) -> Iterator[Reading]:
        """Return the readings of some of its metrics at `now`, a time of its clock, one after the other.

        A metric that cannot be read is left out, which is logged.
        """
        from tapes.snapshot.snapshot import readings_of  # here, for those who only record

        return readings_of(metrics, now, self._catalogue.facts)

    def series(self, name: str) -> List[Instrument]:
        """Return the metrics of one name, one for each tag set, in the order of their creation."""
        return self._catalogue.visible(self.clock, name)

    def rollup(self, name: str, by: Iterable[str] = ()) -> List[Reading]:
        """Merge the series of a name, into one for each combination of values of the tags `by`.

        Return their readings, in the order of creation of their first series: by default one reading of all series,
        none if there is no metric of this name. The statistics are those of one metric that recorded all values: the
        q99 over all routes, or of each route over all methods. Gauges are merged like values of several processes.

        A series without a tag of `by` belongs to a combination without that tag. The series tagged `overflow=true` may
        hold values of any combination, so it stays separate, unless `by` is empty.

        Raises InvalidNameError for an invalid name, InvalidTypeError unless `by` is an iterable of str, and
        InvalidTagsError for a tag that no series of the name has.
        """
        from tapes.snapshot.rollup import check_present, checked_tags, rolled_up  # not for programs that only record

        keys, now = checked_tags(check_name(name), by), self.clock.monotonic()
        series = self.series(name)
        check_present(name, keys, [metric.tags for metric in series])
        return rolled_up(self.readings(series, now), keys, now)

    def get_stats(self) -> Any:
        """Return the statistics of all metrics as an `addict.Dict` tree, by the segments of their names.

        Read it as `stats.shop.orders.value` or `stats['shop']['orders']['value']`. A tagged series is the child
        `"k=v,k2=v2"` of the node of its name. `json.dumps` accepts the tree as it is.
        """
        from tapes.encoding.tree import tree

        return tree(self.snapshot())

    def remove(self, name: str, tags: Optional[Mapping[str, str]] = None) -> bool:
        """Remove all series of the metric `name`, or only the one with `tags`; return False if there was none.

        Code that still holds the metric records in vain. Asking for it again makes a new metric at zero.
        """
        catalogue = self._catalogue
        with catalogue.changing:
            if tags is None:
                gone = catalogue.series_of(name)
                for what in ("producer", "producers", "overflow"):
                    self._logged.pop((what, name), None)
            else:
                gone = [(name, canonical_tags(check_tags(name, tags)))]
            dropped = [catalogue.drop(series) for series in gone]
        return any(dropped)

    def clear(self) -> None:
        """Remove all metrics."""
        with self._catalogue.changing:
            self._logged = {}
            self._catalogue.replace({}, {}, {}, {})

    def __iter__(self) -> Iterator[Instrument]:
        """Iterate over all current metrics, one for each series, in the order of their creation."""
        return iter(self._catalogue.visible(self.clock))

    def __contains__(self, metric: object) -> bool:
        """Return whether this metric object is in the registry."""
        return isinstance(metric, Instrument) and metric in self._catalogue

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self._catalogue.visible(self.clock))

    @contextmanager
    def isolated(self) -> Iterator[Registry]:
        """Set this registry to zero for a `with` block, and restore it afterwards.

        Metrics that exist, the ones that modules hold included, begin at zero. So do, at the end, those that were made
        inside: a module that was imported there goes on with them. They are not shown until they are asked for again,
        or something is recorded to them. Readers that tell changes, to a StatsD or an aggregator, tell what happens
        inside apart from what they have told before. Of the total of a producer, growth is inside from the last that
        was known before, or else the first that is read inside, to the last that is read inside.

        For tests. A record of another thread counts inside or outside, by its moment. Two threads must not isolate the
        same registry at the same time.
        """
        from tapes.isolation import Isolation  # here, because only tests need it

        logged, notes = self._logged, self.notes
        try:
            self.notes = None
            isolation = Isolation(self._catalogue)
            self._logged, self.notes = {}, {}
            try:
                yield self
            finally:
                self.notes = None
                isolation.end()
        finally:
            self._logged, self.notes = logged, notes

    def after_fork(self) -> None:
        """Set the same metrics to zero in a child process. Called by `tapes.process.forking`."""
        self.notes = {}
        self._catalogue.after_fork()

    def _metric(
        self,
        kind: Type[Kind],
        known: Optional[Dict[Any, Kind]],
        name: str,
        tags: Optional[Mapping[str, str]],
        make: Callable[[str, Tags, Callable[[], float]], Kind],
        facts: Facts = NO_FACTS,
    ) -> Kind:
        """Get or create under the lock; cache the metric in `known`, if given."""
        if facts is not NO_FACTS and known is not None:  # the fast path skips the cache for calls with facts
            try:
                found = known[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
            else:
                if self._catalogue.has_facts(found.name, facts):
                    return found
        name = check_name(name)
        checked = check_tags(name, tags)
        canonical = canonical_tags(checked)
        created = overflowed = False
        catalogue = self._catalogue
        with catalogue.changing:
            names = catalogue.names()
            place = names.at(name)
            there = None if place is None else place.kind
            if there not in (None, kind):
                raise _mismatch(name, there, kind)
            metric = catalogue.series.get((name, canonical))
            if metric is None and place is not None and canonical and place.tag_sets >= self.max_tag_sets:
                overflowed = self._is_news("overflow", name)
                canonical = OVERFLOW
                metric = catalogue.series.get((name, OVERFLOW))
            if metric is None:
                names.check(kind, name, canonical)
                aside = catalogue.aside.pop((name, canonical), None)
                made = aside if type(aside) is kind else make(name, canonical, self.clock.monotonic)
                # A signal handler or a finalizer of this thread may have added it since the look-up above.
                metric = catalogue.put((name, canonical), made)
                created = metric is made
            if type(metric) is not kind:
                raise _mismatch(name, type(metric), kind)
            if facts is not NO_FACTS:
                catalogue.describe(name, facts)
            if known is not None and canonical is not OVERFLOW:
                key = name if tags is None else (TAGGED, name, *checked, *checked.values())
                catalogue.remember(known, key, (name, canonical), metric)
        # Outside the lock: observers and log handlers may take locks of their own.
        if overflowed:
            _log(
                "%r has %d different tag sets, which is the limit: records of further ones go to its series tagged "
                "overflow=true. Use fewer values for each tag, or raise max_tag_sets of the registry.",
                *(name, self.max_tag_sets),
            )
        if created:
            for observer in observers.metric_created:
                observer(self, metric)
        return metric

    def _is_news(self, what: str, name: str) -> bool:
        """Return True once for each (`what`, `name`): log it now."""
        mine = object()
        return self._logged.setdefault((what, name), mine) is mine

    def __copy__(self) -> Registry:
        return self

    def __deepcopy__(self, memo: object) -> Registry:
        return self

    def __reduce__(self) -> str:
        if self is DEFAULT_REGISTRY:
            return "DEFAULT_REGISTRY"
        raise NotPortableError(
            f"{self!r} cannot be pickled: the default registry is the only one that other processes have too. Create a "
            "registry where it is needed."
        )

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} series>"


def _mismatch(name: str, there: type, wanted: type) -> KindMismatchError:
    return KindMismatchError(
        f"{quoted(name)} is a {there.__name__} of this registry, so it cannot be a {wanted.__name__}: "
        f"ask for it as a {there.__name__}, or choose another name."
    )


def _log(message: str, *arguments: object) -> None:
    import logging  # here, to spare programs without problems the import

    logging.getLogger("tapes.registry").warning(message, *arguments)


DEFAULT_REGISTRY = Registry()
"""The registry of the process, in which the functions of `tapes` make metrics."""

portable.default_registry = DEFAULT_REGISTRY
