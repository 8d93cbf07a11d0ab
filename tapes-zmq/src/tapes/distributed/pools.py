"""Pools: what is known of one series, from many workers.

A pool holds, by worker, what may yet be replaced by something newer of the same worker, and merged into one state what
will not be: what workers that are gone have counted, and slices that are over. So a pool is as large as its workers are
many, however many there have ever been. Nothing is ever taken out of what has been merged, so nothing can be counted
twice, and what is told again replaces itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Dict, Generic, List, Optional, Protocol, TypeVar

from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.meter import METER
from tapes.state.counter import CounterState
from tapes.state.gauge import GaugeState
from tapes.state.histogram import NEVER
from tapes.state.rates import TICK, MeterState, tick_of

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


class _SumPool(Pool[State, State]):
    """A pool of states that are replaced as a whole."""

    kind: ClassVar[Kind]

    def __init__(self) -> None:
        self._told: Dict[Source, State] = {}
        self._gone: State = self.kind.zero(0.0)

    def sources(self) -> List[Source]:
        return list(self._told)

    def take(self, source: Source, update: State) -> None:
        self._told[source] = update

    def merged(self) -> State:
        return self._gone

    def share(self, source: Source) -> State:
        return self._told[source]

    def restore(self, merged: State) -> None:
        self._gone = merged

    def restore_share(self, source: Source, share: State) -> None:
        self._told[source] = share


class CounterPool(_SumPool[CounterState]):
    """What is known of a counter."""

    kind = COUNTER

    def retire(self, source: Source) -> None:
        told = self._told.pop(source, None)
        if told is not None:
            self._gone = self._gone.merge(told)

    def state(self, now: float) -> CounterState:
        return COUNTER.merge([self._gone, *self._told.values()])


class GaugePool(_SumPool[GaugeState]):
    """What is known of a gauge. Nothing of it is left of a worker that is gone."""

    kind = GAUGE

    def retire(self, source: Source) -> None:
        self._told.pop(source, None)

    def state(self, now: float) -> GaugeState:
        present = [_moved(told, source) for source, told in self._told.items() if source.present]
        together: GaugeState = GAUGE.merge([GAUGE.zero(now), *present])
        return together


class MeterPool(_SumPool[MeterState]):
    """What is known of a meter."""

    kind = METER

    def retire(self, source: Source) -> None:
        told = self._told.pop(source, None)
        if told is not None:
            self._gone = self._gone.merge(_at_tick_of(told, source))

    def state(self, now: float) -> MeterState:
        here = [
            told if source.shift == 0 and told.tick * TICK <= source.heard else _at_tick_of(told, source)
            for source, told in self._told.items()
        ]
        return METER.merge([self._gone, *here])


def _moved(state: GaugeState, source: Source) -> GaugeState:
    """Return `state` by the clock here."""
    at = NEVER if source.shift is None else min(state.last_at + source.shift, source.heard)
    if at == state.last_at:
        return state
    return GaugeState(state.parts, state.sum, state.minimum, state.maximum, state.last, at)


def _at_tick_of(state: MeterState, source: Source) -> MeterState:
    """Return `state` by the clock here. Ticks cannot be moved by less than a whole one."""
    shift = source.shift
    if shift is None:
        return MeterState(state.count, 0, 0, (0.0, 0.0, 0.0))
    tick = min(state.tick + round(shift / TICK), tick_of(source.heard) + 1)
    return state if tick == state.tick else MeterState(state.count, tick, state.current, state.rates)
