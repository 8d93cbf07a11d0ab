"""The state of a counter."""

from __future__ import annotations

from tapes.state.numbers import added


class CounterState:
    """The sums of additions and of subtractions, kept separate so that both only grow. Immutable."""

    __slots__ = ("decrements", "increments")

    def __init__(self, increments: float, decrements: float) -> None:
        self.increments = increments
        """The sum of all additions."""
        self.decrements = decrements
        """The sum of all subtractions, as a positive number."""

    @property
    def value(self) -> float:
        """The value of the counter: increments minus decrements."""
        return added(self.increments, -self.decrements)

    def merge(self, other: CounterState) -> CounterState:
        """Return the state of a counter that saw the changes of both."""
        return CounterState(added(self.increments, other.increments), added(self.decrements, other.decrements))

    def minus(self, part: CounterState) -> CounterState:
        """Return the state of a counter that saw only the changes since this one was in the state `part`."""
        return CounterState(added(self.increments, -part.increments), added(self.decrements, -part.decrements))

    def __repr__(self) -> str:
        return f"<CounterState +{self.increments} -{self.decrements}>"


ZERO = CounterState(0, 0)
"""The state of a counter without records."""
