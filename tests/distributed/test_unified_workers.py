"""What becomes of workers: they come, tell, miss something, go, come back, and do not agree."""

from __future__ import annotations

import itertools
import logging
from typing import Any, Dict, List, Set, Tuple

import pytest

from tapes.distributed import frames, presence, publishing, state_format
from tapes.distributed.frames import END, ENDING, LEAVING, Frame
from tapes.distributed.processes import processes
from tapes.distributed.publishing import Publisher, hello
from tapes.distributed.workers import Worker
from tests.distributed.simulated import (
    HERE,
    KINDS,
    Bench,
    apply,
    assert_alike,
    metric_of,
    record,
    record_all,
    restarted,
    stats_of,
    told,
)


@pytest.fixture
def bench() -> Bench:
    """Return two workers and their aggregator."""
    return Bench(1, 2)


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Set[int]:
    """Return the pids of this machine that no process has any more."""
    gone: Set[int] = set()
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: pid not in gone)
    return gone


@pytest.fixture
def local() -> Bench:
    """Return a worker whose process can be looked at, and its aggregator."""
    bench = Bench()
    bench.employ(11, processes=processes())
    return bench


# What is missing.


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_frames_in_any_order(bench: Bench, order: Tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of frames is, all is known when the worker has begun anew, and nothing is counted twice."""
    monkeypatch.setattr(publishing, "FRAME", 1)
    worker = bench.workers[0]
    sent = []
    for turn in range(4):
        record(worker, "counter", name=f"orders.{turn}")
        record(worker, "histogram", turn)
        sent.append(worker.frames())
    for number in order:
        apply(bench.aggregator, sent[number])
    for _ in range(2):
        bench.clock.advance(2)
        bench.tell(0)

    assert_alike(stats_of(bench.aggregator), stats_of(worker.registry))
    assert bench.aggregator.asked == ([] if order == (0, 1, 2, 3) else [worker])


@pytest.mark.parametrize("known", [True, False])
def test_a_frame_that_is_missed_is_made_up_for(bench: Bench, known: bool) -> None:
    """With the next one the worker is asked to tell all again. The first frame of a session is no gap in it."""
    if known:
        bench.tell()
    record_all(bench.workers[0])
    bench.workers[0].frames()
    record_all(bench.workers[0])
    bench.tell(0)
    assert bench.aggregator.asked == [bench.workers[0]]
    assert stats_of(bench.aggregator) == {}
    assert told(bench.aggregator)["gaps"] == known
    bench.tell(0)

    assert_alike(stats_of(bench.aggregator), stats_of(bench.workers[0].registry))
    assert bench.aggregator.asked == [bench.workers[0]]


@pytest.mark.parametrize("known", [True, False])
def test_a_worker_that_does_not_begin_anew_is_asked_again(bench: Bench, known: bool) -> None:
    """Every two seconds, with each frame that comes and also if none does, whether it was known before or not."""
    if known:
        bench.tell(0)
    bench.aggregator.known[bench.workers[0].identity] = bench.workers[1]  # which hears it in its place
    record_all(bench.workers[0])
    bench.workers[0].frames()
    bench.tell(0)
    counts = [len(bench.aggregator.asked)]
    for _ in range(3):
        for _ in range(4):
            bench.clock.advance(0.5)
            bench.tell(0)
        counts.append(len(bench.aggregator.asked))
    for _ in range(2):
        bench.pass_time(2)
        counts.append(len(bench.aggregator.asked))

    assert counts == [1, 2, 3, 4, 5, 6]


def test_who_is_never_heard_from_the_beginning_is_not_kept(bench: Bench) -> None:
    """Frames of workers that do not begin anew when they are asked, if they are workers at all, pile up nowhere."""
    bench.aggregator.ask = lambda worker: None
    for number in range(1000):
        stray = Frame(number.to_bytes(16, "big"), 7, 5, 1000.0, END, b"")
        bench.aggregator.apply(frames.encode(stray))
    assert bench.figures.workers.value <= 1000
    bench.pass_time(11)

    assert bench.aggregator.workers == {}
    bench.tell()
    assert len(bench.aggregator.workers) == 2


def test_what_is_shown_does_not_go_back_while_all_is_told_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a new session all that was known before is still there."""
    monkeypatch.setattr(publishing, "FRAME", 1)
    for _ in range(100):
        record_all(bench.workers[0])
        bench.clock.advance(5)
        bench.tell()
    before = stats_of(bench.aggregator)
    bench.workers[0].publisher.begin()
    for frame in bench.workers[0].frames():
        bench.aggregator.apply(frame)
        assert_alike(stats_of(bench.aggregator), before)


def test_a_series_that_was_removed_while_frames_were_lost(bench: Bench) -> None:
    """What a worker does not name again when it tells everything, it has removed."""
    for worker in bench.workers:
        record_all(worker)
        record(worker, "counter", name="visits")
    bench.tell()
    for worker in bench.workers:
        worker.registry.remove("orders")
        worker.frames()
        worker.publisher.begin()
    bench.tell(0)
    assert bench.stats.orders.value == 2
    bench.tell(1)

    assert "orders" not in stats_of(bench.aggregator)
    assert bench.stats.visits.value == 2


# Going.


def test_a_process_that_was_killed_is_found_out(local: Bench, dead: Set[int]) -> None:
    """A worker whose process is gone is retired when what it may have sent before has had the time to arrive."""
    first, second = *local.workers, local.employ(12, processes=processes())
    record_all(first, 3)
    record_all(second, 4)
    local.tell()
    dead.add(11)
    local.pass_time(1)
    assert len(local.aggregator.workers) == 2
    local.pass_time(1.5)

    assert list(local.aggregator.workers) == [second.identity]
    assert local.stats.orders.value == 7
    assert local.stats.level.value == 4


def test_what_passes_after_the_look_at_the_clock_is_no_silence(local: Bench, dead: Set[int]) -> None:
    """A receiver that is held still between its look at the clock and its look after workers has heard nobody."""
    local.tell()
    dead.add(11)
    looked = local.clock.monotonic()
    local.clock.advance(20)
    local.aggregator.tidy(looked)

    assert list(local.aggregator.workers) == [local.workers[0].identity]
    local.aggregator.tidy(looked + 2.5)
    assert local.aggregator.workers == {}


@pytest.mark.parametrize(
    ("alive", "silences"), [(True, [3600] * 100), (None, [9] * 3)], ids=["lives", "cannot be looked at"]
)
def test_a_process_that_may_live_is_not_given_up_for_a_stall(
    local: Bench, alive: Any, silences: List[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long one that lives is silent, stopped or busy. Unknown is not dead: some seconds say nothing of it."""
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: alive)
    for silence in silences:
        record_all(local.workers[0])
        local.tell()
        local.pass_time(silence)

    assert list(local.aggregator.workers) == [local.workers[0].identity]
    assert local.stats.orders.value == len(silences)


@pytest.mark.parametrize(
    ("lease", "interval", "silence", "present"),
    [(10, 1, 9, 1), (10, 1, 11, 0), (10, 30, 85, 1), (10, 30, 95, 0), (100, 1, 99, 1), (100, 1, 101, 0)],
)
def test_the_lease_follows_the_interval(lease: float, interval: float, silence: float, present: int) -> None:
    """The gauges of a worker count until it has missed three flushes, and for the lease at least."""
    bench = Bench(lease=lease)
    record(bench.employ(interval=interval), "gauge")
    bench.tell()
    bench.pass_time(silence)

    assert bench.figures.workers.value == present
    assert (bench.stats.gauge.value is not None) == bool(present)


def test_the_process_of_this_test_is_seen_to_live(bench: Bench) -> None:
    """The real thing: what a process says of itself is what an aggregator on the same machine looks at."""
    worker = bench.workers[0]
    worker.publisher = Publisher(hello(1.0, settles=True))
    worker.publisher.begin()
    bench.aggregator.introduce(worker)
    bench.tell(0)
    bench.pass_time(10 * 3600)

    assert list(bench.aggregator.workers) == [worker.identity]


@pytest.mark.usefixtures("dead")
def test_another_process_with_the_same_pid_is_another_worker(local: Bench) -> None:
    """A pid that is used again while its last worker is still known mixes nothing up."""
    first, second = *local.workers, local.employ(11, processes=processes())
    for worker, value, expected in ((first, 3, 3), (second, 4, 7), (second, 4, 11)):
        record_all(worker, value)
        worker.tell(local.aggregator)

        assert local.stats.orders.value == expected
    assert local.stats.hits["count"] == 11


@pytest.mark.parametrize("silence", [61.0, 3000.0])
def test_a_worker_of_another_host_may_leave_and_come_back(bench: Bench, silence: float) -> None:
    """After close() and another connect() it goes on where it was, also where nobody can see whether it lives."""
    record_all(bench.workers[0], 5)
    bench.tell(0, flags=LEAVING)
    assert bench.aggregator.confirmed == [bench.workers[0]]
    bench.pass_time(silence)
    record_all(bench.workers[0], 2)
    bench.workers[0].publisher.begin()
    for _ in range(2):  # when it is taken to be gone, it hears that with the first
        bench.tell(0)

    assert bench.stats.orders.value == 7
    assert bench.stats.spread["count"] == 2


@pytest.mark.parametrize(("machine", "silence"), [(HERE, 70), ("another", 3610)], ids=["container", "machine"])
def test_a_worker_that_nobody_can_look_at_and_is_silent_for_long_is_gone(machine: str, silence: float) -> None:
    """It is merged for good, on another machine after an hour only: a network may have failed. Its counts stay."""
    bench = Bench()
    for pid in (1, 2):
        record_all(bench.employ(pid, machine=machine))
    bench.tell()
    bench.pass_time(silence - 1)
    assert len(bench.aggregator.workers) == 2
    bench.tell(1)
    bench.pass_time(2)

    assert list(bench.aggregator.workers) == [bench.workers[1].identity]
    assert bench.stats.orders.value == 2


def test_one_that_was_held_still_remembers_all_that_it_tells_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many metrics that are, what it had counted before and since is counted once."""
    monkeypatch.setattr(publishing, "_MOST", 10)
    counters = [bench.workers[0].registry.counter(f"hits.n{number}") for number in range(200)]
    for turn in range(6):
        if turn == 3:
            bench.give_up(0)
            bench.clock.advance(100)
        for counter in counters:
            counter.increment(5 if turn < 3 else 2 if turn == 3 else 0)
        bench.tell(0)
        bench.pass_time(1)

    shown = bench.stats.hits
    assert [shown[f"n{number}"]["value"] for number in range(200)] == [17] * 200


def test_one_that_was_taken_to_be_gone_is_told_so_every_two_seconds(bench: Bench) -> None:
    """Until it begins as another."""
    bench.tell(0)
    bench.give_up(0)
    said: List[Tuple[bytes, Tuple[int, int]]] = []
    bench.aggregator.dismiss = lambda identity, position: said.append((identity, position))
    for _ in range(8):
        bench.tell(0)
        bench.pass_time(0.5)

    assert said == [(bench.workers[0].identity, (1, 1))] * 2


def test_of_those_that_were_taken_to_be_gone_none_is_too_many_to_be_known_again() -> None:
    """However many there are, each goes on as another after a restart. Of those that have ended the last are kept."""
    bench = Bench(*range(100, 250))
    for number, worker in enumerate(bench.workers):
        record_all(worker, 5)
        bench.tell(number)
        bench.give_up(number)
    given_up = list(bench.workers)
    for pid in range(300, 500):
        bench.employ(pid)
        bench.end(-1)
    again = restarted(bench.aggregator)
    for worker in (given_up[0], given_up[-1]):
        record_all(worker, 2)
        worker.publisher.begin()
        for _ in range(2):
            worker.tell(again)

    assert len(state_format.decode(state_format.encode(bench.aggregator)).gone) == len(given_up) + 100
    assert again.get_stats().orders.value == 5 * len(given_up) + 2 * 2
    assert again.get_stats().spread["count"] == len(given_up) + 2


def test_a_frame_of_a_worker_that_is_gone_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What comes late, or again, is not counted twice; it is logged, once."""
    record_all(bench.workers[0], 5)
    sent = bench.workers[0].tell(bench.aggregator, flags=LEAVING | ENDING)
    bench.pass_time(3)
    bench.workers[0].publisher.begin()
    apply(bench.aggregator, [*sent, *bench.workers[0].frames(), *sent])

    assert bench.stats.orders.value == 5
    assert bench.aggregator.workers == {}
    assert len(caplog.records) <= 1


# Removing.


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_goes_when_the_last_worker_has_removed_it(bench: Bench, kind: str) -> None:
    """What one worker has removed is still there as long as another has it."""
    for worker in bench.workers:
        record(worker, kind)
        record(worker, kind, tags={"k": "v"})
    bench.tell()
    for worker, remains in zip(bench.workers, (True, False)):
        worker.registry.remove(kind, {"k": "v"})
        bench.tell()
        assert ("k=v" in stats_of(bench.aggregator)[kind]) == remains
    for worker in bench.workers:
        worker.registry.remove(kind)
    bench.tell()

    assert stats_of(bench.aggregator) == {}


# Not agreeing.


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)))
def test_a_name_of_two_kinds(bench: Bench, caplog: pytest.LogCaptureFixture, first: str, second: str) -> None:
    """The kind that came first stays, the other is left out, that is logged once, and nothing else suffers."""
    caplog.set_level(logging.WARNING)
    getattr(bench.workers[0].registry, first)("metric")
    getattr(bench.workers[1].registry, second)("metric")
    for turn in range(5):
        for worker in bench.workers:
            record_all(worker)
        if turn == 3:
            bench.workers[1].publisher.begin()
        bench.clock.advance(1)
        bench.tell()

    assert metric_of(bench.aggregator, "metric").kind == first
    assert (bench.stats.orders.value, bench.stats.time["count"]) == (10, 10)
    assert told(bench.aggregator) == {"messages": 10, "bad_frames": 0, "gaps": 0}
    (line,) = caplog.messages
    assert "'metric'" in line
    assert "here:2" in line


def test_a_name_that_collides_with_a_key(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A metric that could not be in one registry with those of other workers is left out, and that is logged once."""
    record(bench.workers[0], "meter", name="metric")
    record(bench.workers[1], "counter", name="metric.count")
    record(bench.workers[1], "counter", name="orders")
    for _ in range(2):
        bench.tell()

    assert bench.stats.metric["count"] == 1
    assert bench.stats.orders.value == 1
    assert len(caplog.records) == 1


def test_the_other_kind_removed(bench: Bench) -> None:
    """Removing what was left out removes nothing."""
    record(bench.workers[0], "counter", name="metric")
    record(bench.workers[1], "timer", name="metric")
    bench.tell()
    bench.workers[1].registry.remove("metric")
    bench.tell()

    assert stats_of(bench.aggregator) == {"metric": {"value": 1}}
    assert told(bench.aggregator)["bad_frames"] == 0


# What is known about itself.


def test_it_counts_messages_workers_and_lag(bench: Bench) -> None:
    """`tapes.aggregator.*`: how many messages came, how many workers are there, and how old the oldest states are."""
    for worker in bench.workers:
        record_all(worker)
    sent = bench.workers[0].frames()
    bench.clock.advance(1.5)
    apply(bench.aggregator, sent)
    bench.tell(1)
    figures = bench.figures
    assert (figures.messages.value, figures.workers.value, figures.lag.value) == (2, 2, 1.5)
    bench.tell(0)
    assert bench.figures.lag.value == 0
    bench.tell(1, flags=LEAVING)

    assert bench.figures.workers.value == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_has_recorded_nothing_is_no_worker(bench: Bench, kind: str) -> None:
    """Like one that only forks those who do. Its series are there, and it counts as soon as it has recorded."""
    getattr(bench.workers[0].registry, kind)(kind)
    bench.tell()
    assert kind in stats_of(bench.aggregator)
    assert bench.figures.workers.value == 0
    record(bench.workers[0], kind)
    bench.tell()

    assert bench.figures.workers.value == 1


def test_bad_frames_are_logged_once_in_a_row(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The first after a minute without any is news; all are counted, and none changes anything."""
    caplog.set_level(logging.INFO)
    record_all(bench.workers[0])
    bench.tell()
    before = stats_of(bench.aggregator)
    for _ in range(100):
        bench.aggregator.apply(b"nonsense")
    assert len(caplog.records) == 1
    bench.pass_time(61)
    bench.aggregator.apply(b"nonsense")

    assert [entry.levelno for entry in caplog.records].count(logging.WARNING) == 2
    assert told(bench.aggregator)["bad_frames"] == 101
    bench.tell()
    assert stats_of(bench.aggregator).keys() == before.keys()


def test_what_is_over_is_merged_as_it_is_told(bench: Bench) -> None:
    """Many workers that begin anew all tell of the last minutes: they are not held until each of them has told all."""
    for _ in range(7):
        for number in range(3):
            record(bench.workers[0], "histogram", name=f"metric{number}")
        bench.clock.advance(50)

    (frame,) = bench.workers[0].frames()
    frame_of_several = frames.decode(frame)._replace(flags=0)  # the last one of them has not come yet
    bench.aggregator.apply(frames.encode(frame_of_several))

    for metric in bench.aggregator.places.shared():
        _, [(_, share)] = metric.kept()
        assert len(share.slices) <= 2
        assert metric.read(bench.clock.monotonic()).count == 7


def test_old_frames_of_a_worker_that_has_left_do_not_bring_it_back(bench: Bench) -> None:
    """Nor its gauges, before it is merged for good. A new session does."""
    worker = bench.workers[0]
    record(worker, "gauge", 5.0)
    sent = worker.tell(bench.aggregator)
    sent += worker.tell(bench.aggregator, flags=END | LEAVING)
    for _ in range(2):
        assert bench.stats.gauge.value is None
        assert bench.figures.workers.value == 0
        apply(bench.aggregator, sent)

    worker.publisher.begin()
    bench.tell(0)
    assert bench.stats.gauge.value == 5.0
    assert bench.figures.workers.value == 1


def test_an_aggregator_that_does_not_keep_up_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """While a worker is heard that never tells all of a flush in time, the log has one line, with what to do."""
    caplog.set_level(logging.INFO)
    bench = Bench(1)
    (worker,) = bench.workers
    bench.tell()
    staleness = []
    for _ in range(40):
        bench.clock.advance(1)
        for number in range(publishing.SERIES + 10):
            record(worker, "counter", name=f"orders.{number}")
        flush = worker.publisher.flush(worker.registry)
        bench.aggregator.apply(next(flush))
        next(flush)
        flush.close()
        bench.aggregator.tidy()
        staleness.append(bench.figures.staleness.value)
    said = list(caplog.messages)
    bench.tell()
    bench.aggregator.tidy()

    assert staleness == list(range(1, 41))
    assert len(said) == 1
    assert "does not keep up with 1 of 1 workers" in said[0]
    assert "interval" in said[0]
    assert bench.figures.staleness.value == 0
    assert len(caplog.records) == 2


def test_a_worker_that_is_not_heard_is_no_sign_of_too_much_work(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It may be held still, and nothing of it waits."""
    record_all(bench.workers[0])
    bench.tell()
    for _ in range(100):
        bench.pass_time(1)

    assert bench.figures.staleness.value == 0
    assert caplog.records == []


def test_what_is_shown_of_a_worker_is_right_from_the_first_moment(bench: Bench) -> None:
    """A page may be made in the moment in which the aggregator takes note of a worker."""
    shown: List[Any] = []

    class Workers(Dict[bytes, Worker]):
        def __setitem__(self, identity: bytes, noted: Worker) -> None:
            super().__setitem__(identity, noted)
            shown.append(bench.figures.to_dict())

    bench.aggregator.workers = Workers()
    bench.clock.advance(7)
    bench.tell(0)
    bench.workers[1].frames()  # which is lost
    bench.tell(1)

    assert len(shown) == 2
    for figures in shown:
        assert figures["staleness"] == {"value": 0.0}
        assert figures["lag"] == {"value": 0.0}


def test_a_worker_known_from_before_a_restart_is_stale_since_then(bench: Bench) -> None:
    """Until it tells something: when its last words were is not known."""
    worker = bench.workers[0]
    bench.aggregator.expect(worker.identity, worker.hello)
    bench.pass_time(3)

    assert bench.figures.staleness.value == 3
