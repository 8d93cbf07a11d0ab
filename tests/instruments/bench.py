"""A metric of each kind that has scopes, which the tests of scopes share."""

from __future__ import annotations

from typing import Any, Callable, List, Optional

from tapes.instruments import Gauge, Meter, Timer
from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock


class Bench:
    """A metric of each kind that has scopes, and the clock they go by."""

    def __init__(self, clock: Optional[ManualClock] = None) -> None:
        self.clock = clock or ManualClock()
        self.registry = Registry(clock=self.clock)
        self.timer: Timer = self.registry.timer("t")
        self.gauge: Gauge = self.registry.gauge("g")
        self.meter: Meter = self.registry.meter("m")

    def durations(self) -> List[Any]:
        """Return count, sum, min and max of the timer."""
        statistics = Reading.of(self.timer, self.clock.monotonic()).statistics
        return [statistics[key] for key in ("count", "sum", "min", "max")]

    def inside(self) -> Any:
        """Return how many are inside of the gauge's scope."""
        return Reading.of(self.gauge, 0.0).statistics["value"]

    def marked(self) -> int:
        """Return how many exceptions were marked."""
        return self.meter.read(self.clock.monotonic()).count

    def scopes(self) -> List[Any]:
        """Return one scope of each kind."""
        return [self.timer.time(), self.gauge.track_in_progress(), self.meter.mark_exceptions()]

    def decorated(self, function: Callable[..., Any]) -> Any:
        """Return the function in a scope of each kind."""
        for scope in self.scopes():
            function = scope(function)
        return function
