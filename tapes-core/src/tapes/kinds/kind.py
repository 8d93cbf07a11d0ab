"""What a kind of metric is: its name, and all that follows from it."""

from __future__ import annotations

from functools import reduce
from typing import Any, ClassVar, Optional, Sequence, Tuple, Union

Statistics = dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in the order in which they are shown. None where there is no value."""


class Kind(str):
    """A kind of metric, as a value: it is its own name, in lower case, and knows what to do with states of its metrics.

    Nothing of it changes, and pure functions are all that it has. In another process it is its name alone.
    """

    __slots__ = ()

    keys: ClassVar[Tuple[str, ...]]
    """The keys of its statistics, in their order."""
    lasts: ClassVar[bool] = True
    """Whether what a process has recorded counts once that is gone. Of gauges nothing does."""

    def zero(self, now: float) -> Any:
        """Return the state of a metric that has seen nothing up to `now`."""
        raise NotImplementedError

    def view(self, state: Any, now: float, merge: str = "sum") -> Statistics:
        """Return the statistics of a state at `now`. `merge` says how the values of several gauges make one."""
        raise NotImplementedError

    def is_empty(self, state: Any) -> bool:
        """Whether nothing has been recorded, or what was has come to nothing."""
        raise NotImplementedError

    def merge(self, states: Sequence[Any]) -> Any:
        """Return the state of all of these together, of which there is at least one."""
        return reduce(_merged, states)

    def __reduce__(self) -> Tuple[Any, ...]:
        return str, (str(self),)


def _merged(one: Any, other: Any) -> Any:
    return one.merge(other)
