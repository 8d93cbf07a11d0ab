"""States that others build upon: committed by a fold, and not by a reader for itself."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, List, Tuple

import pytest

from tapes.instruments import Counter, Gauge, Histogram, Meter, Timer
from tapes.recording.core import Core
from tapes.state.buckets import key_of
from tapes.testing import ManualClock
from tests.concurrency.together import in_threads
from tests.recording.cores import KINDS, Subject


def seen(state: Any) -> Tuple[Any, ...]:
    """Return what there is in a state of any kind."""
    events, durations = getattr(state, "events", state), getattr(state, "durations", state)
    return (
        *(getattr(events, name, None) for name in ("increments", "decrements", "last", "count", "current", "rates")),
        *(getattr(durations, name, None) for name in ("count", "sum")),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_committed_state_is_what_a_reader_sees(core: Core, kind: str) -> None:
    """Everything that was recorded before is in it."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    buffer = subject.buffer
    for turn in range(2500):
        subject.record(turn % 7)
        clock.advance(0.1)
        if turn % 400 == 0:
            now = clock.monotonic()
            assert seen(buffer.state(buffer.committed(now))) == seen(buffer.read(now))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_object_for_as_long_as_nothing_is_recorded(core: Core, kind: str) -> None:
    """So that who has it can tell at once that nothing has changed, and a reader does not get in between."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    buffer = subject.buffer
    assert buffer.committed(clock.monotonic()) is buffer.committed(clock.monotonic())
    subject.record(3)
    state = buffer.committed(clock.monotonic())
    for _ in range(3):
        clock.advance(100)
        assert buffer.numbers(clock.monotonic()) is state
        assert buffer.committed(clock.monotonic()) is state
    subject.record(3)

    assert buffer.committed(clock.monotonic()) is not state


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_numbers_stand_for_the_state_of_their_moment(core: Core, kind: str) -> None:
    """Whatever has been recorded, and however often it has been read, since."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    buffer = subject.buffer
    moments = []
    for value in range(1, 30):
        subject.record(value)
        moments.append(buffer.committed(clock.monotonic()))
        clock.advance(7)

    for count, numbers in enumerate(moments, start=1):
        state = getattr(buffer.state(numbers), "durations", buffer.state(numbers))
        parts = [state.closed, *[part.values for part in state.slices]]
        buckets = [key for part in parts for key, times in part.buckets.items() for _ in range(times)]
        assert sorted(buckets) == sorted(map(key_of, range(1, count + 1)))


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_committed_states_build_upon_each_other(core: Core, kind: str) -> None:
    """While threads record and read: no slice loses a value, and none goes before it is closed."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    buffer = subject.buffer
    stopping = threading.Event()
    made = [0, 0]
    states: List[Any] = []

    def record_on(number: int) -> None:
        while not stopping.is_set():
            for _ in range(50):
                subject.record(1.0)
            made[number] += 50

    def read_on() -> None:
        while not stopping.is_set():
            buffer.read(clock.monotonic())

    def commit() -> None:
        state = buffer.state(buffer.committed(clock.monotonic()))
        states.append(getattr(state, "durations", state))

    def commit_on() -> None:
        for turn in range(60):
            commit()
            clock.advance(turn % 13)
        stopping.set()

    in_threads(partial(record_on, 0), partial(record_on, 1), read_on, read_on, commit_on)
    commit()

    for before, after in zip(states, states[1:]):
        counts = {part.start: part.values.count for part in after.slices}
        for part in before.slices:
            if part.start > after.closed_through:
                assert counts[part.start] >= part.values.count
        closed = sum(part.values.count for part in before.slices if part.start <= after.closed_through)
        assert after.closed.count >= before.closed.count + closed
    assert states[-1].count == sum(made)


def test_every_kind_is_here(core: Core) -> None:
    """A new kind of metric says how its states are committed."""
    buffers = {name[: -len("Buffer")].lower() for name in dir(core) if name.endswith("Buffer")}

    assert buffers == set(KINDS) == {kind.__name__.lower() for kind in (Counter, Gauge, Meter, Histogram, Timer)}
