"""What a kind of metric is: its name, and all that follows from it."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence, Tuple, Union

from tapes.errors import InvalidNameError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from tapes.wire import Reader

    class Source(Protocol):
        """Whoever has told a state, as far as its times are concerned."""

        @property
        def shift(self) -> Optional[float]:
            """What has to be added to its times to have them by the clock here; None if that is not known."""

        @property
        def heard(self) -> float:
            """When it was last heard, by the clock here. Nothing that it has told is from after that."""


TOTAL, SUM, RATE, VALUE = "total", "sum", "rate", "value"
"""The roles of statistics: how many events there were since the start, the sum of their values since then, events a
second, and anything else."""

Statistics = dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in the order in which they are shown. None where there is no value."""

_LONGEST = 64  # characters of the name of a kind

_known: Dict[str, Kind] = {}

BY_CODE: Dict[int, Kind] = {}
"""The kinds that have a number in frames and state files."""


class Kind(str):
    """A kind of metric, as a value: it is its own name, in lower case, and knows what to do with states of its metrics.

    Nothing of it changes, and pure functions are all that it has. In another process it is its name alone, and means
    something where a module is imported that makes a kind of this name.
    """

    __slots__ = ()

    statistics: ClassVar[Tuple[Tuple[str, str], ...]] = ()
    """The key of each of its statistics and its role, in the order in which they are shown."""
    keys: ClassVar[Tuple[str, ...]]
    """The keys alone. They follow from `statistics`."""
    unit: ClassVar[str] = ""
    """The unit of its sums and values, `s` for seconds; empty if a program may record anything."""
    lasts: ClassVar[bool] = True
    """Whether what a process has recorded counts once that is gone. Of gauges nothing does."""
    adds_up: ClassVar[bool] = False
    """Whether its one value is what was added less what was taken away: then `counts` tells these apart."""
    merges: ClassVar[Tuple[str, ...]] = ("sum",)
    """The ways in which values of several processes may make one, as a program chooses."""
    code: ClassVar[Optional[int]] = None
    """Its number in frames and state files. Only kinds that are listed in `docs/wire.md` have one, and no class that is
    derived from theirs. All others are written by their names."""
    repeats: ClassVar[bool] = False
    """Whether metrics have new numbers that say nothing new: then `differs` tells them apart."""

    def __new__(cls, name: str) -> Kind:
        """Make the kind of this name known: it is the one that `kind_named` returns.

        Raises InvalidNameError for what is no identifier in ASCII, has more than 64 characters, or is the name of a
        kind of another class that has a number.
        """
        if not is_name(name):
            raise InvalidNameError(
                f"A kind of metrics is named by an ASCII identifier of at most {_LONGEST} characters, "
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
        """Return the state of a metric that has seen nothing up to `now`."""
        raise NotImplementedError

    def view(self, state: Any, now: float, merge: str = "sum") -> Statistics:
        """Return the statistics of a state at `now`. `merge` says how the values of several gauges make one."""
        raise NotImplementedError

    def is_empty(self, state: Any) -> bool:
        """Whether nothing has been recorded, or what was has come to nothing."""
        raise NotImplementedError

    def counts(self, state: Any) -> Tuple[float, float]:
        """Return what was added and what was taken away, each of which only grows. For kinds that add up."""
        raise NotImplementedError

    def merge(self, states: Sequence[Any]) -> Any:
        """Return the state of all of these together, of which there is at least one."""
        return reduce(_merged, states)

    def less(self, state: Any, part: Any) -> Any:
        """Return the state of what has come since the state was `part`: both merged make `state` again."""
        return state.less(part)

    def folded(self, state: Any, records: Sequence[Any], until: float) -> Any:
        """Return the state after these records, none of which was made after `until`.

        For kinds whose metrics record into a `tapes.recording.GenericBuffer`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no folded(), so nothing can be recorded to a {self}.")

    # To be sent to other processes, and kept by them. What is read is an update: of most kinds a state, and of those
    # that tell what has changed a type of their own, which whoever merges them has to know.

    def write(self, state: Any, known: Any) -> bytes:
        """Write a state, for a receiver that has the state `known`, or None: then as a whole."""
        raise NotImplementedError(f"{type(self).__name__} has no write(), so a {self} cannot be sent or kept.")

    def pieces(self, state: Any, known: Any) -> List[bytes]:
        """Write the same in several parts, each an update by itself, of which those after the first are changes."""
        return [self.write(state, known)]

    def read(self, reader: Reader) -> Any:
        """Read an update. Raises WireError for what no recording can have produced."""
        raise NotImplementedError(f"{type(self).__name__} has no read(), so a {self} cannot be received or restored.")

    def whole(self, update: Any) -> Any:
        """Return the state that an update tells of which is not of a change."""
        return update

    def has_recorded(self, update: Any) -> bool:
        """Whether a state, or an update, is of a metric to which anything was recorded, and not of one just made."""
        return not self.is_empty(update)

    def differs(self, state: Any, known: Any, merge: str) -> bool:
        """Whether two states of a metric say something else. Asked of kinds that repeat themselves."""
        return True

    def timeless(self, state: Any) -> Any:
        """Return a state without what the clock that its times are of is needed for: windows and rates."""
        return state

    def moved(self, state: Any, shift: Optional[float], heard: float) -> Any:
        """Return a state by another clock, see `Source`."""
        return state

    def here(self, told: Mapping[Any, Any]) -> List[Any]:
        """Return the states of all sources, which are the keys, by the clock here."""
        return [self.moved(state, source.shift, source.heard) for source, state in told.items()]

    def __reduce__(self) -> Tuple[Any, ...]:
        return str, (str(self),)


def is_name(name: str) -> bool:
    """Whether a kind may have this name."""
    return name.isascii() and name.isidentifier() and len(name) <= _LONGEST


def kind_named(name: str) -> Optional[Kind]:
    """Return the kind of this name; None if none is known. In a pickled reading there is the name alone."""
    return _known.get(name)


def _is_again(one: type, other: type) -> bool:
    """Whether two classes are the same, or one that was imported again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _merged(one: Any, other: Any) -> Any:
    return one.merge(other)
