"""What a kind of metric is: its name, and all that follows from it."""

from __future__ import annotations

from functools import reduce
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple, Union

TOTAL, SUM, RATE, VALUE = "total", "sum", "rate", "value"
"""The roles of statistics: how many events there were since the start, the sum of their values since then, events a
second, and anything else."""

Statistics = dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in the order in which they are shown. None where there is no value."""


_known: Dict[str, Kind] = {}


class Kind(str):
    """A kind of metric, as a value: it is its own name, in lower case, and knows what to do with states of its metrics.

    Nothing of it changes, and pure functions are all that it has. In another process it is its name alone.
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

    def __new__(cls, name: str) -> Kind:
        """Make the kind of this name known: it is the one that `kind_named` returns."""
        kind = _known[name] = super().__new__(cls, name)
        return kind

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.keys = tuple([key for key, _ in cls.statistics])

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

    def __reduce__(self) -> Tuple[Any, ...]:
        return str, (str(self),)


def kind_named(name: str) -> Optional[Kind]:
    """Return the kind of this name; None if none is known. In a pickled reading there is the name alone."""
    return _known.get(name)


def _merged(one: Any, other: Any) -> Any:
    return one.merge(other)
