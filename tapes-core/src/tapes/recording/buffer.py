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
"""A cumulative state as it is kept: a plain tuple of numbers, of bytes, and of such tuples.

CPython's collector of garbage takes no more notice of these once it has seen them. Of other objects, dicts among them,
it would: each fold makes new ones, and where there are many thousands of metrics it would look through everything that
the program holds every other second, while nothing else runs.
"""

CAPACITY = 2048
"""How many records make a buffer full: enough to spread the cost of a fold thin, in 64 kB at the most."""

_CROWDED = 16 * CAPACITY
"""How many records are pending when those who make them are so much faster than who folds them that they give way."""

_PAUSE = 0.001  # seconds for which they do

_folding: Dict[Tuple[Any, int], List[int]] = {}
"""The buffers that are being folded in a process, each with the claim of who does it: a list with the thread in it.

To enter a claim is one atomic operation, and whose claim it is can be told by its identity at any later time. So a fold
that a signal handler cuts off by an exception, wherever that is, takes its claim back; a lock that was taken in that
very moment would stay taken.
"""


class Buffer(Generic[State]):
    """Records, and what earlier ones were folded into, in one list: `[content, record, record, ...]`.

    Recording appends to the list, which is atomic and waits for nothing. A fold computes the next state from a copy and
    puts it in the place of the old one and of the records it covers by one slice assignment, which is atomic too. So
    whoever copies the list sees each record exactly once, at any moment, from any thread, signal handler or finalizer,
    and an exception in the middle of a fold leaves everything as it was.

    Folds exclude one another by claims, which are never waited for: who finds another at it goes on. Only if many
    threads do nothing but record, and the one that folds falls far behind, each of them pauses for a millisecond, or
    memory would be the limit.
    """

    __slots__ = ("_pending", "_pid", "name", "now", "tags")

    def __init__(self, name: str, tags: Tags, now: Callable[[], float]) -> None:
        self.name = name
        self.tags = tags
        self.now = now
        """The clock that it was made with: seconds, from an arbitrary start."""
        self._pending: List[Any] = [self._zero(now())]
        self._pid = getpid()

    def read(self, now: float) -> State:
        """Return the state that everything recorded before this call is part of. Waits for nothing.

        `now` is the time of the metric's clock.
        """
        return self.state(self.numbers(now))

    def numbers(self, now: float) -> Numbers:
        """Return what `state` makes of it what `read` returns: the same tuple for as long as nothing is recorded.

        Unless several threads read at once: then it may be another one that says the same.
        """
        until = self._prepare_read(now)
        if len(self._pending) > 1 or type(self._pending[0]) is list or self._pid != getpid():
            self._fold(until, now)
        content, *records = self._pending[:]
        # Records are left where another thread is folding, or this very one below a signal handler or a finalizer.
        if records:
            content = self._absorbed(content, records, until, now)
        return content if type(content) is tuple else self._packed(content)

    def committed(self, now: float) -> Numbers:
        """Return the numbers into which everything recorded before this call has been folded for good.

        For who publishes states and builds upon them: what `numbers` returns while another thread is folding says the
        same, but may say it in other slices than what that thread is about to put in. Waits for that thread.
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
        """Forget everything and begin at zero. For a child process, where no other thread can be recording."""
        self._pid = getpid()
        _folding.clear()  # the claims of threads that are not here
        # Another list, because a signal handler may have forked in the middle of a record or a fold: that one goes on
        # with the old list here, and is the parent's.
        now = self.now()
        self._pending = [self._zero(now)]
        self._refolded(now)

    def exchange(self, content: List[Any] | None) -> List[Any]:
        """Take out everything recorded and put `content`, from an earlier exchange, in its place; None for nothing.

        For tests that want a metric for themselves. Waits for a fold in another thread to end.
        """
        now = self.now()
        Buffer.numbers(self, now)  # which asks no producer of a gauge
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
        # What comes next is recorded at another time than what has come back.
        self._fold(now, now)
        return taken

    def _zero(self, now: float) -> Numbers:
        """Return the numbers of this kind that has seen nothing up to `now`."""
        raise NotImplementedError

    def _absorbed(self, content: Any, records: List[Any], until: float, now: float) -> Any:
        """Return `content` after `records`, none of which was made after `until`; further ones are made after `now`.

        Both are numbers, or a list of what `_packed` makes numbers of.
        """
        raise NotImplementedError

    def _packed(self, content: Any) -> Numbers:
        """Return the numbers of a content, which may be these already."""
        return content  # type: ignore[no-any-return]  # of kinds that make no lists

    def _prepare_read(self, now: float) -> float:
        """Get ready for a read at `now`, and return a time after which none of what is pending was recorded."""
        return now

    def _refolded(self, now: float) -> None:
        """Adapt to a fold having been done at `now`."""

    def _fold(self, until: float, now: float, keep: int = 0, *, packs: bool = True) -> bool:
        """Fold all but the newest `keep` records, unless another fold is at it: then False is returned.

        See `_absorbed` for the times. Who is about to fold again need not have the result packed.
        """
        pid = getpid()
        key, claim = (self, pid), [get_ident()]
        claimed = claim
        # Twice, because an exception from a signal handler may cut off one release before it has begun.
        try:
            try:
                claimed = _folding.setdefault(key, claim)
                if claimed is claim:
                    pending = self._pending
                    if self._pid != pid:
                        # Forked, and no hook was called. What is pending stays: nearly all of it is this process's own.
                        pending[0] = self._zero(now)
                        self._pid = pid
                    # Another thread may have folded the newest records too, since there were some to keep.
                    count = max(len(pending) - keep, 1)
                    content = self._absorbed(pending[0], pending[1:count], until, now)
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
        """Return the exact int or float that `n` is. Raises what `_refusal` returns."""
        kind = type(n)
        if (kind is int or kind is float) and -LARGEST <= n <= LARGEST:
            return n  # type: ignore[no-any-return]  # as was just seen
        number = exact(n)
        if number is None:
            raise self._refusal(n, "a finite number")
        return number

    def _refusal(self, value: object, what: str) -> Exception:
        """Return the error for a value that cannot be recorded; `what` says what can."""
        problem = f"{self.name!r} takes {what}, not {quoted(value)}"
        if is_number(value):
            return InvalidValueError(f"{problem}: check the value, or leave it out.")
        return InvalidTypeError(f"{problem} ({type(value).__name__}): convert it with int() or float().")


def _release(key: Tuple[Any, int], claim: List[int]) -> None:
    if _folding.get(key) is claim:
        _folding.pop(key, None)
