"""The buffer for kinds without their own buffer, like those of other distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, List, Set, SupportsFloat

from tapes.errors import quoted
from tapes.recording.buffer import CAPACITY, Buffer

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.recording.buffer import Numbers


class GenericBuffer(Buffer[Any]):
    """Takes whatever a kind folds. A class of metrics derives from this and from `Instrument`, and names its kind.

    A record that the kind cannot fold is dropped, which is logged once for each kind: it takes no other one along.
    """

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

    def _with_records(self, numbers: Numbers, records: List[Any], until: float, now: float) -> Numbers:
        if not records:
            return numbers
        folded = self.kind.folded
        try:
            return (folded(numbers[0], records, until),)
        except Exception as error:  # noqa: BLE001 -- it is raised or logged
            unexplained = error
        try:
            folded(numbers[0], records, until)
        except Exception:  # noqa: BLE001 -- it is logged
            return (self._folded_singly(numbers[0], records, until),)
        raise unexplained  # by a signal handler: the records are all right, and all are still pending

    def _folded_singly(self, state: Any, records: List[Any], until: float) -> Any:
        """Return the state after those of some records that can be folded."""
        for record in records:
            state = self._folded(state, record, until)
        return state

    def _folded(self, state: Any, record: Any, until: float) -> Any:
        """Return the state after a record, or the same if it cannot be folded."""
        kind = self.kind
        try:
            return kind.folded(state, [record], until)
        except Exception as error:  # noqa: BLE001 -- it is logged
            from tapes.streak import log_once  # here, since a program without trouble need not pay for it

            log_once(
                *(_refusing, kind, "tapes.registry"),
                "%s was recorded to %r, which cannot be folded: %r. It is dropped, as is every other record of this "
                "kind that fails. Check values with checked() before record().",
                *(quoted(record), self, error),
            )
            return state


_refusing: Set[str] = set()
"""Kinds of which a record was dropped, as was logged."""
