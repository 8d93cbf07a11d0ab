"""Counters that a producer tells a total: what is counted is its growth."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import os
import sys
import threading
import weakref
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapes
from tapes.errors import InvalidTypeError
from tapes.instruments import Counter
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.concurrency.alone import forked
from tests.concurrency.interruption import at_every_point
from tests.concurrency.together import in_threads

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)


class Interrupted(BaseException):
    """What a signal handler raises to end what the program is at."""


class Total:
    """A total that a test moves, and a producer of it that may fail."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None
        """Is called when the producer is."""

    def __call__(self) -> Any:
        """Return it."""
        self.asked += 1
        self.meanwhile()
        return self.value


@pytest.fixture
def total() -> Total:
    """Return a total at zero."""
    return Total()


def value(registry: Registry, name: str = "a") -> Any:
    """Return what a reader of a counter sees."""
    return registry.get_stats()[name].value


def follow(registry: Registry, total: Total, *totals: Any) -> List[Any]:
    """Return what a reader of the counter sees at each of these totals, one after the other."""
    seen = []
    for total.value in totals:
        seen.append(value(registry))
    return seen


def hanging(total: Total) -> Tuple[threading.Event, threading.Event]:
    """Let the producer hang until the second event is set. It sets the first when it is asked."""
    inside, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        go_on.wait(60)

    total.meanwhile = hang
    return inside, go_on


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork.")

needs_safe_tracing = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="In a handler of an exception Python before 3.11 is damaged by an exception that a trace function raises.",
)


def test_growth_is_counted(registry: Registry, total: Total) -> None:
    """All of a total that the process has begun with, and all by which it grows, whatever was read in between."""
    counter = registry.counter("a", producer=total)

    seen = follow(registry, total, 0, 3, 3, 10, 10**30)

    assert seen == [0, 3, 3, 10, 10**30]
    assert counter.producer is total
    assert type(seen[-1]) is int


def test_it_is_asked_once_for_each_reading(registry: Registry, total: Total) -> None:
    """By a snapshot and by a publisher, and not before."""
    counter = registry.counter("a", producer=total)
    assert total.asked == 0
    readings = registry.snapshot().readings
    assert [reading.statistics for reading in readings] == [{"value": 0}]
    assert total.asked == 1
    total.value = 7

    assert counter.state(counter.committed(0.0)).increments == 7
    assert counter.read(0.0).increments == 7
    assert total.asked == 3


def test_what_was_recorded_asks_nobody(registry: Registry, total: Total) -> None:
    """It has the growth that somebody has read, and what the program adds."""
    counter = registry.counter("a", producer=total)
    total.value = 7
    assert counter.recorded(0.0) == (0, 0)
    counter.increment(2)
    assert counter.recorded(0.0) == (2, 0)
    assert total.asked == 0
    assert counter.read(0.0).value == 9
    total.value = 20

    assert counter.recorded(0.0) == (9, 0)
    assert registry.counter("b").recorded(0.0) == (0, 0)


def test_the_program_adds_beside_it(registry: Registry, total: Total) -> None:
    """What is added and taken away by hand counts as ever."""
    counter = registry.counter("a", producer=total)
    counter.increment(2)
    total.value = 40
    counter.decrement(1)

    assert value(registry) == 41
    assert (counter.read(0.0).increments, counter.read(0.0).decrements) == (42, 1)


def test_a_counter_gets_a_producer_later(registry: Registry, total: Total) -> None:
    """It is the same counter."""
    counter = registry.counter("a", {"k": "v"})
    counter.increment(5)
    total.value = 10

    assert registry.counter("a", {"k": "v"}, producer=total, description="What it counts.") is counter
    assert registry.counter("a", {"k": "v"}) is counter
    assert counter.read(0.0).value == 15


@pytest.mark.parametrize(
    ("totals", "counted"),
    [
        ([10, 4, 6], [10, 14, 16]),
        ([10, 0, 0, 3], [10, 10, 10, 13]),
        ([0.5, 0.25, 0.25], [0.5, 0.75, 0.75]),
        ([True, Decimal("2.5"), Fraction(7, 2)], [1, 2.5, 3.5]),
        ([0.1, 0.3, 0.7, 1.1], [0.1, 0.3, 0.7, 1.1]),
        ([sys.float_info.max, 1e308, sys.float_info.max], [sys.float_info.max] * 3),
    ],
)
def test_a_total_that_falls_has_begun_anew(
    registry: Registry, total: Total, totals: List[Any], counted: List[float]
) -> None:
    """Then all of it counts. Ints are counted exactly, and a float that has never fallen is shown as it is."""
    registry.counter("a", producer=total)

    assert follow(registry, total, *totals) == counted


@LAW
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("grow"), st.integers(0, 2**70)),
            st.tuples(st.just("begin anew"), st.integers(0, 9)),
            st.tuples(st.just("increment"), st.integers(-9, 9)),
            st.tuples(st.just("read"), st.none()),
            st.tuples(st.just("commit"), st.none()),
            st.tuples(st.just("fail"), st.sampled_from([None, "7", -1, float("nan")])),
        )
    )
)
def test_nothing_is_lost_or_counted_twice(steps: List[Any]) -> None:
    """Whenever it is read, and however often the producer fails. What falls unseen to what is no less is no fall."""
    registry, total = Registry(clock=ManualClock()), Total()
    counter = registry.counter("a", producer=total)
    by_hand = grown = last = 0
    with silent():
        for step, n in steps:
            if step == "grow":
                total.value += n
            elif step == "begin anew":
                total.value = n
            elif step == "increment":
                counter.increment(n)
                by_hand += n
            elif step == "fail":
                before, total.value = total.value, n
                counter.read(0.0)
                total.value = before
            else:
                numbers = counter.numbers(0.0) if step == "read" else counter.committed(0.0)
                grown += total.value - last if total.value >= last else total.value
                last = total.value
                assert counter.state(numbers).value == by_hand + grown
                assert counter.numbers(0.0) is numbers


@contextlib.contextmanager
def silent() -> Any:
    """Let nothing be logged."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (-1, "returned -1, which is no finite number from 0"),
        (float("inf"), "returned inf, which is no finite number from 0"),
        ("7", "returned '7', which is no finite number from 0"),
        (None, "returned None, which is no finite number from 0"),
    ],
)
def test_what_is_no_total_is_logged_once(
    registry: Registry, total: Total, caplog: pytest.LogCaptureFixture, returned: Any, says: str
) -> None:
    """For each row of failures. What came meanwhile is counted when the producer works again."""
    registry.counter("a", producer=total)
    registry.counter("b").increment()
    caplog.set_level(logging.INFO)

    assert follow(registry, total, 4, returned, returned, 9, returned, 12) == [4, 4, 4, 9, 9, 12]
    assert value(registry, "b") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"] * 2
    assert caplog.messages[0].startswith("The counter 'a' cannot be read, its producer ")
    assert caplog.messages[0].endswith(f"{says}: what it counts meanwhile is added later.")
    assert caplog.messages[1] == "The counter 'a' works again after 2 failures."


def test_a_producer_that_raises(registry: Registry, total: Total, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged with the traceback, once in a row, and all other metrics are read."""

    def fail() -> None:
        raise OSError("gone")

    registry.counter("a", producer=total)
    seen = follow(registry, total, 4)
    total.meanwhile = fail
    seen += follow(registry, total, 9, 9)
    total.meanwhile = int

    assert seen == [4, 4, 4]
    assert value(registry) == 9
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().endswith("raised: what it counts meanwhile is added later.")
    assert record.exc_info


def test_a_producer_that_reads_its_own_counter(registry: Registry, total: Total) -> None:
    """It finds what was known before, and is not asked again; neither are two that read one another."""
    counter = registry.counter("a", producer=total)
    other = registry.counter("b", producer=lambda: counter.read(0.0).value + 1)
    seen: List[Any] = []
    total.value = 5
    assert counter.read(0.0).value == 5
    total.value, total.meanwhile = 8, lambda: seen.extend([counter.read(0.0).value, other.read(0.0).value])

    assert counter.read(0.0).value == 8
    assert seen == [5, 6]
    assert total.asked == 2


def test_one_thread_asks_and_others_do_not_wait(registry: Registry, total: Total) -> None:
    """Who reads while another thread's producer hangs goes by what was known before."""
    registry.counter("a", producer=total)
    assert follow(registry, total, 5) == [5]
    inside, go_on = hanging(total)
    found: List[Any] = []
    total.value = 8
    thread = threading.Thread(target=lambda: found.append(value(registry)))
    thread.start()
    try:
        assert inside.wait(60)
        asked = total.asked
        assert value(registry) == 5
        assert registry.counter("a").committed(0.0) == (5, 0)
        assert total.asked == asked
    finally:
        go_on.set()
        thread.join(60)

    assert found == [8]
    assert value(registry) == 8


def test_threads_that_read_at_once_count_growth_once(registry: Registry) -> None:
    """However they meet."""
    lock, made = threading.Lock(), [0]

    def produce() -> int:
        with lock:
            made[0] += 1
            return made[0]

    counter = registry.counter("a", producer=produce)
    falls = []

    def read() -> None:
        seen = [counter.read(0.0).value for _ in range(300)]
        falls.extend([pair for pair in zip(seen, seen[1:]) if pair[1] < pair[0]])

    in_threads(*[read] * 4)

    assert counter.read(0.0).value == made[0]
    assert falls == []


@needs_safe_tracing
def test_a_read_that_is_cut_off_at_any_point_loses_nothing() -> None:
    """An exception from a signal handler ends it anywhere. The next read asks again."""

    def interrupt() -> None:
        raise Interrupted

    found = []
    for interruption in at_every_point(interrupt):
        total = Total(5)
        counter = Counter("a", (), lambda: 0.0, total)
        counter.read(0.0)
        total.value = 8
        with contextlib.suppress(Interrupted), interruption:
            counter.read(0.0)
        total.value = 9
        found.append(counter.read(0.0).value)

    assert len(found) > 20
    assert set(found) == {9}


def test_a_read_in_the_middle_of_another(registry: Registry) -> None:
    """As of a signal handler: each says a total of its time, and the next one has it all."""

    def interrupt() -> None:
        seen.append(counter.read(0.0).value)

    for interruption in at_every_point(interrupt, step=3):
        total = Total(5)
        counter = Counter("a", (), lambda: 0.0, total)
        counter.read(0.0)
        total.value = 8
        seen: List[float] = []
        with interruption:
            seen.append(counter.read(0.0).value)

        assert set(seen) <= {5, 8}
        assert counter.read(0.0).value == 8


def test_the_newest_producer_counts(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on with the total that was known last, as after a reload, and one that is less has begun anew."""
    first, second, third = Total(10), Total(12), Total(5)
    counters, seen = set(), []
    for total in (first, second, third, third):
        counters.add(registry.counter("a", producer=total))
        seen.append(value(registry))

    assert (len(counters), seen) == (1, [10, 12, 17, 17])
    assert first.asked == 1
    (message,) = caplog.messages
    assert message == (
        f"The counter 'a' has a new producer: {second!r} is called from now on, instead of {first!r}. If you need "
        "both, give them different tags."
    )


def overflowing() -> Registry:
    """Return a registry whose names may have one tag set."""
    return Registry(clock=ManualClock(), max_tag_sets=1)


def make(registry: Registry, totals: List[Total]) -> None:
    """Make a series of one name for each total, or ask for it again."""
    for number, total in enumerate(totals):
        registry.counter("a", {"number": str(number)}, producer=total)


def rest(registry: Registry) -> Any:
    """Return what a reader sees of the series that takes the rest."""
    return registry.counter("a", {"overflow": "true"}).read(0.0).value


def test_the_series_that_takes_the_rest_counts_all_totals(caplog: pytest.LogCaptureFixture) -> None:
    """Each once, however often it is asked for again, beside what the program adds: the sum stays true."""
    registry, totals = overflowing(), [Total(number) for number in range(1, 5)]
    seen = []
    for _ in range(2):
        make(registry, totals)
        seen.append(rest(registry))
    registry.counter("a", {"number": "7"}, producer=totals[2])
    registry.counter("a", {"number": "8"}).increment(100)
    for total in totals:
        total.value += 10
    totals[3].value = 2

    assert seen == [2 + 3 + 4] * 2
    assert rest(registry) == 12 + 13 + (4 + 2) + 100
    assert registry.counter("a", {"overflow": "true"}).recorded(0.0) == (131, 0)
    assert registry.counter("a", {"overflow": "true"}).producer is totals[1]
    assert len(caplog.messages) == 1


def test_the_series_that_takes_the_rest_is_made_again_and_isolated() -> None:
    """All of it goes on as in a series of its own, also if that comes to be."""
    registry, totals = overflowing(), [Total(10), Total(20), Total(30)]
    make(registry, totals)
    assert rest(registry) == 50
    with registry.isolated():
        make(registry, totals)
        assert rest(registry) == 0
        totals[1].value = 22
        registry.counter("a", {"number": "9"}, producer=Total(1000))
        assert rest(registry) == 1002
    totals[2].value = 33
    assert rest(registry) == 53
    registry.clear()
    make(registry, totals)
    assert rest(registry) == 0
    totals[2].value = 34
    assert rest(registry) == 1
    registry.remove("a", {"number": "0"})
    registry.counter("a", {"number": "2"}, producer=totals[2])
    totals[2].value = 36
    assert registry.counter("a", {"number": "2"}).read(0.0).value == 2
    assert rest(registry) == 1


def test_a_newer_producer_of_the_same_tags_in_the_series_that_takes_the_rest() -> None:
    """It goes on where the one before was known last."""
    registry = overflowing()
    registry.counter("a", {"number": "1"})
    for number in range(5):
        registry.counter("a", {"number": "2"}, producer=Total(10 + number))
        assert rest(registry) == 10 + number


def test_how_many_producers_the_rest_may_have(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is logged once."""
    monkeypatch.setattr("tapes.instruments.producing.MOST_PRODUCERS", 3)
    monkeypatch.setattr("tapes.registry.MOST_PRODUCERS", 3)
    registry = overflowing()
    make(registry, [Total(1) for _ in range(10)])

    assert rest(registry) == 3
    (message,) = caplog.messages[1:]
    assert message == (
        "The series of 'a' tagged overflow=true asks 3 producers, which is the limit: the growth of further totals is "
        "not counted."
    )


@needs_fork
def test_a_forked_child_has_the_rest_too() -> None:
    """It begins at zero."""
    registry, totals = overflowing(), [Total(10), Total(20), Total(30)]
    make(registry, totals)
    assert rest(registry) == 50

    def child() -> List[Any]:
        found = [rest(registry)]
        for total in totals:
            total.value += 1
        return [*found, rest(registry)]

    assert forked(child) == [0, 2]


def test_what_cannot_be_called_is_refused(registry: Registry) -> None:
    """The error names the counter, the value and the remedy, and nothing is made."""
    producer: Any = 7
    with pytest.raises(InvalidTypeError) as caught:
        registry.counter("a", producer=producer)

    assert str(caught.value) == (
        "The producer of the counter 'a' is called without arguments for a total, but 7 (int) cannot be called: give a "
        "function, or use increment()."
    )
    assert len(registry) == 0


def test_it_is_a_keyword_of_the_counter_alone() -> None:
    """As its signature says."""
    assert str(inspect.signature(tapes.counter).parameters["producer"]).startswith("producer: 'Optional[Callable")
    assert "producer" not in inspect.signature(tapes.timer).parameters


def test_what_is_removed_asks_nobody(registry: Registry) -> None:
    """The registry lets go of the producer."""
    total = Total()
    registry.counter("a", producer=total)
    registry.get_stats()
    registry.remove("a")
    registry.get_stats()
    assert total.asked == 1
    gone = weakref.ref(total)
    del total
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("tags", [None, {"k": "v"}])
@pytest.mark.parametrize("drop", [lambda registry: registry.remove("a"), Registry.clear], ids=["remove", "clear"])
def test_what_is_made_again_counts_only_what_comes(
    registry: Registry, total: Total, drop: Callable[[Registry], object], tags: Any
) -> None:
    """A StatsD or an aggregator has been told of the rest. A total that is less has begun anew."""
    total.value = 100
    gone = registry.counter("a", tags, producer=total)
    assert gone.read(0.0).value == 100
    drop(registry)
    counter = registry.counter("a", tags, producer=total)
    seen = []
    for total.value in (100, 103, 2):
        seen.append(counter.read(0.0).value)

    assert seen == [0, 3, 5]
    total.value = 9
    assert gone.read(0.0).value == 100
    assert counter.read(0.0).value == 12
    drop(registry)
    drop(registry)
    assert registry.counter("a", tags).read(0.0).value == 0
    total.value = 10
    assert registry.counter("a", tags, producer=total).read(0.0).value == 1


def test_what_was_never_read_counts_whole_when_it_is_made_again(registry: Registry, total: Total) -> None:
    """Nobody has been told of it."""
    total.value = 100
    for _ in range(2):
        registry.clear()
        registry.counter("a", producer=total)

    assert value(registry) == 100


def test_a_counter_that_is_made_again_while_it_is_read(registry: Registry, total: Total) -> None:
    """What the one before is told in the end counts there, or in the new one if that was read meanwhile."""
    for reads in (False, True):
        registry.clear()
        total.value, total.meanwhile = 10, int
        gone = registry.counter("a", producer=total)
        first = gone.read(0.0).value
        seen: List[Any] = []

        def again(reads: bool = reads, seen: List[Any] = seen) -> None:
            total.meanwhile = int
            registry.clear()
            counter = registry.counter("a", producer=lambda: 15)
            if reads:
                seen.append(counter.read(0.0).value)

        total.value, total.meanwhile = 14, again
        assert gone.read(0.0).value == first + (0 if reads else 4)
        assert seen == [5] * reads
        assert value(registry) == (5 if reads else 1)
        total.value, total.meanwhile = 15, int
        registry.clear()
        registry.counter("a", producer=total)
        assert value(registry) == 0
        total.value = 0
        assert value(registry) == 0


@needs_safe_tracing
def test_removing_and_making_again_that_is_cut_off_at_any_point() -> None:
    """An exception from a signal handler ends it anywhere. The old counter and the new one have all of the total."""

    def interrupt() -> None:
        raise Interrupted

    for interruption in at_every_point(interrupt, step=5):
        registry, total = Registry(clock=ManualClock()), Total(5)
        gone = registry.counter("a", producer=total)
        gone.read(0.0)
        total.value = 8
        with contextlib.suppress(Interrupted), interruption:
            registry.remove("a")
            registry.counter("a", producer=total).read(0.0)
        total.value = 9
        counter = registry.counter("a", producer=total)

        assert counter.read(0.0).value + (0 if counter is gone else gone.recorded(0.0)[0]) == 9, interruption.where


@pytest.mark.parametrize("stays", [False, True])
def test_making_again_in_the_middle_of_making_again(stays: bool) -> None:
    """As of a signal handler: all counters of the name together have counted the total, once."""
    for interruption in at_every_point(lambda: interrupt(), step=7):
        registry, total = Registry(clock=ManualClock()), Total(5)
        seen: Dict[Any, float] = {}

        def tell(registry: Registry = registry, seen: Dict[Any, float] = seen) -> None:
            for metric in registry:
                told = metric.read(0.0).value
                seen[metric] = max(told, seen.get(metric, 0))

        def interrupt(registry: Registry = registry, total: Total = total, tell: Callable[[], None] = tell) -> None:
            total.value += 1
            registry.counter("a", producer=total)
            tell()
            registry.remove("a")
            if stays:
                registry.counter("a", producer=total)
                tell()

        registry.counter("a", producer=total)
        tell()
        total.value = 8
        tell()
        with interruption:
            registry.remove("a")
            registry.counter("a", producer=total)
            tell()
        total.value += 1
        registry.counter("a", producer=total)
        tell()

        assert sum(seen.values()) == total.value, interruption.where


def test_totals_of_names_that_have_gone_are_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, and those of series that are there are not."""
    monkeypatch.setattr("tapes.catalogue._GONE", 10)
    registry.counter("stays", producer=lambda: 7)
    for number in range(100):
        registry.counter("a", {"k": str(number)}, producer=lambda: 7).read(0.0)
        registry.remove("a")
    assert registry.counter("a", {"k": "99"}, producer=lambda: 7).read(0.0).value == 0
    assert registry.counter("a", {"k": "1"}, producer=lambda: 7).read(0.0).value == 7
    assert value(registry, "stays") == 7
    registry.remove("stays")
    registry.counter("stays", producer=lambda: 7)

    assert value(registry, "stays") == 0


def test_the_producer_is_replaced_while_it_is_asked(registry: Registry, total: Total) -> None:
    """The counter never falls. What the one before returns counts unless the newest has told a total before."""
    for asks_newest, seen_after in ((False, [10, 13]), (True, [3, 3])):
        registry = Registry(clock=ManualClock())
        counter = registry.counter("a", producer=total)

        def replace(asks: bool = asks_newest, counter: Counter = counter, registry: Registry = registry) -> None:
            total.meanwhile = int
            registry.counter("a", producer=lambda: 3)
            if asks:
                assert counter.read(0.0).value == 3

        total.value, total.meanwhile = 10, replace
        assert [counter.read(0.0).value, counter.read(0.0).value] == seen_after


def test_the_producer_is_replaced_in_the_middle_of_replacing_it(total: Total) -> None:
    """As by two threads at once: one of them stays, and it is asked."""
    for interruption in at_every_point(lambda: interrupt(), step=7):
        registry = Registry(clock=ManualClock())
        total.value = 3
        registry.counter("a", producer=total)
        value(registry)
        total.value = 4

        def interrupt(registry: Registry = registry) -> None:
            registry.counter("a", producer=lambda: total.value)
            value(registry)

        with silent(), interruption:
            registry.counter("a", producer=lambda: total.value)
            value(registry)
        total.value = 10
        value(registry)

        assert value(registry) == 10, interruption.where


def test_a_producer_that_hangs_is_replaced(registry: Registry, total: Total) -> None:
    """The newest is asked at once."""
    counter = registry.counter("a", producer=total)
    inside, go_on = hanging(total)
    total.value = 8
    found: List[Any] = []
    thread = threading.Thread(target=lambda: found.append(counter.read(0.0).value))
    thread.start()
    try:
        assert inside.wait(60)
        registry.counter("a", producer=lambda: 5)
        assert counter.read(0.0).value == 5
    finally:
        go_on.set()
        thread.join(60)

    assert found == [5]
    assert counter.read(0.0).value == 5


@needs_fork
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_forked_child_counts_only_its_own_growth(registry: Registry, total: Total, asked_before: bool) -> None:
    """From the first moment at which it is asked there. The parent goes on."""
    registry.counter("a", producer=total).increment(2)
    total.value = 10
    if asked_before:
        assert value(registry) == 12

    assert forked(lambda: follow(registry, total, 10, 15, 3)) == [0, 5, 8]
    assert value(registry) == 12


@needs_fork
@pytest.mark.parametrize(("first", "counted"), [(4, [4, 7]), (10, [0, 3]), (12, [0, 3])])
def test_a_total_that_has_begun_anew_in_a_child_counts_whole(
    registry: Registry, total: Total, first: int, counted: List[int]
) -> None:
    """It has if it is less than what the parent knew, also where the child forks, or makes the counter again."""
    registry.counter("a", producer=total)
    assert follow(registry, total, 10) == [10]

    def child() -> List[Any]:
        return follow(registry, total, first, first + 3)

    def child_that_makes_it_again() -> List[Any]:
        registry.clear()
        registry.counter("a", producer=total)
        return child()

    assert forked(child) == counted
    assert forked(child_that_makes_it_again) == counted
    assert forked(lambda: forked(child)) == counted


@needs_fork
def test_a_counter_that_is_made_in_a_child(registry: Registry, total: Total) -> None:
    """It begins with what the total is then, as that may be the parent's. The parent counts it whole."""
    total.value = 1000

    def child() -> List[Any]:
        registry.counter("a", producer=total)
        return [*follow(registry, total, 1000, 1004), Counter("b", (), lambda: 0.0, total).read(0.0).value]

    assert forked(child) == [0, 4, 0]
    registry.counter("a", producer=total)
    assert value(registry) == 1000


@needs_fork
def test_a_fork_while_the_producer_is_asked(registry: Registry, total: Total) -> None:
    """The child, which no thread is asking in, asks for itself."""
    said: List[Any] = []

    def fork() -> None:
        total.meanwhile = int
        said.append(forked(lambda: follow(registry, total, 5, 9)))

    registry.counter("a", producer=total)
    total.value, total.meanwhile = 5, fork

    assert value(registry) == 5
    assert said == [[0, 4]]


@needs_fork
def test_a_fork_without_hooks(registry: Registry, total: Total, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server forks behind Python's back, the next read finds it out."""
    registry.counter("a", producer=total)
    assert follow(registry, total, 10) == [10]

    monkeypatch.setattr("tapes.process.forking.registries", [])

    assert forked(lambda: follow(registry, total, 10, 15)) == [0, 5]


def test_isolation_begins_at_zero_and_gives_back_what_was_counted(registry: Registry, total: Total) -> None:
    """No producer is asked for it. What was counted before comes back, and what has come since is not counted."""
    registry.counter("a", producer=total)
    assert follow(registry, total, 10) == [10]
    with registry.isolated():
        assert total.asked == 1
        assert follow(registry, total, 10, 15) == [0, 5]
    assert follow(registry, total, 16) == [11]
    with registry.isolated():
        registry.counter("a", producer=lambda: 100)
        assert follow(registry, total, 18) == [84]
    assert follow(registry, total, 101) == [12]
    with registry.isolated():
        registry.clear()
        registry.counter("a", producer=total)
        assert follow(registry, total, 105) == [4]
    assert follow(registry, total, 107) == [14]
    with registry.isolated():
        asked = total.asked
    assert total.asked == asked
    assert follow(registry, total, 3) == [17]


def test_isolation_of_a_counter_that_was_never_read(registry: Registry, total: Total) -> None:
    """It begins at zero too, and what was there before counts in the end."""
    registry.counter("a", producer=total)
    total.value = 10
    for _ in range(3):
        with registry.isolated():
            pass
    with registry.isolated():
        seen = follow(registry, total, 10, 15)

    assert seen == [0, 5]
    assert follow(registry, total, 17) == [12]


def test_isolation_in_the_middle_of_a_read(registry: Registry, total: Total) -> None:
    """What is told late counts once."""
    registry.counter("a", producer=total)
    assert follow(registry, total, 10) == [10]
    isolation = registry.isolated()

    def begin() -> None:
        total.meanwhile = int
        isolation.__enter__()

    total.value, total.meanwhile = 12, begin
    assert value(registry) == 2
    total.meanwhile = lambda: isolation.__exit__(None, None, None)
    total.value = 15

    assert registry.counter("a").read(0.0).value == 13
    total.meanwhile = int
    assert value(registry) == 13


def test_a_counter_that_was_made_in_an_isolation(
    registry: Registry, total: Total, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps its producer, is shown again when that grows, and is as new when it is asked for with another one."""
    with registry.isolated():
        registry.counter("a", producer=total)
        assert follow(registry, total, 10) == [10]
    assert len(registry) == 0
    assert follow(registry, total, 12) == [2]
    registry.counter("a", producer=lambda: 7)

    assert value(registry) == 7
    assert caplog.messages == []
