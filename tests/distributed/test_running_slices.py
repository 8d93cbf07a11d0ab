"""Slices of many workers that are summed as they come: the sum is that of what each of them has told last."""

from __future__ import annotations

import gc
import math
from typing import Dict, List, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.distributed.slices import HistogramPool
from tapes.kinds.slices import HistogramUpdate
from tapes.recording import distribution_of
from tapes.state.buckets import key_of
from tapes.state.counts import TOGETHER, Lanes
from tapes.state.distribution import EMPTY, Distribution, union
from tapes.state.histogram import NEVER, Slice
from tests.distributed.states import as_received

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

NOW = 1000.0


class FakeWorker:
    """Who has told what a pool knows."""

    present = True

    def __init__(self, *, settles: bool = True, shift: Optional[float] = 0.0) -> None:
        """Make one whose times are shifted by so much."""
        self.frame_time = self.settled = NOW
        self.settles = settles
        self.heard = 1e9
        self.shift = shift


def values_of(*recorded: float) -> Distribution:
    """Return the distribution of these values."""
    return distribution_of(list(recorded), EMPTY)


def told(*parts: Tuple[float, Distribution], whole: bool = False) -> HistogramUpdate:
    """Return what tells of slices, each by its start and its values."""
    return HistogramUpdate(whole, NEVER, None, [Slice(start, start + 49, values) for start, values in parts])


def assert_same(found: Distribution, expected: Distribution) -> None:
    """Check that they describe the same values."""
    assert (found.count, found.minimum, found.maximum) == (expected.count, expected.minimum, expected.maximum)
    assert dict(found.buckets.items()) == dict(expected.buckets.items())
    assert math.isclose(found.sum, expected.sum, rel_tol=1e-12, abs_tol=1e-9)
    assert math.isclose(found.stddev, expected.stddev, rel_tol=1e-6, abs_tol=1e-6)


values = st.lists(st.one_of(st.floats(-100, 100), st.floats(0.001, 10), st.just(0.0)), min_size=1, max_size=20)
tellers = st.sampled_from(
    [(True, 0.0), (True, 0.0), (True, 50.0), (True, -100.0), (True, None), (False, 0.0), (False, None)]
)


@LAW
@given(
    st.lists(tellers, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([950.0, 1000.0]), values), max_size=25),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 50.0, None])), max_size=3),
)
def test_the_sum_is_that_of_what_was_told_last(
    kinds: List[Tuple[bool, Optional[float]]],
    changes: List[Tuple[int, float, List[float]]],
    moves: List[Tuple[int, Optional[float]]],
) -> None:
    """By whoever, by whatever clock, and when it turns out that a clock is another one."""
    pool = HistogramPool()
    sources = [FakeWorker(settles=settles, shift=shift) for settles, shift in kinds]
    last: Dict[Tuple[int, float], Distribution] = {}
    for place, start, recorded in changes:
        who = place % len(sources)
        new = as_received(distribution_of(recorded, EMPTY))
        last[who, start] = new
        pool.take(sources[who], told((start, new)))
        state = pool.state(NOW)
        assert_same(state.cumulative(), union(list(last.values())))
    for place, shift in moves:
        source = sources[place % len(sources)]
        source.shift = shift
        pool.shift_changed(source)

    assert_same(pool.state(NOW).cumulative(), union(list(last.values())))
    later = NOW + 100  # nothing is shown as a slice that is from the future
    for start in (950.0, 1000.0, 1050.0):
        there = [
            each
            for (who, begin), each in last.items()
            if (shift := sources[who].shift) is not None and begin + shift == start
        ]
        found = [part.values for part in pool.state(later).slices if part.start == start]
        assert_same(union(found), union(there))
    for source in sources:
        pool.retire(source)
    assert_same(pool.state(NOW).cumulative(), union(list(last.values())))


def test_deviations_of_values_far_from_zero_are_right() -> None:
    """However often they are told anew."""
    pool = HistogramPool()
    sources = [FakeWorker() for _ in range(8)]
    recorded: List[List[float]] = [[] for _ in sources]
    for step in range(500):
        place = step % len(sources)
        recorded[place].append(1e9 + step % 7 * 1e-3)
        pool.take(sources[place], told((1000.0, distribution_of(recorded[place], EMPTY))))

    expected = values_of(*[value for each in recorded for value in each])
    assert math.isclose(pool.state(NOW).cumulative().stddev, expected.stddev, rel_tol=1e-3)


@pytest.mark.parametrize("large", [1e300, -1e300, 1e30, 1e12, 1.7e308])
@pytest.mark.parametrize("first", [True, False])
def test_large_values_that_are_told_no_more_leave_no_trace(first: bool, large: float) -> None:
    """In the sums of those who have told small ones, whoever came first, and however gradually they went."""
    pool = HistogramPool()
    small, other = FakeWorker(), FakeWorker()
    recorded = values_of(1.0, 1.25, 1.5)
    if not first:
        pool.take(small, told((1000.0, recorded)))
    for step in range(0, 306, 3):
        pool.take(other, told((1000.0, values_of(large / 10.0**step, large / 10.0**step / 2))))
        if step == 30 and first:
            pool.take(small, told((1000.0, recorded)))
    assert_same(pool.state(NOW).cumulative(), union([recorded, pool.share(other).slices[0].values]))
    pool.take(other, told(whole=True))

    assert_same(pool.state(NOW).cumulative(), recorded)


def test_a_sum_that_overflows_does_so_for_no_longer_than_its_slot() -> None:
    """It is shown as the largest number, and what is recorded later as what it is."""
    pool = HistogramPool()
    one, other = FakeWorker(), FakeWorker()
    pool.take(one, told((950.0, values_of(1.7e308, 1.7e308))))
    pool.take(other, told((950.0, values_of(2.0)), (1000.0, values_of(4.0))))
    pool.take(one, told((950.0, values_of(1.7e308, 1.7e308, 1.0))))

    first, second = pool.state(NOW).slices
    assert (first.values.count, first.values.minimum, first.values.maximum) == (4, 1.0, 1.7e308)
    assert first.values.sum == 1.7976931348623157e308
    assert (second.values.count, second.values.sum, second.values.stddev) == (1, 4.0, 0.0)


def test_more_values_than_a_lane_can_count_are_counted() -> None:
    """Of a few workers that have recorded more than anybody can."""
    pool = HistogramPool()
    most, key = (1 << 32) - 2, key_of(1.0)
    for _ in range(3):
        told_values = Distribution(most, float(most), 0.0, 1.0, 1.0, Lanes(key, most))
        pool.take(FakeWorker(), told((1000.0, told_values)))

    assert dict(pool.state(NOW).cumulative().buckets.items()) == {key: 3 * most}


@pytest.mark.parametrize("shift", [0.0, None])
def test_many_workers_with_full_lanes_are_counted(shift: Optional[float]) -> None:
    """More than can be added at once, each with several slices."""
    pool = HistogramPool()
    keys = [key_of(1.0) + 2 * place for place in range(5)]
    full = Distribution(255 * 5, 1275.0, 0.0, 1.0, 1.0, Lanes(keys[0], int.from_bytes(b"\xff" * 5, "little"), None, 1))
    for _ in range(2 * TOGETHER + 2):
        pool.take(FakeWorker(shift=shift), told((950.0, full), (1000.0, full)))

    assert dict(pool.state(NOW).cumulative().buckets.items()) == dict.fromkeys(keys, 255 * 2 * (2 * TOGETHER + 2))


def test_extremes_that_are_told_no_more_are_shown_no_more() -> None:
    """As when another aggregator has learnt that they are of another slot."""
    pool = HistogramPool()
    host, worker = FakeWorker(settles=False), FakeWorker()
    pool.take(worker, told((1000.0, values_of(2.0))))
    pool.take(host, told((1000.0, values_of(1.0, 9.0))))
    pool.take(host, told((1000.0, values_of(3.0, 4.0))))

    (part,) = pool.state(NOW).slices
    assert (part.values.minimum, part.values.maximum) == (2.0, 4.0)


def test_workers_settle_with_what_they_tell() -> None:
    """Of a worker that begins with minutes that are over, only the slots are held that can yet change."""
    pool = HistogramPool()
    worker = FakeWorker()
    starts = [650.0 + 50 * place for place in range(8)]
    pool.take(worker, told(*[(start, values_of(start)) for start in starts], whole=True))

    assert [part.start for part in pool.share(worker).slices] == [950.0, 1000.0]
    assert pool.share(worker).closed.count == 6
    assert [part.start for part in pool.state(NOW).slices] == starts
    # What it tells once more of those that are over is known.
    pool.take(worker, told(*[(start, values_of(start)) for start in starts], whole=True))
    assert pool.state(NOW).count == 8

    worker.frame_time = NOW + 50
    pool.take(worker, told((1000.0, values_of(1000.0, 1001.0))))
    assert [part.start for part in pool.share(worker).slices] == [1000.0]
    assert pool.state(NOW).count == 9


def test_an_aggregator_that_begins_without_what_it_had_closed_counts_without_it() -> None:
    """As when its metric was removed meanwhile, and was made again."""
    pool = HistogramPool()
    host = FakeWorker(settles=False)
    pool.take(host, HistogramUpdate(True, 500.0, values_of(1.0, 2.0), []))
    pool.take(host, told((1000.0, values_of(3.0)), whole=True))

    assert (pool.state(NOW).count, pool.state(NOW).sum) == (1, 3.0)


def test_workers_that_are_gone_leave_nothing_behind_that_grows() -> None:
    """Even if nobody ever reads."""

    def held() -> int:
        return sum(isinstance(each, Slice) for each in gc.get_objects())

    gc.collect()  # what other tests have left behind
    before = held()
    pool = HistogramPool()
    for _ in range(2000):
        worker = FakeWorker()
        pool.take(worker, told((950.0, values_of(1.0)), (1000.0, values_of(1.0))))
        pool.retire(worker)

    assert held() - before < 1000
    assert pool.state(NOW).count == 4000


def test_a_slice_may_be_another_one_for_a_moment_after_its_slot() -> None:
    """A thread of the worker that was putting values in while it told may put them into the slot that was just over."""
    for _ in range(200):
        pool = HistogramPool()
        worker = FakeWorker()
        worker.frame_time = worker.settled = 1001.9
        pool.take(worker, told((950.0, values_of(1.0)), (1000.0, values_of(2.0, 3.0))))
        pool.settle(worker)
        worker.frame_time = worker.settled = 1002.9
        pool.take(worker, told((950.0, values_of(1.0, 2.0)), (1000.0, values_of(3.0))))

        assert [part.values.count for part in pool.state(1003.0).slices] == [2, 1]
