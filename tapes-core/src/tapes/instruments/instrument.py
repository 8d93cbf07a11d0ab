"""What all kinds of metrics have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, List, Tuple

from tapes import portable
from tapes.errors import quoted
from tapes.naming import Tags, tag_label

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind

_LONG = 200  # characters of tags that a representation shows: there may be 64 of 4 kB each


class Instrument:
    """A metric: one series of values with a name and tags.

    Each kind is a class that derives from this and from the buffer that it records into. The kind is a value of its
    class, which has all that depends on it, so that nobody has to ask what kind a metric is.

    A copy of a metric is the metric itself. One that is pickled is the metric of the same name and tags in the default
    registry of the process where it arrives; pickling one of another registry raises NotPortableError.
    """

    __slots__ = ()

    kind: ClassVar[Kind]
    """What it is called in readings, and what its states mean."""
    merge: str = "sum"
    """How the values of several processes are combined, if it is a gauge."""

    name: str
    """The dotted name."""
    tags: Tags
    """Pairs of key and value, sorted by key."""

    @property
    def keys(self) -> Tuple[str, ...]:
        """The keys of its statistics."""
        return self.kind.keys

    def read(self, now: float) -> Any:
        """Return its cumulative state, with everything that was recorded before."""
        raise NotImplementedError

    def numbers(self, now: float) -> Any:
        """Return what `state` makes the same state of, and what is kept of many metrics without a cost."""
        return self.read(now)

    def committed(self, now: float) -> Any:
        """Return what `numbers` does, as later ones build upon it. May wait for a fold."""
        return self.numbers(now)

    def recorded(self, now: float) -> Any:
        """Return what `committed` does, without asking for a total: what the program has recorded, or somebody read."""
        return self.committed(now)

    def state(self, numbers: Any) -> Any:
        """Return the state that numbers of this metric stand for."""
        return numbers

    def states(self, numbers: Any, known: Any) -> Tuple[Any, Any]:
        """Return the states of two moments, without what is the very same in both: what a change is told by."""
        return self.state(numbers), self.state(known)

    def is_at_zero(self, now: float) -> bool:
        """Whether nothing has been recorded since it began, or what was has come to nothing."""
        return self.kind.is_empty(self.read(now))

    def restart(self) -> None:
        """Begin at zero in a child process."""
        raise NotImplementedError

    def exchange(self, content: List[Any] | None) -> List[Any]:
        """Take out everything recorded and put what an earlier exchange returned in its place, or nothing."""
        raise NotImplementedError

    def put_aside(self) -> None:
        """Be ready to be asked for as if it were new: the test that has made it is over."""

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
