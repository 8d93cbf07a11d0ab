"""Pools: the states of one series, from many workers.

A pool holds the replaceable state of each worker, and one merged state of everything settled: the counts of workers
that are gone, and slices that are over. So its size depends on the workers of today, not on how many there have ever
been. Nothing is ever taken out of the merged state, and a state that is sent again replaces itself, so nothing is
counted twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Generic, List, Optional, Protocol, TypeVar

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind

State = TypeVar("State")
Update = TypeVar("Update")


class WorkerView(Protocol):
    """A worker as pools see it; in an overflow series, one series of a worker."""

    @property
    def present(self) -> bool:
        """Whether its gauges count: it was heard within the lease."""

    @property
    def shift(self) -> Optional[float]:
        """Seconds to add to its times to have them by the clock here; None if unknown."""

    @property
    def heard(self) -> float:
        """When it was last heard, by the clock here. Nothing in its frames is from after that."""

    @property
    def settles(self) -> bool:
        """Whether its slices are settled once their slot is over.

        False for an aggregator that publishes, since it still merges what its own workers send late.
        """

    @property
    def frame_time(self) -> float:
        """The time of the frame that is being taken in, by its own clock."""

    @property
    def settled(self) -> float:
        """The time up to which everything of it is known, by its own clock."""


class Pool(Generic[State, Update]):
    """The states of one series. Not thread-safe: the merged metric locks."""

    def workers(self) -> List[WorkerView]:
        """Return the workers that have a replaceable state."""
        raise NotImplementedError

    def take(self, worker: WorkerView, update: Update) -> None:
        """Take in an update of a worker."""
        raise NotImplementedError

    def shift_changed(self, worker: WorkerView) -> None:
        """Adapt to a new shift of a worker."""

    def settle(self, worker: WorkerView) -> None:
        """Merge for good what is settled of a worker."""

    def retire(self, worker: WorkerView) -> None:
        """Merge for good all of a worker that is gone."""
        raise NotImplementedError

    def state(self, now: float) -> State:
        """Return the state of all workers, `now` being the time."""
        raise NotImplementedError

    # For keeping over a restart.

    def merged(self) -> State:
        """Return the merged state of everything settled."""
        raise NotImplementedError

    def share(self, worker: WorkerView) -> State:
        """Return the replaceable state of a worker, by its own clock."""
        raise NotImplementedError

    def restore(self, merged: State) -> None:
        """Start from an earlier merged state."""
        raise NotImplementedError

    def restore_share(self, worker: WorkerView, share: State) -> None:
        """Start from an earlier replaceable state of a worker."""
        raise NotImplementedError


class StatePool(Pool[Any, Any]):
    """The pool of most kinds: each update replaces the whole state of its worker."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._states: Dict[WorkerView, Any] = {}
        self._retired = kind.zero(0.0)

    def workers(self) -> List[WorkerView]:
        return list(self._states)

    def take(self, worker: WorkerView, update: Any) -> None:
        self._states[worker] = update

    def retire(self, worker: WorkerView) -> None:
        states = self._states.get(worker)
        if states is not None and self._kind.lasts:
            self._retired = self._kind.settled(self._retired, self._kind.shifted(states, worker.shift, worker.heard))
        self._states.pop(worker, None)  # last: if that fails, it is there as before

    def state(self, now: float) -> Any:
        kind, states = self._kind, self._states
        if kind.lasts:
            return kind.merge([self._retired, *kind.all_shifted(states)])
        present = {worker: state for worker, state in states.items() if worker.present}
        return kind.merge([kind.zero(now), *kind.all_shifted(present)])

    def merged(self) -> Any:
        return self._retired

    def share(self, worker: WorkerView) -> Any:
        return self._states[worker]

    def restore(self, merged: Any) -> None:
        self._retired = merged

    def restore_share(self, worker: WorkerView, share: Any) -> None:
        self._states[worker] = share
