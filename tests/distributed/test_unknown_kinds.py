"""Kinds of metrics that are written by their names, where the aggregator knows them, and where it does not."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence
from zlib import crc32

import pytest

from tapes import plugins
from tapes.distributed import frames, known, state_format, unknown_kinds
from tapes.kinds import kind as kinds
from tapes.kinds.kind import VALUE, Kind
from tapes.plugins import Provided, lookup
from tapes.state.gauge import MERGES
from tapes.testing import ManualClock
from tapes.wire import number
from tests.distributed.forging import counter, frame, gauge, hello, removed, series, text
from tests.distributed.simulated import Asking, Bench, Simulated, above, record, restarted, stats_of, told
from tests.kinds.peak import Peak, PeakKind

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.naming import Tags
    from tapes.wire import Reader

WORKER = bytes(range(16))


class MuteKind(Kind):
    """A kind that cannot be written."""

    __slots__ = ()

    def zero(self, now: float) -> int:
        """Return what there is."""
        return 0


class Mute(Peak):
    """A metric of that kind."""

    __slots__ = ()

    kind = MuteKind("mute")


def of_kind(kind: str, name: str, *, place: int = 0, merge: str = "sum") -> bytes:
    """Return a series of a kind that is named."""
    head = struct.pack("<IBB", place, 255, MERGES.index(merge))
    return frames.record(2, head + text(kind) + text(name) + struct.pack("<I", 0))


def state(content: bytes, *, place: int = 0) -> bytes:
    """Return a state of such a series."""
    return frames.record(15, struct.pack("<I", place) + content)


@pytest.fixture
def aggregator() -> Asking:
    """Return an aggregator that hears of nobody but by frames."""
    made = Asking(ManualClock(1000.0))
    made.ask = lambda worker: None
    return made


def peak(worker: Simulated, tags: Tags = ()) -> Peak:
    """Return a peak of a worker."""
    return worker.registry.adopt(Peak("queue", tags, worker.registry.clock.monotonic))


def problems(caplog: pytest.LogCaptureFixture) -> List[str]:
    """Return what was logged."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def without_peaks(content: bytes) -> bytes:
    """Return the state of an aggregator as if its kind `peak` had another name, which nobody knows here."""
    body = content[16:].replace(text("peak"), text("pork"))
    assert body != content[16:]
    return content[:12] + struct.pack("<I", crc32(body)) + body


def test_a_series_of_an_unknown_kind_is_left_out(aggregator: Asking, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the kind, once. Its states are skipped, whatever is in them, and everything else counts."""
    for session, worker in enumerate((WORKER, bytes(16)), 1):
        aggregator.apply(
            frame(
                worker,
                *(hello(), of_kind("tide", "sea"), state(b"\xff\xff\xff"), series("counter", "a", place=1)),
                *(counter(3, place=1), of_kind("tide", "river", place=2), state(b"", place=2)),
                session=session,
            )
        )
        aggregator.apply(
            frame(worker, state(bytes(99)), removed(), removed(2), counter(5, place=1), session=session, sequence=1)
        )

    assert told(aggregator) == {"messages": 4, "bad_frames": 0, "gaps": 0}
    assert stats_of(aggregator) == {"a": {"value": 10}}
    assert aggregator.get_stats().tapes.aggregator.left_out.value == 4
    (problem,) = problems(caplog)
    assert problem == (
        "The aggregator leaves out all series of the kind 'tide', which it does not know, and counts everything else: "
        "install the distribution that has the kind where the aggregator runs, and import it there, unless it "
        "has a plugin that provides the kind."
    )


def test_a_worker_that_records_unknown_kinds_alone_is_there(aggregator: Asking) -> None:
    """It counts among the workers as soon as it tells a state."""
    aggregator.apply(frame(WORKER, hello(), of_kind("tide", "sea")))
    before = aggregator.get_stats().tapes.aggregator.workers.value
    aggregator.apply(frame(WORKER, state(b""), sequence=1))

    assert (before, aggregator.get_stats().tapes.aggregator.workers.value) == (0, 1)


def test_the_log_names_sixteen_kinds_at_most(aggregator: Asking, caplog: pytest.LogCaptureFixture) -> None:
    """However many a worker makes up."""
    aggregator.apply(frame(WORKER, hello(), *[of_kind(f"kind{each}", f"m{each}", place=each) for each in range(40)]))

    assert [f"'kind{each}'" in problem for each, problem in enumerate(problems(caplog))] == [True] * 16
    assert aggregator.get_stats().tapes.aggregator.left_out.value == 40


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([of_kind("counter", "a")], "The kind counter has the code 0, and must not be written by name."),
        ([of_kind("", "a")], "'' is not the name of a kind."),
        ([of_kind("a kind", "a")], "'a kind' is not the name of a kind."),
        ([of_kind("größe", "a")], "'größe' is not the name of a kind."),
        ([of_kind("k" * 65, "a")], "A string has 65 bytes, more than 64."),
        ([of_kind("peak", "a", merge="min")], "A peak is not merged by 'min', as only gauges are."),
        ([of_kind("peak", "a"), counter(1)], "A state of a counter is not one of <MergedPeak 'a'>."),
        (
            [series("counter", "a"), state(b"\0")],
            "A state of a kind that has a name is not one of <MergedC",
        ),
        ([of_kind("tide", "a"), state(b"", place=1)], "A state belongs to no series that the worker has named."),
        ([of_kind("tide", "a"), of_kind("tide", "b")], "Two series have the number 0."),
        ([of_kind("tide", "a" * 1025)], "A string has 1,025 bytes, more than 1,024."),
        ([of_kind("tide", "tapes.aggregator.x")], "'tapes.aggregator.x' is a name that only aggregators use."),
    ],
)
def test_what_no_worker_writes_is_a_bad_frame(
    aggregator: Asking, content: List[bytes], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The door is as narrow for kinds with a name as for others."""
    aggregator.apply(frame(WORKER, hello(), *content))

    assert told(aggregator) == {"messages": 1, "bad_frames": 1, "gaps": 0}
    assert problem in problems(caplog)[-1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\2", "A peak has a value or none, and not b"),
        (b"\0\0", "A record has 1 bytes too many."),
        (b"", "A record is too short."),
        (b"\1\0", "A record is too short."),
    ],
)
def test_a_state_that_cannot_be_read_takes_no_other_along(
    aggregator: Asking, content: bytes, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is of another version of the kind. The log says so once, and everything else counts in each session."""
    for session, worker in enumerate((WORKER, bytes(16)), 1):
        aggregator.apply(
            frame(
                *(worker, hello(), of_kind("peak", "queue"), state(content), of_kind("peak", "b", place=2)),
                *(series("counter", "a", place=1), counter(3, place=1), state(content, place=2)),
                session=session,
            )
        )
        aggregator.apply(frame(worker, state(content), counter(5, place=1), removed(), session=session, sequence=1))

    assert told(aggregator) == {"messages": 4, "bad_frames": 0, "gaps": 0}
    assert stats_of(aggregator) == {"a": {"value": 10}}
    assert aggregator.get_stats().tapes.aggregator.left_out.value == 4
    (line,) = problems(caplog)
    assert line.startswith("The aggregator cannot read what here:1 sends of <MergedPeak 'queue'>: ")
    assert problem in line
    assert "same version of the distribution that has the kind" in line


@pytest.mark.parametrize("by_worker", [False, True])
def test_what_can_be_read_of_a_series_stays(by_worker: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Of workers that are gone, of others that are there, and of the one that tells what cannot be read."""
    bench = Bench(1, 2, by_worker=by_worker)
    aggregator = bench.aggregator
    for worker, value in zip(bench.workers, (3, 2)):
        peak(worker).update(value)
    bench.tell()
    bench.give_up(0)
    aggregator.apply(frame(WORKER, hello(pid=3), of_kind("peak", "queue"), state(b"\2")))
    stays = stats_of(aggregator)["queue"]["peak"]
    aggregator.apply(frame(WORKER, state(b"\1\0" + struct.pack("<q", 7)), sequence=1))
    aggregator.apply(frame(WORKER, state(b"\2"), sequence=2))
    told_before = stats_of(aggregator)["queue"]["peak"]
    aggregator.apply(frame(WORKER, hello(pid=3), of_kind("peak", "queue"), state(b"\2"), session=2))

    assert (stays, told_before, stats_of(aggregator)["queue"]["peak"]) == (3, 7, 7)
    assert told(aggregator)["bad_frames"] == 0
    assert len(problems(caplog)) == 1


@pytest.fixture
def kept() -> Bench:
    """Return an aggregator with a worker that has a peak and a counter."""
    bench = Bench(1)
    peak(bench.workers[0]).update(3)
    record(bench.workers[0], "counter", 2, "served")
    bench.tell()
    return bench


def test_a_kept_state_that_cannot_be_read_takes_no_other_along(
    kept: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its kind raises: it is left out like any other that cannot be."""
    monkeypatch.setattr(PeakKind, "read", lambda *_: 1 / 0)

    assert stats_of(restarted(kept.aggregator)) == {"served": {"value": 2}}
    assert "1 invalid series or workers" in problems(caplog)[0]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([of_kind("tide", "a", merge="last")], {}),
        ([series("gauge", "a", merge="max"), gauge(1, 999.0, 5, 5, 5, 5)], {"a": {"value": 5}}),
    ],
    ids=["unknown", "gauge"],
)
def test_a_gauge_or_an_unknown_kind_may_be_merged_in_any_way(
    aggregator: Asking, content: List[bytes], shown: Dict[str, Any]
) -> None:
    """Which ways an unknown one has is not known either."""
    aggregator.apply(frame(WORKER, hello(), *content))

    assert stats_of(aggregator) == shown
    assert told(aggregator)["bad_frames"] == 0


def test_a_kind_with_a_name_is_merged_and_published_on() -> None:
    """By aggregators of two levels, of workers that are there and of those that are gone."""
    host = Bench(1, 2)
    up, site = above(host.aggregator)
    for place, value, expected in ((0, 3.0, 3.0), (1, 2.5, 3.0), (1, 4.5, 4.5)):
        peak(host.workers[place], (("shop", "eu"),)).update(value)
        host.tell(place)
        up.tell(site)
        if value == 2.5:
            host.give_up(0)

        tree = {"queue": {"shop=eu": {"peak": expected}}}
        assert stats_of(host.aggregator) == stats_of(site) == tree


class TallyKind(Kind):
    """A kind whose states are plain numbers, which it merges itself. The sum shows what is there twice."""

    __slots__ = ()

    statistics = (("sum", VALUE),)

    def zero(self, now: float) -> int:
        """Return nothing."""
        return 0

    def folded(self, state: int, records: Sequence[int], until: float) -> int:
        """Return the sum."""
        return state + sum(records)

    def merge(self, states: Sequence[int]) -> int:
        """Return the sum."""
        return sum(states)

    def minus(self, state: int, part: int) -> int:
        """Return what has come since."""
        return state - part

    def view(self, state: int, now: float, merge: str = "sum") -> Statistics:
        """Return the sum."""
        return {"sum": state}

    def is_empty(self, state: int) -> bool:
        """Whether it is nothing."""
        return not state

    def write(self, state: int, known: Optional[int]) -> bytes:
        """Write the number."""
        return number(state)

    def read(self, reader: Reader) -> int:
        """Read the number."""
        return int(reader.number())


class Tally(Peak):
    """A metric of that kind."""

    __slots__ = ()

    kind = TallyKind("tally")


def test_states_may_be_plain_numbers() -> None:
    """Then their kind has the methods that states have otherwise. That is for workers, gone ones, and in a rollup."""
    bench = Bench(1, 2, 3)
    for worker, value in zip(bench.workers, (3, 5, 4)):
        for tags in ((), (("at", "door"),)):
            worker.registry.adopt(Tally("sold", tags, bench.clock.monotonic)).update(value + len(tags))
    bench.tell()
    for gone in (0, 1):
        bench.give_up(gone)
    before = bench.restart()

    shown = {"sold": {"sum": 12, "at=door": {"sum": 15}}}
    assert [stats_of(each) for each in (before, bench.aggregator)] == [shown, shown]
    assert [reading.statistics for reading in bench.aggregator.rollup("sold")] == [{"sum": 27}]
    for count in (1, 2):
        sources = [metric.kept()[1] for metric in before.places.shared()]
        assert [len(each) for each in sources] == [count, count]
        for _ in range(2):
            bench.workers[0].tell(before)  # it was not gone, and begins as another
    assert stats_of(before) == shown


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_kind_with_a_name_is_kept(kept: Bench, goes_on: bool) -> None:
    """Of workers that are gone, and of those that go on."""
    worker = kept.workers[0]
    peak(kept.employ(2)).update(7)
    kept.tell(1)
    kept.give_up(1)

    again = restarted(kept.aggregator, goes_on=goes_on)

    assert stats_of(again) == stats_of(kept.aggregator) == {"queue": {"peak": 7}, "served": {"value": 2}}
    peak(worker).update(8)
    if not goes_on:
        worker.publisher.begin()
    worker.tell(again)
    assert stats_of(again) == {"queue": {"peak": 8}, "served": {"value": 2}}
    assert told(again)["bad_frames"] == 0


@pytest.mark.parametrize("goes_on", [False, True])
def test_an_unknown_kind_in_a_state_is_left_out(kept: Bench, goes_on: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With one line in the log that names it, and with all that comes of it later. Everything else is there."""
    worker = kept.workers[0]
    again = Asking(kept.clock, [worker])
    state_format.fill(again, state_format.decode(without_peaks(state_format.encode(kept.aggregator))), goes_on=goes_on)

    assert stats_of(again) == {"served": {"value": 2}}
    (problem,) = problems(caplog)
    assert "all series of the kind 'pork'" in problem
    if goes_on:
        peak(worker).update(8)
        record(worker, "counter", 1, "served")
        worker.tell(again)
        assert told(again) == {"messages": 1, "bad_frames": 0, "gaps": 0}
        assert stats_of(again) == {"served": {"value": 3}}


def refilled(content: bytes, clock: ManualClock, workers: List[Simulated], *, goes_on: bool = False) -> Asking:
    """Return an aggregator that begins with a state, and has room for one series of a name."""
    aggregator = Asking(clock, workers, max_tag_sets=1)
    state_format.fill(aggregator, state_format.decode(content), goes_on=goes_on)
    for worker in [] if goes_on else workers:
        worker.publisher.begin()
    return aggregator


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("restarts", [1, 3])
def test_an_aggregator_that_does_not_know_a_kind_keeps_what_it_had_counted(
    restarts: int, goes_on: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For one that knows it: of workers that were gone, that go meanwhile, and that tell more or begin as others."""
    bench = Bench(1, 2, 3, 4, max_tag_sets=1)
    clock, workers, aggregator = bench.clock, bench.workers, bench.aggregator
    tallies = []
    for n, worker in enumerate(workers):
        for shop in ("eu", "us", "uk"):
            tallies.append(worker.registry.adopt(Tally("sold", (("shop", shop),), clock.monotonic)))
            tallies[-1].update(10**n)
        worker.tell(aggregator)
    bench.give_up(0)
    shown = stats_of(aggregator)
    content = state_format.encode(aggregator)
    for restart in range(restarts):
        with monkeypatch.context() as patch:
            patch.delitem(kinds._known, "tally")
            aggregator = refilled(content, clock, workers[1:], goes_on=goes_on)
            if not restart:
                aggregator.retire(aggregator.workers[workers[1].identity])
            workers[3].tell(aggregator)
            assert stats_of(aggregator) == {}
            content = state_format.encode(aggregator)
    aggregator = refilled(content, clock, workers[2:])

    assert shown == {"sold": {"shop=eu": {"sum": 1111}, "overflow=true": {"sum": 2222}}}
    assert stats_of(aggregator) == shown
    tallies[-1].update(50_000)
    for worker in (workers[3], workers[1], workers[1]):
        aggregator.introduce(worker).tell(aggregator)
    shown["sold"]["overflow=true"]["sum"] += 50_000
    assert stats_of(aggregator) == shown
    assert told(aggregator)["bad_frames"] == 0
    lines = [problem for problem in problems(caplog) if "kind 'tally'" in problem]
    assert len(lines) == restarts
    assert lines[0].endswith("has a plugin that provides the kind. Until then they stay in its state.")


def test_a_kind_that_becomes_known_while_it_runs_counts_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What its state has of the kind, and what workers tell again, is for the next start."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in (1, 2)]
    aggregator = Asking(clock, workers)
    for worker in workers:
        worker.registry.adopt(Tally("sold", (), clock.monotonic)).update(10)
        worker.tell(aggregator)
    shown = stats_of(aggregator)
    with monkeypatch.context() as patch:
        patch.delitem(kinds._known, "tally")
        running = Asking(clock, workers)
        state_format.fill(running, state_format.decode(state_format.encode(aggregator)))
    for worker in workers:
        worker.publisher.begin()
        worker.tell(running)
    meanwhile = stats_of(running)
    restarted = Asking(clock, workers)
    state_format.fill(restarted, state_format.decode(state_format.encode(running)))
    kept_by_it = stats_of(restarted)
    for worker in workers:
        worker.publisher.begin()
        worker.tell(restarted)

    assert shown == kept_by_it == stats_of(restarted) == {"sold": {"sum": 20}}
    assert meanwhile == {}
    assert len(problems(caplog)) == 1


def test_a_kind_of_a_plugin_that_cannot_be_imported_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, aggregator: Asking
) -> None:
    """The log has the reason, once."""
    monkeypatch.setattr(known, "_broken", set())
    installed = plugins.installed()
    provided = Provided("tide", "nowhere_at_all:TIDE", installed.plugins[0])
    monkeypatch.setattr(plugins, "installed", lambda: installed._replace(kinds={"tide": provided}))
    monkeypatch.setattr(lookup, "installed", plugins.installed)
    for session in (1, 2):
        aggregator.apply(frame(WORKER, hello(), of_kind("tide", "sea"), state(b""), session=session))

    assert stats_of(aggregator) == {}
    assert ["importing nowhere_at_all:TIDE raised" in line for line in problems(caplog)] == [True, False]


def test_what_is_kept_of_unknown_kinds_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By their number and by their size, and the log says that some are dropped."""
    bench = Bench(1)
    clock = bench.clock
    for n in range(5):
        bench.workers[0].registry.adopt(Tally(f"sold{n}", (), clock.monotonic)).update(1)
    bench.tell()
    content = state_format.encode(bench.aggregator)
    found = []
    for limit, most in (("MOST_SERIES", 3), ("MOST_BYTES", 150)):
        with monkeypatch.context() as patch:
            patch.setattr(unknown_kinds, limit, most)
            patch.delitem(kinds._known, "tally")
            kept_there = state_format.encode(refilled(content, clock, []))
        found.append(len(refilled(kept_there, clock, []).places.shared()))

    assert found == [3, 2]
    assert sum("drops series of unknown kinds" in problem for problem in problems(caplog)) == 2


def test_a_kind_without_wire_code_says_so_and_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    """Its metrics are left out, with one log line for all of them, and all others are told at each flush."""
    bench = Bench(1)
    for tags in ((), (("at", "door"),)):
        bench.workers[0].registry.adopt(Mute("mute", tags, bench.clock.monotonic))
    orders = bench.workers[0].registry.counter("orders", description="Orders that were placed.")
    for _ in range(2):
        orders.increment()
        bench.tell()

    assert stats_of(bench.aggregator) == {"orders": {"value": 2}}
    assert bench.aggregator.asked == []
    (problem,) = problems(caplog)
    assert "cannot be published" in problem
    assert "MuteKind has no write(), so a mute cannot be sent or kept" in problem
