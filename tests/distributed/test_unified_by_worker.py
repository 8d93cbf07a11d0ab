"""The figures of each worker, for who asks for them."""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple

import pytest

from tapes.distributed import presence
from tapes.distributed.frames import ENDING, LEAVING
from tapes.distributed.processes import processes
from tapes.errors import InvalidTagsError
from tapes.testing import ManualClock
from tests.distributed.simulated import ELSEWHERE, Asking, Simulated, apply, stats_of, told

KINDS = ("counter", "gauge", "meter", "histogram", "timer")


class Bench(NamedTuple):
    """Two workers and an aggregator that shows each of them."""

    clock: ManualClock
    workers: List[Simulated]
    aggregator: Asking

    def tell(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told."""
        for number in numbers or range(len(self.workers)):
            self.workers[number].tell(self.aggregator, flags=flags)


@pytest.fixture
def bench() -> Bench:
    """Return them."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid, host="shop") for pid in (7, 8)]
    return Bench(clock, workers, Asking(clock, workers, by_worker=True))


def test_a_series_of_each_worker_besides_that_of_all(bench: Bench) -> None:
    """Every kind, tagged with the worker; those without the tag are all of them together."""
    for worker in bench.workers:
        worker.registry.counter("orders").increment(worker.hello.pid)
        worker.registry.gauge("level").set(worker.hello.pid)
        worker.registry.meter("hits", {"page": "a"}).mark(worker.hello.pid)
        for _ in range(worker.hello.pid):
            worker.registry.histogram("spread").update(worker.hello.pid)
            worker.registry.timer("time").update(worker.hello.pid)
    bench.tell()

    stats = bench.aggregator.get_stats()
    for tree, key in (
        (stats.orders, "value"),
        (stats.level, "value"),
        (stats.spread, "count"),
        (stats.time, "count"),
    ):
        assert [tree[key], tree["worker=shop:7"][key], tree["worker=shop:8"][key]] == [15, 7, 8]
    assert stats.spread["worker=shop:8"].max == 8
    hits = stats.hits
    assert [hits[f"page=a{worker}"]["count"] for worker in ("", ",worker=shop:7", ",worker=shop:8")] == [15, 7, 8]


def test_no_series_more_if_it_is_not_asked_for() -> None:
    """Otherwise the aggregator has the series that its workers have, and those about itself."""
    clock = ManualClock(1000.0)
    aggregator = Asking(clock)
    before = len(aggregator)
    for pid in range(10):
        worker = Simulated(clock, pid)
        for kind in KINDS:
            getattr(worker.registry, kind)(kind)
        worker.tell(aggregator)

    assert len(aggregator) == before + len(KINDS)


def test_they_go_with_the_worker(bench: Bench) -> None:
    """A worker that is gone is shown no more; what it has counted stays in the series of all."""
    for worker in bench.workers:
        for kind in KINDS:
            getattr(worker.registry, kind)(kind)
        worker.registry.counter("orders").increment(worker.hello.pid)
    bench.tell()
    bench.tell(0, flags=LEAVING | ENDING)
    bench.clock.advance(3)
    bench.aggregator.tidy()

    assert not [metric for metric in bench.aggregator if ("worker", "shop:7") in metric.tags]
    assert stats_of(bench.aggregator)["orders"] == {"value": 15, "worker=shop:8": {"value": 8}}


def test_they_come_again_when_the_aggregator_does(bench: Bench) -> None:
    """They are as the worker tells them, whatever aggregator was there before."""
    bench.workers[0].registry.counter("orders").increment(3)
    bench.tell()
    bench.workers[0].registry.counter("orders").increment(4)
    bench.workers[0].publisher.begin()
    other = Asking(bench.clock, bench.workers, by_worker=True)
    bench.workers[0].tell(other)

    assert stats_of(other) == {"orders": {"value": 7, "worker=shop:7": {"value": 7}}}


def test_what_a_worker_has_removed_is_gone(bench: Bench) -> None:
    """Its own series go at once, those of all when the last has removed them."""
    for worker in bench.workers:
        worker.registry.counter("orders").increment(worker.hello.pid)
        worker.registry.counter("visits").increment(worker.hello.pid)
    bench.tell()
    bench.workers[0].registry.remove("orders")
    bench.tell()
    assert stats_of(bench.aggregator)["orders"] == {"value": 15, "worker=shop:8": {"value": 8}}
    bench.workers[1].registry.remove("orders")
    bench.tell()

    assert stats_of(bench.aggregator) == {
        "visits": {"value": 15, "worker=shop:7": {"value": 7}, "worker=shop:8": {"value": 8}}
    }


def test_a_worker_of_this_host_is_called_by_its_pid() -> None:
    """Where the pid says who it is, it is all that is said."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock, os.getpid(), processes=processes())
    aggregator = Asking(clock, [worker], by_worker=True)
    worker.registry.counter("orders").increment(3)
    worker.tell(aggregator)

    assert stats_of(aggregator) == {"orders": {"value": 3, f"worker={os.getpid()}": {"value": 3}}}


def test_a_pid_that_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has the pid of one that died begins with figures of its own at zero."""
    alive = True
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: alive)
    clock = ManualClock(1000.0)
    first, second = (Simulated(clock, 7, processes=processes()) for _ in range(2))
    aggregator = Asking(clock, [first, second], by_worker=True)
    first.registry.counter("orders").increment(3)
    first.tell(aggregator)
    alive = False
    clock.advance(3)
    aggregator.tidy()
    second.registry.counter("orders").increment(4)
    second.tell(aggregator)

    assert stats_of(aggregator) == {"orders": {"value": 7, "worker=7": {"value": 4}}}


def test_a_tag_of_the_same_name_is_left_alone(bench: Bench) -> None:
    """A series that has a tag `worker` itself is shown as it is, and what it has counted outlives the worker."""
    for worker in bench.workers:
        worker.registry.counter("orders", {"worker": "mine"}).increment(worker.hello.pid)
        worker.registry.histogram("spread", {"worker": "mine"}).update(1)
    bench.tell()
    bench.tell(flags=LEAVING | ENDING)
    bench.clock.advance(3)
    bench.aggregator.tidy()

    assert bench.aggregator.workers == {}
    stats = stats_of(bench.aggregator)
    assert stats["orders"] == {"worker=mine": {"value": 15}}
    assert stats["spread"]["worker=mine"]["count"] == 2


def test_a_tag_that_another_series_has_already(bench: Bench) -> None:
    """A worker whose series would be taken for one that another worker has made itself does no harm to that one."""
    bench.workers[0].registry.counter("orders", {"worker": "shop:8"}).increment(1)
    bench.workers[1].registry.counter("orders").increment(10)
    bench.tell()
    bench.tell(flags=LEAVING | ENDING)
    bench.clock.advance(3)
    bench.aggregator.tidy()

    orders: Dict[str, Any] = stats_of(bench.aggregator)["orders"]
    assert orders["value"] == 10
    assert orders["worker=shop:8"]["value"] >= 1


def test_frames_that_are_repeated_count_once(bench: Bench) -> None:
    """In the series of a worker as in that of all."""
    bench.workers[0].registry.counter("orders").increment(3)
    bench.workers[0].registry.histogram("spread").update(1)
    sent = bench.workers[0].frames()
    for _ in range(3):
        apply(bench.aggregator, sent)

    stats = stats_of(bench.aggregator)
    assert stats["orders"] == {"value": 3, "worker=shop:7": {"value": 3}}
    assert (stats["spread"]["count"], stats["spread"]["worker=shop:7"]["count"]) == (1, 1)
    assert told(bench.aggregator) == {"messages": 3, "bad_frames": 0, "gaps": 0}
    assert bench.workers[0].hello.processes == ELSEWHERE


@pytest.mark.parametrize("others", ["one container", "another container", ""])
def test_workers_of_the_same_name_are_told_apart(others: str) -> None:
    """In containers that share the name of their host all processes may have the number 1."""
    clock = ManualClock(1000.0)
    first = Simulated(clock, 1, host="shop", processes=others and "one container", identity=b"\x01" * 16)
    second = Simulated(clock, 1, host="shop", processes=others, identity=b"\x02" * 16)
    aggregator = Asking(clock, [first, second], by_worker=True)
    for worker, orders in ((first, 3), (second, 4), (first, 10)):
        worker.registry.counter("orders").increment(orders)
        worker.tell(aggregator)
    shown = stats_of(aggregator)["orders"]
    own = "worker=shop:1" if others == "one container" else "worker=shop:1:020202"

    assert shown.pop("value") == 17
    assert shown.pop("worker=shop:1")["value"] == (17 if own == "worker=shop:1" else 13)
    assert shown == ({} if own == "worker=shop:1" else {own: {"value": 4}})


def test_what_of_a_host_cannot_be_printed_is_a_question_mark() -> None:
    """Neither a log nor a destination of reports has to cope with what a worker calls its host."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock, 7, host="a\ud800b\u202ec\x85", processes=ELSEWHERE)
    aggregator = Asking(clock, [worker], by_worker=True)
    worker.registry.counter("orders").increment(3)
    worker.tell(aggregator)

    assert stats_of(aggregator)["orders"] == {"value": 3, "worker=a?b?c?:7": {"value": 3}}


def test_a_number_that_is_used_again_in_a_container(bench: Bench) -> None:
    """Its process of before has ended, although nobody here can look at it."""
    first, second = (Simulated(bench.clock, 7, host="shop", started=started) for started in (100, 200))
    for worker, orders in ((first, 3), (second, 4)):
        worker.registry.counter("orders").increment(orders)
        worker.tell(bench.aggregator)

    assert stats_of(bench.aggregator)["orders"] == {"value": 7, "worker=shop:7": {"value": 4}}
    assert list(bench.aggregator.workers) == [second.identity]


def test_a_rollup_counts_no_worker_twice(bench: Bench) -> None:
    """The series of single workers are in those of all already."""
    for worker in bench.workers:
        for route in ("/", "/cart"):
            worker.registry.timer("time", {"route": route}).update(worker.hello.pid)
        worker.registry.counter("orders", {"worker": "of the program"}).increment()
    bench.tell()

    rolled_up = bench.aggregator.rollup("time", by=("route",))
    assert [(reading.tags, reading.statistics["count"]) for reading in rolled_up] == [
        ((("route", "/"),), 2),
        ((("route", "/cart"),), 2),
    ]
    assert [reading.statistics["max"] for reading in bench.aggregator.rollup("time")] == [8]
    assert [reading.statistics["value"] for reading in bench.aggregator.rollup("orders", by=("worker",))] == [2]
    with pytest.raises(InvalidTagsError, match="They have the tags 'route'"):
        bench.aggregator.rollup("time", by=("worker",))
