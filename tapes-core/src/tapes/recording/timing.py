"""The scope that measures durations for a timer."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Union

from tapes.scope import Scope

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Protocol

    class _Stopwatch(Protocol):
        """The part of a `tapes.recording.timer.TimerBuffer` that its scopes use."""

        name: str
        _pending: List[Any]
        _began: float
        _until: float

        def now(self) -> float: ...

        def _settle(self, now: float) -> None: ...

        def _timing(self) -> Timing: ...

        def time(self) -> Timing: ...

    # The time of entering, and the key: the frame that entered, and how many entries that frame had already. The key
    # becomes None on leaving, so as to keep no frame alive.
    _Entry = List[Any]
    # A scope, one of its entries, the link before, and the number of links up to this one.
    _Link = Tuple["Timing", _Entry, Optional[Any], int]

_getframe = sys._getframe

_entered: ContextVar[Optional[_Link]] = ContextVar("tapes_timings_entered", default=None)
"""The entries of this context, the newest first."""

_FIRST = "first"

_LONG = 16  # from this many links on, remove dead ones at each power of two

_SUSPENDABLE = 0x20 | 0x80 | 0x200  # code flags of generators, coroutines and asynchronous generators


class Timing(Scope):
    """Measures the time from entering to leaving, for a timer.

    Nearly all scopes are entered once at a time, and keep the start in an attribute. One that is entered again keeps
    the starts by the frame that entered: a `with` block has the same frame on leaving, whatever thread, task or context
    runs it. An exit from an unknown frame, as with an ExitStack, ends the newest entry of this context whose frame has
    returned, else the first entry. Whichever entry it ends, count and sum are right once all are left.
    """

    __slots__ = ("_started", "_timer")

    _timer: _Stopwatch
    _started: Union[float, Dict[Any, _Entry], None]
    """The time of entering, or None while not entered. Once shared, a dict of all entries, which may be empty."""

    @property
    def again(self) -> Callable[[], Timing]:
        """Make a new scope for the same timer. A property, to save decorated functions one call."""
        return self._timer.time

    def forget(self) -> None:
        """Drop an entry: leaving it measures nothing."""
        self._taken(None)

    def handed_on(self) -> Timing:
        """Return an entered scope with the start of this one. This one no longer measures that entry."""
        started = self._taken(None)
        timing = self._timer._timing()
        if started is not None:
            timing._started = {_FIRST: [started, None]}
        return timing

    def __enter__(self) -> Timing:
        now = self._timer.now()
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
        now = timer.now()
        started: Any = self._started
        try:
            duration = now - started
            self._started = None
        except TypeError:
            started = self._taken(_getframe(0).f_back)
            if started is None:
                return  # it had not been entered
            duration = now - started
        if started >= timer._began:
            timer._pending.append(duration)
            if now >= timer._until:
                timer._settle(now)

    def _enter_shared(self, now: float) -> None:
        entries: Any = self._started
        # No isinstance(): there must be no call between reading the attribute and changing it.
        if entries.__class__ is not dict:
            entries = self._started = {} if entries is None else {_FIRST: [entries, None]}
        entry: _Entry = [now, None]
        # Atomic: exactly one of all that enter now finds its own entry in the dict.
        if entries or entries.setdefault(_FIRST, entry) is not entry:
            self._enter_by_frame(entries, entry, _getframe(1).f_back)

    def _enter_by_frame(self, entries: Dict[Any, _Entry], entry: _Entry, frame: Optional[FrameType]) -> None:
        depth = 0
        while (frame, depth) in entries:
            depth += 1
        entry[1] = frame, depth
        entries[frame, depth] = entry
        _entered.set(_linked(self, entry, _entered.get()))

    def _taken(self, frame: Optional[FrameType]) -> Optional[float]:
        """Remove the entry that `frame` leaves, and return its start; None if there is none."""
        entries = self._started
        if not isinstance(entries, dict):
            self._started = None
            return entries
        entry = (
            _of_frame(entries, frame)
            or self._of_context(entries, frame)
            or entries.pop(_FIRST, None)
            or self._of_context(entries)
            or _oldest(entries)
        )
        if entry is None:
            return None
        entry[1] = None
        link = _entered.get()
        if link is not None and link[1][1] is None:
            _entered.set(_living(link))
        started: float = entry[0]
        return started

    def _of_context(self, entries: Dict[Any, _Entry], leaving: Optional[FrameType] = None) -> Optional[_Entry]:
        """Remove the newest entry of this context; with `leaving`, the newest one whose frame has returned."""
        link = _entered.get()
        while link is not None:
            scope, entry, link, _ = link
            if scope is not self or entry[1] is None or (leaving is not None and _runs(entry[1][0], leaving)):
                continue
            if entries.pop(entry[1], None) is not None:
                return entry
        return None

    def __reduce__(self) -> Tuple[Any, ...]:
        return self._timer.time, ()

    def __repr__(self) -> str:
        return f"<Timing for the timer {self._timer.name!r}>"


def _of_frame(entries: Dict[Any, _Entry], frame: Optional[FrameType]) -> Optional[_Entry]:
    depth = 0
    while (frame, depth + 1) in entries:
        depth += 1
    return entries.pop((frame, depth), None)


def _runs(frame: Optional[FrameType], current: Optional[FrameType]) -> bool:
    """Return whether `frame`, which entered in this context, has not returned, and may leave by itself."""
    if frame is None or frame.f_code.co_flags & _SUSPENDABLE:
        return True
    while current is not None:
        if current is frame:
            return True
        current = current.f_back
    return False


def _oldest(entries: Dict[Any, _Entry]) -> Optional[_Entry]:
    for key in list(entries):
        entry = entries.pop(key, None)
        if entry is not None:
            return entry
    return None


def _linked(scope: Timing, entry: _Entry, before: Optional[_Link]) -> _Link:
    """Return a new link in front of `before`, and remove dead links if the chain has grown long.

    Entries that are left out of order leave dead links between living ones. Blocks that hand over to each other for
    ever would leave ever more.
    """
    before = _living(before)
    length = 1 if before is None else before[3] + 1
    if length >= _LONG and not length & (length - 1):
        living = []
        while before is not None:
            living.append(before)
            before = _living(before[2])
        length = 1
        for each, its_entry, _, _ in reversed(living):
            before = each, its_entry, before, length
            length += 1
    return scope, entry, before, length


def _living(link: Optional[_Link]) -> Optional[_Link]:
    """Return the newest link whose entry has not been left."""
    while link is not None and link[1][1] is None:
        link = link[2]
    return link


class SharedTiming(Timing):
    """The same for interpreters that switch threads anywhere: every scope counts as shared from the start."""

    __slots__ = ()

    def __enter__(self) -> Timing:
        entries: Any = self._started
        entry: _Entry = [self._timer.now(), None]
        if entries or entries.setdefault(_FIRST, entry) is not entry:
            self._enter_by_frame(entries, entry, _getframe(0).f_back)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        timer = self._timer
        now = timer.now()
        entries: Any = self._started
        only = entries.pop(_FIRST, None) if len(entries) == 1 else None
        started = self._taken(_getframe(0).f_back) if only is None else only[0]
        if started is not None and started >= timer._began:
            timer._pending.append(now - started)
            if now >= timer._until:
                timer._settle(now)
