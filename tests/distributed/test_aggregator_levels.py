"""An aggregator publishes what it has merged to another one: hosts, then the site."""

from __future__ import annotations

import time
from typing import Any, Iterator, List

import pytest

from tapes.distributed import frames
from tapes.distributed.frames import ENDING, LEAVING, Frame
from tests.distributed.simulated import (
    NAMES,
    Asking,
    Bench,
    Simulated,
    above,
    assert_alike,
    buckets_of,
    record,
    stats_of,
    told,
)


class Site(Bench):
    """Two hosts with two workers each, and an aggregator above theirs."""

    def __init__(self, **options: Any) -> None:
        """Begin with hosts of these options."""
        super().__init__()
        self.workers = [Simulated(self.clock, pid) for pid in range(4)]
        self.hosts = [Asking(self.clock, self.workers[number::2], **options) for number in range(2)]
        self.upward = [
            self.aggregator.introduce(Simulated(self.clock, 100 + number, registry=host, settles=False))
            for number, host in enumerate(self.hosts)
        ]

    def tell(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told, and then their hosts."""
        self.tell_hosts(*numbers, flags=flags)
        for up in self.upward:
            up.tell(self.aggregator)

    def tell_hosts(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told."""
        for number in numbers or range(4):
            self.workers[number].tell(self.hosts[number % 2], flags=flags)

    def work_twice(self) -> None:
        """Record, and again when all of that is over and closed."""
        for _ in range(2):
            self.work(60)
            self.tell()
            self.clock.advance(360)
            self.tell()

    def words(self) -> List[Frame]:
        """Let the hosts tell, and return what."""
        return [frames.decode(message) for up in self.upward for message in up.tell(self.aggregator)]

    def assert_whole(self) -> None:
        """Check that the top shows what it would show if all workers published to it."""
        now = self.clock.monotonic()
        direct = Asking(self.clock)
        for worker in self.workers:
            Simulated(self.clock, worker.hello.pid, registry=worker.registry).tell(direct)

        assert_alike(stats_of(self.aggregator), stats_of(direct))
        assert buckets_of(self.aggregator, now) == buckets_of(direct, now)


@pytest.fixture
def site() -> Iterator[Site]:
    """Return a site."""
    made = Site()
    yield made
    for aggregator in (*made.hosts, made.aggregator):
        assert told(aggregator)["bad_frames"] == 0


@pytest.mark.parametrize("seconds", [1, 100, 400])
def test_the_site_shows_what_all_workers_have_recorded(site: Site, seconds: int) -> None:
    """Whether a worker's states come directly or by way of the aggregator of its host makes no difference."""
    site.work(seconds)
    site.tell()

    site.assert_whole()


def test_an_aggregator_tells_only_what_has_changed(site: Site) -> None:
    """Between two flushes in which no worker has told anything new there is nothing to tell."""
    site.work_twice()
    for _ in range(3):
        site.clock.advance(1)
        site.tell_hosts()
        assert [frame.body for frame in site.words()] == [b"", b""]

    record(site.workers[0], "counter", 1, "orders", {"of": "shop"})
    site.tell_hosts(0)
    assert [len(list(frame.records())) for frame in site.words()] == [1, 0]
    site.assert_whole()


def test_a_site_that_begins_late_is_told_everything(site: Site) -> None:
    """What was closed long before it began is in its totals."""
    site.work(450, telling=False)
    site.tell()

    site.assert_whole()


@pytest.mark.parametrize("silent", ["site", "worker"])
def test_what_is_told_late_is_counted_once(site: Site, silent: str) -> None:
    """Slices may be closed when they are told: by hosts that hear a worker late, and to a site that hears them late."""
    site.work(130 if silent == "site" else 0)
    for _ in range(100):
        site.clock.advance(4)
        site.work(1, telling=False)
        if silent == "site":
            site.tell_hosts()
        else:
            site.tell(1, 2, 3)
    site.tell()

    site.assert_whole()


def test_workers_that_end_are_counted_on_above(site: Site) -> None:
    """Whatever becomes of a worker at its host, the site goes on to count what it has told."""
    site.work(70)
    site.tell_hosts(0, flags=LEAVING | ENDING)
    for _ in range(100):
        site.clock.advance(1)
        site.hosts[0].tidy()
        site.tell(1, 2, 3)

    assert site.workers[0].identity not in site.hosts[0].workers
    assert site.stats.level.value == 3 * 69
    for worker in site.workers:
        worker.registry.remove("level")
    site.tell()
    site.assert_whole()


def test_an_aggregator_that_ends_is_counted_on_above(site: Site) -> None:
    """What the workers of an aggregator have counted stays when it is gone. Their gauges go."""
    site.work(50)
    site.upward[0].tell(site.aggregator, flags=LEAVING | ENDING)
    site.pass_time(3)

    assert site.stats.level.value == 2 * 49
    for worker in site.workers[::2]:
        worker.registry.gauge("level").set(0)
    site.assert_whole()


@pytest.mark.parametrize("name", NAMES.values())
def test_what_all_workers_have_removed_is_gone_above(site: Site, name: str) -> None:
    """remove() reaches the site."""
    site.work(10)
    for worker in site.workers:
        worker.registry.remove(name)
    site.tell()

    assert name not in stats_of(site.aggregator)
    site.assert_whole()


def test_what_is_removed_and_made_again_begins_at_zero_above(site: Site) -> None:
    """clear() reaches the site, and what comes after it is all there is."""
    site.work_twice()
    for worker in site.workers:
        worker.registry.clear()
    site.tell()
    assert stats_of(site.aggregator) == {}
    site.work(5)
    site.tell()

    site.assert_whole()


@pytest.mark.parametrize(
    ("merge", "expected"), [("sum", 70.0), ("min", 10.0), ("max", 40.0), ("mean", 70 / 3), ("last", 20.0)]
)
def test_gauges_are_combined_over_all_workers(site: Site, merge: str, expected: float) -> None:
    """A host with two workers has twice the weight of a host with one, and the last value is the last of all."""
    for number in (0, 3, 1):
        site.clock.advance(1)
        site.workers[number].registry.gauge("mode", merge=merge).set(10.0 * (number + 1))
    site.tell()

    assert site.stats.mode.value == expected


def test_gauges_of_workers_that_are_not_heard_of_go_above(site: Site) -> None:
    """A lease that runs out at a host is told to the site."""
    for number in (0, 1):
        record(site.workers[number], "gauge", number + 1)
    site.tell()
    shown = []
    for _ in range(6):
        site.clock.advance(2)
        site.hosts[0].tidy()
        site.tell(1)
        shown.append(site.stats.gauge.value)

    assert shown == [3, 3, 3, 3, 3, 2]


def test_the_series_of_each_worker_are_told_further() -> None:
    """What `by_worker` shows at a host is shown at the site as well, and goes there with the worker."""
    host = Bench(7, 8, host="shop", by_worker=True)
    up, top = above(host.aggregator)
    for worker in host.workers:
        record(worker, "counter", worker.hello.pid, "orders")
    host.tell()
    up.tell(top)
    before = stats_of(top)
    host.end(0)
    up.tell(top)

    assert before == {"orders": {"value": 15, "worker=shop:7": {"value": 7}, "worker=shop:8": {"value": 8}}}
    assert stats_of(top) == {"orders": {"value": 15, "worker=shop:8": {"value": 8}}}


def test_an_aggregator_that_is_silent_for_days_is_merged_for_good(site: Site) -> None:
    """A site keeps nothing of each host that ever was but what its workers have counted."""
    site.work(50)
    before = stats_of(site.aggregator)
    for _ in range(25):
        site.clock.advance(3600)
        site.upward[1].tell(site.aggregator)
        site.aggregator.tidy()

    assert list(site.aggregator.workers) == [site.upward[1].identity]
    for name, key in (("hits", "count"), ("spread", "count"), ("time", "sum")):
        assert_alike(stats_of(site.aggregator)[name][key], before[name][key])


def test_an_aggregator_that_takes_the_place_of_another_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed and is started again is the same to the site: its workers are not counted twice."""
    host = Bench(0, 1)
    top = Asking(host.clock)
    for start in (1, 2, 3):
        host.aggregator = Asking(host.clock, host.workers)
        monkeypatch.setattr(time, "time_ns", lambda start=start: start * 60 * 10**9)
        up = top.introduce(Simulated(host.clock, registry=host.aggregator, settles=False, identity=b"one aggregator's"))
        host.begin()
        for _ in range(250):
            for worker in host.workers:
                record(worker, "counter", 1, "orders")
                record(worker, "histogram", 1.0, "spread")
                record(worker, "timer", 2.0, "time")
            host.tell()
            up.tell(top)
            host.clock.advance(1)
        stats = top.get_stats()
        assert (stats.orders.value, stats.spread["count"], stats.time.sum) == (500 * start, 500 * start, 1000.0 * start)

    assert len(top.workers) == 1
    assert told(top) == {"messages": 750, "bad_frames": 0, "gaps": 0}
