"""The buffer of a timer."""

from __future__ import annotations

import sys
from struct import Struct
from typing import TYPE_CHECKING, Any, List, SupportsFloat, Union

from tapes.recording.exact import exact
from tapes.recording.histogram import Memo, SlicedBuffer, with_values
from tapes.recording.meter import TickingBuffer
from tapes.recording.timing import SharedTiming, Timing
from tapes.scope import without_parentheses
from tapes.state.histogram import NOTHING_SETTLED, with_newest
from tapes.state.meter import of_numbers, started, with_events
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from datetime import timedelta

    from tapes.state.histogram import Numbers

_HAS_LOCK = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()

# True if no other thread can run between reading an attribute and changing it right after.
_SWITCHES_AT_CALLS_ONLY = _HAS_LOCK and sys.version_info >= (3, 11)

if _HAS_LOCK:
    from sys import getrefcount
else:

    def getrefcount(thing: Any, /) -> int:
        """Stand in for `sys.getrefcount` where references are not counted, or not exactly."""
        return -1


_LOGGED = -1

_EVENTS = Struct("=3q3d")  # the numbers of the meter of a timer, in front of the newest slice


class TimerBuffer(SlicedBuffer[TimerState], TickingBuffer[TimerState]):
    """Records durations, each of which also counts as an event."""

    __slots__ = ("_began", "_below_zero", "_idle", "_memo")

    _below_zero: int
    """Durations of a fold below zero, not logged yet; `_LOGGED` after the log."""

    def __init__(self, name: str, tags: Any, now: Any) -> None:
        super().__init__(name, tags, now)
        self._memo = Memo((b"", None))
        self._below_zero = 0
        self._began = now()
        self._idle = self._timing()

    def restart(self) -> None:
        """Begin at zero in a child process."""
        super().restart()
        self._began = self.now()
        self._idle = self._timing()

    def numbers(self, now: float) -> Numbers:
        """Return the numbers, as `Buffer.numbers` does; log durations below zero."""
        numbers = super().numbers(now)
        if self._below_zero > 0:
            self._log_below_zero()
        return numbers

    def committed(self, now: float) -> Numbers:
        """Return the numbers, as `Buffer.committed` does; log durations below zero."""
        numbers = super().committed(now)
        if self._below_zero > 0:
            self._log_below_zero()
        return numbers

    def state(self, numbers: Numbers) -> TimerState:
        """Return the state that `numbers` of this timer stand for."""
        newest, settled = numbers
        durations = with_newest(settled, self._memo.slice(newest, _EVENTS.size))
        return TimerState(of_numbers(_EVENTS.unpack_from(newest)), durations)

    def time(self, function: None = None) -> Timing:
        """Return a scope that records the time from entering it to leaving it, by an exception too.

        It is a context manager and a decorator (see `tapes.scope.Scope`). It may be entered again while entered, and
        by any threads, tasks and contexts. A block entered before a fork counts only in the parent.
        `with timer.time():` costs about 400 ns.

        Raises InvalidTypeError for `@timer.time` without its parentheses.
        """
        # To make a scope costs as much as all the rest, so the last one is reused once nothing else refers to it.
        timing = self._idle
        if getrefcount(timing) == _ALONE and function is None:
            return timing
        if function is not None:
            raise without_parentheses("time", self.name, function)
        self._idle = timing = self._timing()
        return timing

    def _timing(self) -> Timing:
        """Return a new scope."""
        timing = _new(_kind)
        timing._timer = self
        timing._started = None if _kind is Timing else {}
        return timing

    def update(self, duration: Union[SupportsFloat, timedelta]) -> None:
        """Record one event that took `duration`: seconds as any real number, or a timedelta.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 130 ns, and 100 ns for
        its part in a later fold.

        A duration below zero, which a clock that steps back produces, is recorded as zero. Raises InvalidTypeError
        unless `duration` is a number or a timedelta, and InvalidValueError for NaN and infinities.
        """
        # As in a histogram, ints of any size pass here.
        if (type(duration) is not float or duration - duration) and type(duration) is not int:
            duration = self._seconds(duration)
        now = self.now()
        self._pending.append(duration)
        if now >= self._until:
            self._settle(now)

    def _seconds(self, duration: object) -> float:
        """Return the seconds of a number or a timedelta; raise for anything else."""
        number = exact(duration)
        if number is None:
            from datetime import timedelta  # here, because this import costs more than most of tapes

            if isinstance(duration, timedelta):
                number = exact(duration.total_seconds())
        if number is None:
            raise self._refusal(duration, "a finite number of seconds or a timedelta")
        return number

    def _zero(self, now: float) -> Numbers:
        return _EVENTS.pack(*started(now).numbers()), NOTHING_SETTLED

    def _with_records(self, content: Any, records: List[float], until: float, now: float) -> Any:
        if type(content) is tuple:
            events, settled = content
            before = self._memo.slice(events, _EVENTS.size)
        else:
            events, before, settled = content
        events = _EVENTS.pack(*with_events(_EVENTS.unpack_from(events), len(records), now))
        if not records:
            return [events, before, settled]
        part, after = with_values(before, settled, records, until, until)
        if part.values.minimum < 0 or (after is not settled and with_newest(after, part).minimum < 0):
            if self._below_zero != _LOGGED:
                self._below_zero = sum([record < 0 for record in records])
            part, after = with_values(before, settled, [max(record, 0.0) for record in records], until, until)
        return [events, part, after]

    def _packed(self, content: Any) -> Numbers:
        if type(content) is tuple:
            return content
        events, newest, settled = content
        return events if newest is None else self._memo.packed(newest, events), settled

    def _log_below_zero(self) -> None:
        """Log that durations were below zero. Only readers call it: a record must not wait for a log handler's lock."""
        count, self._below_zero = self._below_zero, _LOGGED
        import logging

        logging.getLogger("tapes.registry").warning(
            "The timer %r was given %s below zero, recorded as zero. Further ones are not logged. Measure with a "
            "clock that is never set back, like time.monotonic().",
            self.name,
            "1 duration" if count == 1 else f"{count} durations",
        )


_kind = Timing if _SWITCHES_AT_CALLS_ONLY else SharedTiming
_new = Timing.__new__


def _references(timer: TimerBuffer) -> int:
    """Return how many references `time` counts to a scope of `timer`."""
    timing = timer._idle
    return getrefcount(timing)


_ALONE = _references(TimerBuffer("", (), float)) if _HAS_LOCK else 0
"""How many references `time` counts to a scope that only the timer refers to."""
