"""The counter: a number that goes up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple

from tapes.errors import quoted
from tapes.instruments.instrument import Instrument
from tapes.instruments.producing import Growth, is_same
from tapes.kinds.counter import COUNTER
from tapes.recording import CounterBuffer
from tapes.state.numbers import added

if TYPE_CHECKING:
    from tapes.instruments.producing import Producer
    from tapes.naming import Tags
    from tapes.recording import Numbers


class Counter(CounterBuffer, Instrument):
    """Counts. `increment(n=1)` adds, `decrement(n=1)` subtracts; ints are counted exactly.

    With a producer it also counts the growth of the total that the producer returns. The producer is called in the
    thread that reads, with no lock held, in one thread at a time: another thread that reads meanwhile uses the last
    known total. If the producer raises, or returns anything but a finite number from 0, that is logged once for each
    streak, and the growth meanwhile is counted when it works again. A total that falls has started again from 0.
    """

    __slots__ = ("__weakref__", "_growth", "_is_aside", "_told")

    kind = COUNTER

    def __init__(self, name: str, tags: Tags, now: Callable[[], float], producer: Optional[Producer] = None) -> None:
        super().__init__(name, tags, now)
        self._growth: Optional[Growth] = None
        self._is_aside = False
        self._told: Tuple[Any, float, Any] = (None, 0, None)  # the last read: recorded numbers, growth, and their sum
        if producer is not None:
            self.asked_for(producer)

    @property
    def producer(self) -> Optional[Producer]:
        """The callable that returns the total; None for a counter without one."""
        return None if self._growth is None else self._growth.producer

    def asked_for(self, producer: Producer) -> Optional[str]:
        """Use this producer from now on. It continues from the last known total.

        Return the conflict with the producer before, as the end of a sentence; None if there is none.
        """
        growth, is_aside, self._is_aside = self._growth, self._is_aside, False
        if growth is None or is_aside:
            self._growth = Growth(self.name, producer)
            return None
        before = growth.producer
        if is_same(producer, before):
            return None
        self._growth = growth.told_by(producer)
        return f"has another producer: {quoted(producer)} is asked from now on, and not {quoted(before)}."

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
            self._growth = self._growth.restarted()

    def exchange(self, content: Optional[List[Any]]) -> List[Any]:
        """Return everything recorded, and restore the records and growth of an earlier exchange."""
        growth = self._growth
        asked = growth, self._is_aside
        taken = super().exchange(None if content is None else content[1:])
        if content is not None:
            self._growth, self._is_aside = content[0]
        elif growth is not None:
            self._growth = growth.restarted()
        return [asked, *taken]

    def put_aside(self) -> None:
        """Keep the producer until the program asks for the counter with another one."""
        self._is_aside = True

    def _with(self, grown: float, numbers: Numbers) -> Numbers:
        recorded, before, told = self._told
        if recorded is numbers and before == grown:
            return told  # type: ignore[no-any-return]  # the same object until something changes
        increments, decrements = numbers
        together = added(increments, grown), decrements
        self._told = numbers, grown, together
        return together
