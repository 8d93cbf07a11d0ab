"""The buffer of a histogram, and how values are folded into its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, SupportsFloat, Tuple

from tapes.recording.buffer import CAPACITY, Buffer, State
from tapes.recording.counting import distribution_of
from tapes.state.histogram import (
    NOTHING_SETTLED,
    SPAN,
    HistogramState,
    Slice,
    slice_start,
    unpacked,
    with_newest,
    without_common,
)
from tapes.state.numbers import saturated

if TYPE_CHECKING:
    from tapes.state.distribution import Distribution
    from tapes.state.histogram import Numbers, Settled

_DUE = 5.0  # seconds after a fold from which the next record causes another
_GAP = 5.0  # after this many idle seconds, earlier records are folded separately from the next one
_STRIDE = 256  # most records between two readings of the clock
_HURRY = 0.001  # seconds between two readings below which the stride doubles


class SlicedBuffer(Buffer[State]):
    """The base of histograms and timers. Their numbers are the newest slice, packed, and the settled part.

    To pack a slice costs as much as to fold some hundred values. So a buffer that fills up again and again, without a
    read in between, keeps a list with the unpacked slice.
    """

    __slots__ = ()

    _memo: Memo

    def states(self, numbers: Numbers, known: Numbers) -> Tuple[State, State]:
        """Return the states of two moments, without the slices that are the same object in both."""
        numbers, known = without_common(numbers, known)
        return self.state(numbers), self.state(known)


class HistogramBuffer(SlicedBuffer[HistogramState]):
    """Records values.

    To read the clock for each record would be a third of the cost, so that happens only while records are rare. `_seen`
    is the time of the last reading, `_limit` the length of the list at which to read the clock again, at the latest
    when the buffer is full. `_since` is the time of the first record after a fold: pending records are from then on.
    """

    __slots__ = ("_due", "_limit", "_memo", "_seen", "_since", "_stride")

    _limit: int
    _seen: float
    _since: float
    _stride: int

    def __init__(self, name: str, tags: Any, now: Any) -> None:
        super().__init__(name, tags, now)
        self._memo = Memo((b"", None))
        self._refolded(now())

    def update(self, value: SupportsFloat) -> None:
        """Record one value: any real number, of any sign and size.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 90 ns, and 100 ns for
        its part in a later fold.

        Raises InvalidTypeError unless `value` is a number, and InvalidValueError for NaN and infinities.
        """
        # Ints of any size pass here: a fold detects the too large ones more cheaply.
        if (type(value) is not float or value - value) and type(value) is not int:
            value = self._checked(value)
        (pending := self._pending).append(value)
        if len(pending) > self._limit:
            self._look()

    def _prepare_read(self, now: float) -> float:
        if now - self._seen <= _GAP:
            return now
        looked_at = self._limit - self._stride + 1
        others = max(len(self._pending) - looked_at, 0)
        if self._stride == 1 or not others:
            # Records with a reading of the clock are old by now, so they are folded separately. While records are rare
            # each has a reading; one without is being recorded at this very moment.
            if looked_at > 1:
                self._fold(self._seen, now, keep=others)
        elif now - self._seen > SPAN:
            return self._seen  # records came fast, so the pending ones are most likely from just after that
        return now

    def _look(self) -> None:
        """Read the clock after a record, and fold what is due."""
        now = self.now()
        since = now - self._seen
        self._seen = now
        size = len(self._pending)
        if size <= 2:
            self._since = now
        if since > _GAP and size > 2 and self._stride == 1:
            self._fold(now - since, now, keep=1)
        elif size > CAPACITY or now >= self._due:
            self._fold(now, now, packs=size <= CAPACITY)
        self._stride = min(self._stride * 2, _STRIDE) if since < _HURRY else 1
        self._limit = min(len(self._pending) + self._stride - 1, CAPACITY)

    def _refolded(self, now: float) -> None:
        self._due = now + _DUE
        self._seen = self._since = now
        self._stride = self._limit = 1

    def state(self, numbers: Numbers) -> HistogramState:
        """Return the state that `numbers` of this histogram stand for."""
        newest, settled = numbers
        return with_newest(settled, self._memo.slice(newest))

    def _zero(self, now: float) -> Numbers:
        return b"", NOTHING_SETTLED

    def _with_records(self, content: Any, records: List[float], until: float, now: float) -> Any:
        if not records:
            return content
        newest, settled = content
        if type(newest) is bytes:
            newest = self._memo.slice(newest)
        return [*with_values(newest, settled, records, self._since, until)]

    def _packed(self, content: Any) -> Numbers:
        newest, settled = content
        return newest if type(newest) is bytes else self._memo.packed(newest), settled


class Memo(List[Any]):
    """The last packed slice: its bytes and its buckets.

    It saves the next fold, or a read just after one, from unpacking the buckets. Thread-safe: one operation writes
    both, and one reads both.
    """

    __slots__ = ()

    def slice(self, packed: bytes, start: int = 0) -> Optional[Slice]:
        """Return the slice that `packed` holds from `start` on; None if it ends there."""
        if len(packed) == start:
            return None
        last, buckets = self[:]  # one atomic operation
        return unpacked(packed[start:], buckets if last is packed else None)

    def packed(self, part: Slice, before: bytes = b"") -> bytes:
        """Return `before` and a slice as bytes."""
        packed = before + part.packed()
        self[:] = packed, part.values.buckets
        return packed


def with_values(
    newest: Optional[Slice], settled: Settled, records: List[float], since: float, until: float
) -> Tuple[Slice, Settled]:
    """Return the newest slice and the settled part of a histogram after `records`, made from `since` to `until`.

    `records` must not be empty.
    """
    if newest is not None and newest.start == slice_start(since, until):  # the usual case
        values = _saturating_distribution_of(records, newest.values)
        return Slice(newest.start, max(newest.end, until), values), settled
    state = with_newest(settled, newest)
    into = state.slice_for(since, until)
    state = state.recorded(into, until, _saturating_distribution_of(records, into.values))
    return state.slices[-1], state.settled()


def _saturating_distribution_of(records: List[float], onto: Distribution) -> Distribution:
    try:
        return distribution_of(records, onto)
    except OverflowError:  # an int is too large for a float
        return distribution_of([saturated(record) for record in records], onto)
