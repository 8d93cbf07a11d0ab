"""The buffer of a gauge that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, SupportsFloat

from tapes.recording.buffer import CAPACITY, Buffer
from tapes.state.gauge import UNSET, GaugeState, single
from tapes.state.numbers import total

if TYPE_CHECKING:
    from typing import Tuple, Union

    from tapes.recording.buffer import Numbers

    _Change = Union[float, Tuple[float, float]]  # a number to add, or a value and the time when it was set


_ONE: float = 1


class GaugeBuffer(Buffer[GaugeState]):
    """Records values with their times, and changes relative to the value before."""

    __slots__ = ()

    def set(self, value: SupportsFloat) -> None:
        """Set the value of this gauge, any real number.

        Safe to call from any thread, signal handler or finalizer; waits for nothing.

        Raises InvalidTypeError unless `value` is a number, and InvalidValueError for NaN and infinities.
        """
        pending = self._pending
        pending.append((self._checked(value), self.now()))
        if len(pending) > CAPACITY:
            self._fold_all()

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n` to the value, which is 0 until set. As safe as `set`, and raises the same errors."""
        pending = self._pending
        pending.append(n if n is _ONE else self._checked(n))
        if len(pending) > CAPACITY:
            self._fold_all()

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Subtract `n` from the value. The same as `increment(-n)`."""
        pending = self._pending
        pending.append(-1 if n is _ONE else -self._checked(n))
        if len(pending) > CAPACITY:
            self._fold_all()

    def _fold_all(self) -> None:
        now = self.now()
        self._fold(now, now)

    def state(self, numbers: Numbers) -> GaugeState:
        """Return the state that `numbers` of this gauge stand for."""
        return GaugeState(*numbers)

    def _zero(self, now: float) -> Numbers:
        return UNSET.numbers()

    def _with_records(self, numbers: Numbers, records: List[_Change], until: float, now: float) -> Numbers:
        if not records:
            return numbers
        value, at = GaugeState(*numbers).last or 0, until
        changes: List[float] = []
        for change in reversed(records):
            if isinstance(change, tuple):
                value, at = change
                break
            changes.append(change)
        if changes:
            value, at = total([value, *reversed(changes)]), until
        return single(value, at).numbers()
