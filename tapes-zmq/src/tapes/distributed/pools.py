"""Pools: what is known of one series, from many workers.

A pool holds, by worker, what may yet be replaced by something newer of the same worker, and merged into one state what
will not be: what workers that are gone have counted, and slices that are over. So a pool is as large as its workers are
many, however many there have ever been. Nothing is ever taken out of what has been merged, so nothing can be counted
twice, and what is told again replaces itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Generic, List, Optional, Protocol, TypeVar

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind

State = TypeVar("State")
Update = TypeVar("Update")


class Source(Protocol):
    """A worker, as far as pools have to know it; or one of its series, in an overflow series."""

    @property
    def present(self) -> bool:
        """Whether its gauges count: it has been heard of late."""

    @property
    def shift(self) -> Optional[float]:
        """What has to be added to its times to have them by the clock here; None if that is not known."""

    @property
    def heard(self) -> float:
        """When it was last heard, by the clock here. Nothing that it has told is from after that."""

    @property
    def settles(self) -> bool:
        """Whether what it has told of a slot is final once that is over.

        It is not if it merges what others tell it.
        """

    @property
    def told(self) -> float:
        """The time, by its own clock, up to which it tells what it has recorded, while it does."""

    @property
    def settled(self) -> float:
        """The time up to which it has told everything."""


class Pool(Generic[State, Update]):
    """What is known of one series. Not locked: that is up to the instrument."""

    def sources(self) -> List[Source]:
        """Return who has told something that may yet be replaced."""
        raise NotImplementedError

    def take(self, source: Source, update: Update) -> None:
        """Take in what a worker has told."""
        raise NotImplementedError

    def moved(self, source: Source) -> None:
        """Take note that the shift of a worker is another one."""

    def settle(self, source: Source) -> None:
        """Merge what a worker will not replace any more."""

    def retire(self, source: Source) -> None:
        """Merge all that a worker has told, which is gone."""
        raise NotImplementedError

    def state(self, now: float) -> State:
        """Return the state of everything together."""
        raise NotImplementedError

    # To be kept over a restart.

    def merged(self) -> State:
        """Return the state of what will not be replaced."""
        raise NotImplementedError

    def share(self, source: Source) -> State:
        """Return what a worker has told that may yet be replaced, by its own clock."""
        raise NotImplementedError

    def restore(self, merged: State) -> None:
        """Begin with what was merged before."""
        raise NotImplementedError

    def restore_share(self, source: Source, share: State) -> None:
        """Begin with what a worker had told before."""
        raise NotImplementedError


class StatePool(Pool[Any, Any]):
    """What is known of a series whose states are replaced as a whole, which is of most kinds."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._told: Dict[Source, Any] = {}
        self._gone = kind.zero(0.0)

    def sources(self) -> List[Source]:
        return list(self._told)

    def take(self, source: Source, update: Any) -> None:
        self._told[source] = update

    def retire(self, source: Source) -> None:
        told = self._told.get(source)
        if told is not None and self._kind.lasts:
            self._gone = self._kind.merge([self._gone, self._kind.moved(told, source.shift, source.heard)])
        self._told.pop(source, None)  # last: if that fails, it is there as before

    def state(self, now: float) -> Any:
        kind, told = self._kind, self._told
        if kind.lasts:
            return kind.merge([self._gone, *kind.here(told)])
        present = {source: state for source, state in told.items() if source.present}
        return kind.merge([kind.zero(now), *kind.here(present)])

    def merged(self) -> Any:
        return self._gone

    def share(self, source: Source) -> Any:
        return self._told[source]

    def restore(self, merged: Any) -> None:
        self._gone = merged

    def restore_share(self, source: Source, share: Any) -> None:
        self._told[source] = share
