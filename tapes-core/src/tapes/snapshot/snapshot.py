"""Readings and the snapshot that holds them: what encoders are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Set, Tuple, Union, overload

from tapes.facts import NO_FACTS, Facts
from tapes.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable, Protocol

    from tapes.kinds.kind import Kind, Statistics
    from tapes.naming import Tags

    class Origin(Protocol):
        """What a reading is of, as far as it needs it: a `tapes.instruments.Instrument`."""

        name: str
        tags: Tags

        @property
        def kind(self) -> Kind:
            """Return what kind of a metric it is."""

        @property
        def merge(self) -> str:
            """Return how the values of several processes are combined, if it is a gauge."""

        def numbers(self, now: float) -> Any:
            """Return what `state` makes its state of, with everything that was recorded before."""

        def state(self, numbers: Any) -> Any:
            """Return the state that numbers of it stand for."""


class Reading:
    """One series of one metric at one moment. Immutable.

    It may be made with its `statistics`. If these are None, as in a snapshot, `origin` computes them of `numbers` and
    `now`, a time of its clock, when somebody looks at them. So an encoder that reads only states pays for no quantiles.
    `turns` lets other threads run before that.
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
        """`counter`, `gauge`, `meter`, `histogram` or `timer`."""
        self.numbers = numbers
        """What `origin` makes the state of, which is kept without a cost; the state itself, if there is no origin."""
        self.origin = origin
        """What it is a reading of: the same object each time, and another one once the metric was removed and made
        again, so that a state is not compared with one that began elsewhere. None of what is from another process."""
        self.facts = facts
        """The description and the unit of its name, for formats that have a place for them."""
        self._statistics = statistics
        self._now = now
        self._turns = turns

    @classmethod
    def of(cls, metric: Origin, now: float, facts: Facts = NO_FACTS) -> Reading:
        """Return what a metric is at `now`, a time of the clock that it was made with. Safe in any thread."""
        return cls(metric.name, metric.tags, metric.kind, None, metric.numbers(now), metric, now=now, facts=facts)

    @property
    def statistics(self) -> Statistics:
        """What the metric's keys in `get_stats()` hold: the same dict each time. None for each key if that fails."""
        statistics = self._statistics
        if statistics is None:
            if self._turns is not None:
                self._turns.go_on()
            statistics = self._statistics = self._computed()
        return statistics

    @property
    def state(self) -> Any:
        """The cumulative state that the statistics are taken from (`tapes.state`), for those who want differences or
        buckets."""
        return self.numbers if self.origin is None else self.origin.state(self.numbers)

    def _computed(self) -> Statistics:
        """Return the statistics of the origin. A series that cannot be shown takes no other one along."""
        origin, now = self.origin, self._now
        if origin is None or now is None:
            return {}
        return viewed(origin, origin.kind, lambda: self.state, now, origin.merge)

    def __copy__(self) -> Reading:
        return self

    def __deepcopy__(self, memo: object) -> Reading:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        # In another process it is a reading of nothing that is there.
        arguments = self.name, self.tags, self.kind, self.statistics, self.state
        return Reading, arguments, (None, {"facts": self.facts})

    def __repr__(self) -> str:
        return f"<Reading of the {self.kind} {self.name!r}: {self.statistics}>"


_broken: Set[Tuple[str, str]] = set()
"""Problems that were logged, each with the kind of metrics that has it."""


def readings_of(metrics: Iterable[Origin], now: float, facts: Callable[[str], Facts]) -> Iterator[Reading]:
    """Return the readings of metrics at `now`, one after the other. One that cannot be read is left out."""
    readings = (_read(metric, now, facts) for metric in metrics)
    return (reading for reading in readings if reading is not None)


def _read(metric: Origin, now: float, facts: Callable[[str], Facts]) -> Optional[Reading]:
    """Return the reading of a metric; None if it cannot be read, which is logged once for its kind."""
    try:
        return Reading.of(metric, now, facts(metric.name))
    except Exception as error:  # noqa: BLE001 -- it is logged
        _log_once(
            "%r cannot be read: %r. It is left out, and so are others of its kind that fail. All other series are "
            "reported.",
            *(metric, metric.kind, error),
        )
        return None


def viewed(of: object, kind: Kind, state: Callable[[], Any], now: float, merge: str) -> Statistics:
    """Return the statistics of a state at `now`: None for each key if they cannot be computed, which is logged once."""
    try:
        return kind.view(state(), now, merge)
    except Exception as error:  # noqa: BLE001 -- it is logged
        _log_once(
            "The statistics of %r cannot be computed: %r. They are reported as null, and so are those of others of its "
            "kind that fail. All other series are reported.",
            *(of, kind, error),
        )
        return dict.fromkeys(kind.keys)


def _log_once(problem: str, of: object, kind: str, error: Exception) -> None:
    if (problem, kind) not in _broken:
        _broken.add((problem, kind))
        import logging  # here, since a program without trouble need not pay for it

        logging.getLogger("tapes.registry").warning(problem, of, error)


class Readings(Sequence[Reading]):
    """Readings that are made when they are asked for. Immutable.

    What they are made of is kept in lists, and no new object for each. Of many thousands of these CPython would take
    notice: it would look for garbage among all objects of the program, and nothing else runs meanwhile. Whoever goes
    through them, or through their statistics, gives up its turn now and then, see `tapes.turns`.
    """

    __slots__ = ("_facts", "_given", "_kinds", "_names", "_nows", "_numbers", "_origins", "_tags", "_turns")

    def __init__(self, readings: Iterable[Reading]) -> None:
        """Take in these, one after the other."""
        self._names: List[str] = []
        self._tags: List[Tags] = []
        self._kinds: List[str] = []
        self._given: Dict[int, Statistics] = {}  # by place, of those that came with statistics
        self._numbers: List[Any] = []
        self._origins: List[Optional[Origin]] = []
        self._nows: List[Optional[float]] = []
        self._facts: List[Facts] = []
        self._turns = Turns()
        for place, reading in enumerate(readings):
            self._turns.go_on()
            self._names.append(reading.name)
            self._tags.append(reading.tags)
            self._kinds.append(reading.kind)
            self._numbers.append(reading.numbers)
            self._origins.append(reading.origin)
            self._nows.append(reading._now)
            self._facts.append(reading.facts)
            if reading._statistics is not None:
                self._given[place] = reading._statistics

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
        self._turns.go_on()
        given = self._given.get(place % len(self))
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

    def __del__(self, at_once: int = 1_000) -> None:  # an argument is there at the exit of the interpreter, too
        # To let go of hundreds of thousands of numbers at once would keep every other thread from running.
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
        """In the order in which the metrics were made."""

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.readings)} series>"
