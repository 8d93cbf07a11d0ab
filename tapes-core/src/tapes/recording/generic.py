"""The buffer for kinds without their own buffer, like those of other distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, List, SupportsFloat

from tapes.recording.buffer import CAPACITY, Buffer

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.recording.buffer import Numbers


class GenericBuffer(Buffer[Any]):
    """Takes any record that its kind can fold. A metric class derives from it and `Instrument`, and sets `kind`."""

    __slots__ = ()

    kind: ClassVar[Kind]

    def record(self, record: Any) -> None:
        """Take a record. Safe to call from any thread, signal handler or finalizer; waits for nothing."""
        pending = self._pending
        pending.append(record)
        if len(pending) > CAPACITY:
            now = self.now()
            self._fold(now, now)

    def checked(self, value: SupportsFloat) -> float:
        """Return a real number as the int or float to record.

        Raises InvalidTypeError unless `value` is a number, and InvalidValueError for NaN and infinities.
        """
        return self._checked(value)

    def state(self, numbers: Numbers) -> Any:
        """Return the state that `numbers` of this metric stand for."""
        return numbers[0]

    def _zero(self, now: float) -> Numbers:
        return (self.kind.zero(now),)

    def _absorbed(self, numbers: Numbers, records: List[Any], until: float, now: float) -> Numbers:
        return (self.kind.folded(numbers[0], records, until),) if records else numbers
