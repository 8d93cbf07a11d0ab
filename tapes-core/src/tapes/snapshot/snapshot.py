"""Readings, and the snapshot that holds them: the input of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Set, Tuple, Union, overload

from tapes.errors import quoted
from tapes.facts import NO_FACTS, Facts
from tapes.foreign import has_to_pass
from tapes.recording import exact
from tapes.streak import log_once
from tapes.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable, Protocol

    from tapes.kinds.kind import Kind, Statistics
    from tapes.naming import Tags

    class Origin(Protocol):
        """The part of a metric (`tapes.instruments.Instrument`) that a reading uses."""

        name: str
        tags: Tags

        @property
        def kind(self) -> Kind:
            """Return the kind of the metric."""

        @property
        def merge(self) -> str:
            """Return how to combine the values of several processes, for a gauge."""

        def numbers(self, now: float) -> Any:
            """Return the numbers of its state, which include everything recorded before."""

        def state(self, numbers: Any) -> Any:
            """Return the state that `numbers` stand for."""


class Reading:
    """One series of one metric at one moment. Immutable.

    It may be made with `statistics`. If these are None, as in a snapshot, they are computed from `numbers` and `now`, a
    time of the clock of `origin`, on first access. So an encoder that reads only states pays for no quantiles. `turns`
    lets other threads run before that.
    """

    __slots__ = ("_now", "_statistics", "_turns", "facts", "kind", "name", "numbers", "origin", "tags")

    def __init__(
        self,
        name: str,
        tags: Tags,
        kind: str,
        statistics: Optional[Statistics],
        numbers: Any,
        origin: Optional[Origin] = None,
        *,
        now: Optional[float] = None,
        turns: Optional[Turns] = None,
        facts: Facts = NO_FACTS,
    ) -> None:
        self.name = name
        """The dotted name."""
        self.tags = tags
        """Pairs of key and value, sorted by key; empty for a series without tags."""
        self.kind = kind
        """`counter`, `gauge`, `meter`, `histogram`, `timer`, or a kind that a program adds."""
        self.numbers = numbers
        """The numbers of the state, which are cheap to keep; without an origin, the state itself."""
        self.origin = origin
        """The metric: the same object in each snapshot, and another one after the metric was removed and made again.
        So a state is never compared with one of another start. None for a reading from another process."""
        self.facts = facts
        """The description and the unit of its name, for formats that have a place for them."""
        self._statistics = statistics
        self._now = now
        self._turns = turns

    @classmethod
    def of(cls, metric: Origin, now: float, facts: Facts = NO_FACTS) -> Reading:
        """Return the reading of a metric at `now`, a time of the metric's clock. Safe in any thread."""
        return cls(metric.name, metric.tags, metric.kind, None, metric.numbers(now), metric, now=now, facts=facts)

    @property
    def statistics(self) -> Statistics:
        """The statistics, as in `get_stats()`: the same dict each time. None for each key if computing them fails."""
        statistics = self._statistics
        if statistics is None:
            if self._turns is not None:
                self._turns.yield_if_due()
            statistics = self._statistics = self._computed()
        return statistics

    @property
    def state(self) -> Any:
        """The cumulative state behind the statistics (`tapes.state`), for encoders that need differences or buckets."""
        return self.numbers if self.origin is None else self.origin.state(self.numbers)

    def _computed(self) -> Statistics:
        """Return the statistics of the origin. A series that fails does not affect the others."""
        origin, now = self.origin, self._now
        if origin is None or now is None:
            return {}
        return viewed(origin, origin.kind, lambda: self.state, now, origin.merge)

    def __copy__(self) -> Reading:
        return self

    def __deepcopy__(self, memo: object) -> Reading:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        # In another process it has no origin.
        arguments = self.name, self.tags, self.kind, self.statistics, self.state
        return Reading, arguments, (None, {"facts": self.facts})

    def __repr__(self) -> str:
        return f"<Reading of the {self.kind} {self.name!r}: {self.statistics}>"


_broken: Set[Tuple[str, str]] = set()
"""Problems that were logged, each with the kind of metrics that has it."""


def readings_of(metrics: Iterable[Origin], now: float, facts: Callable[[str], Facts]) -> Iterator[Reading]:
    """Yield the readings of metrics at `now`. One that cannot be read is left out, logged once for each kind."""
    for metric in metrics:
        try:
            reading = Reading.of(metric, now, facts(metric.name))
        except BaseException as error:  # noqa: PERF203 -- a kind may be that of others
            if has_to_pass(error):
                raise
            _log_once(
                "%r cannot be read: %r. It is left out, as is every other of its kind that fails. All other series "
                "are reported.",
                *(metric, metric.kind, error),
            )
        else:
            yield reading


def viewed(of: object, kind: Kind, state: Callable[[], Any], now: float, merge: str) -> Statistics:
    """Return the statistics of a state at `now`. On an error they are None for each key, logged once for each kind.

    What a kind of others returns that is no finite number is None.
    """
    try:
        statistics = kind.view(state(), now, merge)
        return statistics if kind.code is not None else _finite(of, kind, statistics)
    except BaseException as error:
        if has_to_pass(error):
            raise
        _log_once(
            "The statistics of %r cannot be computed: %r. They are reported as null, and so are those of others of its "
            "kind that fail. All other series are reported.",
            *(of, kind, error),
        )
        return dict.fromkeys(kind.keys)


def _finite(of: object, kind: Kind, statistics: Statistics) -> Statistics:
    finite = {key: None if value is None else exact(value) for key, value in statistics.items()}
    wrong = {key: statistics[key] for key, value in finite.items() if value is None and statistics[key] is not None}
    if wrong:
        _log_once(
            "The statistics of %r are no finite numbers: %s. They are reported as null, and so are those of others of "
            "its kind that are none. All other values are reported.",
            *(of, kind, quoted(wrong)),
        )
    return finite


def _log_once(problem: str, of: object, kind: str, error: object) -> None:
    log_once(_broken, (problem, kind), "tapes.registry", problem, of, error)


class Readings(Sequence[Reading]):
    """Readings that are made on access. Immutable.

    Their parts are kept in lists, without a new object for each reading. Many thousands of new objects would make
    CPython look for garbage among all objects of the program, while nothing else runs. Iterating over the readings or
    their statistics lets other threads run now and then, see `tapes.turns`.
    """

    __slots__ = ("_facts", "_kinds", "_names", "_nows", "_numbers", "_origins", "_statistics", "_tags", "_turns")

    def __init__(self, readings: Iterable[Reading]) -> None:
        """Store the parts of `readings`, one after the other."""
        self._names: List[str] = []
        self._tags: List[Tags] = []
        self._kinds: List[str] = []
        self._statistics: Dict[int, Statistics] = {}  # by index, for readings that came with statistics
        self._numbers: List[Any] = []
        self._origins: List[Optional[Origin]] = []
        self._nows: List[Optional[float]] = []
        self._facts: List[Facts] = []
        self._turns = Turns()
        for place, reading in enumerate(readings):
            self._turns.yield_if_due()
            self._names.append(reading.name)
            self._tags.append(reading.tags)
            self._kinds.append(reading.kind)
            self._numbers.append(reading.numbers)
            self._origins.append(reading.origin)
            self._nows.append(reading._now)
            self._facts.append(reading.facts)
            if reading._statistics is not None:
                self._statistics[place] = reading._statistics

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Reading]:
        return map(self.__getitem__, range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Reading: ...

    @overload
    def __getitem__(self, place: slice) -> List[Reading]: ...

    def __getitem__(self, place: Union[int, slice]) -> Union[Reading, List[Reading]]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        self._turns.yield_if_due()
        given = self._statistics.get(place % len(self))
        return Reading(
            self._names[place],
            self._tags[place],
            self._kinds[place],
            None if given is None else dict(given),
            self._numbers[place],
            self._origins[place],
            now=self._nows[place],
            turns=self._turns,
            facts=self._facts[place],
        )

    def __del__(self, at_once: int = 1_000) -> None:  # a default still exists when the interpreter exits
        # To free hundreds of thousands of numbers at once would keep every other thread from running.
        numbers = getattr(self, "_numbers", [])
        while numbers:
            del numbers[-at_once:]

    def __reduce__(self) -> Tuple[Any, ...]:
        return Readings, (list(self),)


class Snapshot:
    """All series of a registry at one moment. Immutable."""

    __slots__ = ("readings", "taken_at")

    def __init__(self, taken_at: float, readings: Sequence[Reading]) -> None:
        self.taken_at = taken_at
        """When it was taken, in seconds since the epoch."""
        self.readings = readings
        """The readings of all series, in the order of the metrics' creation."""

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.readings)} series>"
