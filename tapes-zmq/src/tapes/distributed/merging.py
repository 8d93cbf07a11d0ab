"""Metrics of many workers made into one: instruments that are read like any other."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Tuple, Type

from tapes.distributed.pools import CounterPool, GaugePool, MeterPool, Pool
from tapes.distributed.slices import HistogramPool, TimerPool
from tapes.instruments.instrument import Instrument
from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.meter import METER
from tapes.kinds.timer import TIMER
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.distributed.pools import Source
    from tapes.naming import Tags


_FAULTS = Streak("tapes.distributed", "The aggregator")


class Merged(Instrument):
    """A metric of many workers. It is read as any other is, and recorded to by nobody here. Safe in any thread."""

    __slots__ = ("__weakref__", "_lock", "_pool", "_shown", "_state", "merge", "name", "tags")

    pool: ClassVar[Type[Pool[Any, Any]]]

    def __init__(self, name: str, tags: Tags, merge: str = "sum") -> None:
        self.name = name
        self.tags = tags
        self.merge = merge
        """How the values of the workers are combined, if it is a gauge."""
        self._state: Any = None
        self._shown: Any = None  # the last that could be merged
        self._pool: Pool[Any, Any] = self.pool()
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
                self._shown = self.pool().state(now)
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
        self._pool = self.pool()

    def exchange(self, content: Optional[List[Any]]) -> List[Any]:
        """Take out what is known and put in what was there before an earlier exchange, or nothing."""
        with self._lock:
            self._state = None
            pool, self._pool = self._pool, self.pool() if content is None else content[0]
        return [pool]


class MergedCounter(Merged):
    """A counter of many workers."""

    __slots__ = ()

    kind = COUNTER
    pool = CounterPool


class MergedGauge(Merged):
    """A gauge of many workers."""

    __slots__ = ()

    kind = GAUGE
    pool = GaugePool


class MergedMeter(Merged):
    """A meter of many workers."""

    __slots__ = ()

    kind = METER
    pool = MeterPool


class MergedHistogram(Merged):
    """A histogram of many workers."""

    __slots__ = ()

    kind = HISTOGRAM
    pool = HistogramPool


class MergedTimer(Merged):
    """A timer of many workers."""

    __slots__ = ()

    kind = TIMER
    pool = TimerPool


MERGED: Dict[str, Type[Merged]] = {
    cls.kind: cls for cls in (MergedCounter, MergedGauge, MergedMeter, MergedHistogram, MergedTimer)
}
"""By kind."""
