"""The state of a counter."""

from __future__ import annotations

from tapes.state.numbers import added


class CounterState:
    """What was added and what was taken away, apart, so that both only grow. Immutable."""

    __slots__ = ("decrements", "increments")

    def __init__(self, increments: float, decrements: float) -> None:
        self.increments = increments
        """The sum of all that was added."""
        self.decrements = decrements
        """The sum of all that was taken away, as a positive number."""

    @property
    def value(self) -> float:
        """What a reader of the counter sees."""
        return added(self.increments, -self.decrements)

    def merge(self, other: CounterState) -> CounterState:
        """Return the state of a counter that saw what both have seen."""
        return CounterState(added(self.increments, other.increments), added(self.decrements, other.decrements))

    def less(self, part: CounterState) -> CounterState:
        """Return what was seen since this counter was in the state `part`."""
        return CounterState(added(self.increments, -part.increments), added(self.decrements, -part.decrements))

    def __repr__(self) -> str:
        return f"<CounterState +{self.increments} -{self.decrements}>"


ZERO = CounterState(0, 0)
"""A counter that has seen nothing."""
