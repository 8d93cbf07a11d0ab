"""The counter: a number that goes up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple, Union

from tapes.errors import quoted
from tapes.instruments.instrument import Instrument
from tapes.instruments.producing import Growth, Growths, is_same
from tapes.kinds.counter import COUNTER
from tapes.recording import CounterBuffer
from tapes.state.numbers import added

if TYPE_CHECKING:
    from tapes.instruments.producing import Producer, TotalOf
    from tapes.naming import Tags
    from tapes.recording import Numbers


class Counter(CounterBuffer, Instrument):
    """Counts. `increment(n=1)` adds, `decrement(n=1)` subtracts; ints are counted exactly.

    With a producer it also counts what the total that this returns has grown by. The producer is called in the thread
    that reads, with no lock held, and by one thread at a time: another one that reads meanwhile goes by the total that
    was known before. If it raises or returns what is no finite number from 0, that is logged once for each streak, and
    what has come meanwhile is counted when it works again. A total that falls has begun anew, and counts from 0. See
    `Registry.counter` for where it begins.
    """

    __slots__ = ("__weakref__", "_growth", "_is_aside", "_latest", "_life")

    kind = COUNTER

    def __init__(self, name: str, tags: Tags, now: Callable[[], float], producer: Optional[Producer] = None) -> None:
        super().__init__(name, tags, now)
        self._growth: Union[Growth, Growths, None] = None
        self._is_aside = False
        self._life = object()  # what growth is counted for: another one when it is as new
        self._latest: Tuple[Any, float, Any] = (None, 0, None)  # of the last read: what was recorded, grown, and both
        if producer is not None:
            self.asked_for(producer)

    @property
    def producer(self) -> Optional[Producer]:
        """The callable that returns the total; None for a counter without one."""
        return None if self._growth is None else self._growth.producer

    def asked_for(self, producer: Producer, total_of: Optional[TotalOf] = None) -> Optional[str]:
        """Ask this producer for the total from now on, which goes on where it was known last.

        `total_of` returns what is known of it by earlier counters of the same name and tags.

        Return what was asked for before and does not hold any more, as the end of a sentence; None if all of it does.
        """
        growth, is_aside, self._is_aside = self._growth, self._is_aside, False
        if is_aside or not isinstance(growth, Growth):
            if is_aside:
                self._life = object()
            total = None if total_of is None else total_of((self.name, self.tags))
            self._growth = Growth(self.name, producer, total, self._life)
            return None
        before = growth.producer
        if is_same(producer, before):
            return None
        self._growth = growth.continued_by(producer)
        growth.end()
        return f"has a new producer: {quoted(producer)} is called from now on, instead of {quoted(before)}."

    def also_asked_for(self, tags: Tags, producer: Producer, total_of: TotalOf) -> bool:
        """Ask this producer too, for the total of other tags that this series takes; False if there are too many."""
        growth, is_aside, self._is_aside = self._growth, self._is_aside, False
        if is_aside or not isinstance(growth, Growths):
            parts = {self.tags: growth} if isinstance(growth, Growth) and not is_aside else {}
            self._growth = growth = Growths(self.name, parts)
        return growth.ask(tags, producer, total_of)

    def numbers(self, now: float) -> Numbers:
        """Return the numbers of the state at `now`. Calls the producer, if there is one."""
        growth = self._growth
        if growth is None:
            return super().numbers(now)
        grown = growth.now()
        return self._with(grown, super().numbers(now))

    def committed(self, now: float) -> Numbers:
        """Return the same, after a fold like that of `Buffer.committed`."""
        growth = self._growth
        if growth is None:
            return super().committed(now)
        grown = growth.now()
        return self._with(grown, super().committed(now))

    def recorded(self, now: float) -> Numbers:
        """Return the same as `committed`, with the last known growth instead of a call of the producer."""
        growth, numbers = self._growth, super().committed(now)
        return numbers if growth is None else self._with(growth.known(), numbers)

    def restart(self) -> None:
        """Begin at zero in a child process, the growth of the total included."""
        super().restart()
        if self._growth is not None:
            self._growth.restart()

    def swap(self, content: Optional[List[Any]]) -> List[Any]:
        """Return everything recorded, and restore the records and growth of an earlier swap."""
        growth = self._growth
        known: Any = growth.take_out() if growth is not None and content is None else None
        asked = growth, known, self._is_aside
        taken = super().swap(None if content is None else content[1:])
        if content is not None:
            growth, known, self._is_aside = content[0]
            self._growth = None if growth is None else growth.resumed(known)
        return [asked, *taken]

    def put_aside(self) -> None:
        """Keep the producer until the program asks for the counter with another one."""
        self._is_aside = True

    def _with(self, grown: float, numbers: Numbers) -> Numbers:
        recorded, before, latest = self._latest
        if recorded is numbers and before == grown:
            return latest  # type: ignore[no-any-return]  # the same object until something changes
        increments, decrements = numbers
        together = added(increments, grown), decrements
        self._latest = numbers, grown, together
        return together
