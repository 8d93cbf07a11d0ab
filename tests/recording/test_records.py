"""What each kind of buffer records."""

from __future__ import annotations

import sys
from datetime import timedelta
from fractions import Fraction
from typing import Any, Callable, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.recording.core import Core
from tapes.state.distribution import Distribution
from tapes.state.quantiles import quantiles
from tapes.testing import ManualClock
from tests.recording.cores import KINDS, Subject

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=60)

NOW = ManualClock().monotonic


def distribution(subject: Subject) -> Distribution:
    """Return everything that a histogram or a timer has recorded."""
    state = subject.buffer.read(subject.buffer.now())
    found: Distribution = getattr(state, "durations", state).cumulative()
    return found


@LAW
@given(st.lists(st.tuples(st.booleans(), st.integers(-(2**70), 2**70), st.booleans()), max_size=50))
def test_a_counter_counts_ints_exactly(core: Core, changes: Any) -> None:
    """However large they are, and however often it is read meanwhile."""
    counter = core.CounterBuffer("a", (), NOW)
    up = down = 0
    for decrement, n, read in changes:
        (counter.decrement if decrement else counter.increment)(n)
        change = -n if decrement else n
        up, down = up + max(change, 0), down + max(-change, 0)
        if read:
            assert counter.read(0.0).value == up - down

    state = counter.read(0.0)
    assert (state.increments, state.decrements, state.value) == (up, down, up - down)
    assert type(state.value) is int


@pytest.mark.parametrize(
    ("changes", "up", "down"),
    [
        pytest.param([0.5, 0.25, -1.5, 1], 1.75, 1.5, id="floats are added up as floats"),
        pytest.param([-3, 5], 5, 3, id="a negative increment is a decrement"),
        pytest.param([True, False, Fraction(1, 2)], 1.5, 0, id="a bool is 0 or 1, and a fraction is a float"),
    ],
)
def test_a_counter_counts_up_and_down(core: Core, changes: List[Any], up: float, down: float) -> None:
    """Both parts only grow, and a decrement is an increment by the opposite."""
    incremented, decremented = core.CounterBuffer("a", (), NOW), core.CounterBuffer("a", (), NOW)
    for change in changes:
        incremented.increment(change)
        decremented.decrement(-change)

    for state in (incremented.read(0.0), decremented.read(0.0)):
        assert (state.increments, state.decrements, state.value) == (up, down, up - down)


@pytest.mark.parametrize("more", [-1, 0, 1, 4101])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_buffer_loses_nothing(core: Core, kind: str, more: int) -> None:
    """Around the sizes at which it is folded, each record counts once."""
    clock = ManualClock()
    subject = Subject(core, kind, clock.monotonic)
    record = subject.buffer.increment if kind == "gauge" else subject.record
    count = max(core.CAPACITY + more, 1)
    for number in range(count):
        record(2)
        if number % 100 == 0:
            clock.advance(0.25)

    if kind in ("histogram", "timer"):
        assert (subject.count(), distribution(subject).sum) == (count, 2 * count)
    else:
        assert subject.count() == 2 * count


@pytest.mark.parametrize("read", [True, False], ids=["read each time", "read at the end"])
def test_a_gauge_that_is_set_and_changed(core: Core, read: bool) -> None:
    """It has no value at first, then the last one, and changes relative to it: relative to 0 if it was never set."""
    clock = ManualClock()
    gauge = core.GaugeBuffer("a", (), clock.monotonic)
    steps: List[Tuple[Callable[[], None], Any]] = [
        (lambda: None, None),
        (lambda: gauge.decrement(4), -4),
        (lambda: gauge.set(5), 5),
        (lambda: gauge.increment(), 6),
        (lambda: gauge.decrement(), 5),
        (lambda: gauge.decrement(1.5), 3.5),
        (lambda: gauge.set(-1), -1),
        (lambda: gauge.increment(-3), -4),
        (lambda: gauge.set(2**70), 2**70),
        (lambda: gauge.set(True), 1),
        (lambda: gauge.increment(2), 3),
    ]
    for change, value in steps:
        change()
        clock.advance(1)
        if read:
            assert gauge.read(clock.monotonic()).last == value

    assert gauge.read(clock.monotonic()).last == 3


def test_no_method_of_a_gauge_calls_another(core: Core) -> None:
    """Each may be overridden by itself: a gauge with a producer refuses to be set."""
    base: Any = core.GaugeBuffer

    class Refusing(base):  # type: ignore[misc]  # whichever class it is
        def increment(self, n: object = 1) -> None:
            raise AssertionError

        set = decrement = increment

    gauge = Refusing("a", (), NOW)
    base.set(gauge, 5)
    base.increment(gauge, 3)
    base.decrement(gauge)
    base.decrement(gauge, 2)

    assert gauge.read(0.0).last == 5


def test_a_meter_counts_events(core: Core) -> None:
    """One, several, none; ints and what is equal to one."""
    meter = core.MeterBuffer("a", (), NOW)
    for events in (1, 5, 0, True, 2.0, 2**40):
        meter.mark(events)  # type: ignore[arg-type]  # a float that is an int will do
    meter.mark()

    count = meter.read(0.0).count
    assert (count, type(count)) == (2**40 + 10, int)


def test_a_timer_takes_seconds_and_timedeltas(core: Core) -> None:
    """All durations are in seconds."""
    subject = Subject(core, "timer", NOW)
    for duration in (2, 0.5, timedelta(minutes=1, milliseconds=250), timedelta(0)):
        subject.buffer.update(duration)

    found = distribution(subject)

    assert (found.count, found.sum, found.minimum, found.maximum) == (4, 62.75, 0.0, 60.25)


def test_a_timer_measures_blocks(core: Core) -> None:
    """From entering to leaving, by the clock that it was made with."""
    clock = ManualClock(5.0)
    subject = Subject(core, "timer", clock.monotonic)
    for seconds in (0.5, 0.25, 4.0):
        with subject.buffer.time() as scope:
            assert isinstance(scope, core.Timing)
            clock.advance(seconds)

    found = distribution(subject)

    assert (found.count, found.sum, found.minimum, found.maximum) == (3, 4.75, 0.25, 4.0)


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_values_of_all_sorts_together(core: Core, kind: str) -> None:
    """Ints, floats, fractions, bools and huge ints make one distribution."""
    subject = Subject(core, kind, NOW)
    for value in (1, 2.5, Fraction(1, 4), True, -3, -0.0, 10**300, sys.float_info.max, 5e-324):
        subject.record(value)  # type: ignore[arg-type]  # a Fraction is a real number

    found = distribution(subject)

    assert found.count == 9
    least = {"histogram": -3.0, "timer": 0.0}[kind]
    assert (found.minimum, found.maximum) == (least, sys.float_info.max)
    assert found.sum == pytest.approx(sys.float_info.max)
    assert type(found.minimum) is float
    assert quantiles(found, [0.5]) == [pytest.approx(1.0, rel=0.01)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_taken_out_can_be_put_back(core: Core, kind: str) -> None:
    """Folded or not, and in the place of whatever was recorded meanwhile."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    empty = subject.count()
    subject.record_twice()
    before = subject.count()
    taken = subject.buffer.swap(None)
    assert subject.count() == empty
    clock.advance(100)
    subject.record(1)
    assert subject.count() == 1

    subject.buffer.swap(taken)

    assert subject.count() == before


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_the_states_of_a_change_differ_by_the_change(core: Core, kind: str) -> None:
    """Whichever slices they are without, as they are the same in both: all of them but the newest, in one slot."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    moments = []
    for pause in (60, 60, 1, 60, 1, 1):
        clock.advance(pause)
        subject.record(3)
        moments.append(subject.buffer.committed(clock.monotonic()))

    for number, known in enumerate(moments):
        for later, numbers in enumerate(moments[number:]):
            states = subject.buffer.states(numbers, known)
            after, before = [getattr(state, "durations", state) for state in states]
            assert after.count - before.count == later
            assert after.sum - before.sum == 3 * later

    assert len(after.slices) == len(before.slices) == 1
