"""The buffer that all kinds of metrics share, and how it is folded."""

from __future__ import annotations

from _thread import get_ident
from os import getpid
from time import sleep
from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, List, Tuple, TypeVar

from tapes.errors import InvalidTypeError, InvalidValueError, quoted
from tapes.recording.exact import exact, is_number
from tapes.state.numbers import LARGEST

if TYPE_CHECKING:
    from tapes.naming import Tags

State = TypeVar("State")

Numbers = Tuple[Any, ...]
"""A cumulative state as a buffer keeps it: a plain tuple of numbers, bytes and such tuples.

CPython's garbage collector stops tracking these tuples once it has seen them. It would keep tracking other objects,
dicts included. Each fold makes new ones, so with many thousands of metrics the collector would scan everything that
the program holds every other second, while nothing else runs.
"""

CAPACITY = 2048
"""Records that fill a buffer: enough to make the cost of a fold per record small, in at most 64 kB."""

_CROWDED = 16 * CAPACITY
"""Pending records at which recording threads start to pause, to bound memory."""

_PAUSE = 0.001  # seconds of each pause

_folding: Dict[Tuple[Any, int], List[int]] = {}
"""Folds in progress: (buffer, pid) -> claim. A claim is a list that holds the id of the folding thread.

To enter a claim is one atomic operation, and the claim object itself proves later who entered it. So a fold releases
its claim even if an exception from a signal handler cuts it off at any point. A lock could stay taken if the exception
came just as it was acquired.
"""


class Buffer(Generic[State]):
    """Pending records, and the content that earlier ones were folded into, in one list: `[content, record, ...]`.

    Recording appends to the list, which is atomic and waits for nothing. A fold computes the next content from a copy.
    One slice assignment, which is atomic too, then replaces the old content and the folded records. So a copy of the
    list holds each record exactly once, at any moment, in any thread, signal handler or finalizer, and an exception in
    the middle of a fold changes nothing.

    One fold runs at a time. A thread that finds one in progress does not wait. Only if many threads do nothing but
    record, and the folding thread falls far behind, each of them pauses for a millisecond, to bound memory.
    """

    __slots__ = ("_pending", "_pid", "name", "now", "tags")

    def __init__(self, name: str, tags: Tags, now: Callable[[], float]) -> None:
        self.name = name
        self.tags = tags
        self.now = now
        """The clock of this buffer: seconds, from an arbitrary start."""
        self._pending: List[Any] = [self._zero(now())]
        self._pid = getpid()

    def read(self, now: float) -> State:
        """Return the state, which includes everything recorded before this call. Waits for nothing.

        `now` is the time by the metric's clock.
        """
        return self.state(self.numbers(now))

    def numbers(self, now: float) -> Numbers:
        """Return the numbers of the state that `read` returns: the same tuple until something is recorded.

        Threads that read at the same time may get different tuples that stand for the same values.
        """
        until = self._prepare_read(now)
        if len(self._pending) > 1 or type(self._pending[0]) is list or self._pid != getpid():
            self._fold(until, now)
        content, *records = self._pending[:]
        # Records remain if another thread is folding, or if this one is, and a signal handler or finalizer cut in.
        if records:
            content = self._with_records(content, records, until, now)
        return content if type(content) is tuple else self._packed(content)

    def committed(self, now: float) -> Numbers:
        """Return the numbers after a fold of everything recorded before this call. Waits for a fold in another thread.

        For publishers, whose next message builds on these numbers: `numbers` may cut the same values into other slices
        while another thread folds.
        """
        until = self._prepare_read(now)
        while len(self._pending) > 1 or type(self._pending[0]) is list or self._pid != getpid():
            if self._fold(until, now):
                break
            sleep(_PAUSE)
        content = self._pending[0]
        return content if type(content) is tuple else self._packed(content)

    def state(self, numbers: Numbers) -> State:
        """Return the state that `numbers` of this metric stand for."""
        raise NotImplementedError

    def restart(self) -> None:
        """Begin at zero in a child process, where no other thread can be recording."""
        self._pid = getpid()
        _folding.clear()  # these threads exist only in the parent
        # A new list, because a signal handler may have forked in the middle of a record or a fold. That call continues
        # here with the old list, and counts in the parent.
        now = self.now()
        self._pending = [self._zero(now)]
        self._refolded(now)

    def swap(self, content: List[Any] | None) -> List[Any]:
        """Return everything recorded, and replace it by `content`, from an earlier swap; None for nothing.

        For the isolation of tests. Waits for a fold in another thread.
        """
        now = self.now()
        Buffer.numbers(self, now)  # unlike that of a gauge, it calls no producer
        key, claim = (self, getpid()), [get_ident()]
        while _folding.setdefault(key, claim) is not claim:
            sleep(_PAUSE)
        try:
            pending = self._pending
            count = len(pending)
            taken = pending[:count]
            pending[:count] = (self._zero(now),) if content is None else content
        finally:
            _release(key, claim)
        # Fold now: later records have other times than those that came back.
        self._fold(now, now)
        return taken

    def _zero(self, now: float) -> Numbers:
        """Return the numbers of a metric without a record up to `now`."""
        raise NotImplementedError

    def _with_records(self, content: Any, records: List[Any], until: float, now: float) -> Any:
        """Return `content` with `records` folded in.

        No record was made after `until`; later ones are made after `now`. Both contents are numbers, or a list that
        `_packed` turns into numbers.
        """
        raise NotImplementedError

    def _packed(self, content: Any) -> Numbers:
        """Return the numbers of a content, which may be numbers already."""
        return content  # type: ignore[no-any-return]  # this default is for kinds whose content is never a list

    def _prepare_read(self, now: float) -> float:
        """Prepare a read at `now`, and return a time after which no pending record was made."""
        return now

    def _refolded(self, now: float) -> None:
        """React to a fold at `now`."""

    def _fold(self, until: float, now: float, keep: int = 0, *, packs: bool = True) -> bool:
        """Fold all but the newest `keep` records. Return False if another fold is in progress.

        See `_with_records` for the times. `packs=False` leaves the result unpacked, for a caller that soon folds again.
        """
        pid = getpid()
        key, claim = (self, pid), [get_ident()]
        claimed = claim
        # Released twice, because an exception from a signal handler may cut off one release before it begins.
        try:
            try:
                claimed = _folding.setdefault(key, claim)
                if claimed is claim:
                    pending = self._pending
                    if self._pid != pid:
                        # Forked without the fork hook. Keep the pending records: this process made nearly all of them.
                        pending[0] = self._zero(now)
                        self._pid = pid
                    # Another thread may meanwhile have folded the records to keep, too.
                    count = max(len(pending) - keep, 1)
                    content = self._with_records(pending[0], pending[1:count], until, now)
                    pending[:count] = (self._packed(content) if packs else content,)
            finally:
                _release(key, claim)
        finally:
            _release(key, claim)
        if claimed is claim:
            self._refolded(now)
            return True
        if claimed != claim and len(self._pending) > _CROWDED:
            sleep(_PAUSE)
        return False

    def _checked(self, n: Any) -> float:
        """Return `n` as an exact int or float. Raises the error of `_refusal`."""
        kind = type(n)
        if (kind is int or kind is float) and -LARGEST <= n <= LARGEST:
            return n  # type: ignore[no-any-return]  # the type was just checked
        number = exact(n)
        if number is None:
            raise self._refusal(n, "a finite number")
        return number

    def _refusal(self, value: object, what: str) -> Exception:
        """Return the error for a value that cannot be recorded; `what` names the valid values."""
        problem = f"{self.name!r} takes {what}, not {quoted(value)}"
        if is_number(value):
            return InvalidValueError(f"{problem}: check the value, or leave it out.")
        return InvalidTypeError(f"{problem} ({type(value).__name__}): convert it with int() or float().")


def _release(key: Tuple[Any, int], claim: List[int]) -> None:
    if _folding.get(key) is claim:
        _folding.pop(key, None)
