"""What a worker sends: what has changed, and nothing else."""

from __future__ import annotations

import gc
import math
import sys
from collections import deque
from threading import get_ident
from typing import Any, Deque, Dict, List, NamedTuple, Optional

import pytest

from tapes.distributed import frames, publishing, records, state_format
from tapes.distributed.frames import END, LEAVING, Frame
from tapes.facts import Facts
from tapes.kinds.kind import BY_CODE
from tapes.registry import Registry
from tapes.snapshot import Snapshot
from tapes.testing import ManualClock
from tapes.wire import Reader
from tests.distributed.simulated import Asking, Simulated, apply, assert_alike, buckets_of, stats_of, told

KINDS = ("counter", "gauge", "meter", "histogram", "timer")


class Bench(NamedTuple):
    """A worker and its aggregator."""

    clock: ManualClock
    worker: Simulated
    aggregator: Asking

    @property
    def registry(self) -> Registry:
        """That of the worker."""
        return self.worker.registry

    def tell(self) -> List[str]:
        """Let the worker tell the aggregator what has changed. Return the types of the records."""
        return types_of(self.worker.tell(self.aggregator))

    def cut_off(self, sent: int) -> List[bytes]:
        """Let the worker tell it, of a flush, so many frames, after which none can be sent. Return these."""
        taken: List[bytes] = []
        flush = self.worker.publisher.flush(self.registry)
        for frame in flush:
            if len(taken) == sent:
                flush.close()
                break
            taken.append(frame)
        apply(self.aggregator, taken)
        return taken

    def assert_same(self) -> None:
        """Check that the aggregator shows what the worker shows."""
        now = self.clock.monotonic()

        assert_alike(stats_of(self.aggregator), stats_of(self.registry))
        assert buckets_of(self.aggregator, now) == buckets_of(self.registry, now)


@pytest.fixture
def bench() -> Bench:
    """Return a worker that has told nothing, and its aggregator."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    return Bench(clock, worker, Asking(clock, [worker]))


def record(registry: Registry, kind: str, name: str = "metric") -> None:
    """Record something to a metric of this kind."""
    metric = getattr(registry, kind)(name)
    getattr(metric, {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update"))(3)


def decoded(sent: List[bytes]) -> List[Frame]:
    """Read frames."""
    return [frames.decode(message) for message in sent]


def types_of(sent: List[bytes]) -> List[str]:
    """Return what the types of the records in some frames are called."""
    names = {records.HELLO: "hello", records.SERIES: "series", records.REMOVED: "removed", records.FACTS: "facts"}
    names.update({records.STATE + code: str(kind) for code, kind in BY_CODE.items()})
    return [names[kind] for frame in decoded(sent) for kind, _, _ in frame.records()]


def numbers_of(sent: List[bytes], kind: int) -> List[int]:
    """Return the numbers of the series in the records of one type."""
    return [
        records.read_number(Reader(frame.body, start, end))
        for frame in decoded(sent)
        for type_, start, end in frame.records()
        if type_ == kind
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_series_is_told_once(bench: Bench, kind: str) -> None:
    """The first flush says who the worker is, what the series is called, and its state.

    One in which nothing has changed is one empty frame, which says up to when that is known.
    """
    record(bench.registry, kind)

    assert bench.tell() == ["hello", "series", kind]
    for _ in range(3):
        bench.clock.advance(7)
        (frame,) = decoded(bench.worker.tell(bench.aggregator))
        assert (frame.body, frame.flags, frame.time) == (b"", END, bench.clock.monotonic())
    bench.assert_same()


def test_nothing_but_the_end_when_a_producer_says_the_same_again(bench: Bench) -> None:
    """A gauge that is asked for its value is told when the value is another one."""
    values = iter([5, 5, 5.5, 5.5, None, None, 5])
    bench.registry.gauge("metric", lambda: next(values))

    told = [bench.tell() for _ in range(7)]

    assert told == [["hello", "series", "gauge"], [], ["gauge"], [], ["gauge"], [], ["gauge"]]


def test_growth_of_a_total_is_told(bench: Bench) -> None:
    """A counter that a producer tells a total is told when that has grown, with what the program adds."""
    totals = iter([5, 5, 7, 7, 3])
    counter = bench.registry.counter("metric", producer=lambda: next(totals))
    sent = [bench.tell() for _ in range(3)]
    counter.increment(10)
    sent += [bench.tell(), bench.tell()]

    assert sent == [["hello", "series", "counter"], [], ["counter"], ["counter"], ["counter"]]
    assert stats_of(bench.aggregator)["metric"] == {"value": 20}


def test_a_total_that_grows_is_nothing_that_is_lost(bench: Bench) -> None:
    """It grows in each process, also in one that never publishes, and after the last flush of another."""
    totals = iter(range(5, 100))
    counter = bench.registry.counter("metric", producer=lambda: next(totals))
    assert not publishing.has_recorded(counter, 0.0, None)
    bench.tell()
    told = bench.worker.publisher.sent_numbers()
    assert not publishing.has_recorded(counter, 0.0, told[counter])
    counter.increment()

    assert publishing.has_recorded(counter, 0.0, told[counter])
    assert publishing.has_recorded(counter, 0.0, None)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_has_changed_is_told(bench: Bench, kind: str) -> None:
    """Of many series the one that was recorded to is told, with its state alone."""
    for other in KINDS:
        for number in range(5):
            record(bench.registry, other, f"{other}.{number}")
    bench.tell()
    bench.clock.advance(1)
    record(bench.registry, kind, f"{kind}.3")
    if kind == "gauge":
        bench.registry.gauge("gauge.3").set(4)

    assert bench.tell() == [kind]
    bench.assert_same()


def test_a_slice_that_has_not_changed_is_not_told_again(bench: Bench) -> None:
    """Of a histogram with minutes of values, the slice that is being filled is told."""
    histogram = bench.registry.histogram("metric")
    sizes = []
    for second in range(290):
        for number in range(20):
            histogram.update(2.0 ** (number % 10) + second % 3)
        sizes.append(sum(map(len, bench.worker.tell(bench.aggregator))))
        bench.clock.advance(1)

    assert max(sizes[200:]) <= 1.2 * max(sizes[1:100])
    bench.assert_same()


def test_begin_tells_everything_again(bench: Bench) -> None:
    """After begin() the next flush is the first of a new session, with all series named and told as a whole."""
    for kind in KINDS:
        record(bench.registry, kind, kind)
    bench.tell()
    bench.clock.advance(400)
    record(bench.registry, "histogram", "histogram")
    bench.tell()
    session, _ = bench.worker.publisher.position

    bench.worker.publisher.begin()

    assert bench.worker.publisher.position == (session + 1, 0)
    sent = bench.worker.frames()
    assert types_of(sent) == ["hello"] + [name for kind in KINDS for name in ("series", kind)]
    stranger = Asking(bench.clock, [bench.worker])
    apply(stranger, sent)
    assert stats_of(stranger) == stats_of(bench.registry)


def test_what_is_said_of_a_name_is_told_once_a_session(bench: Bench) -> None:
    """With the first of its series, and so that a receiver which knows nothing has it as well."""
    for kind in KINDS:
        for tags in ({}, {"k": "v"}):
            getattr(bench.registry, kind)(kind, tags=tags, description=f"A {kind}.", unit="things")

    assert bench.tell() == ["hello"] + [name for kind in KINDS for name in ("series", "facts", kind, "series", kind)]
    for _ in range(2):
        record(bench.registry, "counter", "counter")
        assert bench.tell() == ["counter"]
    assert facts_of(bench.aggregator) == facts_of(bench.registry)
    bench.worker.publisher.begin()
    stranger = Asking(bench.clock, [bench.worker])
    sent = bench.worker.tell(bench.aggregator, stranger)
    assert types_of(sent).count("facts") == len(KINDS)
    assert facts_of(stranger) == facts_of(bench.aggregator) == facts_of(bench.registry)


def facts_of(registry: Registry) -> Dict[str, Facts]:
    """Return what is said of the names of readings, without those of the aggregator."""
    readings = registry.snapshot().readings
    return {reading.name: reading.facts for reading in readings if not reading.name.startswith("tapes.")}


def test_what_is_said_later_is_told_then(bench: Bench) -> None:
    """Also if nothing has been recorded since; and what is said in addition to that."""
    record(bench.registry, "counter")
    bench.tell()
    bench.registry.counter("metric", description="What it is.")
    assert bench.tell() == ["facts"]
    bench.registry.counter("metric", description="What else it is.", unit="things")
    record(bench.registry, "counter")
    assert bench.tell() == ["facts", "counter"]
    assert bench.tell() == []

    assert facts_of(bench.aggregator) == {"metric": Facts("What it is.", "things")}


@pytest.mark.parametrize("at_once", [False, True])
def test_what_is_said_of_a_name_that_is_made_again(bench: Bench, at_once: bool) -> None:
    """It is told again, since the aggregator has forgotten it with the last series."""
    for n in range(3):
        bench.registry.gauge("metric", description="The same.").set(n)
        bench.tell()
        assert facts_of(bench.aggregator) == {"metric": Facts("The same.", "")}
        bench.registry.remove("metric")
        if not at_once:
            assert bench.tell() == ["removed"]
            assert facts_of(bench.aggregator) == {}


def test_the_first_worker_that_says_something_is_believed(bench: Bench) -> None:
    """What others say of the same name changes nothing, and adds what nobody has said."""
    other = Simulated(bench.clock, 2)
    bench.registry.counter("metric", description="First.")
    other.registry.counter("metric", description="Second.", unit="things")
    bench.tell()
    other.tell(bench.aggregator)

    assert facts_of(bench.aggregator) == {"metric": Facts("First.", "things")}


@pytest.mark.parametrize("sent", range(7))
def test_what_is_said_is_not_lost_with_a_flush_that_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    """Whichever frame cannot be sent: it is told in the next flush, and what was sent is not told twice."""
    monkeypatch.setattr(publishing, "FRAME", 1)
    for n in range(3):
        bench.registry.histogram(f"metric{n}", description=f"Metric {n}.").update(n)
        bench.registry.histogram(f"metric{n}", {"k": "v"})
    taken = bench.cut_off(sent)
    rest = bench.worker.tell(bench.aggregator)

    assert types_of(taken + rest).count("facts") == 3
    assert facts_of(bench.aggregator) == facts_of(bench.registry)
    bench.assert_same()


def test_nothing_is_known_of_names_that_are_not_there(bench: Bench) -> None:
    """Whoever describes metrics that nobody has takes no memory."""
    bench.registry.counter("metric")
    sent = bench.worker.frames()
    (frame,) = decoded(sent)
    said = b"".join([records.facts(f"other{n}", Facts("Nothing.", "")) for n in range(3)])
    apply(bench.aggregator, [frames.encode(frame._replace(body=frame.body + said))])

    assert bench.aggregator.all_facts() == {}
    assert told(bench.aggregator)["bad_frames"] == 0


@pytest.mark.parametrize("goes_on", [None, True, False])
def test_what_is_said_of_a_series_that_is_left_out_is_not_heeded(bench: Bench, goes_on: Optional[bool]) -> None:
    """It is of another metric than that of the same name: also after a restart, and until there is room for it."""
    other, aggregator = Simulated(bench.clock, 2), Asking(bench.clock)
    bench.registry.counter("queue")
    bench.registry.counter("orders")
    other.registry.gauge("queue", tags={"k": "v"}, description="Jobs that wait.", unit="jobs")
    other.registry.counter("orders", description="The orders.")
    for worker in (bench.worker, other):
        aggregator.introduce(worker).tell(aggregator)
    if goes_on is not None:
        before, aggregator = aggregator, Asking(bench.clock, (bench.worker, other))
        state_format.fill(aggregator, state_format.decode(state_format.encode(before)), goes_on=goes_on)
        if not goes_on:
            other.publisher.begin()
    other.registry.gauge("queue", tags={"k": "w"}).set(3)
    other.registry.counter("orders", unit="orders")
    other.tell(aggregator)

    assert aggregator.all_facts() == {"orders": Facts("The orders.", "orders")}
    bench.registry.remove("queue")
    bench.worker.publisher.begin()
    bench.worker.tell(aggregator)
    other.registry.remove("queue")
    other.registry.gauge("queue", description="Jobs that wait.").set(1)
    other.tell(aggregator)
    assert aggregator.all_facts() == {"orders": Facts("The orders.", "orders"), "queue": Facts("Jobs that wait.", "")}


def test_frames_are_numbered(bench: Bench) -> None:
    """Each frame has the session and the next number; the worker is the same in all of them, and no other's."""
    positions = []
    for session in range(1, 4):
        for _ in range(3):
            record(bench.registry, "counter")
            expected = bench.worker.publisher.position
            (frame,) = decoded(bench.worker.frames())
            assert (frame.session, frame.sequence) == expected
            assert frame.worker == bench.worker.identity
            positions.append(expected)
        assert bench.worker.publisher.position == (session, 3)
        bench.worker.publisher.begin()

    assert positions == [(session, sequence) for session in (1, 2, 3) for sequence in (0, 1, 2)]
    assert bench.worker.identity != Simulated(bench.clock).identity


def test_a_large_flush_is_cut_into_frames(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame is much larger than FRAME, only the last is an END, and together they tell everything."""
    monkeypatch.setattr(publishing, "FRAME", 1000)
    for number in range(200):
        record(bench.registry, KINDS[number % 5], f"metric.{number}")

    sent = bench.worker.tell(bench.aggregator)

    assert 20 < len(sent) < 60
    assert max(map(len, sent)) < 1400
    assert [frame.flags for frame in decoded(sent)] == [0] * (len(sent) - 1) + [END]
    assert types_of(sent).count("hello") == 1
    bench.assert_same()


def test_the_last_flush_says_that_it_is_the_last(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a flag for it the last frame of the flush has the flag, and the aggregator confirms it once it knows all."""
    monkeypatch.setattr(publishing, "FRAME", 100)
    for kind in KINDS:
        record(bench.registry, kind, kind)

    sent = bench.worker.tell(bench.aggregator, flags=LEAVING)

    assert [frame.flags for frame in decoded(sent)] == [0] * (len(sent) - 1) + [END | LEAVING]
    assert bench.aggregator.confirmed == [bench.worker]


@pytest.mark.parametrize("sent", range(12))
def test_a_flush_that_is_given_up_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: int) -> None:
    """Whichever frame cannot be sent: it and all after it come with the next flush, and those before do not."""
    monkeypatch.setattr(publishing, "FRAME", 100)
    for kind in KINDS:
        for number in range(3):
            record(bench.registry, kind, f"{kind}.{number}")

    taken = bench.cut_off(sent)
    for kind in KINDS:
        record(bench.registry, kind, f"{kind}.{1}")
    rest = bench.worker.tell(bench.aggregator)

    assert len(taken) == sent
    assert types_of(taken + rest).count("hello") == 1
    positions = [(frame.session, frame.sequence) for frame in decoded(taken + rest)]
    assert positions == [(1, number) for number in range(len(positions))]
    assert told(bench.aggregator)["gaps"] == 0
    bench.assert_same()


def test_what_was_given_up_is_not_told_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in the frames before the one that could not be sent is not in the next flush."""
    monkeypatch.setattr(publishing, "FRAME", 1)
    for number in range(6):
        record(bench.registry, "counter", f"counter.{number}")
    flush = bench.worker.publisher.flush(bench.registry)
    for _ in range(4):
        next(flush)
    flush.close()

    assert types_of(bench.worker.frames()) == ["series", "counter"] * 3


def test_an_aggregator_that_never_takes_all_is_told_of_every_series(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While all series go on changing, each flush begins with those that the last one did not come to."""
    monkeypatch.setattr(publishing, "FRAME", 200)
    for _ in range(10):
        for number in range(20):
            record(bench.registry, "counter", f"counter.{number}")
        flush = bench.worker.publisher.flush(bench.registry)
        apply(bench.aggregator, [next(flush), next(flush)])
        flush.send(None)
        flush.close()

    assert len(bench.aggregator.get_stats().counter) == 20
    bench.tell()
    bench.assert_same()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="Others look for garbage in other ways.")
@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("kind", ["meter", "histogram", "timer"])
def test_a_flush_gives_no_cause_to_look_for_garbage(bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """However many series have changed, the program is not stopped for it, once as many have been told before."""
    monkeypatch.setattr(publishing, "_MOST", 2000)
    here = get_ident()
    looks: List[int] = []

    def look(phase: str, info: Dict[str, int]) -> None:
        if phase == "start" and get_ident() == here:
            looks.append(info["generation"])

    for _ in range(5):
        bench.clock.advance(1)
        for number in range(2000):
            record(bench.registry, kind, f"{kind}.{number}")
        gc.collect()
        gc.callbacks.append(look)
        looks.clear()
        sent = sum(len(frame) for frame in bench.worker.publisher.flush(bench.registry))
        left = len(gc.get_objects(generation=0))
        gc.callbacks.remove(look)

    assert sent > 2000 * 10
    assert len(looks) <= 8
    assert set(looks) <= {0}
    assert left < 1000, "what the next look finds"


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="This is about CPython's collector of garbage.")
@pytest.mark.usefixtures("only_new_objects")
@pytest.mark.parametrize("kind", KINDS)
def test_reporting_gives_no_cause_to_look_through_everything(bench: Bench, kind: str) -> None:
    """Not even where several pages are still held, and the program itself makes the collector run all the time.

    It looks through all objects once a quarter as many have outlived it as there are.
    """
    metrics, rounds, kept = 200, 60, 0

    def outlived() -> int:
        before = len(gc.get_objects(generation=2))
        gc.collect(1)
        return len(gc.get_objects(generation=2)) - before

    held: Deque[Snapshot] = deque(maxlen=3)
    for turn in range(10 + rounds):
        for number in range(metrics):
            record(bench.registry, kind, f"metric{number}")
        outlived()
        held.append(bench.registry.snapshot())
        kept += outlived() if turn >= 10 else 0
        record(bench.registry, kind, "metric1")
        assert any(bench.worker.publisher.flush(bench.registry))
        kept += outlived() if turn >= 10 else 0
        bench.clock.advance(1.0)

    assert kept < metrics * rounds / 5


def update_widely(bench: Bench, metric: Any, slots: int = 5) -> None:
    """Record values of all magnitudes in each of some slots."""
    for slot in range(slots):
        for number in range(4000):
            metric.update(2.0 ** (number / 4 - 500) + slot)
        bench.clock.advance(50)


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_a_large_histogram_is_told_in_pieces(bench: Bench, kind: str) -> None:
    """Values of all magnitudes over all of the window, as a whole and as a change, make no frame large."""
    metric = getattr(bench.registry, kind)("metric")
    sent: List[bytes] = []
    for _ in range(2):
        update_widely(bench, metric)
        sent += bench.worker.tell(bench.aggregator)
    bench.worker.publisher.begin()
    sent += bench.worker.tell(bench.aggregator)

    assert max(map(len, sent)) < 2 * publishing.FRAME  # a slice of 4,000 buckets is more than one
    assert types_of(sent).count(kind) > 4
    assert told(bench.aggregator)["bad_frames"] == 0
    bench.assert_same()


@pytest.mark.parametrize("kind", ["histogram", "timer"])
@pytest.mark.parametrize("sent", [1, 2])
def test_a_flush_that_is_given_up_between_two_pieces_loses_nothing(bench: Bench, kind: str, sent: int) -> None:
    """The series is named once, all of it comes with the next flush, and it can be removed before that."""
    for name in ("metric", "removed"):
        update_widely(bench, getattr(bench.registry, kind)(name))
    flush = bench.worker.publisher.flush(bench.registry)
    apply(bench.aggregator, [next(flush) for _ in range(sent)])
    next(flush)
    flush.close()
    bench.registry.remove("removed")
    for _ in range(2):
        record(bench.registry, kind)
        bench.tell()

    assert told(bench.aggregator)["bad_frames"] == 0
    assert bench.aggregator.asked == []
    bench.assert_same()


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_a_large_series_that_was_not_told_to_the_end_by_another_worker(bench: Bench, kind: str) -> None:
    """One that has become another worker again and again, and the last time between two pieces of it."""
    metric = getattr(bench.registry, kind)("metric")
    update_widely(bench, metric)
    bench.tell()
    bench.aggregator.retire(bench.aggregator.workers[bench.worker.identity])
    bench.tell()
    update_widely(bench, metric)
    bench.worker.publisher.begin()
    flush = bench.worker.publisher.flush(bench.registry)
    for _ in range(2):
        next(flush)
    flush.close()
    bench.worker.publisher.begin_as_another(bench.worker.publisher.position)
    bench.aggregator.introduce(bench.worker)
    bench.tell()

    assert told(bench.aggregator)["bad_frames"] == 0
    assert bench.aggregator.get_stats().metric["count"] == 40_000


@pytest.mark.parametrize("identity", [None, b"aggregators too."])
def test_who_begins_as_another_says_so_in_its_frames(bench: Bench, identity: Optional[bytes]) -> None:
    """What it is told is for the worker that its frames name, whoever chose what identifies it."""
    worker = Simulated(bench.clock, registry=bench.registry, identity=identity)
    before = worker.identity
    record(bench.registry, "counter")
    worker.publisher.begin_as_another(worker.publisher.position)
    named = {frames.decode(message).worker for message in worker.frames()}

    assert named == {worker.identity}
    assert worker.identity != before


def test_the_largest_histogram_there_can_be_is_told(bench: Bench) -> None:
    """A value in each bucket that there is, of either sign, is less than what an aggregator takes."""
    histogram = bench.registry.histogram("metric")
    for exponent in range(-1074, 1024):
        for step in range(64):
            value = math.ldexp((64 + step) / 64, exponent)
            histogram.update(value)
            histogram.update(-value)
    for number in range(1000):
        record(bench.registry, "counter", f"counter.{number}")

    sent = bench.worker.tell(bench.aggregator)

    assert 3_000_000 < max(map(len, sent)) < frames.LARGEST
    assert told(bench.aggregator)["bad_frames"] == 0
    assert bench.aggregator.get_stats().metric["count"] == 2 * 64 * 2098


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_series_is_told_by_its_number(bench: Bench, kind: str) -> None:
    """The aggregator removes what the worker has removed, and nothing else."""
    for number in range(3):
        record(bench.registry, kind, f"metric.{number}")
    names = numbers_of(bench.worker.tell(bench.aggregator), records.SERIES)
    bench.registry.remove("metric.1")

    sent = bench.worker.tell(bench.aggregator)

    assert types_of(sent) == ["removed"]
    assert numbers_of(sent, records.REMOVED) == [names[1]]
    assert set(stats_of(bench.aggregator)["metric"]) == {"0", "2"}
    assert bench.tell() == []


@pytest.mark.parametrize(("kind", "later"), [*zip(KINDS, KINDS), ("counter", "timer")])
def test_a_series_that_is_removed_and_made_again_begins_at_zero(bench: Bench, kind: str, later: str) -> None:
    """It has another number, and may be of another kind. The aggregator shows the new one alone."""
    record(bench.registry, kind)
    record(bench.registry, kind)
    bench.tell()
    bench.registry.remove("metric")
    record(bench.registry, later)

    assert bench.tell() == ["removed", "series", later]
    bench.assert_same()


def test_a_series_that_comes_and_goes_between_two_flushes_is_not_told(bench: Bench) -> None:
    """Nobody could see it."""
    bench.tell()
    record(bench.registry, "counter")
    bench.registry.remove("metric")

    assert bench.tell() == []


@pytest.mark.parametrize("gone", [30, 301, 361, 700])
@pytest.mark.parametrize("seen", [0, 20, 100, 500])
@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_a_flush_that_was_impossible_for_long(bench: Bench, kind: str, seen: int, gone: int) -> None:
    """Slices that were closed meanwhile are told, whether part of them had been told before or not."""
    metric = getattr(bench.registry, kind)("metric")

    def go_on(seconds: int, *, telling: bool) -> None:
        for second in range(seconds):
            metric.update(1.5 ** (second % 40))
            bench.clock.advance(1)
            if telling:
                bench.tell()
            else:
                metric.read(bench.clock.monotonic())

    go_on(seen, telling=True)
    go_on(gone, telling=False)
    bench.tell()
    bench.assert_same()
    go_on(200, telling=True)

    bench.assert_same()
    assert told(bench.aggregator)["gaps"] == told(bench.aggregator)["bad_frames"] == 0


def test_a_worker_without_an_aggregator_for_an_hour_keeps_little_and_loses_nothing(bench: Bench) -> None:
    """What it would send does not grow with the time for which it could not."""
    sizes = []
    for minute in range(70):
        for number in range(60):
            for kind in KINDS:
                record(bench.registry, kind, kind)
            bench.registry.histogram("spread").update(1.1 ** (number % 50))
            bench.clock.advance(1)
        if minute in (8, 69):
            untold = Simulated(bench.clock, registry=bench.registry)
            sizes.append(sum(map(len, untold.frames())))
    bench.tell()

    assert sizes[1] <= sizes[0] * 1.1
    bench.assert_same()
    assert bench.aggregator.get_stats().counter.value == 70 * 60 * 3


HUGE = 1.7e308


def test_sums_that_have_overflowed_do_not_silence_the_worker(bench: Bench) -> None:
    """They are shown as the largest number that there is, and all other series as ever."""
    for _ in range(3):
        bench.registry.counter("up").increment(HUGE)
        bench.registry.counter("down").decrement(HUGE)
        bench.registry.histogram("spread").update(HUGE)
        bench.registry.timer("time").update(HUGE)
        bench.registry.gauge("level").increment(HUGE)
    bench.registry.histogram("spread").update(-HUGE)
    bench.registry.counter("orders").increment(3)
    bench.tell()

    assert told(bench.aggregator)["bad_frames"] == 0
    assert bench.aggregator.get_stats().orders.value == 3
    bench.assert_same()


def test_sums_that_overflow_when_they_are_merged_are_told_further(bench: Bench) -> None:
    """An aggregator can publish what is too large for a number only when it has come together."""
    other = bench.aggregator.introduce(Simulated(bench.clock, 2))
    for worker in (bench.worker, other):
        worker.registry.gauge("level").set(HUGE)
        worker.registry.counter("up").increment(HUGE)
        worker.registry.histogram("spread").update(HUGE)
        worker.tell(bench.aggregator)
    host = Simulated(bench.clock, registry=bench.aggregator, settles=False)
    site = Asking(bench.clock, [host])
    host.tell(site)

    assert told(site)["bad_frames"] == 0
    assert stats_of(site) == stats_of(bench.aggregator)
