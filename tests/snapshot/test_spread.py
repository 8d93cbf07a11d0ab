"""Mean, standard deviation and extremes, of values that are hard to add up as well."""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
from typing import Any, Callable, Dict, List

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.encoding.json import JsonFormat
from tapes.recording import distribution_of
from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.state.distribution import EMPTY
from tapes.testing import ManualClock

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

LARGEST = sys.float_info.max

SAMPLES: Dict[str, Callable[[random.Random], float]] = {
    "around zero": lambda r: r.gauss(0, 1),
    "a large mean with a small spread": lambda r: 1e9 + r.choice([-1, 1]),
    "a larger mean with a smaller spread": lambda r: 1e12 + r.choice([-1e-3, 1e-3]),
    "small": lambda r: r.uniform(1e-9, 2e-9),
    "large": lambda r: r.uniform(-1e100, 1e100),
    "integers": lambda r: r.randint(0, 10),
    "heavy tail": lambda r: r.paretovariate(1.1),
}


def spread(values: List[float], batches: int) -> Any:
    """Return the statistics of a histogram that is read after every batch."""
    clock = ManualClock()
    histogram = Registry(clock=clock).histogram("metric")
    size = -(-len(values) // batches)
    for start in range(0, len(values), size):
        for value in values[start : start + size]:
            histogram.update(value)
        clock.advance(1)
        found = Reading.of(histogram, clock.monotonic()).statistics
    return found


@pytest.mark.parametrize("batches", [1, 2, 50])
@pytest.mark.parametrize("sample", SAMPLES)
def test_mean_and_stddev_are_those_of_the_statistics_module(sample: str, batches: int) -> None:
    """They agree to rounding, however the values come."""
    source = random.Random(sample)
    values = [SAMPLES[sample](source) for _ in range(3000)]
    exact = statistics.pstdev(values)

    found = spread(values, batches)

    assert found["stddev"] == pytest.approx(exact, rel=1e-2 if "larger" in sample else 1e-7)
    assert found["mean"] == pytest.approx(statistics.fmean(values), rel=1e-12, abs=exact * 1e-9)
    assert found["sum"] == pytest.approx(math.fsum(values), rel=1e-12, abs=exact * 1e-9)
    assert (found["min"], found["max"]) == (min(values), max(values))


@pytest.mark.parametrize("constant", [0.1, 1e9 + 0.1, -1 / 3, 1e-300, 1e300, 1, 0.0])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 3000])
def test_constants_have_no_spread(constant: float, count: int) -> None:
    """The standard deviation of equal values is 0 but for rounding, and their mean is that value."""
    found = spread([constant] * count, 1)

    assert found["stddev"] <= abs(constant) * 1e-9
    assert found["mean"] == found["min"] == found["max"] == found["q50"] == constant


@pytest.mark.parametrize("constant", [0.1, 1e9 + 0.1, -1 / 3])
def test_constants_that_come_in_parts_have_no_spread(constant: float) -> None:
    """Merging adds no more than rounding."""
    found = spread([constant] * 1001, 37)

    assert found["stddev"] <= abs(constant) * 1e-9
    assert found["mean"] == constant


NAMES = ["counter", "gauge", "meter", "histogram", "timer"]
ANY = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**308), 10**308),
    st.sampled_from([1.7e308, -1.7e308, LARGEST, -LARGEST, 10**308, -(10**308), 5e-324]),
)


@LAW
@given(st.lists(st.tuples(ANY, st.booleans()), max_size=40))
@example([(1.7e308, False)] * 20)
@example([(-1.7e308, True)] * 20)
@example([(1.7e308, False), (-1.7e308, True)] * 10)
@example([(10**308, False)] * 20)
@example([(10**308, False)] * 20 + [(0.5, False)])
@example([(-(10**308), True)] * 20 + [(-0.5, True)])
@example([(LARGEST, False), (-LARGEST, False)] * 3)
def test_statistics_are_always_numbers_of_json(values: Any) -> None:
    """Whatever was recorded, and however often it was read meanwhile, no NaN and no infinity is shown."""
    clock = ManualClock()
    registry = Registry(clock=clock)
    counter, gauge = registry.counter("counter"), registry.gauge("gauge")
    meter, histogram, timer = registry.meter("meter"), registry.histogram("histogram"), registry.timer("timer")
    for value, read in values:
        counter.increment(value)
        gauge.increment(value)
        meter.mark()
        histogram.update(value)
        timer.update(value)
        if read:
            clock.advance(2.5)
            registry.get_stats()
    clock.advance(5)

    text = json.dumps(registry.get_stats(), allow_nan=False)

    shown = json.loads(text)
    assert json.loads(JsonFormat().encode(registry.snapshot())) == shown
    assert list(shown) == NAMES
    assert shown["histogram"]["count"] == shown["timer"]["count"] == len(values)
    for kind in ("histogram", "timer"):
        found = shown[kind]
        least = -math.inf if kind == "histogram" else 0.0  # of durations
        recorded = [max(float(value), least) for value, _ in values] or [0.0]
        assert (found["min"], found["max"]) == (min(recorded), max(recorded))
        assert found["min"] <= found["mean"] <= found["max"]
        assert found["stddev"] >= 0


@LAW
@given(st.lists(st.lists(ANY, min_size=1, max_size=10), min_size=1, max_size=6))
def test_merged_distributions_stay_finite(parts: List[List[float]]) -> None:
    """Sums and deviations that overflow are the largest number there is, in any order of merging."""
    states = [distribution_of(list(map(float, part)), EMPTY) for part in parts]
    forward, backward = EMPTY, EMPTY
    for state in states:
        forward = forward.merge(state)
    for state in reversed(states):
        backward = backward.merge(state)

    for found in (forward, backward):
        assert all(map(math.isfinite, (found.sum, found.deviations, found.mean, found.stddev)))
        assert found.deviations >= 0
