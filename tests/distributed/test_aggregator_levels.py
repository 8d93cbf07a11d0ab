"""An aggregator publishes what it has merged to another one: hosts, then the site."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest

from tapes.distributed import frames
from tapes.distributed.frames import ENDING, LEAVING
from tapes.testing import ManualClock
from tests.distributed.simulated import Asking, Simulated, assert_alike, buckets_of, stats_of, told

KINDS = ("counter", "gauge", "meter", "histogram", "timer")


class Site(NamedTuple):
    """Two hosts with two workers each, and an aggregator above theirs."""

    clock: ManualClock
    workers: List[Simulated]
    hosts: List[Asking]
    upward: List[Simulated]
    top: Asking

    def work(self, seconds: int, *, telling: bool = True) -> None:
        """Record once a second in each worker."""
        for second in range(seconds):
            for number, worker in enumerate(self.workers):
                worker.registry.counter("orders", {"of": "shop"}).increment(number + 1)
                worker.registry.meter("hits").mark()
                worker.registry.gauge("level").set(second)
                worker.registry.histogram("spread").update(1.5 ** ((second + number) % 20))
                worker.registry.timer("time").update(0.001 * (number + 1))
            self.clock.advance(1)
            if telling:
                self.tell()

    def tell(self) -> None:
        """Let everything be told to the top."""
        for number, worker in enumerate(self.workers):
            worker.tell(self.hosts[number % 2])
        for up in self.upward:
            up.tell(self.top)

    def assert_whole(self) -> None:
        """Check that the top shows what it would show if all workers published to it."""
        now = self.clock.monotonic()
        direct = Asking(self.clock)
        for worker in self.workers:
            Simulated(self.clock, worker.hello.pid, registry=worker.registry).tell(direct)

        assert_alike(stats_of(self.top), stats_of(direct))
        assert buckets_of(self.top, now) == buckets_of(direct, now)


@pytest.fixture
def site() -> Iterator[Site]:
    """Return a site."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(4)]
    hosts = [Asking(clock, workers[number::2]) for number in range(2)]
    upward = [Simulated(clock, 100 + number, registry=host, settles=False) for number, host in enumerate(hosts)]
    made = Site(clock, workers, hosts, upward, Asking(clock, upward))
    yield made
    for aggregator in (*made.hosts, made.top):
        assert told(aggregator)["bad_frames"] == 0


@pytest.mark.parametrize("seconds", [1, 100, 310, 700])
def test_the_site_shows_what_all_workers_have_recorded(site: Site, seconds: int) -> None:
    """Whether a worker's states come directly or by way of the aggregator of its host makes no difference."""
    site.work(seconds)

    site.assert_whole()


def test_an_aggregator_tells_only_what_has_changed(site: Site) -> None:
    """Between two flushes in which no worker has told anything new there is nothing to tell."""
    site.work(400)
    for _ in range(3):
        site.clock.advance(1)
        for number, worker in enumerate(site.workers):
            worker.tell(site.hosts[number % 2])
        for up in site.upward:
            (frame,) = [frames.decode(message) for message in up.tell(site.top)]
            assert frame.body == b""

    site.workers[0].registry.counter("orders", {"of": "shop"}).increment()
    site.workers[0].tell(site.hosts[0])
    (frame,) = [frames.decode(message) for message in site.upward[0].tell(site.top)]
    assert len(list(frame.records())) == 1
    site.assert_whole()


def test_a_site_that_begins_late_is_told_everything(site: Site) -> None:
    """What was closed long before it began is in its totals."""
    site.work(900, telling=False)
    site.tell()

    site.assert_whole()


def test_a_site_that_hears_nothing_for_long_misses_nothing(site: Site) -> None:
    """Slices that it knows of may be closed when it hears of them again, with more in them."""
    site.work(130)
    for _ in range(800):
        site.work(1, telling=False)
        for number, worker in enumerate(site.workers):
            worker.tell(site.hosts[number % 2])
    site.tell()

    site.assert_whole()


def test_a_worker_that_tells_late_what_is_long_over_is_counted_once(site: Site) -> None:
    """What a worker tells after its host's aggregator has closed that time goes into what is closed, above as well."""
    late = site.workers[0]
    for _ in range(800):
        site.work(1, telling=False)
        for number, worker in enumerate(site.workers[1:], 1):
            worker.tell(site.hosts[number % 2])
        for up in site.upward:
            up.tell(site.top)
    late.tell(site.hosts[0])
    site.tell()

    site.assert_whole()


def test_workers_that_end_are_counted_on_above(site: Site) -> None:
    """Whatever becomes of a worker at its host, the site goes on to count what it has told."""
    site.work(70)
    gone = site.workers[0]
    gone.tell(site.hosts[0], flags=LEAVING | ENDING)
    for _ in range(100):
        site.clock.advance(1)
        site.hosts[0].tidy()
        for number in (1, 2, 3):
            site.workers[number].tell(site.hosts[number % 2])
        for up in site.upward:
            up.tell(site.top)

    assert gone.identity not in site.hosts[0].workers
    assert site.top.get_stats().level.value == 3 * 69
    for worker in site.workers:
        worker.registry.remove("level")
    site.tell()
    site.assert_whole()


def test_an_aggregator_that_ends_is_counted_on_above(site: Site) -> None:
    """What the workers of an aggregator have counted stays when it is gone. Their gauges go."""
    site.work(50)
    site.upward[0].tell(site.top, flags=LEAVING | ENDING)
    site.clock.advance(3)
    site.top.tidy()

    assert site.top.get_stats().level.value == 2 * 49
    for worker in site.workers[::2]:
        worker.registry.gauge("level").set(0)
    site.assert_whole()


@pytest.mark.parametrize("kind", KINDS)
def test_what_all_workers_have_removed_is_gone_above(site: Site, kind: str) -> None:
    """remove() reaches the site."""
    names = {"counter": "orders", "gauge": "level", "meter": "hits", "histogram": "spread", "timer": "time"}
    site.work(10)
    for worker in site.workers:
        worker.registry.remove(names[kind])
    site.tell()

    assert names[kind] not in stats_of(site.top)
    site.assert_whole()


def test_what_is_removed_and_made_again_begins_at_zero_above(site: Site) -> None:
    """clear() reaches the site, and what comes after it is all there is."""
    site.work(400)
    for worker in site.workers:
        worker.registry.clear()
    site.tell()
    assert stats_of(site.top) == {}
    site.work(5)

    site.assert_whole()


@pytest.mark.parametrize(
    ("merge", "expected"), [("sum", 100.0), ("min", 10.0), ("max", 40.0), ("mean", 25.0), ("last", 30.0)]
)
def test_gauges_are_combined_over_all_workers(site: Site, merge: str, expected: float) -> None:
    """The mean is that of the workers, not that of the hosts, and the last value is the last of all."""
    for number in (0, 1, 3, 2):
        site.clock.advance(1)
        site.workers[number].registry.gauge("mode", merge=merge).set(10.0 * (number + 1))
    site.tell()

    assert site.top.get_stats().mode.value == expected


def test_the_mean_counts_each_worker_once() -> None:
    """A host with three workers has three times the weight of a host with one."""
    clock = ManualClock(1000.0)
    hosts = [Asking(clock), Asking(clock)]
    top = Asking(clock)
    for number, value in enumerate([1.0, 2.0, 3.0, 10.0]):
        worker = Simulated(clock, number)
        worker.registry.gauge("mode", merge="mean").set(value)
        worker.tell(hosts[number // 3])
    for host in hosts:
        Simulated(clock, registry=host, settles=False).tell(top)

    assert top.get_stats().mode.value == 4.0


def test_gauges_of_workers_that_are_not_heard_of_go_above() -> None:
    """A lease that runs out at a host is told to the site."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, 1), Simulated(clock, 2)]
    host = Asking(clock, workers, lease=10)
    up = Simulated(clock, registry=host, settles=False)
    top = Asking(clock, [up])
    for worker in workers:
        worker.registry.gauge("level").set(worker.hello.pid)
        worker.tell(host)
    up.tell(top)
    shown: List[Any] = [top.get_stats().level.value]
    for _ in range(8):
        clock.advance(2)
        workers[1].tell(host)
        host.tidy()
        up.tell(top)
        shown.append(top.get_stats().level.value)

    assert shown == [3, 3, 3, 3, 3, 3, 2, 2, 2]


def test_the_series_of_each_worker_are_told_further() -> None:
    """What `by_worker` shows at a host is shown at the site as well, and goes there with the worker."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid, host="shop", machine="other") for pid in (7, 8)]
    host = Asking(clock, workers, by_worker=True)
    up = Simulated(clock, registry=host, settles=False)
    top = Asking(clock, [up])
    for worker in workers:
        worker.registry.counter("orders").increment(worker.hello.pid)
        worker.tell(host)
    up.tell(top)
    before: Dict[str, Any] = stats_of(top)
    workers[0].tell(host, flags=LEAVING | ENDING)
    clock.advance(3)
    host.tidy()
    up.tell(top)

    assert before == {
        "orders": {"value": 15, "worker=shop:7": {"value": 7}, "worker=shop:8": {"value": 8}},
    }
    assert stats_of(top) == {"orders": {"value": 15, "worker=shop:8": {"value": 8}}}


def test_an_aggregator_that_is_silent_for_days_is_merged_for_good(site: Site) -> None:
    """A site keeps nothing of each host that ever was but what its workers have counted."""
    site.work(50)
    before = stats_of(site.top)
    for _ in range(25):
        site.clock.advance(3600)
        site.upward[1].tell(site.top)
        site.top.tidy()

    assert list(site.top.workers) == [site.upward[1].identity]
    for name, key in (("hits", "count"), ("spread", "count"), ("time", "sum")):
        assert_alike(stats_of(site.top)[name][key], before[name][key])


def test_an_aggregator_that_takes_the_place_of_another_counts_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed and is started again is the same to the site: its workers are not counted twice."""
    identity = b"one aggregator's"
    clock, workers = site.clock, site.workers[::2]
    top = Asking(clock)
    for start in (1, 2, 3):
        host = Asking(clock, workers)
        monkeypatch.setattr(time, "time_ns", lambda start=start: start * 60 * 10**9)
        up = top.introduce(Simulated(clock, registry=host, settles=False, identity=identity))
        for worker in workers:
            worker.publisher.begin()
        for _ in range(250):
            for worker in workers:
                worker.registry.counter("orders").increment()
                worker.registry.histogram("spread").update(1.0)
                worker.registry.timer("time").update(2.0)
                worker.tell(host)
            up.tell(top)
            clock.advance(1)
        stats = top.get_stats()
        assert (stats.orders.value, stats.spread["count"], stats.time.sum) == (500 * start, 500 * start, 1000.0 * start)

    assert len(top.workers) == 1
    assert told(top) == {"messages": 750, "bad_frames": 0, "gaps": 0}
