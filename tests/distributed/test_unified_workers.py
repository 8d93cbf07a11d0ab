"""What becomes of workers: they come, tell, miss something, go, come back, and do not agree."""

from __future__ import annotations

import itertools
import logging
from typing import Any, Dict, List, NamedTuple, Set, Tuple

import pytest

from tapes.distributed import frames, keeping, presence, publishing
from tapes.distributed.frames import END, ENDING, LEAVING, Frame
from tapes.distributed.processes import processes
from tapes.distributed.publishing import Publisher, hello
from tapes.distributed.unified import UnifiedRegistry
from tapes.distributed.workers import Worker
from tapes.testing import ManualClock
from tests.distributed.simulated import HERE, Asking, Simulated, apply, assert_alike, buckets_of, stats_of, told

KINDS = ("counter", "gauge", "meter", "histogram", "timer")


class Bench(NamedTuple):
    """Two workers and their aggregator."""

    clock: ManualClock
    workers: List[Simulated]
    aggregator: Asking

    def tell(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told."""
        for number in numbers or range(len(self.workers)):
            self.workers[number].tell(self.aggregator, flags=flags)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which nothing is heard."""
        self.clock.advance(seconds)
        self.aggregator.tidy()

    @property
    def orders(self) -> float:
        """What is shown of the counter."""
        value: float = self.aggregator.get_stats().orders.value
        return value


@pytest.fixture
def bench() -> Bench:
    """Return them."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in (1, 2)]
    return Bench(clock, workers, Asking(clock, workers))


def record(worker: Simulated, n: int = 1) -> None:
    """Record to metrics of all kinds."""
    worker.registry.counter("orders").increment(n)
    worker.registry.meter("hits").mark(n)
    worker.registry.gauge("level").set(n)
    worker.registry.histogram("spread").update(n)
    worker.registry.timer("time").update(n)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody know of any process whether it lives."""
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: None)


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Set[int]:
    """Return the pids that no process has any more, out of workers whose pids are known to be of this machine."""
    gone: Set[int] = set()
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: pid not in gone)
    return gone


def local(bench: Bench, *pids: int) -> List[Simulated]:
    """Return workers whose pids are those of this machine."""
    workers = [Simulated(bench.clock, pid, processes=processes()) for pid in pids]
    for worker in workers:
        bench.aggregator.introduce(worker)
    return workers


# What is missing.


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_frames_in_any_order(bench: Bench, order: Tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of frames is, all is known when the worker has begun anew, and nothing is counted twice."""
    monkeypatch.setattr(publishing, "FRAME", 1)
    worker = bench.workers[0]
    sent = []
    for turn in range(4):
        worker.registry.counter(f"orders.{turn}").increment()
        worker.registry.histogram("spread").update(turn)
        sent.append(worker.frames())
    for number in order:
        apply(bench.aggregator, sent[number])
    for _ in range(2):
        bench.clock.advance(2)
        bench.tell(0)

    assert_alike(stats_of(bench.aggregator), stats_of(worker.registry))
    assert bench.aggregator.asked == ([] if order == (0, 1, 2, 3) else [worker])


def test_a_gap_is_noticed_and_made_up_for(bench: Bench) -> None:
    """A frame that has been lost is missed with the next one, and the worker is asked to tell all again."""
    record(bench.workers[0])
    bench.tell()
    record(bench.workers[0])
    bench.workers[0].frames()
    bench.clock.advance(1)
    bench.tell(0)
    assert bench.aggregator.asked == [bench.workers[0]]
    assert told(bench.aggregator)["gaps"] == 1
    bench.tell(0)

    assert_alike(stats_of(bench.aggregator), stats_of(bench.workers[0].registry))
    assert bench.aggregator.asked == [bench.workers[0]]


@pytest.mark.parametrize("known", [True, False])
def test_a_worker_that_does_not_begin_anew_is_asked_again(bench: Bench, known: bool) -> None:
    """Every two seconds, with each frame that comes and also if none does, whether it was known before or not."""
    if known:
        bench.tell(0)
    bench.aggregator.known[bench.workers[0].identity] = bench.workers[1]  # which hears it in its place
    record(bench.workers[0])
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


def test_an_aggregator_that_comes_in_the_middle_asks_for_everything(bench: Bench) -> None:
    """A worker of whose session it has not seen the beginning begins anew."""
    record(bench.workers[0])
    bench.workers[0].frames()
    record(bench.workers[0])
    bench.tell(0)
    assert stats_of(bench.aggregator) == {}
    assert told(bench.aggregator)["gaps"] == 0
    bench.tell(0)

    assert_alike(stats_of(bench.aggregator), stats_of(bench.workers[0].registry))


def test_who_is_never_heard_from_the_beginning_is_not_kept(bench: Bench) -> None:
    """Frames of workers that do not begin anew when they are asked, if they are workers at all, pile up nowhere."""
    bench.aggregator.ask = lambda worker: None
    for number in range(1000):
        stray = Frame(number.to_bytes(16, "big"), 7, 5, 1000.0, END, b"")
        bench.aggregator.apply(frames.encode(stray))
    assert bench.aggregator.get_stats().tapes.aggregator.workers.value <= 1000
    bench.pass_time(11)

    assert bench.aggregator.workers == {}
    bench.tell()
    assert len(bench.aggregator.workers) == 2


def test_frames_of_an_earlier_session_change_nothing(bench: Bench) -> None:
    """They were overtaken by those of a later one."""
    record(bench.workers[0])
    old = bench.workers[0].frames()
    bench.workers[0].publisher.begin()
    record(bench.workers[0], 5)
    bench.tell(0)
    before = stats_of(bench.aggregator)
    apply(bench.aggregator, old)

    assert stats_of(bench.aggregator) == before
    assert bench.aggregator.asked == []


def test_what_is_shown_does_not_go_back_while_all_is_told_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a new session all that was known before is still there."""
    monkeypatch.setattr(publishing, "FRAME", 1)
    for _ in range(100):
        record(bench.workers[0])
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
        record(worker)
        worker.registry.counter("visits").increment()
    bench.tell()
    for worker in bench.workers:
        worker.registry.remove("orders")
        worker.frames()
        worker.publisher.begin()
    bench.tell(0)
    assert bench.orders == 2
    bench.tell(1)

    assert "orders" not in stats_of(bench.aggregator)
    assert bench.aggregator.get_stats().visits.value == 2


# Going.


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_worker_has_counted_stays(bench: Bench, kind: str) -> None:
    """A worker that ends is retired: its totals stay exactly, whatever else happens."""
    metric = getattr(bench.workers[0].registry, kind)(kind)
    for number in range(1000):
        getattr(metric, {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update"))(number + 1)
        if number % 10 == 0:
            bench.clock.advance(1)
            bench.tell(0)
    bench.tell(0, flags=LEAVING | ENDING)
    before, buckets = stats_of(bench.aggregator), buckets_of(bench.aggregator, bench.clock.monotonic())
    bench.pass_time(2.5)

    assert bench.aggregator.workers == {}
    assert bench.aggregator.gone == 1
    if kind == "gauge":
        assert stats_of(bench.aggregator) == {}
    else:
        assert_alike(stats_of(bench.aggregator), before)
        assert buckets_of(bench.aggregator, bench.clock.monotonic()) == buckets
    bench.pass_time(1000)
    assert buckets_of(bench.aggregator, bench.clock.monotonic()) == buckets


def test_a_process_that_was_killed_is_found_out(bench: Bench, dead: Set[int]) -> None:
    """A worker whose process is gone is retired when what it may have sent before has had the time to arrive."""
    first, second = local(bench, 11, 12)
    record(first, 3)
    record(second, 4)
    first.tell(bench.aggregator)
    second.tell(bench.aggregator)
    dead.add(11)
    bench.pass_time(1)
    assert len(bench.aggregator.workers) == 2
    bench.pass_time(1.5)

    assert list(bench.aggregator.workers) == [second.identity]
    assert bench.orders == 7
    assert bench.aggregator.get_stats().level.value == 4


def test_what_passes_after_the_look_at_the_clock_is_no_silence(bench: Bench, dead: Set[int]) -> None:
    """A receiver that is held still between its look at the clock and its look after workers has heard nobody."""
    (worker,) = local(bench, 11)
    record(worker, 3)
    worker.tell(bench.aggregator)
    dead.add(11)
    looked = bench.clock.monotonic()
    bench.clock.advance(20)
    bench.aggregator.tidy(looked)

    assert list(bench.aggregator.workers) == [worker.identity]
    bench.aggregator.tidy(looked + 2.5)
    assert bench.aggregator.workers == {}


def test_a_process_that_lives_is_never_given_up(bench: Bench, dead: Set[int]) -> None:
    """However long it is silent: stopped, or busy, it may go on."""
    (worker,) = local(bench, 11)
    record(worker)
    worker.tell(bench.aggregator)
    for _ in range(100):
        bench.pass_time(3600)
    record(worker)
    worker.tell(bench.aggregator)

    assert bench.orders == 2
    assert dead == set()


@pytest.mark.usefixtures("hidden")
def test_a_process_that_nobody_can_look_at_is_not_given_up_for_a_stall(bench: Bench) -> None:
    """Unknown is not dead: a worker that is silent for some seconds goes on where it was."""
    (worker,) = local(bench, 11)
    for _ in range(3):
        record(worker)
        worker.tell(bench.aggregator)
        bench.pass_time(9)

    assert list(bench.aggregator.workers) == [worker.identity]
    assert bench.orders == 3


@pytest.mark.parametrize(("interval", "silence", "present"), [(1, 9, 1), (1, 11, 0), (30, 85, 1), (30, 95, 0)])
def test_the_lease_follows_the_interval(interval: float, silence: float, present: int) -> None:
    """The gauges of a worker count until it has missed three flushes, and for the lease at least."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock, interval=interval)
    aggregator = Asking(clock, [worker])
    record(worker)
    worker.tell(aggregator)
    clock.advance(silence)
    aggregator.tidy()

    assert aggregator.get_stats().tapes.aggregator.workers.value == present
    assert (aggregator.get_stats().level.value is not None) == bool(present)


def test_the_process_of_this_test_is_seen_to_live(bench: Bench) -> None:
    """The real thing: what a process says of itself is what an aggregator on the same machine looks at."""
    worker = Simulated(bench.clock)
    worker.publisher = Publisher(hello(1.0, settles=True))
    worker.publisher.begin()
    bench.aggregator.introduce(worker)
    record(worker)
    worker.tell(bench.aggregator)
    bench.pass_time(10 * 3600)

    assert list(bench.aggregator.workers) == [worker.identity]


def test_another_process_with_the_same_pid_is_another_worker(bench: Bench, dead: Set[int]) -> None:
    """A pid that is used again while its last worker is still known mixes nothing up."""
    first, second = local(bench, 11, 11)
    record(first, 3)
    first.tell(bench.aggregator)
    record(second, 4)
    second.tell(bench.aggregator)
    assert bench.orders == 7
    record(second, 4)
    second.tell(bench.aggregator)

    assert bench.orders == 11
    assert bench.aggregator.get_stats().hits["count"] == 11
    assert dead == set()


@pytest.mark.parametrize("silence", [61.0, 3000.0])
def test_a_worker_of_another_host_may_leave_and_come_back(bench: Bench, silence: float) -> None:
    """After close() and another connect() it goes on where it was, also where nobody can see whether it lives."""
    record(bench.workers[0], 5)
    bench.tell(0, flags=LEAVING)
    assert bench.aggregator.confirmed == [bench.workers[0]]
    bench.pass_time(silence)
    record(bench.workers[0], 2)
    bench.workers[0].publisher.begin()
    for _ in range(2):  # when it is taken to be gone, it hears that with the first
        bench.tell(0)

    assert bench.orders == 7
    assert bench.aggregator.get_stats().spread["count"] == 2


@pytest.mark.parametrize(("machine", "silence"), [(HERE, 70), ("another", 3610)], ids=["container", "machine"])
def test_a_worker_that_nobody_can_look_at_and_is_silent_for_long_is_gone(machine: str, silence: float) -> None:
    """It is merged for good, on another machine after an hour only: a network may have failed. Its counts stay."""
    clock = ManualClock(1000.0)
    first, second = (Simulated(clock, pid, machine=machine) for pid in (1, 2))
    aggregator = Asking(clock, [first, second])
    for worker in (first, second):
        record(worker)
        worker.tell(aggregator)
    clock.advance(silence - 1)
    aggregator.tidy()
    assert len(aggregator.workers) == 2
    second.tell(aggregator)
    clock.advance(2)
    aggregator.tidy()

    assert list(aggregator.workers) == [second.identity]
    assert aggregator.get_stats().orders.value == 2


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_was_taken_to_be_gone_goes_on_as_another(bench: Bench, kind: str) -> None:
    """What it has counted since, and in frames that were not heard, is counted once; windows and rates go on, too."""
    worker = bench.workers[0]
    alone = Asking(bench.clock, [mirror := Simulated(bench.clock)])
    first = worker.identity
    for turn in range(40):
        for each in (worker, mirror):
            metric = getattr(each.registry, kind)(kind)
            getattr(metric, {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update"))(turn + 1)
        mirror.tell(alone)
        bench.tell(0)
        bench.clock.advance(7)
        if turn in (10, 30):
            worker.frames()  # which is lost
            bench.aggregator.retire(bench.aggregator.workers[worker.identity])
    for _ in range(2):
        bench.tell(0)

    assert bench.aggregator.gone == 2
    assert bench.aggregator.workers.keys() == {worker.identity}
    assert worker.identity != first
    assert_alike(stats_of(bench.aggregator), stats_of(alone))
    assert told(bench.aggregator)["bad_frames"] == 0


def test_one_that_was_held_still_remembers_all_that_it_tells_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many metrics that are, what it had counted before and since is counted once."""
    monkeypatch.setattr(publishing, "_MOST", 10)
    worker = bench.workers[0]
    counters = [worker.registry.counter(f"hits.n{number}") for number in range(200)]
    for _ in range(3):
        for counter in counters:
            counter.increment(5)
        bench.tell(0)
        bench.pass_time(1)
    bench.aggregator.retire(bench.aggregator.workers[worker.identity])
    bench.clock.advance(100)
    for counter in counters:
        counter.increment(2)
    for _ in range(3):
        bench.tell(0)
        bench.pass_time(1)

    shown = bench.aggregator.get_stats().hits
    assert [shown[f"n{number}"]["value"] for number in range(200)] == [17] * 200


def test_one_that_was_taken_to_be_gone_is_told_so_every_two_seconds(bench: Bench) -> None:
    """Until it begins as another."""
    record(bench.workers[0])
    bench.tell(0)
    bench.aggregator.retire(bench.aggregator.workers[bench.workers[0].identity])
    said: List[Tuple[bytes, Tuple[int, int]]] = []
    bench.aggregator.dismiss = lambda identity, position: said.append((identity, position))
    for _ in range(8):
        bench.tell(0)
        bench.pass_time(0.5)

    assert said == [(bench.workers[0].identity, (1, 1))] * 2


def test_an_aggregator_that_was_started_again_knows_who_was_taken_to_be_gone(bench: Bench) -> None:
    """And how much of what they have told, by its file."""
    record(bench.workers[0], 5)
    bench.tell(0)
    bench.aggregator.retire(bench.aggregator.workers[bench.workers[0].identity])
    again = Asking(bench.clock, bench.workers)
    keeping.fill(again, keeping.decode(keeping.encode(bench.aggregator)))
    record(bench.workers[0], 2)
    bench.workers[0].publisher.begin()
    for _ in range(2):
        bench.workers[0].tell(again)

    assert again.get_stats().orders.value == 7
    assert again.get_stats().spread["count"] == 2


def test_of_those_that_were_taken_to_be_gone_none_is_too_many_to_be_known_again(bench: Bench) -> None:
    """However many there are, each goes on as another after a restart. Of those that have ended the last are kept."""
    workers = [bench.aggregator.introduce(Simulated(bench.clock, pid)) for pid in range(100, 250)]
    for worker in workers:
        record(worker, 5)
        worker.tell(bench.aggregator)
        bench.aggregator.retire(bench.aggregator.workers[worker.identity])
    for pid in range(300, 500):
        ended = bench.aggregator.introduce(Simulated(bench.clock, pid))
        ended.tell(bench.aggregator, flags=LEAVING | ENDING)
        bench.pass_time(3)
    kept = keeping.decode(keeping.encode(bench.aggregator))
    again = Asking(bench.clock, workers)
    keeping.fill(again, kept)
    for worker in (workers[0], workers[-1]):
        record(worker, 2)
        for _ in range(2):
            worker.tell(again)

    assert len(kept.gone) == len(workers) + 100
    assert again.get_stats().orders.value == 5 * len(workers) + 2 * 2


def test_a_frame_of_a_worker_that_is_gone_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What comes late, or again, is not counted twice; it is logged, once."""
    record(bench.workers[0], 5)
    sent = bench.workers[0].tell(bench.aggregator, flags=LEAVING | ENDING)
    bench.pass_time(3)
    bench.workers[0].publisher.begin()
    apply(bench.aggregator, [*sent, *bench.workers[0].frames(), *sent])

    assert bench.orders == 5
    assert bench.aggregator.workers == {}
    assert len(caplog.records) <= 1


def test_two_thousand_workers_that_have_ended_leave_nothing_but_their_counts(bench: Bench) -> None:
    """What is kept is as large after two thousand as after twenty, and the counts are exact."""
    pids = iter(range(100, 10_000))

    def live_and_end(count: int) -> int:
        for _ in range(count):
            worker = bench.aggregator.introduce(Simulated(bench.clock, next(pids)))
            record(worker)
            worker.tell(bench.aggregator, flags=LEAVING | ENDING)
            bench.pass_time(0.5)
        bench.pass_time(3)
        assert bench.aggregator.workers == {}
        slices = [len(getattr(metric.read(bench.clock.monotonic()), "slices", ())) for metric in bench.aggregator]
        return len(bench.aggregator) + sum(slices)

    few = live_and_end(20)
    many = live_and_end(1980)

    assert many <= few + 8  # slices: one for each fifty seconds of the window
    assert bench.orders == bench.aggregator.get_stats().time["count"] == 2000


# Removing.


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_goes_when_the_last_worker_has_removed_it(bench: Bench, kind: str) -> None:
    """What one worker has removed is still there as long as another has it."""
    for worker in bench.workers:
        getattr(worker.registry, kind)("metric")
        getattr(worker.registry, kind)("metric", tags={"k": "v"})
    bench.tell()
    bench.workers[0].registry.remove("metric", {"k": "v"})
    bench.tell()
    assert "k=v" in stats_of(bench.aggregator)["metric"]
    bench.workers[1].registry.remove("metric", {"k": "v"})
    bench.tell()
    assert "k=v" not in stats_of(bench.aggregator)["metric"]
    for worker in bench.workers:
        worker.registry.remove("metric")
    bench.tell()

    assert stats_of(bench.aggregator) == {}


def test_clear_in_all_workers(bench: Bench) -> None:
    """Nothing is left but what the aggregator has about itself, and what comes after begins at zero."""
    for worker in bench.workers:
        record(worker, 3)
    bench.tell()
    for worker in bench.workers:
        worker.registry.clear()
    bench.tell()
    assert stats_of(bench.aggregator) == {}
    for worker in bench.workers:
        record(worker, 2)
    bench.tell()

    assert (bench.orders, bench.aggregator.get_stats().spread["count"]) == (4, 2)


def test_a_series_that_one_worker_makes_anew_goes_on(bench: Bench) -> None:
    """As long as another worker has the series, its total does not go back."""
    for worker in bench.workers:
        record(worker, 3)
    bench.tell()
    bench.workers[0].registry.clear()
    record(bench.workers[0], 2)
    bench.tell()

    assert bench.orders == 8


# Not agreeing.


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)))
def test_a_name_of_two_kinds(bench: Bench, caplog: pytest.LogCaptureFixture, first: str, second: str) -> None:
    """The kind that came first stays, the other is left out, that is logged once, and nothing else suffers."""
    caplog.set_level(logging.WARNING)
    getattr(bench.workers[0].registry, first)("metric")
    getattr(bench.workers[1].registry, second)("metric")
    for turn in range(5):
        for worker in bench.workers:
            record(worker)
        if turn == 3:
            bench.workers[1].publisher.begin()
        bench.clock.advance(1)
        bench.tell()

    kinds = {metric.name: metric.kind for metric in bench.aggregator}
    assert kinds["metric"] == first
    assert (bench.orders, bench.aggregator.get_stats().time["count"]) == (10, 10)
    assert told(bench.aggregator) == {"messages": 10, "bad_frames": 0, "gaps": 0}
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert "'metric'" in line
    assert "here:2" in line


def test_a_name_that_collides_with_a_key(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A metric that could not be in one registry with those of other workers is left out, and that is logged once."""
    bench.workers[0].registry.meter("metric").mark()
    bench.workers[1].registry.counter("metric.count").increment()
    bench.workers[1].registry.counter("orders").increment()
    bench.tell()
    bench.tell()

    assert bench.aggregator.get_stats().metric["count"] == 1
    assert bench.orders == 1
    assert len(caplog.records) == 1


def test_the_other_kind_removed(bench: Bench) -> None:
    """Removing what was left out removes nothing."""
    bench.workers[0].registry.counter("metric").increment()
    bench.workers[1].registry.timer("metric").update(1)
    bench.tell()
    bench.workers[1].registry.remove("metric")
    bench.tell()

    assert stats_of(bench.aggregator) == {"metric": {"value": 1}}
    assert told(bench.aggregator)["bad_frames"] == 0


def test_there_may_be_more_tag_sets_than_in_one_worker(bench: Bench) -> None:
    """The limit is that of each worker; what was recorded beyond it is tagged `overflow` in all of them."""
    for worker in bench.workers:
        worker.registry.max_tag_sets = 3
        for number in range(5):
            worker.registry.counter("orders", {"user": f"{worker.hello.pid}.{number}"}).increment()
    bench.tell()

    orders = stats_of(bench.aggregator)["orders"]
    assert len(orders) == 7
    assert orders["overflow=true"] == {"value": 4}


# What is known about itself.


def test_it_counts_messages_workers_and_lag(bench: Bench) -> None:
    """`tapes.aggregator.*`: how many messages came, how many workers are there, and how old the oldest states are."""
    for worker in bench.workers:
        record(worker)
    sent = bench.workers[0].frames()
    bench.clock.advance(1.5)
    apply(bench.aggregator, sent)
    bench.tell(1)
    stats = bench.aggregator.get_stats().tapes.aggregator
    assert (stats.messages.value, stats.workers.value, stats.lag.value) == (2, 2, 1.5)
    bench.tell(0)
    assert bench.aggregator.get_stats().tapes.aggregator.lag.value == 0
    bench.tell(1, flags=LEAVING)

    assert bench.aggregator.get_stats().tapes.aggregator.workers.value == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_has_recorded_nothing_is_no_worker(bench: Bench, kind: str) -> None:
    """Like one that only forks those who do. Its series are there, and it counts as soon as it has recorded."""
    metric = getattr(bench.workers[0].registry, kind)(kind)
    bench.tell()
    assert kind in stats_of(bench.aggregator)
    assert bench.aggregator.get_stats().tapes.aggregator.workers.value == 0
    getattr(metric, {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update"))(1)
    bench.tell()

    assert bench.aggregator.get_stats().tapes.aggregator.workers.value == 1


def test_bad_frames_are_logged_once_in_a_row(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The first after a minute without any is news; all are counted, and none changes anything."""
    caplog.set_level(logging.INFO)
    record(bench.workers[0])
    bench.tell()
    before = stats_of(bench.aggregator)
    for _ in range(100):
        bench.aggregator.apply(b"nonsense")
    assert len(caplog.records) == 1
    bench.pass_time(61)
    bench.aggregator.apply(b"nonsense")
    lines = [entry for entry in caplog.records if entry.levelno == logging.WARNING]

    assert len(lines) == 2
    assert told(bench.aggregator)["bad_frames"] == 101
    bench.tell()
    assert stats_of(bench.aggregator).keys() == before.keys()


def test_the_name_that_is_its_own_cannot_be_taken(bench: Bench) -> None:
    """A worker that claims to have the aggregator's own figures is not believed."""
    strange = bench.workers[0]
    strange.registry.counter("tapes.aggregatox.messages").increment(1000)
    (sent,) = strange.frames()
    frame = frames.decode(sent)
    forged = frames.encode(
        Frame(*frame[:4], END, frame.body.replace(b"tapes.aggregatox.messages", b"tapes.aggregator.messages"))
    )
    bench.aggregator.apply(forged)

    assert bench.aggregator.get_stats().tapes.aggregator.messages.value == 1


def test_what_is_over_is_merged_as_it_is_told() -> None:
    """Many workers that begin anew all tell of the last minutes: they are not held until each of them has told all."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    aggregator = Asking(clock, [worker])
    for _ in range(7):
        for number in range(3):
            worker.registry.histogram(f"metric{number}").update(1.0)
        clock.advance(50)

    (frame,) = worker.frames()
    frame_of_several = frames.decode(frame)._replace(flags=0)  # the last one of them has not come yet
    aggregator.apply(frames.encode(frame_of_several))

    for metric in aggregator.places.shared():
        _, [(_, share)] = metric.kept()
        assert len(share.slices) <= 2
        assert metric.read(clock.monotonic()).count == 7


def test_old_frames_of_a_worker_that_has_left_do_not_bring_it_back() -> None:
    """Nor its gauges, before it is merged for good. A new session does."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    aggregator = Asking(clock, [worker])
    worker.registry.gauge("level").set(5.0)
    sent = worker.tell(aggregator)
    sent += worker.tell(aggregator, flags=END | LEAVING)
    for _ in range(2):
        assert aggregator.get_stats().level.value is None
        assert aggregator.get_stats().tapes.aggregator.workers.value == 0
        apply(aggregator, sent)

    worker.publisher.begin()
    worker.tell(aggregator)
    assert aggregator.get_stats().level.value == 5.0
    assert aggregator.get_stats().tapes.aggregator.workers.value == 1


def test_an_aggregator_that_does_not_keep_up_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """While a worker is heard that never tells all of a flush in time, the log has one line, with what to do."""
    caplog.set_level(logging.INFO)
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    aggregator = Asking(clock, [worker])
    worker.tell(aggregator)
    staleness = []
    for _ in range(40):
        clock.advance(1)
        for number in range(publishing.SERIES + 10):
            worker.registry.counter(f"orders.{number}").increment()
        flush = worker.publisher.flush(worker.registry)
        aggregator.apply(next(flush))
        next(flush)
        flush.close()
        aggregator.tidy()
        staleness.append(aggregator.get_stats().tapes.aggregator.staleness.value)
    said = [record.getMessage() for record in caplog.records]
    worker.tell(aggregator)
    aggregator.tidy()

    assert staleness == list(range(1, 41))
    assert len(said) == 1
    assert "does not keep up with 1 of 1 workers" in said[0]
    assert "interval" in said[0]
    assert aggregator.get_stats().tapes.aggregator.staleness.value == 0
    assert len(caplog.records) == 2


def test_a_worker_that_is_not_heard_is_no_sign_of_too_much_work(caplog: pytest.LogCaptureFixture) -> None:
    """It may be held still, and nothing of it waits."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    aggregator = Asking(clock, [worker])
    worker.registry.counter("orders").increment()
    worker.tell(aggregator)
    for _ in range(100):
        clock.advance(1)
        aggregator.tidy()

    assert aggregator.get_stats().tapes.aggregator.staleness.value == 0
    assert caplog.records == []


def test_what_is_shown_of_a_worker_is_right_from_the_first_moment() -> None:
    """A page may be made in the moment in which the aggregator takes note of a worker."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    aggregator = Asking(clock, [worker])
    shown: List[Any] = []

    class Workers(Dict[bytes, Worker]):
        def __setitem__(self, identity: bytes, noted: Worker) -> None:
            super().__setitem__(identity, noted)
            shown.append(aggregator.get_stats().tapes.aggregator.to_dict())

    aggregator.workers = Workers()
    clock.advance(7)
    worker.tell(aggregator)
    lost = Simulated(clock, 2)
    aggregator.introduce(lost)
    for frame in [*lost.publisher.flush(lost.registry), *lost.publisher.flush(lost.registry)][-1:]:
        aggregator.apply(frame)

    assert len(shown) == 2
    for figures in shown:
        assert figures["staleness"] == {"value": 0.0}
        assert figures["lag"] == {"value": 0.0}


def test_a_worker_known_from_before_a_restart_is_stale_since_then() -> None:
    """Until it tells something: when its last words were is not known."""
    clock = ManualClock(1000.0)
    aggregator = UnifiedRegistry(clock=clock)
    aggregator.expect(b"w" * 16, hello(1.0, settles=True))
    clock.advance(3)
    aggregator.tidy()

    assert aggregator.get_stats().tapes.aggregator.staleness.value == 3
