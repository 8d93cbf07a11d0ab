"""The state of a meter: the number of events, and their recent rates.

The rates are exponentially weighted moving averages with a tick of five seconds, like the load averages of Unix: at the
end of each tick `rate += (events / 5 - rate) * (1 - exp(-5 / period))`, starting at zero. This is linear in the events,
so the averages of two processes add up to the average of both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tapes.state.numbers import MOST, added

if TYPE_CHECKING:
    from typing import Any, Sequence, Tuple

    Rates = Tuple[float, float, float]

TICK = 5.0
"""Seconds between two updates of the averages. Ticks begin at its multiples."""

PERIODS = (60.0, 300.0, 900.0)
"""The averaging periods of `m1`, `m5` and `m15`, in seconds."""

_DECAYS = tuple(math.exp(-TICK / period) for period in PERIODS)


def tick_of(time: float) -> int:
    """Return the number of the tick of `time`, in seconds."""
    return math.floor(time / TICK)


class MeterState:
    """All events so far, the averages at the start of the current tick, and the events of that tick. Immutable."""

    __slots__ = ("count", "current", "rates", "tick")

    def __init__(self, count: int, tick: int, current: int, rates: Rates) -> None:
        self.count = count
        """All events so far, those of the current tick included."""
        self.tick = tick
        """The number of the current tick."""
        self.current = current
        """The events of the current tick, which the averages do not include yet."""
        self.rates = rates
        """Events per second at the start of the current tick, for each of `PERIODS`."""

    def numbers(self) -> Tuple[Any, ...]:
        """Return the state as a plain tuple, for `of_numbers`."""
        return self.count, self.tick, self.current, *self.rates

    def marked(self, events: int) -> MeterState:
        """Return the state after `events` more in the current tick."""
        if not events:
            return self
        return MeterState(min(self.count + events, MOST), self.tick, min(self.current + events, MOST), self.rates)

    def advanced(self, tick: int) -> MeterState:
        """Return the state at the start of `tick`; this state if its tick is the same or later."""
        passed = tick - self.tick
        if passed <= 0:
            return self
        if not self.current and not self.rates[0]:
            return MeterState(self.count, tick, 0, self.rates)
        current = self.current / TICK
        m1, m5, m15 = (
            (rate + (current - rate) * (1 - decay)) * decay ** (passed - 1) for rate, decay in zip(self.rates, _DECAYS)
        )
        return MeterState(self.count, tick, 0, (m1, m5, m15))

    def rates_at(self, now: float) -> Rates:
        """Return the averages as of the last tick before `now`."""
        return self.advanced(tick_of(now)).rates

    def merge(self, other: MeterState) -> MeterState:
        """Return the state of a meter that saw the events of both."""
        first, second = self.advanced(other.tick), other.advanced(self.tick)
        one, five, fifteen = map(added, first.rates, second.rates)
        count, current = min(first.count + second.count, MOST), min(first.current + second.current, MOST)
        return MeterState(count, first.tick, current, (one, five, fifteen))

    def minus(self, part: MeterState) -> MeterState:
        """Return the state of a meter that saw only the events since this one was in the state `part`."""
        before = part.advanced(self.tick)
        one, five, fifteen = (max(rate - known, 0.0) for rate, known in zip(self.rates, before.rates))
        return MeterState(self.count - part.count, self.tick, self.current - before.current, (one, five, fifteen))

    def __repr__(self) -> str:
        return f"<MeterState of {self.count} events, tick {self.tick}>"


def of_numbers(numbers: Sequence[Any]) -> MeterState:
    """Return the state of these `numbers()`."""
    count, tick, current, m1, m5, m15 = numbers
    return MeterState(count, tick, current, (m1, m5, m15))


def with_events(numbers: Sequence[Any], events: int, now: float) -> Tuple[Any, ...]:
    """Return the numbers of a meter at `now`, after more events in its current tick."""
    return of_numbers(numbers).marked(events).advanced(tick_of(now)).numbers()


def started(time: float) -> MeterState:
    """Return the state of a meter that starts at `time`."""
    return MeterState(0, tick_of(time), 0, (0.0, 0.0, 0.0))
