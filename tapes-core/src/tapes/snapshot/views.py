"""What readers see of each kind of state at a given time: pure functions from state and time to statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tapes.state.numbers import saturated
from tapes.state.rates import tick_of

if TYPE_CHECKING:
    from tapes.snapshot.snapshot import Statistics
    from tapes.state.counter import CounterState
    from tapes.state.distribution import Distribution
    from tapes.state.histogram import HistogramState
    from tapes.state.rates import MeterState
    from tapes.state.timer import TimerState

METER_KEYS = ("count", "m1", "m5", "m15")
SPREAD_KEYS = ("min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999")
HISTOGRAM_KEYS = ("count", "sum", *SPREAD_KEYS)
TIMER_KEYS = (*METER_KEYS, "sum", *SPREAD_KEYS)
VALUE_KEYS = ("value",)

FRACTIONS = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
"""What q50 to q999 stand for."""


def counter_statistics(state: CounterState) -> Statistics:
    """Return what was added less what was taken away."""
    return {"value": saturated(state.value)}


def gauge_statistics(value: Optional[float]) -> Statistics:
    """Return `value`; None means that there is none."""
    return {"value": value if value is None else saturated(value)}


def meter_statistics(state: MeterState, now: float) -> Statistics:
    """Return the count since the start, and the averages as of the last tick before `now`."""
    return dict(zip(METER_KEYS, map(saturated, (state.count, *state.advanced(tick_of(now)).rates))))


def histogram_statistics(state: HistogramState, now: float) -> Statistics:
    """Return count and sum since the start, and how the values of the last five minutes before `now` are spread."""
    return {"count": saturated(state.count), "sum": saturated(state.sum), **_spread(state.window(now))}


def timer_statistics(state: TimerState, now: float) -> Statistics:
    """Return what a meter and a histogram show, in seconds."""
    return {**meter_statistics(state.events, now), **histogram_statistics(state.durations, now)}


def _spread(window: Distribution) -> Statistics:
    if not window.count:
        return dict.fromkeys(SPREAD_KEYS, 0.0)
    # Rounding must not put the mean of equal values beside them.
    mean = min(max(window.mean, window.minimum), window.maximum)
    from tapes.snapshot.quantiles import quantiles  # here, since who only records need not pay for it

    found = quantiles(window, FRACTIONS)
    return dict(zip(SPREAD_KEYS, (window.minimum, window.maximum, mean, window.stddev, *found)))
