"""How many series an aggregator has over all workers: totals are kept, memory is bounded, and it is logged once."""

from __future__ import annotations

from typing import Any, Iterable, List, Set

import pytest

from tapes.distributed.aggregator import RegistryAggregator
from tapes.errors import ReporterOptionError
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.snapshot import Reading
from tests.distributed.forging import counter, frame, hello, series
from tests.distributed.simulated import (
    KEPT,
    KINDS,
    Bench,
    Simulated,
    above,
    record,
    restarted,
    stats_of,
    told,
)


def metrics(registry: Iterable[Instrument], kind: str) -> List[Instrument]:
    """Return the metrics of one kind that are not those of the aggregator."""
    own = "tapes.aggregator.overflow."
    return [
        metric
        for metric in registry
        if metric.kind == kind and (not metric.name.startswith("tapes.") or metric.name.startswith(own))
    ]


def total(registry: Iterable[Instrument], kind: str) -> float:
    """Return the sum of the counts, or values, of all series of a kind."""
    stats = [Reading.of(metric, 1000.0).statistics for metric in metrics(registry, kind)]
    return sum(each.get("count", each.get("value")) or 0 for each in stats)


@pytest.mark.parametrize("kind", KINDS)
def test_the_totals_of_further_names_go_to_one_series_of_their_kind(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Here and one level up, with one log line, and those that were there before are exact."""
    bench = Bench(1, 2, 3, max_series=50)
    up, top = above(bench.aggregator)
    for numbers in (range(40), [39]):
        for pid, worker in enumerate(bench.workers, 1):
            record(worker, kind, name="shared")
            for number in numbers:
                record(worker, kind, name=f"own.of{pid}.number{number}")
            worker.tell(bench.aggregator)
    up.tell(top)

    for each in (bench.aggregator, top):
        assert total(each, kind) == (3 * 41 if kind == "gauge" else 3 * 43)
        (overflow,) = [metric for metric in each if metric.tags == (("overflow", "true"),)]
        assert overflow.name == f"tapes.aggregator.overflow.{kind}"
    assert next(iter(bench.stats.shared.values())) == (3 if kind == "gauge" else 6)
    figures = bench.figures
    assert (figures.series.value, figures.overflowed.value, figures.left_out.value) == (50, 3 * 41 - 2 - 50, 0)
    assert len(metrics(bench.aggregator, kind)) == 51
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "max_series" in caplog.text
    assert told(top)["bad_frames"] == 0


@pytest.mark.parametrize("limit", [8, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_the_totals_of_further_tag_sets_go_to_the_overflow_series_of_their_name(
    kind: str, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Where each worker stays within its own limit, and all of them together do not; a worker's own overflow counts."""
    bench = Bench(max_tag_sets=limit)
    for pid in range(1, 4):
        worker = bench.employ(pid, registry=Registry(clock=bench.clock, max_tag_sets=8))
        for number in range(9):
            record(worker, kind, name="requests", tags={"user": f"{pid}-{number}"})
    bench.tell()

    recorded = [metric for metric in metrics(bench.aggregator, kind) if metric.name == "requests"]
    assert total(bench.aggregator, kind) == 27
    assert len(recorded) == limit + 1
    assert bench.figures.overflowed.value == 3 * 8 - limit
    (line,) = [each.message for each in caplog.records if each.name == "tapes.distributed"]
    assert "max_tag_sets" in line


def test_the_first_series_that_overflows_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """It may be the only one."""
    bench = Bench(0, 1, 2, max_series=2)
    for number, worker in enumerate(bench.workers):
        assert caplog.messages == []
        record(worker, "counter", name=f"own.of{number}")
        bench.tell(number)

    (line,) = caplog.messages
    assert line == (
        "The aggregator has 2 series, which is max_series: the totals of further ones go to series tagged "
        "overflow=true."
    )


def test_recycled_workers_leave_no_more_series_than_there_may_be() -> None:
    """Each within its limits, with names that the ones before it did not have; nothing that they counted is lost."""
    bench = Bench(max_series=100)
    for generation in range(30):
        worker = bench.employ(generation + 1)
        for number in range(10):
            record(worker, "timer", name=f"work.item{generation}_{number}")
        bench.end(-1)

    assert bench.aggregator.workers == {}
    assert total(bench.aggregator, "timer") == 300
    assert len(metrics(bench.aggregator, "timer")) == 101


@pytest.mark.parametrize("settles", [True, False])
def test_a_worker_that_never_tells_to_the_end_has_no_more_series(settles: bool) -> None:
    """Than there may be of a worker, however often it begins, and with whatever names."""
    bench = Bench(max_series=50)
    worker = bench.employ(settles=settles)
    for session in range(20):
        worker.registry.clear()
        for number in range(45):
            record(worker, "counter", name=f"name{session}.number{number}")
        worker.publisher.begin()
        flush = worker.publisher.flush(worker.registry)
        bench.aggregator.apply(next(flush))
        flush.close()
    known = bench.aggregator.workers[worker.identity]

    assert len(known.everything()) <= 50 + 40
    assert len(known.overflowed) + len(known.earlier) <= 2 * (50 + 40)
    bench.begin()
    bench.tell()
    assert told(bench.aggregator)["bad_frames"] == 0
    assert {f"name19.number{number}" for number in range(45)} <= {metric.name for metric in bench.aggregator} | {
        part.of[1] for part in known.overflowed.values() if part.of is not None
    }


def test_overflow_series_need_no_room() -> None:
    """Before a restart and after it: what is left for others is the same."""
    bench = Bench(1, 2, max_series=5)
    worker, other = bench.workers
    for number in range(5):
        record(worker, "counter", name="name", tags={"number": str(number)})
    bench.tell(0)
    for name in ("name", "other"):
        for number in range(2):
            record(other, "counter", name=name, tags={"more": str(number)})
    bench.tell(1)
    worker.registry.remove("name", {"number": "0"})
    bench.tell(0)
    bench.aggregator = restarted(bench.aggregator, max_series=5)
    assert bench.figures.series.value == 4
    bench.begin()
    record(worker, "counter", name="new")
    bench.tell()

    assert bench.figures.series.value == 5
    assert bench.stats.new.value == 1
    assert total(bench.aggregator, "counter") == 5 - 1 + 4 + 1


@pytest.mark.parametrize("kind", KEPT)
def test_a_series_that_has_overflowed_stays_where_it_is(kind: str) -> None:
    """In a new session, when there is room again, and when its slices have been merged."""
    bench = Bench(1, 2, max_series=5)
    worker, other = bench.workers
    for number in range(5):
        record(other, kind, name=f"other{number}")
    bench.tell(1)
    for number in range(4):
        for _ in range(3):
            record(worker, kind, name=f"mine{number}")
            bench.tell(0)
            bench.clock.advance(70)
            bench.tell(1)
    other.registry.clear()
    bench.tell(1)
    for _ in range(3):
        worker.publisher.begin()
        record(worker, kind, name="mine0")
        bench.tell(0)
        bench.clock.advance(400)
        bench.aggregator = restarted(bench.aggregator, max_series=5)
        other.publisher.begin()
        bench.tell(1)
        worker.publisher.begin()
    record(worker, kind, name="new")
    bench.tell(0)

    assert total(bench.aggregator, kind) == 12 + 3 + 1
    assert "new" in stats_of(bench.aggregator)
    bench.give_up(0)
    assert total(bench.aggregator, kind) == 12 + 3 + 1


def restarted_host(kind: str, names: List[str], times: int) -> Simulated:
    """Return what an aggregator publishes that was started again so many times, whose worker has these series."""
    bench = Bench(3)
    for name in names:
        record(bench.workers[0], kind, name=name)
    bench.tell()
    up = Simulated(bench.clock, registry=bench.aggregator, settles=False, identity=bytes(16))
    for _ in range(times):
        up.publisher.begin()
    return up


@pytest.mark.parametrize("kind", KEPT)
def test_an_aggregator_that_is_started_again_has_the_same_series(kind: str) -> None:
    """Those that have overflowed, and those that have not, though it numbers them anew."""
    names = [f"name{number}" for number in range(5)]
    top = Bench(1, max_series=6)
    for name in ("x", "y", *names[:3]):
        record(top.workers[0], kind, name=name)
    top.tell()
    expected = {"x": 1, "y": 1, **dict.fromkeys(names[:3], 2), names[3]: 1, f"tapes.aggregator.overflow.{kind}": 1}
    for times, order in enumerate((names, names[::-1], names[2:] + names[:2])):
        top.aggregator.introduce(restarted_host(kind, order, times)).tell(top.aggregator)

        assert {metric.name: total([metric], kind) for metric in metrics(top.aggregator, kind)} == expected
    assert told(top.aggregator)["bad_frames"] == 0


def test_no_worker_has_more_series_than_there_may_be_of_all(caplog: pytest.LogCaptureFixture) -> None:
    """What it names beyond that is left out, with its states, and counted; the worker stays in step."""
    bench = Bench(max_series=10)
    content = b"".join(series("counter", f"name{place}", place=place) + counter(1, place=place) for place in range(500))
    bench.aggregator.apply(frame(b"x" * 16, hello(), content))
    bench.aggregator.apply(frame(b"x" * 16, counter(5, place=3), counter(9, place=333), sequence=1))

    assert (bench.stats.name3.value, bench.figures.left_out.value) == (5, 490)
    assert told(bench.aggregator)["bad_frames"] == 0
    assert len(caplog.records) == 1


def test_the_series_of_single_workers_are_bounded_too() -> None:
    """With `by_worker` there are as many of them as there may be shared ones, and these are complete."""
    bench = Bench(*range(1, 6), by_worker=True, max_series=10)
    for worker in bench.workers:
        for number in range(4):
            record(worker, "counter", name=f"name{number}")
    bench.tell()

    def own() -> Set[Any]:
        return {metric for metric in metrics(bench.aggregator, "counter") if metric.tags}

    before = own()
    assert len(before) == 10
    assert [bench.stats[f"name{number}"].value for number in range(4)] == [5] * 4
    bench.workers[0].publisher.begin()
    bench.tell(0)
    assert own() == before
    bench.workers[0].registry.clear()
    bench.tell(0)
    for number in range(4):
        record(bench.workers[4], "counter", name=f"later{number}")
    bench.tell(4)
    assert len(own()) == 10


def test_series_of_single_workers_that_are_removed_make_room() -> None:
    """Whoever has removed them, and however many there have been."""
    bench = Bench(1, by_worker=True, max_series=3)
    for number in range(10):
        record(bench.workers[0], "counter", name=f"name{number}")
        bench.tell()
        assert stats_of(bench.aggregator) == {f"name{number}": {"value": 1, "worker=here:1": {"value": 1}}}
        bench.workers[0].registry.clear()
        bench.tell()


def test_names_of_two_kinds_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """However many there are: each kind keeps its numbers, the second one under a name with its kind."""
    bench = Bench(1, 2)
    for number in range(100):
        record(bench.workers[0], "counter", name=f"name{number}")
        record(bench.workers[1], "meter", name=f"name{number}")
    record(bench.workers[1], "counter", name="fine")
    bench.tell()
    record(bench.workers[1], "meter", name="name7")
    bench.tell()

    stats = bench.stats
    assert (stats.fine.value, stats.name7.value, stats.name7_meter["count"]) == (1, 1, 2)
    assert bench.figures.left_out.value == 0
    (line,) = caplog.messages
    assert line.startswith("The aggregator shows the meter 'name0' of here:2 as 'name0_meter', because other workers")


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("away", [0.0, 1.0, 400.0])
@pytest.mark.parametrize("meanwhile", ["", "a new session", "a restart"])
def test_a_metric_that_was_made_again_is_another_one(kind: str, away: float, meanwhile: str) -> None:
    """Whether a new session has begun meanwhile, or another aggregator, and however long it has not heard of it."""
    bench = Bench(1, 2)
    worker, other = bench.workers
    for each, times in ((worker, 7), (other, 30)):
        for _ in range(times):
            record(each, kind)
    bench.tell()
    worker.registry.clear()
    for _ in range(3):
        record(worker, kind)
        bench.clock.advance(away)
    if meanwhile == "a restart":
        bench.restart()
        other.publisher.begin()
    if meanwhile:
        worker.publisher.begin()
    for _ in range(2):
        bench.tell(1, 0)
        worker.publisher.begin()

    assert total(bench.aggregator, kind) == 7 + 30 + 3
    assert told(bench.aggregator)["bad_frames"] == 0


@pytest.mark.parametrize("option", ["max_series", "max_tag_sets"])
def test_the_limits_are_options_of_an_aggregator(option: str) -> None:
    """Ints from 1; anything else is refused with its name and its value."""
    for most in (1, 500_000):
        RegistryAggregator(ThreadedStreamReporter(60), **{option: most})  # type: ignore[arg-type]  # one at a time
    for limit in (0, -1, 1.5, True, "many", None):
        with pytest.raises(ReporterOptionError, match=f"{option} is how many series .* not {limit!r}"):
            RegistryAggregator(ThreadedStreamReporter(60), **{option: limit})  # type: ignore[arg-type]  # that is wrong
