"""Producers: callables that return a metric's number whenever it is read."""

from __future__ import annotations

from itertools import count
from os import getpid
from types import MethodType
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple, Union

from tapes.errors import quoted
from tapes.foreign import has_to_pass
from tapes.recording import exact
from tapes.state.numbers import added

if TYPE_CHECKING:
    from tapes.naming import Tags
    from tapes.streak import Streak

    Producer = Callable[[], Any]
    TotalOf = Callable[[Tuple[str, Tags]], "Total"]

_FIRST_PROCESS = getpid()
"""The process that has imported tapes. All others are children of it."""

MOST_PRODUCERS = 1000
"""How many producers the series that takes the rest asks."""

_numbers = count(1)


def is_same(producer: Producer, other: object) -> bool:
    """Return whether two producers are the same. Each look-up of a bound method gives a new object."""
    if isinstance(producer, MethodType) and isinstance(other, MethodType):
        return producer.__self__ is other.__self__ and producer.__func__ is other.__func__
    return producer is other


class ProducerCalls:
    """The numbers that the producer of a metric returns. Where it returns none, one log line a streak says so."""

    __slots__ = ("_least", "_streak", "_subject", "_then")

    def __init__(self, subject: str, then: str, *, least: Optional[int] = None) -> None:
        """Accept finite numbers from `least` on. The log names the `subject`, and what happens `then`."""
        self._subject = subject
        self._then = then
        self._least = least
        self._streak: Optional[Streak] = None

    def number(self, producer: Producer) -> Optional[float]:
        """Ask a producer; None if it fails."""
        try:
            value = producer()
        except BaseException as error:  # a failing producer must cost only its own value
            if has_to_pass(error):
                raise
            self._failed(f"its producer {quoted(producer)} raised", error)
            return None
        number, least = exact(value), self._least
        if number is None or (least is not None and number < least):
            numbers = "no finite number" if least is None else f"no finite number from {least}"
            self._failed(f"its producer {quoted(producer)} returned {quoted(value)}, which is {numbers}")
            return None
        if self._streak is not None:
            self._streak.succeeded()
        return number

    def _failed(self, problem: str, error: Optional[BaseException] = None) -> None:
        if self._streak is None:
            from tapes.streak import Streak

            self._streak = Streak("tapes.registry", self._subject)
        self._streak.failed(f"cannot be read, {problem}: {self._then}.", error)


class KnownTotal:
    """What is known of a total at one moment, and what came to be known after it."""

    __slots__ = ("before", "last", "moment", "next", "owner", "process", "rank", "start")

    def __init__(
        self, owner: object, rank: int, before: float, start: Optional[float], last: Optional[float], moment: int = 0
    ) -> None:
        self.process = getpid()
        self.owner = owner
        """The counter whose growth this is; None before the first."""
        self.rank = rank
        """The number of that counter. Newer ones have higher numbers."""
        self.moment = moment
        """The number of the moment at which it was told last."""
        self.before = before
        """What came of totals that have begun anew since."""
        self.start = start
        """Where this one began; None if that is what it is when it is told for the next time."""
        self.last = last
        """What it was last, maybe in a parent process; None if it has never been told."""
        self.next: Dict[None, KnownTotal] = {}
        """What is known now, if it is something else. To put it in is one atomic operation, done once."""

    def grown(self) -> float:
        """Return the growth."""
        start, last = self.start, self.last
        return self.before if start is None or last is None else added(self.before, last - start)

    def after(self, total: float, rank: int) -> KnownTotal:
        """Return what is known when `total` has been told."""
        start, last = self.start, self.last
        if last is not None and total < last:
            return KnownTotal(self.owner, rank, self.grown(), 0, total, next(_numbers))
        if start is None:
            return KnownTotal(self.owner, rank, self.before, total, total, next(_numbers))
        if total == last:
            return self
        return KnownTotal(self.owner, rank, self.before, start, total, next(_numbers))

    def seen_by(self, counter: object, rank: int, grown: float) -> KnownTotal:
        """Return what this is to a counter: if that is another one than before, it goes on with what it has grown."""
        if self.owner is counter:
            return self
        start = self.start if self.last is None or self.start is None else self.last
        return KnownTotal(counter, rank, grown, start, self.last, self.moment)

    def taken(self) -> KnownTotal:
        """Return what is known when this growth has been taken out."""
        start = None if self.start is None else self.last
        return KnownTotal(self.owner, self.rank, 0, start, self.last, self.moment)

    def without(self, since: KnownTotal, rank: int) -> KnownTotal:
        """Return what is known when the growth since this one was taken out does not count."""
        grown, start = self.grown(), since.last
        if start == self.last and not since.grown():
            start = self.start  # nothing has come
            grown = self.before
        elif self.last is None and self.start is not None and start is not None:
            grown = max(added(start, -since.grown()), 0)  # with which it began since
        return KnownTotal(self.owner, rank, grown, start, since.last, since.moment)

    def forked(self) -> KnownTotal:
        """Return what a child process knows: no growth, and not where it begins."""
        return KnownTotal(self.owner, self.rank, 0, None, self.last, self.moment)


class Total:
    """What is known of the total of one series, by all counters and all producers that it has one after the other.

    Each step from one thing known to the next is one atomic operation, which fails if another one was faster. So growth
    is counted once, whoever tells it, and an exception at any point leaves what was known before or what is after.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # In a child process nobody knows how much of it is the parent's.
        self._known = KnownTotal(None, 0, 0, 0 if getpid() == _FIRST_PROCESS else None, None)

    def known(self) -> KnownTotal:
        """Return what is known now, in this process."""
        known = self._known
        while True:
            after = known.next.get(None)
            if after is None:
                if known.process == getpid():
                    break
                after = known.next.setdefault(None, known.forked())
            known = after
        self._known = known
        return known

    def step(self, next_of: Callable[[KnownTotal], KnownTotal]) -> Tuple[KnownTotal, KnownTotal]:
        """Go on to what `next_of` makes of what is known. Return both; the same one twice if it is that again."""
        while True:
            known = self.known()
            after = next_of(known)
            if after is known or known.next.setdefault(None, after) is after:
                return known, after


class Growth:
    """The growth of the total that a producer returns.

    One thread asks at a time. Others do not wait for it, and go by what was known before: so a producer that hangs
    holds up one reader, and one that reads its own metric ends. An exception at any point loses nothing, and neither
    does a producer that fails: the next total has it all.
    """

    __slots__ = ("_calls", "_claims", "_counter", "_growth", "_has_ended", "_name", "_rank", "producer", "total")

    def __init__(
        self, name: str, producer: Producer, total: Optional[Total] = None, counter: Optional[object] = None
    ) -> None:
        self.producer = producer
        """What is asked for the total."""
        self.total = Total() if total is None else total
        self._name = name
        self._counter = object() if counter is None else counter
        self._rank = next(_numbers)
        self._claims: Dict[int, object] = {}  # of who is asking, by process
        self._growth: float = 0
        self._has_ended = False
        self._calls = ProducerCalls(f"The counter {name!r}", "what it counts meanwhile is added later", least=0)

    def continued_by(self, producer: Producer) -> Growth:
        """Return the growth so far of a total that another producer tells from now on.

        What the one before is being asked for counts if it comes before the first total of the other.
        """
        growth = Growth(self._name, producer, self.total, self._counter)
        growth._growth, growth._rank = self._growth, self._rank
        return growth

    def restart(self) -> None:
        """Begin at zero in a child process."""
        self._growth = 0
        self.total.known()  # while no other thread is there

    def end(self) -> None:
        """Be asked no more."""
        self._has_ended = True

    def renew(self) -> None:
        """Be the newest who tells the total, if another counter has been since."""
        if self.total.known().owner is not self._counter:
            self._rank = next(_numbers)

    def take_out(self) -> Union[KnownTotal, float]:
        """Begin at zero with the total that is known last, or else the next one. Return what is known before."""
        counter, rank, seen = self._counter, self._rank, self.known()
        known, after = self.total.step(
            lambda known: known if _is_late(known, counter, rank) else known.seen_by(counter, rank, seen).taken()
        )
        self._growth = 0
        return seen if after is known else known.seen_by(counter, rank, seen)

    def resumed(self, before: Union[KnownTotal, float]) -> Growth:
        """Return to the growth of before `take_out`: what has come since then is not counted."""
        if not isinstance(before, KnownTotal):
            self._growth = before  # a newer counter has taken its place
            return self
        self._rank = rank = next(_numbers)
        self._has_ended = False
        self.total.step(lambda known: before.without(known.seen_by(before.owner, rank, 0), rank))
        return self

    def now(self) -> float:
        """Ask the producer, if nobody else does, and return how much the total has grown."""
        if not self._has_ended:
            self._ask()
        return self.known()

    def known(self) -> float:
        """Return how much the total had grown when it was asked for last."""
        known = self.total.known()
        if known.owner is self._counter:
            self._growth = known.grown()
        return self._growth

    def _ask(self) -> None:
        claims, pid, claim = self._claims, getpid(), object()
        # Twice, because an exception from a signal handler may cut off one release before it has begun.
        try:
            try:
                if claims.setdefault(pid, claim) is claim:
                    began = next(_numbers)
                    total = self._calls.number(self.producer)
                    if total is not None:
                        self._learn(total, began)
            finally:
                _release(claims, pid, claim)
        finally:
            _release(claims, pid, claim)

    def _learn(self, total: float, began: int) -> None:
        counter, rank, seen = self._counter, self._rank, self._growth

        def after(known: KnownTotal) -> KnownTotal:
            if known.moment > began or _is_late(known, counter, rank):
                return known  # another has told the total since this one was asked: the next one has it all
            return known.seen_by(counter, rank, seen).after(total, max(known.rank, rank))

        _, known = self.total.step(after)
        if known.owner is counter:
            self._growth = known.grown()


def _is_late(known: KnownTotal, counter: object, rank: int) -> bool:
    """Whether a newer counter has told the total."""
    return known.owner is not counter and known.rank > rank


class Growths:
    """The growth of several totals together, those of the series that go to the one which takes the rest."""

    __slots__ = ("_name", "_parts")

    def __init__(self, name: str, parts: Dict[Tags, Growth]) -> None:
        self._name = name
        self._parts = parts

    @property
    def producer(self) -> Optional[Producer]:
        """What is asked first."""
        return next((part.producer for part in list(self._parts.values())), None)

    def ask(self, tags: Tags, producer: Producer, total_of: TotalOf) -> bool:
        """Ask this producer too, unless it is asked already, for the total of the series of these tags.

        Return False if that are too many.
        """
        parts = self._parts
        part = parts.get(tags)
        if part is None:
            if any(is_same(producer, other.producer) for other in list(parts.values())):
                return True
            if len(parts) >= MOST_PRODUCERS:
                return False
            part = parts.setdefault(tags, Growth(self._name, producer, total_of((self._name, tags))))
        if not is_same(producer, part.producer):
            parts[tags] = part.continued_by(producer)
            part.end()
        parts[tags].renew()
        return True

    def now(self) -> float:
        """Ask all producers, and return how much the totals have grown."""
        grown: float = 0
        for part in list(self._parts.values()):
            grown = added(grown, part.now())
        return grown

    def known(self) -> float:
        """Return how much they had grown when they were asked for last."""
        grown: float = 0
        for part in list(self._parts.values()):
            grown = added(grown, part.known())
        return grown

    def restart(self) -> None:
        """Begin at zero in a child process."""
        for part in list(self._parts.values()):
            part.restart()

    def take_out(self) -> Dict[Tags, Union[KnownTotal, float]]:
        """Do what that of one growth does, for each."""
        return {tags: part.take_out() for tags, part in list(self._parts.items())}

    def resumed(self, before: Dict[Tags, Union[KnownTotal, float]]) -> Growths:
        """Return the growth of before `take_out`. Those that have been added since are left out."""
        parts = self._parts
        return Growths(self._name, {tags: parts[tags].resumed(known) for tags, known in before.items()})


def _release(claims: Dict[int, object], pid: int, claim: object) -> None:
    if claims.get(pid) is claim:
        claims.pop(pid, None)
