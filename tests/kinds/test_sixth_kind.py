"""A kind that one module has brought goes wherever the five kinds go: `peak.py`, which no module of tapes knows."""

from __future__ import annotations

import io
import json
import math
import os
import runpy
import sys
import threading
from itertools import chain
from typing import TYPE_CHECKING, Any, Iterator, List

import pytest

from tapes.encoding.json import JsonFormat
from tapes.errors import InvalidNameError, InvalidTypeError, InvalidValueError, KindMismatchError, NameCollisionError
from tapes.kinds import counter
from tapes.kinds import kind as kinds
from tapes.kinds.counter import COUNTER, CounterKind
from tapes.kinds.kind import BY_CODE, Kind, kind_named
from tapes.recording import CAPACITY
from tapes.registry import Registry
from tapes.reporting.statsd.deliveries import Deliveries
from tapes.reporting.statsd.lines import gauges, names
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import ManualClock, isolated_registry
from tests.distributed.whole.programs import Place
from tests.kinds.peak import PEAK, Peak, PeakKind, PeakState

if TYPE_CHECKING:
    from tapes.naming import Tags


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a folder in which programs run, none of which outlives the test."""
    with Place() as made:
        yield made


@pytest.fixture
def registry() -> Registry:
    """Return a registry whose time stands still."""
    return Registry(clock=ManualClock(1000.0))


def peak(registry: Registry, name: str = "queue", tags: Tags = ()) -> Peak:
    """Get or create a peak."""
    return registry.adopt(Peak(name, tags, registry.clock.monotonic))


def test_it_is_recorded_and_shown(registry: Registry) -> None:
    """In get_stats(), JSON, the lines of StatsD and whatever a reporter of documents writes."""
    peak(registry).update(3)
    peak(registry).update(2.5)
    peak(registry, tags=(("shop", "eu"),)).update(-1)
    peak(registry, "unused")
    tree = {"queue": {"peak": 3, "shop=eu": {"peak": -1}}, "unused": {"peak": None}}

    snapshot = registry.snapshot()
    stream = io.StringIO()
    ThreadedStreamReporter(60.0, stream=stream, registry=registry).report()

    assert registry.get_stats() == tree
    assert json.loads(JsonFormat().encode(snapshot)) == tree
    assert {**json.loads(stream.getvalue()), "tapes.report": None} == {**tree, "tapes.report": None}
    assert [reading.kind for reading in snapshot.readings] == ["peak"] * 3
    assert list(chain.from_iterable(gauges(snapshot, names(snapshot, "", "name")))) == [
        "queue.peak:3|g",
        "queue.shop_eu.peak:0|g\nqueue.shop_eu.peak:-1|g",
    ]
    assert list(Deliveries().changes(snapshot.readings)) == []


def test_its_names_are_minded_like_those_of_others(registry: Registry) -> None:
    """It is found again by its name, and no other kind may have it, nor its keys."""
    assert peak(registry) is peak(registry)
    with pytest.raises(KindMismatchError, match="'queue' is a Peak of this registry"):
        registry.counter("queue")
    with pytest.raises(NameCollisionError, match="'queue' is a Peak and 'peak' is one of its own keys"):
        registry.counter("queue.peak")


def test_it_records_what_others_record(registry: Registry) -> None:
    """Any number, as often as it likes, from many threads."""
    recorder = peak(registry)
    values: List[List[float]] = [[number * 10 + each for each in range(3 * CAPACITY)] for number in range(4)]

    def record(own: List[float]) -> None:
        for value in own:
            recorder.update(value)

    threads = [threading.Thread(target=record, args=(own,)) for own in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert recorder.read(1000.0).peak == 30 + 3 * CAPACITY - 1
    assert recorder.numbers(1000.0) is recorder.numbers(1001.0)
    wrong: Any = "3"
    with pytest.raises(InvalidTypeError):
        recorder.update(wrong)
    with pytest.raises(InvalidValueError):
        recorder.update(math.nan)


def test_records_do_not_wait_to_be_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are folded as soon as there are many, so memory does not follow their number."""
    folds: List[int] = []
    folded = PeakKind.folded

    def counted(kind: PeakKind, state: PeakState, records: List[float], until: float) -> PeakState:
        folds.append(len(records))
        return folded(kind, state, records, until)

    monkeypatch.setattr(PeakKind, "folded", counted)
    recorder = peak(registry)
    for value in range(10 * CAPACITY):
        recorder.update(value)
    before = sum(folds)

    assert recorder.read(1000.0).peak == 10 * CAPACITY - 1
    assert before >= 9 * CAPACITY
    assert max(folds) <= CAPACITY + 1


def test_it_begins_at_zero_for_a_test(registry: Registry) -> None:
    """And has its value back after it."""
    recorder = peak(registry)
    recorder.update(3)
    with isolated_registry(registry):
        inside = registry.get_stats()
        recorder.update(5)

    assert inside == {"queue": {"peak": None}}
    assert registry.get_stats() == {"queue": {"peak": 3}}


# The aggregator is a process of the program that has the kind, and so are the workers.
PROGRAM = """
from tests.kinds.peak import Peak

def work(value):
    registry = worker_registry()
    registry.adopt(Peak("queue", (), registry.clock.monotonic)).update(value)
    registry.adopt(Peak("queue", (("shop", "eu"),), registry.clock.monotonic)).update(-value)
    registry.counter("served").increment(value)
    registry.connect()
    await_introduction(registry)
    registry.close()

with aggregator(state_path=FOLDER / "state"):
    join(*[forked(lambda value=value: work(value)) for value in VALUES])
"""


def test_it_is_merged_over_processes_and_outlives_the_aggregator(place: Place) -> None:
    """What two workers have recorded is one value; another aggregator begins with it, and goes on with a third."""
    first = place.run(f"VALUES = [3, 2.5]{PROGRAM}")
    assert first.ended() == 0
    merged = place.report().documents()[-1]
    second = place.run(f"VALUES = [7]{PROGRAM}")
    assert second.ended() == 0
    documents = place.report().documents()

    shown = [{name: each.get(name) for name in ("queue", "served")} for each in (merged, documents[-1])]
    assert shown == [
        {"queue": {"peak": 3, "shop=eu": {"peak": -2.5}}, "served": {"value": 5.5}},
        {"queue": {"peak": 7, "shop=eu": {"peak": -2.5}}, "served": {"value": 12.5}},
    ]


SUPERVISED = """
    [aggregator]
    socket_addr = "{place.address}"
    [reporters.stream]
    interval = 0.1
    path = "{place.folder}/report"
"""


def test_an_aggregator_that_does_not_know_it_says_so_and_counts_the_rest(place: Place) -> None:
    """One that was started by itself has not imported the module."""
    aggregating = place.supervise(SUPERVISED.format(place=place))
    worker = place.run(PROGRAM.partition("with aggregator")[0] + "work(3)")
    assert worker.ended() == 0
    seen = place.report().await_last({"served.value": 3, "queue.peak": None})
    aggregating.terminated()

    assert seen == {"served.value": 3, "queue.peak": None}
    assert aggregating.said().count("leaves out all series of the kind 'peak'") == 1


PLUGIN = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_kinds():
    return {"peak": "tests.kinds.peak:PEAK", "low": "tests.kinds.peak:LOW"}
"""


def test_an_aggregator_knows_the_kinds_of_plugins(place: Place) -> None:
    """Their modules are imported when the first series of the kind comes."""
    (place.folder / "peaks_plugin.py").write_text(PLUGIN)
    about = place.folder / "peaks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: peaks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[tapes]\npeaks = peaks_plugin\n")
    path = os.pathsep.join([str(place.folder), *filter(None, sys.path)])
    aggregating = place.supervise(SUPERVISED.format(place=place), PYTHONPATH=path)
    worker = place.run(PROGRAM.partition("with aggregator")[0] + "work(3)")
    assert worker.ended() == 0
    seen = place.report().await_last({"served.value": 3, "queue.peak": 3})
    aggregating.terminated()

    assert seen == {"served.value": 3, "queue.peak": 3}
    assert "leaves out" not in aggregating.said()


def test_a_kind_without_folds_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells whoever records to it what its kind lacks."""

    class LostKind(Kind):
        __slots__ = ()

        def zero(self, now: float) -> int:
            return 0

    class Lost(Peak):
        __slots__ = ()

        kind = LostKind("lost")

    lost = Lost("lost", (), ManualClock().monotonic)
    lost.update(1)

    assert lost.read(0.0) == 0
    assert "LostKind has no folded(), so nothing can be recorded to a lost" in caplog.text


def test_a_record_that_cannot_be_folded_is_dropped(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """It breaks no page and no later record, and keeps no other one from counting. One line of the log says so."""

    class Height(Peak):
        __slots__ = ()

        kind = PeakKind("height")

    recorder = registry.adopt(Height("queue", (), registry.clock.monotonic))
    served = registry.counter("served")
    served.increment(2)
    for value in (1.0, "two", 3.0, None):
        recorder.record(value)
    before = registry.get_stats()
    for value in range(2 * CAPACITY):
        recorder.record("two" if value % 100 else value)

    assert before == {"queue": {"peak": 3}, "served": {"value": 2}}
    assert recorder.read(1000.0).peak == 2 * CAPACITY // 100 * 100
    (problem,) = [record.getMessage() for record in caplog.records]
    assert problem.startswith("'two' was recorded to <Height 'queue'>, which cannot be folded: TypeError(")
    assert "Check values with checked() before record()." in problem


def test_an_exception_of_a_signal_handler_ends_a_fold_and_drops_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not the fault of the records, and whoever waits for it gets it: they can be folded the next time."""
    folded = PeakKind.folded
    expired = [TimeoutError("The time of this task is over.")]

    def interrupted(*arguments: Any) -> PeakState:
        if expired:
            raise expired.pop()
        return folded(*arguments)

    monkeypatch.setattr(PeakKind, "folded", interrupted)
    recorder = peak(registry)
    recorder.update(3)
    with pytest.raises(TimeoutError, match="The time of this task is over"):
        recorder.read(1000.0)

    assert recorder.read(1000.0).peak == 3
    assert caplog.records == []


def test_a_metric_that_cannot_be_read_takes_no_other_along(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, with one line in the log for its kind."""
    monkeypatch.setattr("tapes.snapshot.snapshot._broken", set())
    monkeypatch.setattr(Peak, "numbers", lambda *_: 1 / 0)
    peak(registry)
    peak(registry, tags=(("shop", "eu"),))
    registry.counter("served").increment(2)

    assert registry.get_stats() == registry.get_stats() == {"served": {"value": 2}}
    assert registry.rollup("queue") == []
    (problem,) = [record.getMessage() for record in caplog.records]
    assert problem.startswith("<Peak 'queue'> cannot be read: ZeroDivisionError(")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "high", [1]], ids=repr)
def test_a_statistic_that_is_no_finite_number_costs_only_itself(
    value: Any, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is null in JSON and StatsD lines, in a rollup too, with one line in the log for its kind."""
    monkeypatch.setattr("tapes.snapshot.snapshot._broken", set())
    monkeypatch.setattr(PeakKind, "view", lambda *_: {"peak": value, "more": 2})
    peak(registry)
    peak(registry, tags=(("shop", "eu"),))
    registry.counter("served").increment(2)
    snapshot = registry.snapshot()

    assert json.loads(JsonFormat().encode(snapshot)) == {
        "queue": {"peak": None, "more": 2, "shop=eu": {"peak": None, "more": 2}},
        "served": {"value": 2},
    }
    assert [reading.statistics for reading in registry.rollup("queue")] == [{"peak": None, "more": 2}]
    list(chain.from_iterable(gauges(snapshot, names(snapshot, "", "name"))))
    (problem,) = [record.getMessage() for record in caplog.records if "<Peak 'queue'>" in record.getMessage()]
    assert f"are no finite numbers: {{'peak': {value!r}}}" in problem


def test_kinds_have_names_that_can_be_written() -> None:
    """In frames and files, and in the names of overflow series."""
    for name in ("", "a kind", "größe", "k" * 65, "a.b"):
        with pytest.raises(InvalidNameError, match="A kind of metrics is named by an ASCII identifier"):
            Kind(name)


def test_a_kind_derived_from_another_has_a_name_and_no_number() -> None:
    """It is not written as that one."""

    class LikesKind(CounterKind):
        __slots__ = ()

    likes = LikesKind("likes")

    assert [kind.code for kind in (likes, PEAK, COUNTER)] == [None, None, 0]
    assert BY_CODE[0] is COUNTER


@pytest.mark.parametrize("name", ["counter", "gauge", "histogram", "meter", "timer"])
def test_no_kind_takes_the_place_of_one_of_the_five(name: str) -> None:
    """It would be what metrics of that kind are sent, read and merged as."""
    there = kind_named(name)
    with pytest.raises(InvalidNameError, match=f"'{name}' is a kind .* so tests.kinds.peak.PeakKind cannot be it"):
        PeakKind(name)

    assert kind_named(name) is there


def test_kinds_may_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a module that is loaded again: the five by their own classes, and others by any."""
    for known in ("_known", "BY_CODE"):
        monkeypatch.setattr(kinds, known, dict(getattr(kinds, known)))
    again = runpy.run_path(counter.__file__, run_name="tapes.kinds.counter")

    assert kind_named("counter") is again["COUNTER"] is not COUNTER
    assert PeakKind("pile") is not PeakKind("pile")
