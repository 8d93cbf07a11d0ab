"""Readings and the snapshot that holds them: what encoders are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple, Union, overload

from tapes.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from tapes.naming import Tags

    class Origin(Protocol):
        """What a reading is of, as far as it needs it: a `tapes.instruments.Instrument`."""

        name: str
        tags: Tags

        @property
        def kind(self) -> str:
            """Return what kind of a metric it is, such as `counter`."""

        def state(self, numbers: Any) -> Any:
            """Return the state that numbers of it stand for."""


Statistics = dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in the order in which they are shown. None where there is no value."""


class Reading:
    """One series of one metric at one moment. Immutable."""

    __slots__ = ("kind", "name", "numbers", "origin", "statistics", "tags")

    def __init__(
        self,
        name: str,
        tags: Tags,
        kind: str,
        statistics: Statistics,
        numbers: Any,
        origin: Optional[Origin] = None,
    ) -> None:
        self.name = name
        """The dotted name."""
        self.tags = tags
        """Pairs of key and value, sorted by key; empty for a series without tags."""
        self.kind = kind
        """`counter`, `gauge`, `meter`, `histogram` or `timer`."""
        self.statistics = statistics
        """What the metric's keys in `get_stats()` hold."""
        self.numbers = numbers
        """What `origin` makes the state of, which is kept without a cost; the state itself, if there is no origin."""
        self.origin = origin
        """What it is a reading of: the same object each time, and another one once the metric was removed and made
        again, so that a state is not compared with one that began elsewhere. None of what is from another process."""

    @property
    def state(self) -> Any:
        """The cumulative state that the statistics were taken from (`tapes.state`), for those who want differences or
        buckets."""
        return self.numbers if self.origin is None else self.origin.state(self.numbers)

    def __copy__(self) -> Reading:
        return self

    def __deepcopy__(self, memo: object) -> Reading:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        # In another process it is a reading of nothing that is there.
        return Reading, (self.name, self.tags, self.kind, self.statistics, self.state)

    def __repr__(self) -> str:
        return f"<Reading of the {self.kind} {self.name!r}: {self.statistics}>"


class Readings(Sequence[Reading]):
    """Readings that are made when they are asked for. Immutable.

    What they are made of is kept in lists, and no new object for each. Of many thousands of these CPython would take
    notice: it would look for garbage among all objects of the program, and nothing else runs meanwhile. Whoever goes
    through them gives up its turn now and then, see `tapes.turns`.
    """

    __slots__ = ("_ends", "_keys", "_kinds", "_names", "_numbers", "_origins", "_tags", "_turns", "_values")

    def __init__(self, readings: Iterable[Reading]) -> None:
        """Take in these, one after the other."""
        self._names: List[str] = []
        self._tags: List[Tags] = []
        self._kinds: List[str] = []
        self._keys: List[Tuple[str, ...]] = []
        self._values: List[Optional[Union[int, float]]] = []  # of all statistics
        self._ends: List[int] = []  # of those of each series
        self._numbers: List[Any] = []
        self._origins: List[Optional[Origin]] = []
        known: Dict[Tuple[str, ...], Tuple[str, ...]] = {}
        self._turns = Turns()
        for reading in readings:
            self._turns.go_on()
            self._names.append(reading.name)
            self._tags.append(reading.tags)
            self._kinds.append(reading.kind)
            keys = tuple(reading.statistics)
            self._keys.append(known.setdefault(keys, keys))
            self._values.extend(reading.statistics.values())
            self._ends.append(len(self._values))
            self._numbers.append(reading.numbers)
            self._origins.append(reading.origin)

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
        keys, end = self._keys[place], self._ends[place]
        return Reading(
            self._names[place],
            self._tags[place],
            self._kinds[place],
            dict(zip(keys, self._values[end - len(keys) : end])),
            self._numbers[place],
            self._origins[place],
        )

    def __del__(self, at_once: int = 1_000) -> None:  # an argument is there at the exit of the interpreter, too
        # To let go of hundreds of thousands of numbers at once would keep every other thread from running.
        for numbers in (getattr(self, "_values", []), getattr(self, "_numbers", [])):
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
