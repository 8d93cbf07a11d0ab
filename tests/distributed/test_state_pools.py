"""What is known of a series whose states are replaced as a whole."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.distributed.pools import StatePool
from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.meter import METER, MeterKind
from tapes.state.counter import CounterState
from tapes.state.gauge import UNSET, single
from tapes.state.meter import MeterState
from tapes.state.numbers import added

QUIET = (0.0, 0.0, 0.0)


class FakeWorker(NamedTuple):
    """A worker."""

    name: str
    shift: Optional[float] = 0.0
    heard: float = 1000.0
    present: bool = True
    settles: bool = True
    frame_time: float = 1000.0
    settled: float = 1000.0


def numbers(state: Any) -> Any:
    """Return what is in a state."""
    return [getattr(state, name) for name in type(state).__slots__]


def test_what_a_worker_has_counted_stays_when_it_is_gone() -> None:
    """Once, and nothing of what a kind that does not last says."""
    counter, gauge, gone = StatePool(COUNTER), StatePool(GAUGE), FakeWorker("gone")
    counter.take(gone, CounterState(1, 0))
    counter.take(gone, CounterState(3, 2))
    gauge.take(gone, single(7, 999.0))
    for pool in (counter, gauge):
        pool.retire(gone)
        pool.retire(gone)

    assert counter.workers() == gauge.workers() == []
    assert numbers(counter.state(1000.0)) == numbers(counter.merged()) == numbers(CounterState(3, 2))
    assert numbers(gauge.state(1000.0)) == numbers(gauge.merged()) == numbers(UNSET)


@pytest.mark.parametrize(
    ("worker", "tick"),
    [
        (FakeWorker("here"), 200),
        (FakeWorker("late", heard=900.0), 181),
        (FakeWorker("ahead", shift=-50.0), 190),
        (FakeWorker("behind", shift=12.0), 201),
        (FakeWorker("anywhere", shift=None), 0),
    ],
)
def test_times_are_moved_to_the_clock_here(worker: FakeWorker, tick: int) -> None:
    """Of a worker that is there as of one that is gone: no tick is more than one after it was heard."""
    pool = StatePool(METER)
    pool.take(worker, MeterState(5, 200, 2, QUIET))
    there = pool.state(0.0)
    pool.retire(worker)
    gone = pool.merged()

    assert (there.count, there.tick) == (gone.count, gone.tick) == (5, tick)


def test_a_worker_that_cannot_be_merged_is_there_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has told is not lost."""
    pool, worker = StatePool(METER), FakeWorker("far", shift=7.0)
    pool.take(worker, MeterState(5, 190, 2, QUIET))
    monkeypatch.setattr(MeterKind, "shifted", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pool.retire(worker)
    monkeypatch.undo()

    assert pool.workers() == [worker]
    assert pool.state(0.0).count == 5


amounts = st.one_of(
    st.integers(1, 999).map(lambda n: n / 10),
    st.sampled_from([0.1, 0.7, 1e-9, 2.0**53, 1e300]),
    st.integers(0, 1 << 70),
    st.integers(0, 9),
)
steps = st.lists(
    st.tuples(st.sampled_from(["count", "count", "leave", "restart"]), st.integers(0, 7), amounts), max_size=40
)


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(steps)
@example([("count", 0, 0.2), ("count", 1, 0.6), ("count", 2, 0.1), ("leave", 2, 0), ("leave", 1, 0), ("leave", 0, 0)])
def test_totals_never_go_back(made: List[Tuple[str, int, float]]) -> None:
    """Whatever workers count, come and leave, and however often the aggregator is started again."""
    pool = StatePool(COUNTER)
    counts = dict.fromkeys(range(8), 0.0)
    shown = [0.0]
    for what, number, amount in made:
        worker = FakeWorker(str(number))
        if what == "count":
            counts[number] = added(counts[number], amount)
            pool.take(worker, CounterState(counts[number], counts[number]))
        elif what == "leave":
            pool.retire(worker)
            counts[number] = 0.0
        else:
            before, pool = pool, StatePool(COUNTER)
            pool.restore(before.merged())
            for source in before.workers():
                pool.restore_share(source, before.share(source))
        state = pool.state(1000.0)
        shown.append(state.increments)
        assert state.decrements == state.increments

    assert shown == sorted(shown)


def test_a_total_is_the_nearest_number_to_the_sum() -> None:
    """Ten tenths are one, and whole numbers are exact."""
    pool = StatePool(COUNTER)
    for n in range(10):
        pool.take(FakeWorker(str(n)), CounterState(0.1, (1 << 60) + 1))

    assert (pool.state(1000.0).increments, pool.state(1000.0).decrements) == (1.0, 10 * ((1 << 60) + 1))
