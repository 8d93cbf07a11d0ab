"""The laws of merging, for every kind of state."""

from __future__ import annotations

import math
import statistics
from functools import reduce
from typing import Any, Dict, List, Sequence, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.kind import Kind
from tapes.kinds.meter import METER
from tapes.kinds.timer import TIMER
from tapes.recording import distribution_of
from tapes.state import counter, gauge, histogram, meter
from tapes.state.counter import CounterState
from tapes.state.distribution import EMPTY, Distribution
from tapes.state.gauge import MERGES, UNSET, GaugeState, single
from tapes.state.histogram import HistogramState
from tapes.state.meter import MeterState, tick_of
from tapes.state.timer import TimerState
from tests.state.likeness import alike

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=25)

READ_AT = 1000.0

amounts = st.one_of(st.integers(0, 1 << 80), st.floats(0, 1e15))
values = st.one_of(st.floats(-1e6, 1e6), st.integers(-(10**6), 10**6))
times = st.floats(0.0, READ_AT).map(lambda time: round(time, 1))

counters = st.builds(CounterState, amounts, amounts)
gauges = st.one_of(st.just(UNSET), st.builds(single, values, times))


def make_meter(marks: Sequence[Tuple[float, int]]) -> MeterState:
    """Return a meter's state after some events at some times."""
    state = meter.started(0.0)
    for time, events in sorted(marks):
        state = state.advanced(tick_of(time)).marked(events)
    return state


def make_histogram(folds: Sequence[Tuple[float, List[float]]]) -> HistogramState:
    """Return a histogram's state after some folds at some times."""
    state = histogram.NONE
    for time, records in sorted(folds, key=lambda fold: fold[0]):
        state = with_fold(state, records, time)
    return state


def with_fold(state: HistogramState, records: List[float], time: float) -> HistogramState:
    """Return the state after a fold of some records."""
    if not records:
        return state
    into = state.slice_for(time, time)
    return state.recorded(into, time, distribution_of(records, into.values))


def make_timer(folds: Sequence[Tuple[float, List[float]]]) -> TimerState:
    """Return a timer's state after some folds at some times."""
    return TimerState(make_meter([(time, len(records)) for time, records in folds]), make_histogram(folds))


folds = st.lists(st.tuples(times, st.lists(values, max_size=8)), max_size=4)
meters = st.lists(st.tuples(times, st.integers(0, 1 << 40)), max_size=6).map(make_meter)
histograms = folds.map(make_histogram)
timers = folds.map(make_timer)
distributions = st.lists(values, max_size=20).map(lambda found: distribution_of(found, EMPTY) if found else EMPTY)


def distribution_view(state: Distribution) -> Any:
    """Return all there is to a distribution."""
    return {
        "count": state.count,
        "sum": state.sum,
        "deviations": state.deviations,
        "min": state.minimum,
        "max": state.maximum,
        "buckets": dict(sorted(state.buckets.items())),
    }


def histogram_view(state: HistogramState) -> Any:
    """Return what is seen of a histogram now, later, and since the start."""
    return [HISTOGRAM.view(state, now) for now in (READ_AT, READ_AT + 250, READ_AT + 1000)] + [
        distribution_view(state.cumulative())
    ]


def meter_view(state: MeterState) -> Any:
    """Return what is seen of a meter now and later."""
    return [METER.view(state, now) for now in (READ_AT, READ_AT + 7, READ_AT + 1000)]


def timer_view(state: TimerState) -> Any:
    """Return what is seen of a timer now, and of its histogram later."""
    return [TIMER.view(state, READ_AT), meter_view(state.events), histogram_view(state.durations)]


def gauge_view(state: GaugeState) -> Any:
    """Return the value in each mode."""
    return [GAUGE.view(state, READ_AT, merge) for merge in MERGES]


def counter_view(state: CounterState) -> Any:
    """Return both parts of the value."""
    return [state.increments, state.decrements]


KINDS: Dict[str, Any] = {
    "counter": (counters, counter.ZERO, counter_view),
    "gauge": (gauges, gauge.UNSET, gauge_view),
    "meter": (meters, meter.started(0.0), meter_view),
    "distribution": (distributions, EMPTY, distribution_view),
    "histogram": (histograms, histogram.NONE, histogram_view),
    "timer": (timers, TimerState(meter.started(0.0), histogram.NONE), timer_view),
}


def same(one: Any, other: Any) -> None:
    """Compare two views: ints and None exactly, floats to rounding."""
    assert alike(one, other), f"{one} is not {other}"


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(data=st.data())
def test_merging_is_commutative(kind: str, data: st.DataObject) -> None:
    """It makes no difference which of two states comes first."""
    states, _, view = KINDS[kind]
    one, other = data.draw(states), data.draw(states)

    same(view(one.merge(other)), view(other.merge(one)))


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(data=st.data())
def test_merging_is_associative(kind: str, data: st.DataObject) -> None:
    """It makes no difference which of three states are merged first."""
    states, _, view = KINDS[kind]
    one, two, three = data.draw(states), data.draw(states), data.draw(states)

    same(view(one.merge(two).merge(three)), view(one.merge(two.merge(three))))


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(data=st.data())
def test_merging_nothing_changes_nothing(kind: str, data: st.DataObject) -> None:
    """The state that has seen nothing is the identity, on either side, and exactly so."""
    states, zero, view = KINDS[kind]
    state = data.draw(states)

    assert view(state.merge(zero)) == view(state)
    assert view(zero.merge(state)) == view(state)


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(data=st.data())
def test_merging_leaves_its_arguments_as_they_are(kind: str, data: st.DataObject) -> None:
    """States are immutable."""
    states, _, view = KINDS[kind]
    one, other = data.draw(states), data.draw(states)
    before = view(one), view(other)

    one.merge(other)

    assert (view(one), view(other)) == before


@LAW
@given(st.lists(st.builds(CounterState, st.integers(0, 1 << 80), st.integers(0, 1 << 80)), min_size=1, max_size=20))
def test_merged_counters_are_their_sum(parts: List[CounterState]) -> None:
    """Increments and decrements are added up apart; ints without any rounding."""
    total = counter.ZERO
    for part in parts:
        total = total.merge(part)

    assert total.increments == sum(part.increments for part in parts)
    assert total.decrements == sum(part.decrements for part in parts)
    assert COUNTER.view(total, READ_AT) == {"value": total.increments - total.decrements}


@LAW
@given(st.lists(st.tuples(values, times), min_size=1, max_size=10))
def test_merged_gauges(parts: List[Tuple[float, float]]) -> None:
    """Each mode tells of all values what its name says, and `last` the one that was set last."""
    total = UNSET
    for value, at in parts:
        total = total.merge(single(value, at))

    found = [value for value, _ in parts]
    assert math.isclose(total.value("sum") or 0, sum(found), rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(total.value("mean") or 0, sum(found) / len(found), rel_tol=1e-9, abs_tol=1e-6)
    assert (total.value("min"), total.value("max")) == (min(found), max(found))
    assert total.value("last") == max((at, value) for value, at in parts)[1]


@LAW
@given(st.lists(st.lists(values, min_size=1, max_size=10), min_size=1, max_size=6))
def test_a_merged_distribution_is_that_of_all_values(parts: List[List[float]]) -> None:
    """Merging the distributions of parts gives the distribution of the whole."""
    total = EMPTY
    for part in parts:
        total = total.merge(distribution_of(part, EMPTY))

    whole = [value for part in parts for value in part]
    at_once = distribution_of(whole, EMPTY)
    assert total.count == len(whole)
    assert (total.minimum, total.maximum) == (min(whole), max(whole))
    assert dict(total.buckets.items()) == dict(at_once.buckets.items())
    assert math.isclose(total.sum, math.fsum(whole), rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(total.stddev, statistics.pstdev(map(float, whole)), rel_tol=1e-9, abs_tol=1e-6)


@LAW
@given(
    st.lists(st.tuples(times, st.integers(0, 1 << 30)), max_size=8),
    st.lists(st.tuples(times, st.integers(0, 1 << 30)), max_size=8),
)
def test_merged_meters_are_the_meter_of_all_events(
    one: List[Tuple[float, int]], other: List[Tuple[float, int]]
) -> None:
    """Counts add up exactly and rates to rounding, at every later moment."""
    merged = make_meter(one).merge(make_meter(other))
    together = make_meter(one + other)

    for now in (READ_AT, READ_AT + 4.9, READ_AT + 5, READ_AT + 3600):
        found, wanted = METER.view(merged, now), METER.view(together, now)
        assert found["count"] == wanted["count"]
        assert [found[key] for key in ("m1", "m5", "m15")] == pytest.approx(
            [wanted[key] for key in ("m1", "m5", "m15")], rel=1e-9, abs=1e-12
        )


@LAW
@given(histograms, histograms, st.floats(READ_AT, 3 * READ_AT))
def test_a_merged_window_holds_what_both_windows_hold(one: HistogramState, other: HistogramState, now: float) -> None:
    """Merging neither takes a value out of the window nor brings one back."""
    merged = one.merge(other)

    assert merged.window(now).count == one.window(now).count + other.window(now).count
    assert merged.count == one.count + other.count


@LAW
@given(histograms, histograms, folds)
def test_nothing_leaves_the_total_with_time(
    one: HistogramState, other: HistogramState, later: List[Tuple[float, List[float]]]
) -> None:
    """Values that leave the window stay in the count, the sum and the cumulative distribution."""
    state = one.merge(other)
    for time, records in sorted(later, key=lambda fold: fold[0]):
        state = with_fold(state, records, READ_AT + time)

    recorded = [value for _, records in later for value in records]
    whole = one.cumulative().merge(other.cumulative())
    assert state.count == state.cumulative().count == whole.count + len(recorded)
    assert math.isclose(state.sum, whole.sum + math.fsum(recorded), rel_tol=1e-9, abs_tol=1e-6)


def test_merging_many_does_not_pile_up_what_has_left_the_window() -> None:
    """A state merged from a thousand that are long idle is no larger than one: what is kept follows what is shown."""
    idle = [make_histogram([(float(start), [1.0]), (start + 120.0, [2.0])]) for start in range(0, 100_000, 100)]
    total = histogram.NONE
    for state in idle:
        total = total.merge(state)

    assert total.count == 2000
    assert len(total.slices) <= 20


@pytest.mark.parametrize("kind", [COUNTER, GAUGE, HISTOGRAM, METER, TIMER])
@LAW
@given(data=st.data())
def test_to_merge_all_at_once_is_to_merge_one_after_the_other(kind: Kind, data: st.DataObject) -> None:
    """In any order, with states that are there twice, and with such as have seen nothing."""
    states, zero, view = KINDS[kind]
    some = data.draw(st.lists(st.one_of(states, st.just(zero)), min_size=1, max_size=6))

    same(view(kind.merge(some)), view(reduce(lambda one, other: one.merge(other), some)))
    same(view(kind.merge([*some[::-1], some[0]])), view(kind.merge([some[0], *some])))


def test_many_histograms_are_merged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a rollup and an aggregator with many workers do costs no merge for each."""
    some = [make_timer([(time, [1.0, float(time)]) for time in (100.0, 700.0, 990.0)]) for _ in range(100)]
    wanted = reduce(TimerState.merge, some)
    for kind in (TimerState, HistogramState):
        monkeypatch.setattr(kind, "merge", lambda *_: 1 / 0)

    same(timer_view(TIMER.merge(some)), timer_view(wanted))
    same(histogram_view(HISTOGRAM.merge([each.durations for each in some])), histogram_view(wanted.durations))
