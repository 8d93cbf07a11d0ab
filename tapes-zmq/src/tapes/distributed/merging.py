"""Metrics of many workers made into one: instruments that are read like any other."""

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
    """A metric of many workers. It is read as any other is, and recorded to by nobody here. Safe in any thread."""

    __slots__ = ("__weakref__", "_lock", "_pool", "_shown", "_state", "merge", "name", "tags")

    def __init__(self, name: str, tags: Tags, merge: str = "sum") -> None:
        self.name = name
        self.tags = tags
        self.merge = merge
        """How the values of the workers are combined, if it is a gauge."""
        self._state: Any = None
        self._shown: Any = None  # the last that could be merged
        self._pool = self._empty_pool()
        self._lock = Lock()

    @property
    def lasts(self) -> bool:
        """Whether anything is left of it when all of its workers are gone."""
        return self.kind.lasts

    def read(self, now: float) -> Any:
        """Return the state of all workers together: the same object for as long as nobody has told anything.

        Of what does not last it is that of the workers that are present, which may be others than before.
        """
        with self._lock:
            if self._state is None or not self.kind.lasts:
                self._state = self._together(now)
            return self._state

    def _together(self, now: float) -> Any:
        """Return the state of the pool. If that fails it is the one before: a series that is broken breaks no page."""
        try:
            self._shown = self._pool.state(now)
        except Exception as error:  # noqa: BLE001 -- it is logged
            if self._shown is None:
                self._shown = self._empty_pool().state(now)
            _FAULTS.failed(f"cannot merge {self!r}. What it showed before is shown.", error)
        return self._shown

    def moved(self, source: Source) -> None:
        """Take note that the shift of a worker is another one."""
        with self._lock:
            self._state = None
            self._pool.moved(source)

    def take(self, source: Source, update: Any) -> None:
        """Take in what a worker has told."""
        with self._lock:
            self._state = None
            self._pool.take(source, update)

    def settle(self, source: Source) -> None:
        """Merge what a worker will not replace any more."""
        with self._lock:
            self._pool.settle(source)

    def retire(self, source: Source) -> bool:
        """Merge what a worker has told, which is gone. Return whether no other has told anything."""
        with self._lock:
            self._state = None
            self._pool.retire(source)
            return not self._pool.sources()

    def is_unused(self) -> bool:
        """Whether nobody who is there has told anything, and nobody who is gone had recorded anything."""
        with self._lock:
            return not self._pool.sources() and self.kind.is_empty(self._pool.merged())

    def kept(self) -> Tuple[Any, List[Tuple[Source, Any]]]:
        """Return what has been merged, and what each worker has told besides. It has to be kept over a restart."""
        with self._lock:
            return self._pool.merged(), [(source, self._pool.share(source)) for source in self._pool.sources()]

    def restore(self, merged: Any) -> None:
        """Begin with what was merged before a restart."""
        with self._lock:
            self._state = None
            self._pool.restore(merged)

    def restore_share(self, source: Source, share: Any) -> None:
        """Begin with what a worker had told before a restart."""
        with self._lock:
            self._state = None
            self._pool.restore_share(source, share)

    def restart(self) -> None:
        """Forget everything, in a child process."""
        self._lock = Lock()
        self._state = self._shown = None
        self._pool = self._empty_pool()

    def exchange(self, content: Optional[List[Any]]) -> List[Any]:
        """Take out what is known and put in what was there before an earlier exchange, or nothing."""
        with self._lock:
            self._state = None
            pool, self._pool = self._pool, self._empty_pool() if content is None else content[0]
        return [pool]

    def _empty_pool(self) -> Pool[Any, Any]:
        make = _POOLS.get(self.kind)
        return StatePool(self.kind) if make is None else make()


_POOLS: Dict[str, Callable[[], Pool[Any, Any]]] = {HISTOGRAM: HistogramPool, TIMER: TimerPool}
"""The pools of kinds whose workers tell what has changed."""

_classes: Dict[Kind, Type[Merged]] = {}


def class_of(kind: Kind) -> Type[Merged]:
    """Return the class of the metrics of this kind. Each has one of its own, as registries tell kinds by that."""
    found = _classes.get(kind)
    if found is None or found.kind is not kind:
        content = {"__slots__": (), "__module__": __name__, "kind": kind}
        found = _classes[kind] = type(f"Merged{kind.capitalize()}", (Merged,), content)
    return found
