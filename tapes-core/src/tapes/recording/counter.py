"""The buffer of a counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, SupportsFloat

from tapes.recording.buffer import CAPACITY, Buffer
from tapes.state.counter import CounterState
from tapes.state.numbers import added, total

if TYPE_CHECKING:
    from tapes.recording.buffer import Numbers

_ONE: float = 1
_ZERO = (0, 0)


class CounterBuffer(Buffer[CounterState]):
    """Records additions, and subtractions as negative numbers."""

    __slots__ = ()

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n`, any real number. A negative one counts as a decrement.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 60 ns.

        Raises InvalidTypeError unless `n` is a number, and InvalidValueError for NaN and infinities.
        """
        pending = self._pending
        pending.append(n if n is _ONE else self._checked(n))
        if len(pending) > CAPACITY:
            self._fold(0.0, 0.0)

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Subtract `n`. The same as `increment(-n)`."""
        self.increment(-self._checked(n))

    def state(self, numbers: Numbers) -> CounterState:
        """Return the state that `numbers` of this counter stand for."""
        return CounterState(*numbers)

    def _zero(self, now: float) -> Numbers:
        return _ZERO

    def _with_records(self, numbers: Numbers, records: List[float], until: float, now: float) -> Numbers:
        if not records:
            return numbers
        increments, decrements = numbers
        ones = records.count(1)  # the usual case, and the fastest way to detect it
        if ones == len(records):
            return added(increments, ones), decrements
        if min(records) >= 0:
            return added(increments, total(records)), decrements
        gained = total([n for n in records if n > 0])
        lost = -total([n for n in records if n < 0])
        return added(increments, gained), added(decrements, lost)
