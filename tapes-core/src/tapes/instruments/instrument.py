"""The base class of all metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, List, Tuple

from tapes import portable
from tapes.errors import quoted
from tapes.naming import Tags, tag_label

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind

_LONG = 200  # most characters of tags in a repr: there may be 64 tags of 4 kB each


class Instrument:
    """A metric: one series of values with a name and tags.

    Each metric class derives from this one and from the buffer that it records into. Its attribute `kind` holds
    everything that depends on the kind, so other code never branches on it.

    A copy of a metric is the metric itself. An unpickled metric is the one of the same name and tags in the default
    registry of that process; pickling a metric of another registry raises NotPortableError.
    """

    __slots__ = ()

    kind: ClassVar[Kind]
    """The kind: its name in readings, and the operations on its states."""
    merge: str = "sum"
    """How to combine the values of several processes, for a gauge."""

    name: str
    """The dotted name."""
    tags: Tags
    """Pairs of key and value, sorted by key."""

    @property
    def keys(self) -> Tuple[str, ...]:
        """The keys of its statistics."""
        return self.kind.keys

    def read(self, now: float) -> Any:
        """Return the cumulative state, which includes everything recorded before."""
        raise NotImplementedError

    def numbers(self, now: float) -> Any:
        """Return the numbers of the state: `state` turns them back, and they are cheap to keep for many metrics."""
        return self.read(now)

    def committed(self, now: float) -> Any:
        """Return the same as `numbers`, in the form that later numbers build on. May wait for a fold."""
        return self.numbers(now)

    def recorded(self, now: float) -> Any:
        """Return the same as `committed`, but from the last known total, without a call of a counter's producer."""
        return self.committed(now)

    def state(self, numbers: Any) -> Any:
        """Return the state that numbers of this metric stand for."""
        return numbers

    def states(self, numbers: Any, known: Any) -> Tuple[Any, Any]:
        """Return the states of two moments, without parts that are the same object in both, to compute the change."""
        return self.state(numbers), self.state(known)

    def is_at_zero(self, now: float) -> bool:
        """Return whether nothing was recorded, or the records cancel out."""
        return self.kind.is_empty(self.read(now))

    def restart(self) -> None:
        """Begin at zero in a child process."""
        raise NotImplementedError

    def swap(self, content: List[Any] | None) -> List[Any]:
        """Return everything recorded, and replace it by the result of an earlier swap; None for nothing."""
        raise NotImplementedError

    def put_aside(self) -> None:
        """Get ready to be asked for like a new metric: the isolation that it was made in is over."""

    def __copy__(self) -> Instrument:
        return self

    def __deepcopy__(self, memo: object) -> Instrument:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        return portable.reduced(self)

    def __repr__(self) -> str:
        label = tag_label(self.tags)
        if len(label) > _LONG:
            label = f"{label[:_LONG]}..."
        tags = f" {{{label}}}" if label else ""
        return f"<{type(self).__name__} {quoted(self.name)}{tags}>"
