"""The buffer of a meter, and the base class that it shares with the buffer of a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, SupportsIndex, TypeVar

from tapes.recording.buffer import CAPACITY, Buffer
from tapes.recording.exact import exact
from tapes.state.meter import TICK, MeterState, of_numbers, started, tick_of, with_events

if TYPE_CHECKING:
    from tapes.recording.buffer import Numbers

_ONE = 1
_MANY = 2**63

_LULL = 0.001  # seconds between two checks of a buffer's length

State = TypeVar("State")


class TickingBuffer(Buffer[State]):
    """A buffer whose pending records all belong to one tick of the averages.

    Each record reads the clock. From the time `_until` on, call `_settle` after a record: either the tick is over, or
    the length of the buffer needs a check. One comparison serves both.
    """

    __slots__ = ("_tick_end", "_until")

    def __init__(self, name: str, tags: Any, now: Any) -> None:
        super().__init__(name, tags, now)
        self._refolded(now())

    def _prepare_read(self, now: float) -> float:
        return min(now, self._tick_end)

    def _settle(self, now: float) -> None:
        """Fold what is due after a record at `now`."""
        if now >= self._tick_end:
            # Only the newest record was made after the end of the tick.
            self._fold(self._tick_end, now, keep=1)
        elif len(self._pending) > CAPACITY:
            self._fold(now, now, packs=False)
        else:
            self._until = min(self._tick_end, now + _LULL)

    def _refolded(self, now: float) -> None:
        self._tick_end = (tick_of(now) + 1) * TICK
        self._until = min(self._tick_end, now + _LULL)


class MeterBuffer(TickingBuffer[MeterState]):
    """Records numbers of events."""

    __slots__ = ()

    def mark(self, n: SupportsIndex = 1) -> None:
        """Record that `n` events, an int from 0 to 2**63, happened now.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 100 ns.

        Raises InvalidTypeError unless `n` is an int, and InvalidValueError if it is out of range.
        """
        now = self.now()
        self._pending.append(n if n is _ONE else self._events(n))
        if now >= self._until:
            self._settle(now)

    def _events(self, n: object) -> int:
        if type(n) is int and 0 <= n < _MANY:
            return n
        number = exact(n)
        if number is None or not 0 <= number < _MANY or number != int(number):
            raise self._refusal(n, "a number of events, an int from 0 to 2**63")
        return int(number)

    def state(self, numbers: Numbers) -> MeterState:
        """Return the state that `numbers` of this meter stand for."""
        return of_numbers(numbers)

    def _zero(self, now: float) -> Numbers:
        return started(now).numbers()

    def _with_records(self, numbers: Numbers, records: List[int], until: float, now: float) -> Numbers:
        return with_events(numbers, sum(records), now)
