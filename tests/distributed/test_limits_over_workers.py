"""How many series an aggregator has over all workers: totals are kept, memory is bounded, and it is logged once."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Set

import pytest

from tapes.distributed import keeping
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.frames import ENDING, LEAVING
from tapes.errors import ReporterOptionError
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.snapshot import Reading
from tapes.testing import ManualClock
from tests.distributed.forging import KINDS, counter, frame, hello, series
from tests.distributed.simulated import Asking, Simulated, stats_of, told


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test turns."""
    return ManualClock(1000.0)


def record(registry: Registry, kind: str, name: str, tags: Any = None) -> None:
    """Record once."""
    method = {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update")
    getattr(getattr(registry, kind)(name, tags=tags), method)(1)


def restarted(aggregator: Asking, clock: ManualClock, workers: List[Simulated], **options: Any) -> Asking:
    """Return an aggregator that goes on with what another one has kept."""
    other = Asking(clock, workers, **options)
    keeping.fill(other, keeping.decode(keeping.encode(aggregator)))
    return other


def metrics(registry: Iterable[Instrument], kind: str) -> Iterator[Instrument]:
    """Yield the metrics of one kind that are not those of the aggregator."""
    for metric in registry:
        if metric.kind == kind and (
            not metric.name.startswith("tapes.") or metric.name.startswith("tapes.aggregator.overflow.")
        ):
            yield metric


def total(registry: Iterable[Instrument], kind: str) -> float:
    """Return the sum of the counts, or values, of all series of a kind."""
    stats = [Reading.of(metric, 1000.0).statistics for metric in metrics(registry, kind)]
    return sum(each.get("count", each.get("value")) or 0 for each in stats)


@pytest.mark.parametrize("kind", KINDS)
def test_the_totals_of_further_names_go_to_one_series_of_their_kind(
    clock: ManualClock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Here and one level up, with one log line, and those that were there before are exact."""
    workers = [Simulated(clock, pid) for pid in range(1, 4)]
    aggregator = Asking(clock, workers, max_series=50)
    up = Simulated(clock, registry=aggregator, settles=False)
    top = Asking(clock, [up])
    for worker in workers:
        record(worker.registry, kind, "shared")
        for number in range(40):
            record(worker.registry, kind, f"own.of{worker.hello.pid}.number{number}")
        worker.tell(aggregator)
    for worker in workers:
        record(worker.registry, kind, "shared")
        record(worker.registry, kind, f"own.of{worker.hello.pid}.number39")
        worker.tell(aggregator)
    up.tell(top)

    recorded = 3 * 41 if kind == "gauge" else 3 * 43
    for each in (aggregator, top):
        assert total(each, kind) == recorded
        (overflow,) = [metric for metric in each if metric.tags == (("overflow", "true"),)]
        assert overflow.name == f"tapes.aggregator.overflow.{kind}"
    assert next(iter(aggregator.get_stats().shared.values())) == (3 if kind == "gauge" else 6)
    stats = aggregator.get_stats().tapes.aggregator
    assert (stats.series.value, stats.overflowed.value, stats.left_out.value) == (50, 3 * 41 - 2 - 50, 0)
    assert len(list(metrics(aggregator, kind))) == 51
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "max_series" in caplog.text
    assert told(top)["bad_frames"] == 0


@pytest.mark.parametrize("limit", [8, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_the_totals_of_further_tag_sets_go_to_the_overflow_series_of_their_name(
    clock: ManualClock, kind: str, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Where each worker stays within its own limit, and all of them together do not; a worker's own overflow counts."""
    workers = [Simulated(clock, pid, registry=Registry(clock=clock, max_tag_sets=8)) for pid in range(1, 4)]
    aggregator = Asking(clock, workers, max_tag_sets=limit)
    for worker in workers:
        for number in range(9):
            record(worker.registry, kind, "requests", {"user": f"{worker.hello.pid}-{number}"})
        worker.tell(aggregator)

    recorded = [metric for metric in metrics(aggregator, kind) if metric.name == "requests"]
    assert total(aggregator, kind) == 27
    assert len(recorded) == limit + 1
    assert aggregator.get_stats().tapes.aggregator.overflowed.value == 3 * 8 - limit
    lines = [each.message for each in caplog.records if each.name == "tapes.distributed"]
    assert len(lines) == 1
    assert "max_tag_sets" in lines[0]


def test_the_first_series_that_overflows_is_said(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """It may be the only one."""
    workers = [Simulated(clock, pid) for pid in range(1, 4)]
    aggregator = Asking(clock, workers, max_series=2)
    for worker in workers[:2]:
        record(worker.registry, "counter", f"own.of{worker.hello.pid}")
        worker.tell(aggregator)
    before = list(caplog.messages)
    record(workers[2].registry, "counter", "own.of3")
    workers[2].tell(aggregator)

    assert before == []
    (line,) = caplog.messages
    assert line == (
        "The aggregator has 2 series, which is max_series: the totals of further ones go to series tagged "
        "overflow=true."
    )


def test_recycled_workers_leave_no_more_series_than_there_may_be(clock: ManualClock) -> None:
    """Each within its limits, with names that the ones before it did not have; nothing that they counted is lost."""
    aggregator = Asking(clock, max_series=100)
    for generation in range(60):
        worker = aggregator.introduce(Simulated(clock, generation + 1))
        for number in range(10):
            record(worker.registry, "timer", f"work.item{generation}_{number}")
        worker.tell(aggregator, flags=LEAVING | ENDING)
        clock.advance(3)
        aggregator.tidy()

    assert aggregator.workers == {}
    assert total(aggregator, "timer") == 600
    assert len(list(metrics(aggregator, "timer"))) == 101


@pytest.mark.parametrize("settles", [True, False])
def test_a_worker_that_never_tells_to_the_end_has_no_more_series(clock: ManualClock, settles: bool) -> None:
    """Than there may be of a worker, however often it begins, and with whatever names."""
    worker = Simulated(clock, 1, settles=settles)
    aggregator = Asking(clock, [worker], max_series=50)
    for session in range(20):
        worker.registry.clear()
        for number in range(45):
            record(worker.registry, "counter", f"name{session}.number{number}")
        worker.publisher.begin()
        flush = worker.publisher.flush(worker.registry)
        aggregator.apply(next(flush))
        flush.close()
    known = aggregator.workers[worker.identity]

    assert len(known.everything()) <= 50 + 40
    assert len(known.overflowed) + len(known.earlier) <= 2 * (50 + 40)
    worker.publisher.begin()
    worker.tell(aggregator)
    assert told(aggregator)["bad_frames"] == 0
    assert {f"name19.number{number}" for number in range(45)} <= {metric.name for metric in aggregator} | {
        part.of[1] for part in known.overflowed.values() if part.of is not None
    }


def test_overflow_series_need_no_room(clock: ManualClock) -> None:
    """Before a restart and after it: what is left for others is the same."""
    worker, other = workers = [Simulated(clock, 1), Simulated(clock, 2)]
    aggregator = Asking(clock, workers, max_series=5)
    for number in range(5):
        record(worker.registry, "counter", "name", {"number": str(number)})
    worker.tell(aggregator)
    for name in ("name", "other"):
        for number in range(2):
            record(other.registry, "counter", name, {"more": str(number)})
    other.tell(aggregator)
    worker.registry.remove("name", {"number": "0"})
    worker.tell(aggregator)
    aggregator = restarted(aggregator, clock, workers, max_series=5)
    assert aggregator.get_stats().tapes.aggregator.series.value == 4
    for each in workers:
        each.publisher.begin()
    record(worker.registry, "counter", "new")
    for each in workers:
        each.tell(aggregator)

    assert aggregator.get_stats().tapes.aggregator.series.value == 5
    assert aggregator.get_stats().new.value == 1
    assert total(aggregator, "counter") == 5 - 1 + 4 + 1


@pytest.mark.parametrize("kind", ["counter", "meter", "histogram", "timer"])
def test_a_series_that_has_overflowed_stays_where_it_is(clock: ManualClock, kind: str) -> None:
    """In a new session, when there is room again, and when its slices have been merged."""
    worker, other = Simulated(clock, 1), Simulated(clock, 2)
    aggregator = Asking(clock, [worker, other], max_series=5)
    for number in range(5):
        record(other.registry, kind, f"other{number}")
    other.tell(aggregator)
    for number in range(4):
        for _ in range(3):
            record(worker.registry, kind, f"mine{number}")
            worker.tell(aggregator)
            clock.advance(70)
            other.tell(aggregator)
    other.registry.clear()
    other.tell(aggregator)
    for _ in range(3):
        worker.publisher.begin()
        record(worker.registry, kind, "mine0")
        worker.tell(aggregator)
        clock.advance(400)
        aggregator = restarted(aggregator, clock, [worker, other], max_series=5)
        other.publisher.begin()
        other.tell(aggregator)
        worker.publisher.begin()
    record(worker.registry, kind, "new")
    worker.tell(aggregator)

    assert total(aggregator, kind) == 12 + 3 + 1
    assert "new" in stats_of(aggregator)
    aggregator.retire(aggregator.workers[worker.identity])
    assert total(aggregator, kind) == 12 + 3 + 1


def restarted_host(clock: ManualClock, kind: str, names: List[str], times: int) -> Simulated:
    """Return what an aggregator publishes that was started again so many times, whose worker has these series."""
    worker = Simulated(clock, 3)
    for name in names:
        record(worker.registry, kind, name)
    host = Asking(clock, [worker])
    worker.tell(host)
    up = Simulated(clock, registry=host, settles=False, identity=bytes(16))
    for _ in range(times):
        up.publisher.begin()
    return up


@pytest.mark.parametrize("kind", ["counter", "meter", "histogram", "timer"])
def test_an_aggregator_that_is_started_again_has_the_same_series(clock: ManualClock, kind: str) -> None:
    """Those that have overflowed, and those that have not, though it numbers them anew."""
    names = [f"name{number}" for number in range(5)]
    other = Simulated(clock, 1)
    top = Asking(clock, [other], max_series=6)
    for name in ("x", "y", *names[:3]):
        record(other.registry, kind, name)
    other.tell(top)
    for times, order in enumerate((names, names[::-1], names[2:] + names[:2])):
        top.introduce(restarted_host(clock, kind, order, times)).tell(top)
        shown = {metric.name: total([metric], kind) for metric in metrics(top, kind)}

        assert shown == {
            "x": 1,
            "y": 1,
            **dict.fromkeys(names[:3], 2),
            names[3]: 1,
            f"tapes.aggregator.overflow.{kind}": 1,
        }
    assert told(top)["bad_frames"] == 0


def test_no_worker_has_more_series_than_there_may_be_of_all(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What it names beyond that is left out, with its states, and counted; the worker stays in step."""
    aggregator = Asking(clock, max_series=10)
    content = b"".join(series("counter", f"name{place}", place=place) + counter(1, place=place) for place in range(500))
    aggregator.apply(frame(b"x" * 16, hello(), content))
    aggregator.apply(frame(b"x" * 16, counter(5, place=3), counter(9, place=333), sequence=1))

    stats = aggregator.get_stats()
    assert (stats.name3.value, stats.tapes.aggregator.left_out.value, told(aggregator)["bad_frames"]) == (5, 490, 0)
    assert len(caplog.records) == 1


def test_the_series_of_single_workers_are_bounded_too(clock: ManualClock) -> None:
    """With `by_worker` there are as many of them as there may be shared ones, and these are complete."""
    workers = [Simulated(clock, pid) for pid in range(1, 6)]
    aggregator = Asking(clock, workers, by_worker=True, max_series=10)
    for worker in workers:
        for number in range(4):
            record(worker.registry, "counter", f"name{number}")
        worker.tell(aggregator)

    def own() -> Set[Any]:
        return {metric for metric in metrics(aggregator, "counter") if metric.tags}

    before = own()
    assert len(before) == 10
    assert [aggregator.get_stats()[f"name{number}"].value for number in range(4)] == [5] * 4
    workers[0].publisher.begin()
    workers[0].tell(aggregator)
    assert own() == before
    workers[0].registry.clear()
    workers[0].tell(aggregator)
    for number in range(4):
        record(workers[4].registry, "counter", f"later{number}")
    workers[4].tell(aggregator)
    assert len(own()) == 10


def test_series_of_single_workers_that_are_removed_make_room(clock: ManualClock) -> None:
    """Whoever has removed them, and however many there have been."""
    worker = Simulated(clock, 1)
    aggregator = Asking(clock, [worker], by_worker=True, max_series=3)
    for number in range(10):
        record(worker.registry, "counter", f"name{number}")
        worker.tell(aggregator)
        assert stats_of(aggregator) == {f"name{number}": {"value": 1, "worker=here:1": {"value": 1}}}
        worker.registry.clear()
        worker.tell(aggregator)


def test_names_of_two_kinds_are_one_line_in_the_log(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """However many there are; each is counted, and everything else of the worker is shown."""
    first, second = workers = [Simulated(clock, 1), Simulated(clock, 2)]
    aggregator = Asking(clock, workers)
    for number in range(100):
        first.registry.counter(f"name{number}").increment()
        second.registry.meter(f"name{number}").mark()
    second.registry.counter("fine").increment()
    for worker in workers:
        worker.tell(aggregator)

    stats = aggregator.get_stats()
    assert (stats.fine.value, stats.name7.value, stats.tapes.aggregator.left_out.value) == (1, 1, 100)
    assert len(caplog.records) == 1


REMADE: List[str] = ["counter", "meter", "histogram", "timer"]


@pytest.mark.parametrize("kind", REMADE)
@pytest.mark.parametrize("away", [0.0, 1.0, 400.0])
@pytest.mark.parametrize("meanwhile", ["", "a new session", "a restart"])
def test_a_metric_that_was_made_again_is_another_one(
    clock: ManualClock, kind: str, away: float, meanwhile: str
) -> None:
    """Whether a new session has begun meanwhile, or another aggregator, and however long it has not heard of it."""
    worker, other = workers = [Simulated(clock, 1), Simulated(clock, 2)]
    aggregator = Asking(clock, workers)
    for each, times in ((worker, 7), (other, 30)):
        for _ in range(times):
            record(each.registry, kind, "metric")
        each.tell(aggregator)
    worker.registry.clear()
    for _ in range(3):
        record(worker.registry, kind, "metric")
        clock.advance(away)
    if meanwhile == "a restart":
        aggregator = restarted(aggregator, clock, workers)
        other.publisher.begin()
    if meanwhile:
        worker.publisher.begin()
    for _ in range(2):
        other.tell(aggregator)
        worker.tell(aggregator)
        worker.publisher.begin()

    assert total(aggregator, kind) == 7 + 30 + 3
    assert told(aggregator)["bad_frames"] == 0


@pytest.mark.parametrize("option", ["max_series", "max_tag_sets"])
def test_the_limits_are_options_of_an_aggregator(option: str) -> None:
    """Ints from 1; anything else is refused with its name and its value."""
    for most in (1, 500_000):
        RegistryAggregator(ThreadedStreamReporter(60), **{option: most})  # type: ignore[arg-type]  # one at a time
    for limit in (0, -1, 1.5, True, "many", None):
        with pytest.raises(ReporterOptionError, match=f"{option} is how many series .* not {limit!r}"):
            RegistryAggregator(ThreadedStreamReporter(60), **{option: limit})  # type: ignore[arg-type]  # that is wrong
