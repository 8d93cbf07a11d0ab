"""Merged metrics: each merges the states of many workers, and is read like any other metric."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Type

from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.pools import StatePool
from tapes.distributed.slices import HistogramPool, TimerPool
from tapes.instruments.instrument import Instrument
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.timer import TIMER
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.distributed.pools import Pool, WorkerView
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags


_FAULTS = Streak(LOGGER_NAME, "The aggregator")


class Merged(Instrument):
    """A metric of many workers. It is read like any other, but not recorded to. Thread-safe."""

    __slots__ = ("__weakref__", "_last_good", "_lock", "_pool", "_state", "merge", "name", "tags")

    def __init__(self, name: str, tags: Tags, merge: str = "sum") -> None:
        self.name = name
        self.tags = tags
        self.merge = merge
        """How the values of the workers are combined, for a gauge."""
        self._state: Any = None
        self._last_good: Any = None  # the last state that could be merged
        self._pool = self._empty_pool()
        self._lock = Lock()

    @property
    def lasts(self) -> bool:
        """Whether it keeps its values when all its workers are gone."""
        return self.kind.lasts

    def read(self, now: float) -> Any:
        """Return the merged state of all workers: the same object until a worker sends something.

        For kinds that do not last, the state of the present workers, which may change at any time.
        """
        with self._lock:
            if self._state is None or not self.kind.lasts:
                self._state = self._together(now)
            return self._state

    def _together(self, now: float) -> Any:
        """Return the state of the pool. On an error, return the last good one: one series cannot break a page."""
        try:
            self._last_good = self._pool.state(now)
        except Exception as error:  # noqa: BLE001 -- it is logged
            if self._last_good is None:
                self._last_good = self._empty_pool().state(now)
            _FAULTS.failed(f"cannot merge {self!r}. It shows the last good state.", error)
        return self._last_good

    def shift_changed(self, worker: WorkerView) -> None:
        """Adapt to a new shift of a worker."""
        with self._lock:
            self._state = None
            self._pool.shift_changed(worker)

    def take(self, worker: WorkerView, update: Any) -> None:
        """Take in an update of a worker."""
        with self._lock:
            self._state = None
            self._pool.take(worker, update)

    def settle(self, worker: WorkerView) -> None:
        """Merge for good what is settled of a worker."""
        with self._lock:
            self._pool.settle(worker)

    def retire(self, worker: WorkerView) -> bool:
        """Merge for good all of a worker that is gone. Return True if no other worker has a share."""
        with self._lock:
            self._state = None
            self._pool.retire(worker)
            return not self._pool.workers()

    def is_unused(self) -> bool:
        """Whether nobody who is there has told anything, and nobody who is gone had recorded anything."""
        with self._lock:
            return not self._pool.workers() and self.kind.is_empty(self._pool.merged())

    def kept(self) -> Tuple[Any, List[Tuple[WorkerView, Any]]]:
        """Return, to be kept over a restart, what is merged for good, and the share of each worker."""
        with self._lock:
            return self._pool.merged(), [(worker, self._pool.share(worker)) for worker in self._pool.workers()]

    def restore(self, merged: Any) -> None:
        """Start from what was merged before a restart."""
        with self._lock:
            self._state = None
            self._pool.restore(merged)

    def restore_share(self, worker: WorkerView, share: Any) -> None:
        """Start from the share of a worker before a restart."""
        with self._lock:
            self._state = None
            self._pool.restore_share(worker, share)

    def restart(self) -> None:
        """Forget everything, in a child process."""
        self._lock = Lock()
        self._state = self._last_good = None
        self._pool = self._empty_pool()

    def swap(self, content: Optional[List[Any]]) -> List[Any]:
        """Take out the content. Put in the content of an earlier swap, or none."""
        with self._lock:
            self._state = None
            pool, self._pool = self._pool, self._empty_pool() if content is None else content[0]
        return [pool]

    def _empty_pool(self) -> Pool[Any, Any]:
        make = _POOLS.get(self.kind)
        return StatePool(self.kind) if make is None else make()


_POOLS: Dict[str, Callable[[], Pool[Any, Any]]] = {HISTOGRAM: HistogramPool, TIMER: TimerPool}
"""The pools of kinds whose updates hold only changes."""

_classes: Dict[Kind, Type[Merged]] = {}


def class_of(kind: Kind) -> Type[Merged]:
    """Return the class of merged metrics of this kind. Each kind has its own, since registries tell kinds by class."""
    found = _classes.get(kind)
    if found is None or found.kind is not kind:
        content = {"__slots__": (), "__module__": __name__, "kind": kind}
        found = _classes[kind] = type(f"Merged{kind.capitalize()}", (Merged,), content)
    return found
