"""Workers of other machines, whose clocks began at other moments."""

from __future__ import annotations

import pytest

from tapes.registry import Registry
from tests.distributed.simulated import (
    HERE,
    Bench,
    OtherClock,
    above,
    apply,
    assert_alike,
    in_window,
    metric_of,
    record,
    stats_of,
    told,
)


@pytest.fixture
def bench() -> Bench:
    """Return an aggregator without workers."""
    return Bench()


def test_the_value_that_was_set_last_on_any_machine(bench: Bench) -> None:
    """The times of gauges are compared by one clock."""
    for pid, ahead in enumerate((1e6, 0.0, -1e6)):
        bench.employ(pid, OtherClock(bench.clock, ahead), machine=f"machine {pid}")
    for turn in range(4):
        for number, worker in enumerate(bench.workers):
            bench.clock.advance(1)
            worker.registry.gauge("level", merge="last").set(10 * turn + number)
            bench.tell(number)
            assert bench.stats.level.value == 10 * turn + number


@pytest.mark.parametrize("wrong", [3600.0, -3600.0, 1e9])
def test_a_host_with_a_wrong_time_of_day_spoils_nothing(bench: Bench, wrong: float) -> None:
    """The windows are of the last minutes, whatever the time of day is there."""
    bench.employ(1)
    bench.employ(2, OtherClock(bench.clock, 500.0, wrong=wrong), machine="other")
    for _ in range(250):
        for worker in bench.workers:
            record(worker, "histogram", worker.hello.pid)
        bench.tell()
        bench.clock.advance(1)

    stats = bench.stats.histogram
    assert (stats["count"], stats.mean) == (500, 1.5)
    bench.clock.advance(361)
    assert bench.stats.histogram.max == 0


@pytest.mark.parametrize("late", [2.0, 40.0, 70.0, 1000.0])
def test_a_first_frame_that_was_long_on_its_way_does_not_matter_for_long(bench: Bench, late: float) -> None:
    """How far the clocks are apart is learnt again from frames that were faster. One level up it counts once, too."""
    worker = bench.employ(1, OtherClock(bench.clock, 777.0), machine="other")
    up, top = above(bench.aggregator)
    record(worker, "histogram", 5.0)
    record(worker, "timer", 5.0)
    first = worker.frames()
    bench.clock.advance(late)
    apply(bench.aggregator, first)
    up.tell(top)
    assert in_window(bench.aggregator, "histogram", bench.clock.monotonic()) == 1  # as if it were of now
    record(worker, "counter")
    bench.tell()
    assert in_window(bench.aggregator, "histogram", bench.clock.monotonic()) == (1 if late <= 300 else 0)
    for _ in range(100):
        record(worker, "histogram", 1.0)
        record(worker, "timer", 1.0)
        bench.tell()
        up.tell(top)
        bench.clock.advance(1)

    stats = bench.stats
    for each in (stats.histogram, stats.timer):
        assert (each["count"], each.sum) == (101, 105.0)
    assert bench.figures.lag.value == 0
    assert in_window(bench.aggregator, "histogram", bench.clock.monotonic()) == (101 if late <= 200 else 100)
    assert_alike(stats_of(top), stats_of(bench.aggregator))
    bench.clock.advance(361)
    assert bench.stats.histogram.max == 0


class SlowerClock(OtherClock):
    """A clock that runs slower than the one here."""

    def monotonic(self) -> float:
        """Return the seconds that it has counted."""
        return 0.99 * super().monotonic()


def test_a_clock_that_runs_slower_is_followed(bench: Bench) -> None:
    """When the clocks of two machines have come minutes apart, values are still as old as they are."""
    worker = bench.employ(1, SlowerClock(bench.clock, 0.0), machine="other")
    for _ in range(2500):
        record(worker, "histogram")
        bench.tell()
        bench.clock.advance(8)

    assert 34 <= in_window(bench.aggregator, "histogram", bench.clock.monotonic()) <= 48


def test_processes_of_one_machine_share_their_slots(bench: Bench) -> None:
    """However many workers there are on another machine, what is kept of their values is as that of one."""
    there = OtherClock(bench.clock, 333.0)
    for pid in range(20):
        bench.employ(pid, there, machine="other")
    for second in range(400):
        for worker in bench.workers:
            record(worker, "histogram")
            if (second + worker.hello.pid) % 3 == 0:
                worker.tell(bench.aggregator)
        bench.clock.advance(1)

    assert len(metric_of(bench.aggregator, "histogram").read(bench.clock.monotonic()).slices) <= 10


class JumpingClock(OtherClock):
    """A clock that can be put forward, and back."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return the seconds that it shows."""
        return super().monotonic() + self.ahead


@pytest.mark.parametrize("machine", [HERE, "other"], ids=["this machine", "another machine"])
@pytest.mark.parametrize("apart", [100_000.0, -100_000.0])
def test_a_clock_that_is_far_from_those_of_its_neighbours_moves_nobody_else(
    bench: Bench, apart: float, machine: str
) -> None:
    """Whether its worker is there from the start, comes later or is gone, and whatever machine it says it is on."""
    bench.clock.advance(199_000)
    there = bench.clock if machine == HERE else OtherClock(bench.clock, 50.0)
    healthy = [bench.employ(pid, there, machine=machine) for pid in (1, 2)]
    early, late = [bench.employ(pid, OtherClock(bench.clock, apart), machine=machine) for pid in (3, 4)]
    whole = Registry(clock=bench.clock)
    for second in range(400):
        for worker in (*([early] if second < 300 else []), *healthy, *([late] if second >= 200 else [])):
            record(worker, "timer")
            worker.tell(bench.aggregator)
        for _ in healthy:
            whole.timer("timer").update(1.0)
        if second == 300:
            bench.give_up(2)
        bench.clock.advance(1)

    found, wanted = bench.stats.timer, whole.get_stats().timer
    assert found["count"] == 2 * 400 + 300 + 200
    assert found.m1 >= 0.95 * wanted.m1
    assert found.m15 >= 0.95 * wanted.m15
    assert in_window(bench.aggregator, "timer", bench.clock.monotonic()) >= 598
    assert told(bench.aggregator)["bad_frames"] == 0


def test_a_clock_that_jumps_ahead_and_back_moves_nobody_else(bench: Bench) -> None:
    """What its worker counts is counted, and rates follow the clock here, when it is gone, too."""
    bench.clock.advance(199_000)
    healthy = bench.employ(1)
    there = JumpingClock(bench.clock, 0.0)
    bench.employ(2, there)
    for second in range(300):
        there.ahead = 100_000.0 if 100 <= second < 200 else 0.0
        for worker in bench.workers:
            record(worker, "meter")
        bench.tell()
        assert bench.stats.meter.m5 >= 0.9 * healthy.registry.get_stats().meter.m5
        bench.clock.advance(1)
    bench.give_up(1)

    assert bench.stats.meter["count"] == 600
    bench.clock.advance(600)
    assert bench.stats.meter.m1 < 0.01
