"""The figures of each worker, for who asks for them."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from tapes.distributed import presence
from tapes.distributed.processes import processes
from tapes.errors import InvalidTagsError
from tests.distributed.simulated import ELSEWHERE, KINDS, Bench, record, record_all, stats_of


@pytest.fixture
def bench() -> Bench:
    """Return two workers and an aggregator that shows each of them."""
    return Bench(7, 8, host="shop", by_worker=True)


def orders_of(bench: Bench) -> Dict[str, Any]:
    """Return what is shown of the orders."""
    orders: Dict[str, Any] = stats_of(bench.aggregator)["orders"]
    return orders


def test_a_series_of_each_worker_besides_that_of_all(bench: Bench) -> None:
    """Every kind, tagged with the worker; those without the tag are all of them together."""
    for worker in bench.workers:
        for _ in range(worker.hello.pid):
            record_all(worker)
        record(worker, "gauge", worker.hello.pid, "level")
        record(worker, "meter", worker.hello.pid, "hits", {"page": "a"})
    bench.tell()

    stats = bench.stats
    for tree, key in ((stats.orders, "value"), (stats.level, "value"), (stats.spread, "count"), (stats.time, "count")):
        assert [tree[key], tree["worker=shop:7"][key], tree["worker=shop:8"][key]] == [15, 7, 8]
    for page in ("", "page=a,"):
        hits = [stats.hits[f"{page}worker=shop:{pid}"]["count"] for pid in (7, 8)]
        assert hits == [7, 8]
    assert stats.hits["page=a"]["count"] == stats.hits["count"] == 15


def test_they_go_with_the_worker(bench: Bench) -> None:
    """A worker that is gone is shown no more; what it has counted stays in the series of all."""
    for worker in bench.workers:
        for kind in KINDS:
            getattr(worker.registry, kind)(kind)
        record(worker, "counter", worker.hello.pid, "orders")
    bench.tell()
    bench.end(0)

    assert not [metric for metric in bench.aggregator if ("worker", "shop:7") in metric.tags]
    assert orders_of(bench) == {"value": 15, "worker=shop:8": {"value": 8}}


def test_what_a_worker_has_removed_is_gone(bench: Bench) -> None:
    """Its own series go at once, those of all when the last has removed them."""
    for worker in bench.workers:
        record(worker, "counter", worker.hello.pid, "orders")
        record(worker, "counter", worker.hello.pid, "visits")
    bench.tell()
    bench.workers[0].registry.remove("orders")
    bench.tell()
    assert orders_of(bench) == {"value": 15, "worker=shop:8": {"value": 8}}
    bench.workers[1].registry.remove("orders")
    bench.tell()

    visits = {"value": 15, "worker=shop:7": {"value": 7}, "worker=shop:8": {"value": 8}}
    assert stats_of(bench.aggregator) == {"visits": visits}


def test_a_pid_that_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of this host is called by its pid. One that has that of one that died begins with figures at zero."""
    alive = True
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: alive)
    bench = Bench(by_worker=True)
    first, second = (bench.employ(7, processes=processes()) for _ in range(2))
    record(first, "counter", 3, "orders")
    bench.tell(0)
    assert orders_of(bench) == {"value": 3, "worker=7": {"value": 3}}
    alive = False
    bench.pass_time(3)
    record(second, "counter", 4, "orders")
    bench.tell(1)

    assert orders_of(bench) == {"value": 7, "worker=7": {"value": 4}}


def test_a_tag_of_the_same_name_is_left_alone(bench: Bench) -> None:
    """A series that has a tag `worker` itself is shown as it is, and what it has counted outlives the worker."""
    for worker in bench.workers:
        record(worker, "counter", worker.hello.pid, "orders", {"worker": "mine"})
        record(worker, "histogram", 1, "spread", {"worker": "mine"})
    bench.tell()
    bench.end()

    assert bench.aggregator.workers == {}
    assert orders_of(bench) == {"worker=mine": {"value": 15}}
    assert bench.stats.spread["worker=mine"]["count"] == 2


def test_a_tag_that_another_series_has_already(bench: Bench) -> None:
    """A worker whose series would be taken for one that another worker has made itself does no harm to that one."""
    record(bench.workers[0], "counter", 1, "orders", {"worker": "shop:8"})
    record(bench.workers[1], "counter", 10, "orders")
    bench.tell()
    bench.end()

    assert orders_of(bench)["value"] == 10
    assert orders_of(bench)["worker=shop:8"]["value"] >= 1


@pytest.mark.parametrize(
    ("others", "own"), [("one container", None), ("another container", "shop:1:020202"), ("", "shop:1:020202")]
)
def test_workers_of_the_same_name_are_told_apart(others: str, own: str) -> None:
    """In containers that share the name of their host all processes may have the number 1."""
    bench = Bench(by_worker=True)
    first = bench.employ(1, host="shop", processes=others and "one container", identity=b"\x01" * 16)
    second = bench.employ(1, host="shop", processes=others, identity=b"\x02" * 16)
    for worker, orders in ((first, 3), (second, 4), (first, 10)):
        record(worker, "counter", orders, "orders")
        worker.tell(bench.aggregator)

    apart = {"worker=shop:1": {"value": 13}, f"worker={own}": {"value": 4}}
    assert orders_of(bench) == {"value": 17, **(apart if own else {"worker=shop:1": {"value": 17}})}


def test_what_of_a_host_cannot_be_printed_is_a_question_mark() -> None:
    """Neither a log nor a destination of reports has to cope with what a worker calls its host."""
    bench = Bench(7, host="a\ud800b\u202ec\x85", by_worker=True)
    record_all(bench.workers[0], 3)
    bench.tell()

    assert bench.workers[0].hello.processes == ELSEWHERE
    assert orders_of(bench) == {"value": 3, "worker=a?b?c?:7": {"value": 3}}


def test_a_number_that_is_used_again_in_a_container() -> None:
    """Its process of before has ended, although nobody here can look at it."""
    bench = Bench(by_worker=True)
    for started, orders in ((100, 3), (200, 4)):
        record(bench.employ(7, host="shop", started=started), "counter", orders, "orders")
        bench.tell(-1)

    assert orders_of(bench) == {"value": 7, "worker=shop:7": {"value": 4}}
    assert list(bench.aggregator.workers) == [bench.workers[1].identity]


def test_a_rollup_counts_no_worker_twice(bench: Bench) -> None:
    """The series of single workers are in those of all already."""
    for worker in bench.workers:
        for route in ("/", "/cart"):
            record(worker, "timer", worker.hello.pid, "time", {"route": route})
        record(worker, "counter", 1, "orders", {"worker": "of the program"})
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
