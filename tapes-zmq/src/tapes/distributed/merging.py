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
    from tapes.distributed.pools import Pool, Source
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags


_FAULTS = Streak(LOGGER_NAME, "The aggregator")


class Merged(Instrument):
    """A metric of many workers. It is read like any other, but not recorded to. Thread-safe."""

    __slots__ = ("__weakref__", "_lock", "_pool", "_shown", "_state", "merge", "name", "tags")

    def __init__(self, name: str, tags: Tags, merge: str = "sum") -> None:
        self.name = name
        self.tags = tags
        self.merge = merge
        """How the values of the workers are combined, for a gauge."""
        self._state: Any = None
        self._shown: Any = None  # the last state that could be merged
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
            self._shown = self._pool.state(now)
        except Exception as error:  # noqa: BLE001 -- it is logged
            if self._shown is None:
                self._shown = self._empty_pool().state(now)
            _FAULTS.failed(f"cannot merge {self!r}. What it showed before is shown.", error)
        return self._shown

    def moved(self, source: Source) -> None:
        """Adapt to a new shift of a worker."""
        with self._lock:
            self._state = None
            self._pool.moved(source)

    def take(self, source: Source, update: Any) -> None:
        """Take in an update of a worker."""
        with self._lock:
            self._state = None
            self._pool.take(source, update)

    def settle(self, source: Source) -> None:
        """Merge for good what is settled of a worker."""
        with self._lock:
            self._pool.settle(source)

    def retire(self, source: Source) -> bool:
        """Merge for good all of a worker that is gone. Return True if no other worker has a share."""
        with self._lock:
            self._state = None
            self._pool.retire(source)
            return not self._pool.sources()

    def is_unused(self) -> bool:
        """Whether nobody who is there has told anything, and nobody who is gone had recorded anything."""
        with self._lock:
            return not self._pool.sources() and self.kind.is_empty(self._pool.merged())

    def kept(self) -> Tuple[Any, List[Tuple[Source, Any]]]:
        """Return, to be kept over a restart, what is merged for good, and the share of each worker."""
        with self._lock:
            return self._pool.merged(), [(source, self._pool.share(source)) for source in self._pool.sources()]

    def restore(self, merged: Any) -> None:
        """Start from what was merged before a restart."""
        with self._lock:
            self._state = None
            self._pool.restore(merged)

    def restore_share(self, source: Source, share: Any) -> None:
        """Start from the share of a worker before a restart."""
        with self._lock:
            self._state = None
            self._pool.restore_share(source, share)

    def restart(self) -> None:
        """Forget everything, in a child process."""
        self._lock = Lock()
        self._state = self._shown = None
        self._pool = self._empty_pool()

    def exchange(self, content: Optional[List[Any]]) -> List[Any]:
        """Take out the content. Put in the content of an earlier exchange, or none."""
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
