"""The window of histograms and timers: the last five to six minutes, for every reader."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import pytest

from tapes.instruments import Histogram, Timer
from tapes.kinds.histogram import HISTOGRAM, SPREAD_KEYS
from tapes.registry import Registry
from tapes.snapshot import Reading, Statistics
from tapes.testing import ManualClock

KINDS = ("histogram", "timer")
START = 1000.25  # no multiple of anything, but exact in binary, as all times are in here
HOUR = 3600


class Bench(NamedTuple):
    """A metric and the clock it goes by."""

    clock: ManualClock
    metric: Any

    def statistics(self) -> Statistics:
        """Return what a reader sees now."""
        reading: Statistics = Reading.of(self.metric, self.clock.monotonic()).statistics
        return reading

    def record_the_time(self) -> None:
        """Record the time as a value, so that each value tells its age."""
        self.metric.update(self.clock.monotonic())

    def in_window(self) -> int:
        """Return how many values there are in the window now."""
        state = self.metric.read(self.clock.monotonic())
        window = getattr(state, "durations", state).window(self.clock.monotonic())
        return int(window.count)


def bench(kind: str, start: float = START) -> Bench:
    """Return a new metric of this kind."""
    clock = ManualClock(start)
    metric = getattr(Registry(clock=clock), kind)("metric")
    assert isinstance(metric, (Histogram, Timer))
    return Bench(clock, metric)


def steady(gap: float) -> Callable[[], Iterator[int]]:
    """One value every `gap` seconds, told as how many there are in each step of an eighth of a second."""

    def steps() -> Iterator[int]:
        length = int(gap * 8)
        while True:
            for step in range(length):
                yield 1 if step == length - 1 else 0

    return steps


def bursts(count: int, gap: float) -> Callable[[], Iterator[int]]:
    """`count` values at once every `gap` seconds."""

    def steps() -> Iterator[int]:
        while True:
            yield count
            for _ in range(int(gap * 8) - 1):
                yield 0

    return steps


def uneven() -> Iterator[int]:
    """Now many values, now few, now none for minutes."""
    source = random.Random("uneven")
    while True:
        busy = source.choice([0, 0, 1, 20])
        for _ in range(source.choice([8, 80, 800, 4000])):
            yield source.choice([0, 0, 0, busy])


TRAFFIC: Dict[str, Callable[[], Iterator[int]]] = {
    "eight a second": steady(0.125),
    "one a second": steady(1),
    "one every 4 s": steady(4),
    "one every 10 s": steady(10),
    "one every 45 s": steady(45),
    "one every 70 s": steady(70),
    "one every 301 s": steady(301),
    "300 every 20 s": bursts(300, 20),
    "3000 every 100 s": bursts(3000, 100),
    "uneven": uneven,
}


def check_bounds(found: Bench, times: List[float]) -> None:
    """Check that every value younger than five minutes is in the window, and none older than six."""
    now = found.clock.monotonic()
    statistics = found.statistics()
    young = [time for time in times if now - time < 300]
    count = found.in_window()

    assert len(young) <= count <= len([time for time in times if now - time < 360])
    oldest, newest = statistics["min"], statistics["max"]
    assert oldest is not None
    if count:  # values are times, so the extremes tell how old the oldest and the newest are
        assert now - 360 < oldest <= min(young, default=now)
        assert newest == times[-1]
    else:
        assert (oldest, newest) == (0, 0)


def run(found: Bench, traffic: Iterator[int], seconds: float) -> Iterator[List[float]]:
    """Record the time as the traffic says, and yield all times recorded so far every eighth of a second."""
    times: List[float] = []
    for _ in range(int(seconds * 8)):
        found.clock.advance(0.125)
        for _ in range(next(traffic)):
            found.record_the_time()
            times.append(found.clock.monotonic())
        yield times


@pytest.mark.parametrize("interval", [60, 1])
@pytest.mark.parametrize(("kind", "traffic"), [*(("histogram", traffic) for traffic in TRAFFIC), ("timer", "uneven")])
def test_values_leave_after_five_to_six_minutes(kind: str, traffic: str, interval: int) -> None:
    """At every reading, all values younger than five minutes are in the window, and none that is six minutes old."""
    found = bench(kind)
    for step, times in enumerate(run(found, TRAFFIC[traffic](), 1500), 1):
        if step % (interval * 8) == 0:
            found.metric.read(found.clock.monotonic())
            if step > 700 * 8 and step // 8 % 7 == 0:
                check_bounds(found, times)


@pytest.mark.parametrize("interval", [60, 10, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_the_age_at_which_a_value_leaves(kind: str, interval: int) -> None:
    """A value is there until it is just under 300 s old, and has gone when it is 360 s old, among many others."""
    found = bench(kind)
    # The largest of all is watched, recorded in a different part of a slice each time.
    for offset in range(0, 120, 12):
        found.metric.update(1.0 + offset)
        recorded = found.clock.monotonic()
        watched = 1e6 - offset
        found.metric.update(watched)
        for step in range(361):
            age = found.clock.monotonic() - recorded
            if step % interval == 0 or age in (299, 360):
                largest = found.statistics()["max"]
                assert largest == watched if age < 300 else age < 360 or largest != watched
            found.clock.advance(1)
            found.metric.update(2.0)
        found.clock.advance(offset)


@pytest.mark.parametrize("seconds", [100, 389, 400, 1421, HOUR])
@pytest.mark.parametrize("traffic", [traffic for traffic in TRAFFIC if traffic.startswith(("one", "eight"))])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_reading_after_long(kind: str, traffic: str, seconds: int) -> None:
    """What is never read until then reads right nevertheless: five to six minutes of values that come steadily."""
    found = bench(kind)
    *_, times = run(found, TRAFFIC[traffic](), seconds)

    check_bounds(found, times)


@pytest.mark.parametrize("read", ["never", "once", "every minute", "every second"])
@pytest.mark.parametrize("pace", [0.0, 2.0**-16, 2.0**-7])
@pytest.mark.parametrize("burst", [1, 2, 10, 1000, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_after_an_hour_without_values_the_window_is_empty(kind: str, burst: int, pace: float, read: str) -> None:
    """A p99 from an hour ago is no p99: whether it was read meanwhile or not, all that describes the window is 0."""
    found = bench(kind)
    for number in range(burst):
        found.metric.update(number + 1)
        found.clock.advance(pace)
    if read != "never":
        assert found.statistics()["max"] == burst
    for second in range(HOUR):
        found.clock.advance(1)
        if read == "every second" or (read == "every minute" and second % 60 == 0):
            found.metric.read(found.clock.monotonic())

    seen = found.statistics()

    assert {key: seen[key] for key in HISTOGRAM.keys} == {
        "count": burst,
        "sum": burst * (burst + 1) / 2,
        **dict.fromkeys(SPREAD_KEYS, 0),
    }


@pytest.mark.parametrize("pause", [240, 360, HOUR])
@pytest.mark.parametrize("burst", [1, 10, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_fills_again_after_a_pause(kind: str, burst: int, pause: int) -> None:
    """What came before a pause of six minutes is not mixed with what comes after it."""
    found = bench(kind)
    for _ in range(burst):
        found.metric.update(100.0)
    for _ in range(0, pause, 60):
        found.clock.advance(60)
        found.statistics()

    found.metric.update(1.0)

    assert found.statistics()["max"] == (100.0 if pause < 300 else 1.0)
    assert found.statistics()["min"] == 1.0
    assert found.in_window() == (burst + 1 if pause < 300 else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_younger_than_the_window_shows_all(kind: str) -> None:
    """Before five minutes have passed, the window is since the start."""
    found = bench(kind)
    for step, times in enumerate(run(found, steady(0.5)(), 299), 1):
        if step % 80 == 0:
            assert found.in_window() == len(times) == found.statistics()["count"]


@pytest.mark.parametrize("kind", KINDS)
def test_count_and_sum_are_since_the_start(kind: str) -> None:
    """They do not leave with the window."""
    found = bench(kind)
    for minute in range(30):
        found.metric.update(minute)
        found.clock.advance(60)
        found.statistics()

    seen = found.statistics()

    assert seen == found.statistics(), "A reading is not used up."
    assert (seen["count"], seen["sum"]) == (30, sum(range(30)))
    assert seen["min"] in (25, 26)  # 25 is five minutes old to the second


@cache
def readings_of(kind: str, traffic: str, others: Optional[float]) -> List[Statistics]:
    """Return what a reader sees that reads every minute while another reads every `others` seconds."""
    found = bench(kind)
    seen = []
    for step, times in enumerate(run(found, TRAFFIC[traffic](), 1200), 1):
        if others is not None and step % int(others * 8) == 0:
            found.metric.read(found.clock.monotonic())
        if step % 480 == 0:
            check_bounds(found, times)
            seen.append(found.statistics())
    return seen


@pytest.mark.parametrize("others", [0.5, 61, 200])
@pytest.mark.parametrize("traffic", ["eight a second", "one every 45 s", "one every 301 s", "300 every 20 s", "uneven"])
@pytest.mark.parametrize("kind", KINDS)
def test_readers_do_not_disturb_each_other(kind: str, traffic: str, others: float) -> None:
    """A reader sees the same totals and rates that it would see alone, and a window that is as right."""
    alone, disturbed = readings_of(kind, traffic, None), readings_of(kind, traffic, others)

    for key in ("count", "sum", "max", "m1", "m5", "m15") if kind == "timer" else ("count", "sum", "max"):
        assert [seen[key] for seen in disturbed] == pytest.approx([seen[key] for seen in alone], rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_window_survives_merging(kind: str) -> None:
    """Two processes' windows make one window, with the same bounds."""
    one, other = bench(kind), bench(kind)
    for step, _ in enumerate(run(one, steady(1)(), 960), 1):
        other.clock.advance(0.125)
        if step % 480 == 0:
            one.statistics()
    for _ in range(50):
        other.metric.update(5.0)
    now = one.clock.monotonic()

    merged = one.metric.read(now).merge(other.metric.read(now))

    window = getattr(merged, "durations", merged).window(now)
    assert 300 + 50 <= window.count <= 360 + 50
    later = getattr(merged, "durations", merged).window(now + 360)
    assert later.count == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_does_not_grow_with_time(kind: str) -> None:
    """What is kept of hours of traffic is a handful of slices, however it is read."""
    found = bench(kind)
    for step, _ in enumerate(run(found, steady(1)(), 2 * HOUR), 1):
        if step % 24 == 0:
            found.metric.read(found.clock.monotonic())

    state = found.metric.read(found.clock.monotonic())

    assert len(getattr(state, "durations", state).slices) <= 10


def test_values_before_a_long_pause_keep_their_time() -> None:
    """A value after a pause does not make those before it young, although it is what brings about their fold."""
    found = bench("histogram")
    for _ in range(3):
        found.metric.update(1.0)
        found.clock.advance(1)
    found.clock.advance(400)
    found.metric.update(2.0)

    assert found.in_window() == 1
    assert found.statistics()["min"] == 2.0
