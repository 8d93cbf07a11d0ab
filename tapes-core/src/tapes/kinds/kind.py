"""Kinds of metrics: a name, and everything that depends on it."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence, Tuple, Union

from tapes.errors import InvalidNameError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from tapes.state.distribution import Distribution
    from tapes.wire import Reader

    class WorkerClock(Protocol):
        """The worker that a state is from, with what is needed to convert its times."""

        @property
        def shift(self) -> Optional[float]:
            """Seconds to add to its times to get those of the clock here; None if unknown."""

        @property
        def heard(self) -> float:
            """When its last message came, by the clock here. None of its states is from after that."""


TOTAL, SUM, RATE, VALUE = "total", "sum", "rate", "value"
"""The roles of statistics: the number of events since the start, the sum of their values since the start, events per
second, and anything else."""

Statistics = dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in display order. None where there is no value."""

LONGEST_NAME = 64
"""How many characters the name of a kind may have. All are ASCII."""

_known: Dict[str, Kind] = {}

BY_CODE: Dict[int, Kind] = {}
"""The kinds that have a code in frames and state files, by that code."""


class Kind(str):
    """A kind of metric: a str, its name in lower case, with the operations on states of its metrics.

    It is immutable, and all its methods are pure functions. A kind is pickled as its plain name; a process that has
    imported the module of the kind finds it with `kind_named`.
    """

    __slots__ = ()

    statistics: ClassVar[Tuple[Tuple[str, str], ...]] = ()
    """The key and the role of each statistic, in display order."""
    keys: ClassVar[Tuple[str, ...]]
    """The keys alone, derived from `statistics`."""
    brief: ClassVar[Tuple[str, ...]] = ()
    """The keys of the most important statistics, for tables with little room; empty if these are all."""
    unit: ClassVar[str] = ""
    """The unit of its sums and values, `s` for seconds; empty if a program may record anything."""
    lasts: ClassVar[bool] = True
    """Whether the records of a process still count after its end. False for gauges."""
    is_distribution: ClassVar[bool] = False
    """Whether its states hold the distribution of all values, which `distribution` returns."""
    adds_up: ClassVar[bool] = False
    """Whether its one value is a difference of additions and subtractions, which `counts` returns."""
    merges: ClassVar[Tuple[str, ...]] = ("sum",)
    """The ways to combine the values of several processes, from which a program chooses."""
    code: ClassVar[Optional[int]] = None
    """Its code in frames and state files. Only the kinds listed in `docs/wire.md` have one; subclasses of theirs do
    not. All others are written by name."""
    repeats: ClassVar[bool] = False
    """Whether a metric may have new numbers of an unchanged state: then `differs` compares them."""

    def __new__(cls, name: str) -> Kind:
        """Register the kind under this name: from now on `kind_named` returns it.

        Raises InvalidNameError for what is no identifier in ASCII, has more than 64 characters, or is the name of a
        kind of another class that has a number.
        """
        if not is_name(name):
            raise InvalidNameError(
                f"A kind of metrics is named by an ASCII identifier of at most {LONGEST_NAME} characters, "
                f"and not {quoted(name)}."
            )
        there = _known.get(name)
        if there is not None and there.code is not None and not _is_again(cls, type(there)):
            raise InvalidNameError(
                f"{name!r} is a kind of metrics that tapes has itself, so {cls.__module__}.{cls.__qualname__} cannot "
                "be it: choose another name."
            )
        kind = _known[name] = super().__new__(cls, name)
        if cls.code is not None:
            BY_CODE[cls.code] = kind
        return kind

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.keys = tuple([key for key, _ in cls.statistics])
        cls.code = vars(cls).get("code")

    def zero(self, now: float) -> Any:
        """Return the state of a metric without a record up to `now`."""
        raise NotImplementedError

    def view(self, state: Any, now: float, merge: str = "sum") -> Statistics:
        """Return the statistics of a state at `now`. `merge` says how to combine the values of several gauges."""
        raise NotImplementedError

    def is_empty(self, state: Any) -> bool:
        """Return whether nothing was recorded, or the records cancel out."""
        raise NotImplementedError

    def counts(self, state: Any) -> Tuple[float, float]:
        """Return the sums of additions and subtractions, which only grow. For kinds with `adds_up`."""
        raise NotImplementedError

    def distribution(self, state: Any) -> Distribution:
        """Return the distribution of all values since the start. For kinds with `is_distribution`."""
        raise NotImplementedError

    def merge(self, states: Sequence[Any]) -> Any:
        """Return one state of all `states`, which must not be empty."""
        return reduce(_merged, states)

    def settled(self, settled: Any, state: Any) -> Any:
        """Return the state `settled`, of what is merged for good, together with one more state."""
        return self.merge([settled, state])

    def minus(self, state: Any, part: Any) -> Any:
        """Return the state of what has come since the state was `part`: both merged make `state` again."""
        return state.minus(part)

    def folded(self, state: Any, records: Sequence[Any], until: float) -> Any:
        """Return the state after `records`, none of which was made after `until`.

        For kinds whose metrics record into a `tapes.recording.GenericBuffer`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no folded(), so nothing can be recorded to a {self}.")

    # The methods below send states to other processes and keep them. `read` returns an update: for most kinds a state,
    # for kinds that send only changes a type of their own, which the merging code must know.

    def write(self, state: Any, known: Any) -> bytes:
        """Write a state for a receiver that has the state `known`; as a whole if that is None."""
        raise NotImplementedError(f"{type(self).__name__} has no write(), so a {self} cannot be sent or kept.")

    def pieces(self, state: Any, known: Any) -> List[bytes]:
        """Write the same in several parts. Each is an update of its own; those after the first are changes."""
        return [self.write(state, known)]

    def read(self, reader: Reader) -> Any:
        """Read an update. Raises WireError for one that no recording can have produced."""
        raise NotImplementedError(f"{type(self).__name__} has no read(), so a {self} cannot be received or restored.")

    def full_state(self, update: Any) -> Any:
        """Return the state of an update that is not just a change."""
        return update

    def has_recorded(self, update: Any) -> bool:
        """Return whether a state or an update is of a metric with records, not of a new one."""
        return not self.is_empty(update)

    def differs(self, state: Any, known: Any, merge: str) -> bool:
        """Return whether two states of a metric differ. Only called for kinds with `repeats`."""
        return True

    def timeless(self, state: Any) -> Any:
        """Return a state without the parts that depend on its clock: windows and rates."""
        return state

    def shifted(self, state: Any, shift: Optional[float], heard: float) -> Any:
        """Return a state with its times by the clock here. See `WorkerClock` for the arguments."""
        return state

    def all_shifted(self, states: Mapping[Any, Any]) -> List[Any]:
        """Return the states of all sources, which are the keys, with times by the clock here."""
        return [self.shifted(state, worker.shift, worker.heard) for worker, state in states.items()]

    def __reduce__(self) -> Tuple[Any, ...]:
        return str, (str(self),)


def is_name(name: str) -> bool:
    """Return whether a kind may have this name."""
    return name.isascii() and name.isidentifier() and len(name) <= LONGEST_NAME


def kind_named(name: str) -> Optional[Kind]:
    """Return the kind of this name; None if it is unknown. A pickled reading holds only the name."""
    return _known.get(name)


def _is_again(one: type, other: type) -> bool:
    """Whether two classes are the same, or one that was imported again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _merged(one: Any, other: Any) -> Any:
    return one.merge(other)
