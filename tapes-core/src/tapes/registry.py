"""The registry: where metrics are made, found and read."""

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
    """Make a method a shortcut to another one, which says what both take and do.

    A function with parameters that are keyword only takes half as long again to call, whether they are given or not.
    """

    def decorated(shortcut: Callable[..., Any]) -> Any:
        shortcut.__doc__ = method.__doc__
        shortcut.__annotations__ = method.__annotations__
        shortcut.__wrapped__ = method  # type: ignore[attr-defined]  # which is what help() and inspect go by
        method.__name__, method.__qualname__ = shortcut.__name__, shortcut.__qualname__  # in errors of arguments
        return shortcut

    return decorated


class Registry:
    """A set of metrics by name and tags. Registries are independent of each other.

    Each of `counter`, `gauge`, `histogram`, `meter` and `timer` gets or creates: the same name and tags give the same
    instance, so it makes no difference whether a program keeps what it got or asks again. To ask again costs about 200
    ns, with two tags about 500 ns. All methods are safe to call from any thread.

    A name is made of non-empty segments with '.' between them. `a.b` and `a.b.c` may both be metrics; a name is refused
    with NameCollisionError only if a segment of it is a statistics key of a metric above it, as in `a.count` where `a`
    is a meter. A name that belongs to another kind of metric is refused with KindMismatchError, what is no name with
    InvalidNameError, what are no tags with InvalidTagsError.

    `description` says in one line what a metric measures, `unit` what its values are measured in. They are facts of the
    name, whatever its tags, for formats that have a place for them; the first that is given stays. They have 4,096 and
    64 bytes at the most. InvalidTypeError is raised for what is no str, InvalidValueError for more than that.

    A copy of a registry is the registry itself. The default registry that is pickled is that of the process where it
    arrives; pickling another one raises NotPortableError.

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
        """What readers have noted of this registry, each under a key of its own: what they have told of it, maybe.
        Isolation begins with none, and so does a forked child. None while an isolation is beginning or ending."""
        self._logged: Dict[Tuple[str, str], object] = {}  # what has been logged, of which name
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
        """Return the counter of this name and tags: a number that goes up and down by what happens.

        `producer` is called, whenever the counter is read, for a total that only grows, like the CPU seconds of the
        process. What that has grown by since the process began is counted beside what the program adds; in a forked
        child, what it grows by after the first total, or that one whole if it is less than what the parent knew. A
        total that falls has begun anew. Asked for again with another producer it is the same counter, which asks the
        newest from then on, and goes on with the total that was known last; that is logged once for each name. Removed
        and made again, it counts only what has come since. The registry holds on to a producer, and to the object that
        it is a method of.

        Raises InvalidTypeError for a producer that cannot be called.
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
                    "The series of %r tagged overflow=true asks %d producers, which is as many as it may: what grows "
                    "in the totals of further ones is not counted.",
                    *(name, MOST_PRODUCERS),
                )
            return counter
        problem = counter.asked_for(producer, total_of)
        if problem is not None and self._is_news("producer", name):
            _log("The counter %r %s If both are meant, tell them apart by tags.", name, problem)
        return counter

    @_shortcut_to(_counter)
    def counter(self, name: Any, tags: Any = None, **others: Any) -> Counter:  # noqa: D102  it has that of the other
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
        """Return the gauge of this name and tags: a value as it is now.

        `producer` is called for the value whenever the gauge is read; without one the gauge is set. Asked for again
        with another producer it is the same gauge, which asks the newest from then on; that is logged once for each
        name. `merge` says how the values of several processes make one: `sum`, `min`, `max`, `mean` or `last`. The
        first that is not the default stays; where another one is given, that is logged as well. The registry holds on
        to a producer, and to the object that it is a method of.

        Raises InvalidValueError for a `merge` that there is not, and InvalidTypeError for a producer that cannot be
        called.
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
        # In the series of the overflow there is but one value for all of them, the first.
        problem = None if gauge.tags == OVERFLOW else gauge.asked_for(producer, merge)
        if problem is not None and self._is_news("producer", gauge.name):
            _log("The gauge %r %s If both are meant, tell them apart by tags.", gauge.name, problem)
        return gauge

    @_shortcut_to(_gauge)
    def gauge(  # noqa: D102  it has that of the other
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
        """Return the histogram of this name and tags: how values are spread."""
        return self._metric(Histogram, self._histograms, name, tags, Histogram, check_facts(name, description, unit))

    @_shortcut_to(_histogram)
    def histogram(self, name: Any, tags: Any = None, **others: Any) -> Histogram:  # noqa: D102  it has that of the other
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
        """Return the meter of this name and tags: events, and how many a second."""
        return self._metric(Meter, self._meters, name, tags, Meter, check_facts(name, description, unit))

    @_shortcut_to(_meter)
    def meter(self, name: Any, tags: Any = None, **others: Any) -> Meter:  # noqa: D102  it has that of the other
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
        """Return the timer of this name and tags: events, how many a second, and how long they take."""
        return self._metric(Timer, self._timers, name, tags, Timer, check_facts(name, description, unit))

    @_shortcut_to(_timer)
    def timer(self, name: Any, tags: Any = None, **others: Any) -> Timer:  # noqa: D102  it has that of the other
        if not others:
            try:
                return self._timers[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
        return self._timer(name, tags, **others)

    def adopt(self, metric: Kind) -> Kind:
        """Put in a metric that was made elsewhere, and return what has its name and tags now.

        That is `metric` itself, or one of the same class that is there already. It has a place in the registry like any
        other: it is iterated over and reported. Raises what `counter()` and the others raise. The tags that it was made
        with may be a mapping, or pairs in any order.
        """
        tags: Any = metric.tags
        if isinstance(tags, tuple) and all(isinstance(each, tuple) and len(each) == 2 for each in tags):
            tags = dict(tags)
        checked = check_tags(check_name(metric.name), tags)
        if metric.tags != (canonical := canonical_tags(checked)):
            metric.tags = canonical
        return self._metric(type(metric), None, metric.name, checked, lambda *_: metric)

    def discard(self, metrics: Iterable[Instrument]) -> None:
        """Remove these very metrics, those of them that are there."""
        catalogue = self._catalogue
        with catalogue.changing:
            for metric in metrics:
                if metric in catalogue:
                    catalogue.drop((metric.name, metric.tags))

    def facts(self, name: str) -> Facts:
        """Return what has been said of the metric `name`: its description and its unit."""
        return self._catalogue.facts(name)

    def all_facts(self) -> Dict[str, Facts]:
        """Return what has been said of metrics, by their names."""
        return self._catalogue.all_facts()

    def describe(self, name: str, facts: Facts) -> None:
        """Take note of what is said of the metric `name`, if there is one. What was said first stays."""
        catalogue = self._catalogue
        with catalogue.changing:
            catalogue.describe(name, facts)

    def snapshot(self) -> Snapshot:
        """Return the readings of all metrics at this moment, in the order in which they were made."""
        from tapes.snapshot.snapshot import Readings, Snapshot  # here, for those who only record

        now = self.clock.monotonic()
        return Snapshot(self.clock.time(), Readings(self.readings(self, now)))

    def readings(self, metrics: Iterable[Instrument], now: float) -> Iterator[Reading]:
        """Return the readings of some of its metrics at `now`, a time of its clock, one after the other.

        A metric that cannot be read is left out, which is logged.
        """
        from tapes.snapshot.snapshot import readings_of  # here, for those who only record

        return readings_of(metrics, now, self._catalogue.facts)

    def series(self, name: str) -> List[Instrument]:
        """Return the metrics of one name, each of its series, in the order in which they were made."""
        return [metric for metric in self if metric.name == name]

    def rollup(self, name: str, by: Iterable[str] = ()) -> List[Reading]:
        """Merge the series of a name into one for each combination of the values that the tags `by` have.

        Return their readings, in the order in which their first series were made: by default one of all series, none if
        there is no metric of this name. Their statistics are those that one metric would have that has seen all: the
        q99 of all routes, or of each route over all methods. Gauges are merged as the values of several processes are.

        A series without a tag of `by` belongs to a combination without it. The series tagged `overflow=true` holds what
        may belong to any, so it stays by itself, unless `by` is empty.

        Raises InvalidNameError for what is no name, and InvalidTypeError for a `by` that is no iterable of str.
        """
        from tapes.snapshot.rollup import checked_tags, rolled_up  # here, for those who only record

        keys, now = checked_tags(check_name(name), by), self.clock.monotonic()
        return rolled_up(self.readings(self.series(name), now), keys, now)

    def get_stats(self) -> Any:
        """Return the statistics of all metrics as an `addict.Dict` tree along the segments of their names.

        `stats.shop.orders.value`, or `stats['shop']['orders']['value']`; a tagged series is the child `"k=v,k2=v2"` of
        its name's node. `json.dumps` takes it as it is.
        """
        from tapes.encoding.tree import tree

        return tree(self.snapshot())

    def remove(self, name: str, tags: Optional[Mapping[str, str]] = None) -> bool:
        """Remove the metric `name` with all of its series, or with `tags` that one series; False if there is none.

        What still records to it records in vain. Asked for again, it is a new metric that begins at zero.
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
        """Iterate over all metrics as they are now, in the order in which they were made, each series by itself."""
        return iter(self._catalogue.shown(self.clock))

    def __contains__(self, metric: object) -> bool:
        """Whether this very metric is in the registry."""
        return isinstance(metric, Instrument) and metric in self._catalogue

    def __len__(self) -> int:
        """Return how many series there are."""
        return len(self._catalogue.shown(self.clock))

    @contextmanager
    def isolated(self) -> Iterator[Registry]:
        """Set this registry to zero for the duration of a `with` block, and back to what it was at its end.

        Metrics that exist, the ones that modules hold included, begin at zero. So do, at the end, those that were made
        inside: a module that was imported there goes on with them. They are not shown until they are asked for again,
        or something is recorded to them. Readers that tell changes, to a StatsD or an aggregator, tell what happens
        inside apart from what they have told before. Of the total of a producer, growth is inside from the last that
        was known before, or else the first that is read inside, to the last that is read inside.

        For tests: threads that record all the while are counted on the side on which they happen to be, and another
        thread must not isolate the same registry at the same time.
        """
        from tapes.isolation import Isolation  # here, since only tests need it

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
        """Begin at zero in a child process, with the same metrics. Called by `tapes.process.forking`."""
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
        """Get or create, the long way. `known` is where it will be found the next time, if anywhere."""
        if facts is not NO_FACTS and known is not None:  # then nobody has looked there
            try:
                found = known[name if tags is None else (TAGGED, name, *tags, *tags.values())]
            except (KeyError, TypeError, AttributeError):
                pass
            else:
                if self._catalogue.says(found.name, facts):
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
                # A signal handler or a finalizer of this very thread may have put it in since it was looked for.
                metric = catalogue.put((name, canonical), made)
                created = metric is made
            if type(metric) is not kind:
                raise _mismatch(name, type(metric), kind)
            if facts is not NO_FACTS:
                catalogue.describe(name, facts)
            if known is not None and canonical is not OVERFLOW:
                key = name if tags is None else (TAGGED, name, *checked, *checked.values())
                catalogue.remember(known, key, (name, canonical), metric)
        # Not under the lock: whoever is told may take locks of their own.
        if overflowed:
            _log(
                "%r has %d different tag sets, which is as many as it may: what is recorded under further ones goes to "
                "its series tagged overflow=true. Tags are for few values each; raise max_tag_sets of the registry if "
                "these are meant.",
                *(name, self.max_tag_sets),
            )
        if created:
            for observer in observers.metric_created:
                observer(self, metric)
        return metric

    def _is_news(self, what: str, name: str) -> bool:
        """Whether this has not been logged yet of the metric `name`. It is from now on."""
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
            f"{self!r} cannot be pickled: only the default registry of the process is one that other processes have "
            "too. Make one where it is needed."
        )

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} series>"


def _mismatch(name: str, there: type, wanted: type) -> KindMismatchError:
    return KindMismatchError(
        f"{quoted(name)} is a {there.__name__} of this registry, so it cannot be a {wanted.__name__}: "
        f"ask for it as a {there.__name__}, or choose another name."
    )


def _log(message: str, *arguments: object) -> None:
    import logging  # here, since a program without trouble need not pay for it

    logging.getLogger("tapes.registry").warning(message, *arguments)


DEFAULT_REGISTRY = Registry()
"""The registry of the process, which the functions of `tapes` make metrics in."""

portable.default_registry = DEFAULT_REGISTRY
