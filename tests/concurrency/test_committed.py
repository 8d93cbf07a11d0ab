"""States that others build upon: committed by a fold, and not by a reader for itself."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from tapes.instruments import Gauge
from tapes.recording import counter, gauge, histogram, meter, timer
from tapes.registry import Registry
from tapes.state.buckets import key_of
from tapes.testing import ManualClock
from tests.concurrency.kinds import KINDS, recording
from tests.conftest import Until

BUFFERS: Dict[str, Any] = {
    "counter": counter.CounterBuffer,
    "gauge": gauge.GaugeBuffer,
    "meter": meter.MeterBuffer,
    "histogram": histogram.HistogramBuffer,
    "timer": timer.TimerBuffer,
}


def record(metric: Any, n: int) -> None:
    """Record `n`."""
    metric.set(n) if metric.kind == "gauge" else recording(metric)(n)


def seen(state: Any) -> Tuple[Any, ...]:
    """Return what there is in a state of any kind."""
    events, durations = getattr(state, "events", state), getattr(state, "durations", state)
    return (
        *(getattr(events, name, None) for name in ("increments", "decrements", "last", "count", "current", "rates")),
        *(getattr(durations, name, None) for name in ("count", "sum")),
    )


@contextmanager
def held_up(monkeypatch: pytest.MonkeyPatch, metric: Any, until: Until) -> Iterator[threading.Event]:
    """Let a thread be in the middle of a fold of `metric`, until it is let go."""
    begun, go_on = threading.Event(), threading.Event()
    buffer = BUFFERS[metric.kind]
    absorbed = buffer._absorbed

    def slowly(self: Any, *arguments: Any) -> Any:
        if self is metric and threading.current_thread() is folder:
            begun.set()
            assert go_on.wait(30)
        return absorbed(self, *arguments)

    monkeypatch.setattr(buffer, "_absorbed", slowly)
    folder = threading.Thread(target=lambda: metric.read(metric.now()))
    folder.start()
    until(begun.is_set)
    try:
        yield go_on
    finally:
        go_on.set()
        folder.join()


@pytest.mark.parametrize("kind", BUFFERS)
def test_a_committed_state_is_what_a_reader_sees(kind: str) -> None:
    """Everything that was recorded before is in it."""
    clock = ManualClock(1000.0)
    metric = getattr(Registry(clock=clock), kind)("metric")
    for turn in range(2500):
        record(metric, turn % 7)
        clock.advance(0.1)
        if turn % 400 == 0:
            now = clock.monotonic()
            assert seen(metric.state(metric.committed(now))) == seen(metric.read(now))


@pytest.mark.parametrize("kind", BUFFERS)
def test_it_is_the_same_object_for_as_long_as_nothing_is_recorded(kind: str) -> None:
    """So that who has it can tell at once that nothing has changed, and a reader does not get in between."""
    clock = ManualClock(1000.0)
    metric = getattr(Registry(clock=clock), kind)("metric")
    assert metric.committed(clock.monotonic()) is metric.committed(clock.monotonic())
    record(metric, 3)
    state = metric.committed(clock.monotonic())
    for _ in range(3):
        clock.advance(100)
        assert metric.numbers(clock.monotonic()) is state
        assert metric.committed(clock.monotonic()) is state
    record(metric, 3)

    assert metric.committed(clock.monotonic()) is not state


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_numbers_stand_for_the_state_of_their_moment(kind: str) -> None:
    """Whatever has been recorded, and however often it has been read, since."""
    clock = ManualClock(1000.0)
    metric = getattr(Registry(clock=clock), kind)("metric")
    moments = []
    for value in range(1, 30):
        record(metric, value)
        moments.append(metric.committed(clock.monotonic()))
        clock.advance(7)

    for count, numbers in enumerate(moments, start=1):
        state = getattr(metric.state(numbers), "durations", metric.state(numbers))
        parts = [state.closed, *[part.values for part in state.slices]]
        buckets = [key for part in parts for key, times in part.buckets.items() for _ in range(times)]
        assert sorted(buckets) == sorted(map(key_of, range(1, count + 1)))


@pytest.mark.parametrize("kind", BUFFERS)
def test_it_waits_for_a_fold_in_another_thread(kind: str, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """A reader does not; both have everything in the end."""
    metric = getattr(Registry(clock=ManualClock(1000.0)), kind)("metric")
    for _ in range(3):
        record(metric, 2)
    found: List[Any] = []
    with held_up(monkeypatch, metric, until) as go_on:
        record(metric, 5)
        read = metric.read(1000.0)
        committing = threading.Thread(target=lambda: found.append(metric.committed(1000.0)))
        committing.start()
        committing.join(0.05)
        assert committing.is_alive()
        go_on.set()
        committing.join()

    assert seen(metric.state(found[0])) == seen(read) == seen(metric.read(1000.0))
    assert metric.committed(1000.0) is found[0]


def test_a_gauge_with_a_producer_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nothing to fold: its state is of this moment."""
    values = iter([1, 2])
    made = Registry().gauge("metric", lambda: next(values))
    assert isinstance(made, Gauge)

    assert [made.state(made.committed(time)).last for time in (5.0, 7.5)] == [1, 2]
    values = iter([3])
    assert made.state(made.committed(9.0)).last_at == 9.0


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_committed_states_build_upon_each_other(kind: str) -> None:
    """While threads record and read: no slice loses a value, and none goes before it is closed."""
    clock = ManualClock(1000.0)
    metric = getattr(Registry(clock=clock), kind)("metric")
    stopping = threading.Event()
    made = [0, 0]

    def record_on(number: int) -> None:
        while not stopping.is_set():
            for _ in range(50):
                metric.update(1.0)
            made[number] += 50

    def read_on() -> None:
        while not stopping.is_set():
            metric.read(clock.monotonic())

    threads = [
        threading.Thread(target=work, args=args)
        for work, args in ((record_on, (0,)), (record_on, (1,)), (read_on, ()), (read_on, ()))
    ]
    for thread in threads:
        thread.start()
    states = []
    for turn in range(150):
        state = metric.state(metric.committed(clock.monotonic()))
        states.append(getattr(state, "durations", state))
        clock.advance(turn % 13)
    stopping.set()
    for thread in threads:
        thread.join()
    last = metric.state(metric.committed(clock.monotonic()))
    states.append(getattr(last, "durations", last))

    for before, after in zip(states, states[1:]):
        counts = {part.start: part.values.count for part in after.slices}
        for part in before.slices:
            if part.start > after.closed_through:
                assert counts[part.start] >= part.values.count
        closed = sum(part.values.count for part in before.slices if part.start <= after.closed_through)
        assert after.closed.count >= before.closed.count + closed
    assert states[-1].count == sum(made)


def test_every_kind_is_here() -> None:
    """A new kind of metric says how its states are committed."""
    assert set(BUFFERS) == {*KINDS, "gauge"}
