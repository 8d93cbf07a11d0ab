"""The counter: a number that goes up and down by what happens."""

from __future__ import annotations

from tapes.instruments.instrument import Instrument
from tapes.kinds.counter import COUNTER
from tapes.recording import CounterBuffer


class Counter(CounterBuffer, Instrument):
    """Counts. `increment(n=1)` adds, `decrement(n=1)` takes away; ints are counted exactly."""

    __slots__ = ("__weakref__",)

    kind = COUNTER
