"""The buffer of a histogram, and how values are taken into its state."""

from __future__ import annotations

import math
from typing import Any, List

from tapes.recording.buffer import CAPACITY, Buffer
from tapes.recording.counting import distributed
from tapes.state.histogram import SLICE, HistogramState, started

_DUE = 15.0  # seconds after a fold at which the next record brings about another
_GAP = 5.0  # seconds without a record after which those before are folded by themselves
_STRIDE = 256  # records between two looks at the clock, at the most
_HURRY = 0.001  # seconds between two looks below which the stride is lengthened


class HistogramBuffer(Buffer[HistogramState]):
    """Takes values.

    To read the clock for each would cost a third of the call, so it is read for each only while they are rare. `_seen`
    is when it was read last, `_limit` the length of the list at which it is read again, at the latest when the buffer
    is full.
    """

    __slots__ = ("_due", "_limit", "_seen", "_stride")

    def __init__(self, name: str, tags: Any, now: Any) -> None:
        super().__init__(name, tags, now)
        self._stride = 1
        self._seen = 0.0
        self._refolded(now())

    def update(self, value: float) -> None:
        """Record one value: an int or a float, of any sign and size.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 80 ns, and 100 ns for
        its part in a later fold.

        Raises InvalidTypeError for what is no number and InvalidValueError for NaN and infinities.
        """
        try:
            # True of all finite numbers, false of NaN and infinities, and raises for all else that multiplies.
            if not value * 0.0 >= 0.0:
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise self._refusal(value, "a finite number") from None
        (pending := self._pending).append(value)
        if len(pending) > self._limit:
            self._look()

    def read(self, now: float) -> HistogramState:
        """Return the state that everything recorded before this call is part of. Waits for nothing."""
        # Records since a long-past look came in a hurry right after it, or the clock would have been read for them.
        until = now if now - self._seen <= SLICE else self._seen
        return self._read(until, now)

    def _look(self) -> None:
        """Read the clock after a record, and fold what has to be folded."""
        now = self._now()
        since = now - self._seen
        self._seen = now
        size = len(self._pending)
        if since > _GAP and size > 2:
            self._fold(now - since, now, keep=1)
        elif size > CAPACITY or now >= self._due:
            self._fold(now, now)
        self._stride = min(self._stride * 2, _STRIDE) if since < _HURRY else 1
        self._limit = min(len(self._pending) + self._stride - 1, CAPACITY)

    def _refolded(self, now: float) -> None:
        self._due = now + _DUE
        self._seen = now
        self._limit = 1

    def _zero(self, now: float) -> HistogramState:
        return started(now)

    def _absorbed(self, state: HistogramState, records: List[float], until: float, now: float) -> HistogramState:
        return with_values(state, records, until, now)


def with_values(state: HistogramState, records: List[float], until: float, now: float) -> HistogramState:
    """Return `state` after some values, recorded up to `until`; further ones are recorded after `now`."""
    if not records:
        return state.resumed(now)
    into = state.open_slice(until)
    try:
        values = distributed(records, into.values)
    except Exception:  # noqa: BLE001  whatever a foreign object raises that only behaves like a number
        floats = _floats(records)
        if not floats:
            return state.resumed(now)
        values = distributed(floats, into.values)
    return state.recorded(into, until, values, now)


def _floats(records: List[Any]) -> List[float]:
    """Return those of `records` that are finite numbers after all, as floats.

    `update` lets through what only behaves like one when it is multiplied and compared. It is left out here, with a
    line in the log.
    """
    floats = []
    for record in records:
        try:
            value = float(record)
        except Exception:  # noqa: BLE001  whatever a foreign __float__ raises
            value = math.nan
        if math.isfinite(value):
            floats.append(value)
    if len(floats) < len(records):
        import logging

        logging.getLogger("tapes.registry").warning(
            "%d values that are no numbers were given to a histogram or a timer; they are left out.",
            len(records) - len(floats),
        )
    return floats
