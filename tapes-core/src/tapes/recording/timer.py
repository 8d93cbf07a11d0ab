"""The buffer of a timer, and the scope that measures durations for it."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Union

from tapes.recording.exact import exact
from tapes.recording.histogram import with_values
from tapes.recording.meter import TickingBuffer
from tapes.scope import Scope
from tapes.state.histogram import NONE
from tapes.state.rates import started as meter_started
from tapes.state.rates import tick_of
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

    # A scope, when it was entered, and the entry that was there before.
    _Entry = Tuple["Timing", float, Optional[Any]]

# Whether no other thread can run between the look at an attribute and the change of it that follows at once.
_SWITCHES_AT_CALLS_ONLY = (
    sys.implementation.name == "cpython"
    and sys.version_info >= (3, 11)
    and getattr(sys, "_is_gil_enabled", lambda: True)()
)


_LOGGED = -1


class TimerBuffer(TickingBuffer[TimerState]):
    """Takes durations, each of which is an event too."""

    __slots__ = ("_began", "_below_zero", "_idle")

    _below_zero: int
    """How many durations of a fold were below zero, if that is yet to be logged; `_LOGGED` once it was."""

    def __init__(self, name: str, tags: Any, now: Any) -> None:
        super().__init__(name, tags, now)
        self._below_zero = 0
        self._began = now()
        self._idle = self._timing()

    def restart(self) -> None:
        """Forget everything and begin at zero, in a child process."""
        super().restart()
        self._began = self._now()
        self._idle = self._timing()

    def read(self, now: float) -> TimerState:
        """Return the state, as `Buffer.read` does; log durations below zero."""
        state = super().read(now)
        if self._below_zero > 0:
            self._log_below_zero()
        return state

    def committed(self, now: float) -> TimerState:
        """Return the state, as `Buffer.committed` does; log durations below zero."""
        state = super().committed(now)
        if self._below_zero > 0:
            self._log_below_zero()
        return state

    def time(self) -> Timing:
        """Return a scope that records the duration from entering it to leaving it, however it is left.

        A context manager and a decorator (see `tapes.scope.Scope`), which may be entered again while it is entered, and
        by any number of threads and tasks. A block that was entered before a fork counts in the parent only. `with
        timer.time():` costs about 400 ns.
        """
        # To make an object costs as much as all the rest. So the last one is handed out for as long as nobody is in it;
        # should two get hold of it at once, it copes, as any scope does that is shared.
        timing = self._idle
        if not timing._started:
            return timing
        self._idle = timing = self._timing()
        return timing

    def update(self, duration: Union[float, timedelta]) -> None:
        """Record one event that took `duration`: seconds as an int or a float, or a timedelta.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 120 ns, and 100 ns for
        its part in a later fold.

        A duration below zero, as clocks that step back produce, is recorded as zero. Raises InvalidTypeError for what
        is no duration and InvalidValueError for NaN and infinities.
        """
        # As in a histogram, ints of any size are taken as they are.
        if (type(duration) is not float or duration - duration != 0.0) and type(duration) is not int:
            duration = self._seconds(duration)
        now = self._now()
        self._pending.append(duration)
        if now >= self._until:
            self._settle(now)

    def _seconds(self, duration: object) -> float:
        """Return the seconds of a number or a timedelta; raise for anything else."""
        number = exact(duration)
        if number is None:
            from datetime import timedelta  # here, because importing it costs more than most of tapes

            if isinstance(duration, timedelta):
                number = exact(duration.total_seconds())
        if number is None:
            raise self._refusal(duration, "a finite number of seconds or a timedelta")
        return number

    def _timing(self) -> Timing:
        timing = _new(_kind)
        timing._timer = self
        timing._started = None if _kind is Timing else {}
        return timing

    def _zero(self, now: float) -> TimerState:
        return TimerState(meter_started(now), NONE)

    def _absorbed(self, state: TimerState, records: List[float], until: float, now: float) -> TimerState:
        durations = with_values(state.durations, records, until, until)
        if records and any(part.values.minimum < 0 for part in durations.slices):
            if self._below_zero != _LOGGED:
                self._below_zero = sum([record < 0 for record in records])
            durations = with_values(state.durations, [max(record, 0.0) for record in records], until, until)
        return TimerState(state.events.marked(len(records)).advanced(tick_of(now)), durations)

    def _log_below_zero(self) -> None:
        """Log that durations were below zero. For who reads: who records must not wait for the locks of a handler."""
        count, self._below_zero = self._below_zero, _LOGGED
        import logging

        logging.getLogger("tapes.registry").warning(
            "The timer %r was given %s below zero, recorded as zero; of further ones nothing is logged. Measure with a "
            "clock that is never set back, like time.monotonic().",
            self.name,
            "1 duration" if count == 1 else f"{count} durations",
        )


_entered: ContextVar[Optional[_Entry]] = ContextVar("tapes_timings_entered", default=None)


class Timing(Scope):
    """Measures the time from entering to leaving, for a timer.

    A scope that is entered once at a time, as nearly all are, keeps the start in an attribute. One that is found
    entered keeps further starts in a context variable, so that each thread, task and greenlet leaves what it entered.
    """

    __slots__ = ("_started", "_timer")

    _timer: TimerBuffer
    _started: Union[float, Dict[str, List[float]], None]
    """When it was entered; None while it is not. Once it has been shared, a dict with that time, or with nothing."""

    def again(self) -> Timing:
        """Return a scope for the same timer."""
        return self._timer.time()

    def apart(self) -> Timing:
        """Return a scope for the same timer that nobody else has."""
        return self._timer._timing()

    def __enter__(self) -> Timing:
        now = self._timer._now()
        if self._started is None:
            self._started = now
        else:
            self._enter_shared(now)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        timer = self._timer
        now = timer._now()
        started: Any = self._started
        try:
            duration = now - started
            self._started = None
        except TypeError:
            started = self._leave_shared()
            duration = now - started
        if started >= timer._began:
            timer._pending.append(duration)
            if now >= timer._until:
                timer._settle(now)

    def _enter_shared(self, now: float) -> None:
        claims: Any = self._started
        # No isinstance(): there must be no call between the look at the attribute and its change.
        if claims.__class__ is not dict:
            claims = self._started = {} if claims is None else {_CLAIM: [claims]}
        before = entry = _entered.get()
        while entry is not None and entry[0] is not self:
            entry = entry[2]
        mine = [now]
        # Atomic, so of all that enter now one finds its own list in the dict. Who has entered by the context variable
        # before, and is inside, enters by it again: what is left first is looked for there first.
        if entry is not None or claims.setdefault(_CLAIM, mine) is not mine:
            _entered.set((self, now, before))

    def _leave_shared(self) -> float:
        """Return when this scope was entered by who leaves it now."""
        above: List[_Entry] = []
        entry = _entered.get()
        while entry is not None:
            if entry[0] is self:
                below = entry[2]
                for scope, started, _ in reversed(above):
                    below = (scope, started, below)
                _entered.set(below)
                return entry[1]
            above.append(entry)
            entry = entry[2]
        claims = self._started
        claim = claims.pop(_CLAIM, None) if isinstance(claims, dict) else None
        if claim is None:
            raise RuntimeError(f"A timing of {self._timer.name!r} was left that had not been entered here.")
        return claim[0]

    def __reduce__(self) -> Tuple[Any, ...]:
        return self._timer.time, ()

    def __repr__(self) -> str:
        return f"<Timing for the timer {self._timer.name!r}>"


class SharedTiming(Timing):
    """The same for interpreters that switch threads anywhere: each is treated as one that is shared."""

    __slots__ = ()

    def __enter__(self) -> Timing:
        self._enter_shared(self._timer._now())
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        timer = self._timer
        now = timer._now()
        started = self._leave_shared()
        if started >= timer._began:
            timer._pending.append(now - started)
            if now >= timer._until:
                timer._settle(now)


_CLAIM = "entered"

_kind = Timing if _SWITCHES_AT_CALLS_ONLY else SharedTiming
_new = Timing.__new__
