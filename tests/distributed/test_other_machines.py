"""Workers of other machines, whose clocks began at other moments."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.distributed.simulated import HERE, Asking, OtherClock, Simulated, apply, assert_alike, stats_of, told

AHEAD = [12345.25, -987.5, 8_640_000.0]
"""By how much their clocks are ahead of this one's."""


def in_window(registry: Registry, name: str, now: float) -> int:
    """Return how many values there are in the window of a histogram."""
    (metric,) = [metric for metric in registry if metric.name == name]
    state = metric.read(now)
    return int(getattr(state, "durations", state).window(now).count)


@pytest.mark.parametrize("ahead", AHEAD)
def test_the_window_of_a_worker_of_another_machine_is_right(ahead: float) -> None:
    """All values younger than five minutes are in it, and none that is six minutes old, at any time."""
    clock = ManualClock(1000.0)
    worker = Simulated(OtherClock(clock, ahead), machine="other")
    aggregator = Asking(clock, [worker])
    times: List[float] = []
    for second in range(1200):
        if second % 500 < 200:
            worker.registry.histogram("metric").update(clock.monotonic())
            times.append(clock.monotonic())
        if second % 2:
            worker.tell(aggregator)
            now = clock.monotonic()
            young = [time for time in times if now - time < 300]
            all_ = [time for time in times if now - time < 360]
            assert len(young) <= in_window(aggregator, "metric", now) <= len(all_)
        clock.advance(1)


@pytest.mark.parametrize("ahead", AHEAD)
def test_the_window_and_the_rates_of_many_machines_are_one(ahead: float) -> None:
    """Two machines and this one show what one registry would show; rates but for the ticks, which differ."""
    clock = ManualClock(1000.0)
    whole = Registry(clock=clock)
    workers = [
        Simulated(clock, 1),
        Simulated(OtherClock(clock, ahead), 2, machine="one"),
        Simulated(OtherClock(clock, ahead / 3), 3, machine="two"),
    ]
    aggregator = Asking(clock, workers)
    for second in range(280):
        for number, worker in enumerate(workers):
            for registry in (worker.registry, whole):
                registry.timer("time").update(1.1 ** (second % 50) + number)
            worker.tell(aggregator)
        clock.advance(1)

    found, wanted = aggregator.get_stats().time, whole.get_stats().time
    for key in wanted:
        if key in ("m1", "m5", "m15"):
            assert found[key] == pytest.approx(wanted[key], rel=0.1)
        else:
            assert_alike(found[key], wanted[key], key)


def test_the_value_that_was_set_last_on_any_machine() -> None:
    """The times of gauges are compared by one clock."""
    clock = ManualClock(1000.0)
    workers = [
        Simulated(OtherClock(clock, 1e6), 1, machine="one"),
        Simulated(clock, 2),
        Simulated(OtherClock(clock, -1e6), 3, machine="two"),
    ]
    aggregator = Asking(clock, workers)
    for turn in range(4):
        for worker in workers:
            clock.advance(1)
            worker.registry.gauge("level", merge="last").set(10 * turn + worker.hello.pid)
            worker.tell(aggregator)
            assert aggregator.get_stats().level.value == 10 * turn + worker.hello.pid


@pytest.mark.parametrize("wrong", [3600.0, -3600.0, 1e9])
def test_a_host_with_a_wrong_time_of_day_spoils_nothing(wrong: float) -> None:
    """The windows are of the last minutes, whatever the time of day is there."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, 1), Simulated(OtherClock(clock, 500.0, wrong=wrong), 2, machine="other")]
    aggregator = Asking(clock, workers)
    for _ in range(250):
        for worker in workers:
            worker.registry.histogram("metric").update(worker.hello.pid)
            worker.tell(aggregator)
        clock.advance(1)

    stats = aggregator.get_stats().metric
    assert (stats["count"], stats.mean) == (500, 1.5)
    clock.advance(361)
    assert aggregator.get_stats().metric.max == 0


@pytest.mark.parametrize("late", [2.0, 100.0, 1000.0])
def test_a_first_frame_that_was_long_on_its_way_does_not_matter_for_long(late: float) -> None:
    """How far the clocks are apart is learnt again from frames that were faster."""
    clock = ManualClock(1000.0)
    worker = Simulated(OtherClock(clock, 777.0), machine="other")
    aggregator = Asking(clock, [worker])
    worker.registry.histogram("metric").update(5.0)
    first = worker.frames()
    clock.advance(late)
    apply(aggregator, first)
    for _ in range(100):
        worker.registry.histogram("metric").update(1.0)
        worker.tell(aggregator)
        clock.advance(1)

    assert aggregator.get_stats().metric["count"] == 101
    assert aggregator.get_stats().tapes.aggregator.lag.value == 0
    assert in_window(aggregator, "metric", clock.monotonic()) == (101 if late <= 200 else 100)
    clock.advance(361)
    assert aggregator.get_stats().metric.max == 0


def test_when_a_clock_is_known_better_that_is_true_of_what_was_told_before() -> None:
    """Of a metric as well that has told nothing since."""
    clock = ManualClock(1000.0)
    worker = Simulated(OtherClock(clock, 777.0), machine="other")
    aggregator = Asking(clock, [worker])
    worker.registry.histogram("metric").update(5.0)
    first = worker.frames()
    clock.advance(1000)
    apply(aggregator, first)
    assert in_window(aggregator, "metric", clock.monotonic()) == 1  # as if it were of now

    worker.registry.counter("another").increment()
    worker.tell(aggregator)
    assert in_window(aggregator, "metric", clock.monotonic()) == 0


@pytest.mark.parametrize("late", [2.0, 40.0, 70.0, 1000.0])
def test_a_first_frame_that_was_long_on_its_way_counts_once_two_levels_up(late: float) -> None:
    """When an aggregator learns that the times of a worker are other ones, the one above counts nothing twice."""
    clock = ManualClock(1000.0)
    worker = Simulated(OtherClock(clock, 777.0), machine="other")
    host = Asking(clock, [worker])
    up = Simulated(clock, registry=host, settles=False)
    top = Asking(clock, [up])
    worker.registry.histogram("metric").update(5.0)
    worker.registry.timer("time").update(5.0)
    first = worker.frames()
    clock.advance(late)
    apply(host, first)
    up.tell(top)
    for _ in range(100):
        worker.registry.histogram("metric").update(1.0)
        worker.registry.timer("time").update(1.0)
        worker.tell(host)
        up.tell(top)
        clock.advance(1)

    for aggregator in (host, top):
        assert (aggregator.get_stats().metric["count"], aggregator.get_stats().metric.sum) == (101, 105.0)
        assert (aggregator.get_stats().time["count"], aggregator.get_stats().time.sum) == (101, 105.0)
    assert_alike(stats_of(top), stats_of(host))


class SlowerClock(OtherClock):
    """A clock that runs slower than the one here."""

    def monotonic(self) -> float:
        """Return the seconds that it has counted."""
        return 0.99 * super().monotonic()


def test_a_clock_that_runs_slower_is_followed() -> None:
    """When the clocks of two machines have come minutes apart, values are still as old as they are."""
    clock = ManualClock(1000.0)
    worker = Simulated(SlowerClock(clock, 0.0), machine="other")
    aggregator = Asking(clock, [worker])
    for second in range(40_000):
        if second % 8 == 0:
            worker.registry.histogram("metric").update(1.0)
            worker.tell(aggregator)
        clock.advance(1)

    assert 34 <= in_window(aggregator, "metric", clock.monotonic()) <= 48


def test_processes_of_one_machine_share_their_slots() -> None:
    """However many workers there are on another machine, what is kept of their values is as that of one."""
    clock = ManualClock(1000.0)
    there = OtherClock(clock, 333.0)
    workers = [Simulated(there, pid, machine="other") for pid in range(20)]
    aggregator = Asking(clock, workers)
    for second in range(400):
        for worker in workers:
            worker.registry.histogram("metric").update(1.0)
            if (second + worker.hello.pid) % 3 == 0:
                worker.tell(aggregator)
        clock.advance(1)

    (metric,) = [metric for metric in aggregator if metric.name == "metric"]
    assert len(metric.read(clock.monotonic()).slices) <= 10


def test_a_worker_is_called_after_its_host() -> None:
    """In logs, and in the tags of its own series, it has the name of its host and its pid."""
    clock = ManualClock(1000.0)
    worker = Simulated(OtherClock(clock, 1.0), 42, host="shop-3", machine="other")
    aggregator = Asking(clock, [worker], by_worker=True)
    worker.registry.counter("orders").increment()
    worker.tell(aggregator)

    expected: Dict[str, Any] = {"orders": {"value": 1, "worker=shop-3:42": {"value": 1}}}
    assert stats_of(aggregator) == expected
    assert told(aggregator)["bad_frames"] == 0
    assert HERE != "other"


@pytest.mark.parametrize("machine", [HERE, "other"], ids=["this machine", "another machine"])
@pytest.mark.parametrize("apart", [100_000.0, -100_000.0])
def test_a_clock_that_is_far_from_those_of_its_neighbours_moves_nobody_else(apart: float, machine: str) -> None:
    """Whether its worker is there from the start, comes later or is gone, and whatever machine it says it is on."""
    clock = ManualClock(200_000.0)
    there = clock if machine == HERE else OtherClock(clock, 50.0)
    healthy = [Simulated(there, pid, machine=machine) for pid in (1, 2)]
    early, late = [Simulated(OtherClock(clock, apart), pid, machine=machine) for pid in (3, 4)]
    aggregator = Asking(clock, [*healthy, early, late])
    whole = Registry(clock=clock)
    for second in range(400):
        for worker in (*([early] if second < 300 else []), *healthy, *([late] if second >= 200 else [])):
            worker.registry.timer("time").update(1.0)
            worker.tell(aggregator)
        for _ in healthy:
            whole.timer("time").update(1.0)
        if second == 300:
            aggregator.retire(aggregator.workers[early.identity])
        clock.advance(1)

    found, wanted = aggregator.get_stats().time, whole.get_stats().time
    assert found["count"] == 2 * 400 + 300 + 200
    assert found.m1 >= 0.95 * wanted.m1
    assert found.m15 >= 0.95 * wanted.m15
    assert in_window(aggregator, "time", clock.monotonic()) >= 598
    assert told(aggregator)["bad_frames"] == 0


class JumpingClock(OtherClock):
    """A clock that can be put forward, and back."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return the seconds that it shows."""
        return super().monotonic() + self.ahead


def test_a_clock_that_jumps_ahead_and_back_moves_nobody_else() -> None:
    """What its worker counts is counted, and rates follow the clock here, when it is gone, too."""
    clock = ManualClock(200_000.0)
    there = JumpingClock(clock, 0.0)
    healthy, jumping = Simulated(clock, 1), Simulated(there, 2)
    aggregator = Asking(clock, [healthy, jumping])
    for second in range(300):
        there.ahead = 100_000.0 if 100 <= second < 200 else 0.0
        for worker in (healthy, jumping):
            worker.registry.meter("hits").mark()
            worker.tell(aggregator)
        assert aggregator.get_stats().hits.m5 >= 0.9 * healthy.registry.get_stats().hits.m5
        clock.advance(1)
    aggregator.retire(aggregator.workers[jumping.identity])

    assert aggregator.get_stats().hits["count"] == 600
    clock.advance(600)
    assert aggregator.get_stats().hits.m1 < 0.01
