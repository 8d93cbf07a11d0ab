"""Producers: callables that return a metric's number whenever it is read."""

from __future__ import annotations

from os import getpid
from types import MethodType
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

from tapes.errors import quoted
from tapes.recording import exact
from tapes.state.numbers import added

if TYPE_CHECKING:
    from tapes.streak import Streak

    Producer = Callable[[], Any]

_BEGINNING = (0, 0, 0)
_UNKNOWN = (0, 0, None)


def is_same(producer: Producer, other: object) -> bool:
    """Return whether two producers are the same. Each look-up of a bound method gives a new object."""
    if isinstance(producer, MethodType) and isinstance(other, MethodType):
        return producer.__self__ is other.__self__ and producer.__func__ is other.__func__
    return producer is other


class Growth:
    """The growth of the total that a producer returns.

    One thread calls the producer at a time. Others do not wait, and use the last known total. So a producer that hangs
    holds up one reader, and one that reads its own metric does not recurse. The known totals are one tuple, replaced as
    a whole, so an exception at any point loses nothing. A failed call loses nothing either: the next total includes
    everything.
    """

    __slots__ = ("_claims", "_known", "_name", "_process", "_streak", "producer")

    def __init__(self, name: str, producer: Producer) -> None:
        self.producer = producer
        """The callable that returns the total."""
        self._name = name
        self._process = getpid()
        self._claims: Dict[int, object] = {}  # the call in progress, by process
        # The growth before the total started again; the start of the current total; its last value, None if unknown.
        self._known: Tuple[float, float, Optional[float]] = _BEGINNING
        self._streak: Optional[Streak] = None

    def told_by(self, producer: Producer) -> Growth:
        """Return the same growth, continued by another producer."""
        growth = Growth(self._name, producer)
        growth._known, growth._process = self._known, self._process
        return growth

    def restarted(self) -> Growth:
        """Return a growth of zero. It starts from the total that the producer returns next."""
        growth = Growth(self._name, self.producer)
        growth._known, growth._streak = _UNKNOWN, self._streak
        return growth

    def now(self) -> float:
        """Call the producer, unless another thread is calling it, and return the growth."""
        self._look_for_fork()
        self._ask()
        return self.known()

    def known(self) -> float:
        """Return the growth up to the last known total."""
        self._look_for_fork()
        before, start, last = self._known
        return before if last is None else added(before, last - start)

    def _look_for_fork(self) -> None:
        if self._process != getpid():  # forked without the fork hook
            self._known, self._process = _UNKNOWN, getpid()

    def _ask(self) -> None:
        claims, pid, claim = self._claims, self._process, object()
        # Released twice, because an exception from a signal handler may cut off one release before it begins.
        try:
            try:
                if claims.setdefault(pid, claim) is claim:
                    total = self._total()
                    if total is not None:
                        self._known = self._after(total)
            finally:
                _release(claims, pid, claim)
        finally:
            _release(claims, pid, claim)

    def _after(self, total: float) -> Tuple[float, float, Optional[float]]:
        before, start, last = self._known
        if last is None:
            return before, total, total
        if total < last:
            return added(before, last - start), 0, total
        return before, start, total

    def _total(self) -> Optional[float]:
        producer = self.producer
        try:
            value = producer()
        except Exception as error:  # noqa: BLE001  a failing producer must cost only its own value
            self._failures().failed(
                f"cannot be read, its producer {quoted(producer)} raised: what it counts meanwhile is added later.",
                error,
            )
            return None
        total = exact(value)
        if total is None or total < 0:
            self._failures().failed(
                f"cannot be read, its producer {quoted(producer)} returned {quoted(value)}, which is no finite number "
                "from 0: what it counts meanwhile is added later."
            )
            return None
        if self._streak is not None:
            self._streak.succeeded()
        return total

    def _failures(self) -> Streak:
        if self._streak is None:
            from tapes.streak import Streak

            self._streak = Streak("tapes.registry", f"The counter {self._name!r}")
        return self._streak


def _release(claims: Dict[int, object], pid: int, claim: object) -> None:
    if claims.get(pid) is claim:
        claims.pop(pid, None)
