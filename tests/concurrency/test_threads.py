"""No update is lost or counted twice, however many threads record and read at once."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, Callable, Dict, List, Set

import pytest

from tapes.registry import Registry
from tapes.state.buckets import key_of
from tests.concurrency.alone import alone
from tests.concurrency.kinds import KINDS, counted, recording
from tests.concurrency.together import in_threads

THREADS = 8
UPDATES = 40_000

GROWING = ("count", "sum", "value")
"""The statistics that only grow while nothing but positive numbers is recorded."""


def hammer(kind: str) -> Dict[str, Any]:
    """Record from all threads while one reads. Return what was counted and which readings went back."""
    sys.setswitchinterval(1e-6)
    registry = Registry()
    metric = getattr(registry, kind)("hammered")
    record = recording(metric)
    recorders_left = [None] * THREADS
    gone_back: List[str] = []

    def recorder() -> None:
        for _ in range(UPDATES // 4):
            record(1)
            record(3)
            record(1)
            record(3)
        recorders_left.pop()

    def reader() -> None:
        seen = {key: 0.0 for key in GROWING if key in metric.keys}
        while recorders_left:
            readings: List[Any] = [registry.get_stats().hammered, registry.snapshot().readings[0].statistics]
            for statistics in readings:
                for key, before in seen.items():
                    if statistics[key] < before:
                        gone_back.append(f"{key}: {before} {statistics[key]}")
                    seen[key] = statistics[key]

    in_threads(reader, *[recorder] * THREADS)
    statistics = registry.get_stats().hammered
    return {"statistics": statistics, "gone back": gone_back}


@pytest.mark.parametrize("kind", KINDS)
def test_every_update_of_eight_threads_is_counted_once(kind: str) -> None:
    """Counts and sums are exact and never go back while threads switch all the time and a reader polls."""
    result = alone(hammer, kind)

    events = THREADS * UPDATES
    expected = {
        "counter": {"value": 2 * events},
        "meter": {"count": 2 * events},
        "histogram": {"count": events, "sum": 2 * events, "min": 1, "max": 3},
        "timer": {"count": events, "sum": 2 * events, "min": 1, "max": 3},
    }[kind]
    assert {key: result["statistics"][key] for key in expected} == expected
    assert result["gone back"] == []


def get_or_create(kind: str) -> Dict[str, int]:
    """Let threads ask for the same and for different metrics at once, under a limit of tag sets."""
    sys.setswitchinterval(1e-6)
    logging.disable(logging.CRITICAL)
    registry = Registry(max_tag_sets=50)
    same: Dict[str, Set[int]] = {}
    kept: List[Any] = []  # so that no two objects have the same id

    def worker(number: int) -> Callable[[], None]:
        def work() -> None:
            for turn in range(300):
                for name, tags in (
                    (f"same{turn}", None),
                    (f"tagged{turn % 10}", {"a": str(turn % 20), "b": "x"}),
                    (f"tagged{turn % 10}", {"b": "x", "a": str(turn % 20)}),
                    (f"mine{number}.turn{turn}", None),
                    ("limited", {"turn": str(turn), "worker": str(number % 4)}),
                ):
                    metric = getattr(registry, kind)(name, tags=tags)
                    recording(metric)(1)
                    kept.append(metric)
                    same.setdefault(f"{name} {sorted((tags or {}).items())}", set()).add(id(metric))

        return work

    in_threads(*map(worker, range(THREADS)))
    limited = [metric for metric in registry if metric.name == "limited"]
    return {
        "most instances of one": max(len(found) for found in same.values()),
        "series of the limited": len(limited),
        "records of the limited": sum(map(counted, limited)),
        "records": sum(map(counted, registry)),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_ask_for_the_same_metric_get_the_same(kind: str) -> None:
    """Get-or-create gives all threads one instance for a name and tags, and the limit of tag sets loses no record."""
    result = alone(get_or_create, kind)

    assert result == {
        "most instances of one": 1,
        "series of the limited": 51,
        "records of the limited": THREADS * 300,
        "records": THREADS * 300 * 5,
    }


def remove_and_clear() -> Dict[str, Any]:
    """Remove and make metrics in some threads while others record to and read those that stay."""
    sys.setswitchinterval(1e-6)
    registry = Registry()
    staying = [registry.counter(f"staying.number{number}") for number in range(100)]
    recorders_left = [None] * 2
    missing = 0

    def recorder() -> None:
        for _ in range(300):
            for number in range(100):
                registry.counter(f"staying.number{number}").increment()
        recorders_left.pop()

    def remover() -> None:
        while recorders_left:
            registry.timer("going", {"one": "1"}).update(1)
            registry.timer("going", {"two": "2"}).update(1)
            registry.remove("going", {"one": "1"})
            registry.remove("going")

    def reader() -> None:
        nonlocal missing
        while recorders_left:
            missing += len(registry.get_stats().staying) != 100

    in_threads(recorder, recorder, remover, remover, reader)
    same = all(registry.counter(metric.name) is metric for metric in staying)
    values = [metric.value for metric in registry.get_stats().staying.values()]

    def clearer() -> None:
        for _ in range(500):
            registry.clear()

    def maker() -> None:
        for number in range(2_000):
            registry.meter(f"made.number{number % 20}").mark()

    in_threads(clearer, maker, maker)
    registry.clear()
    return {"missing": missing, "same": same, "values": sorted(set(values)), "left": len(registry)}


def test_metrics_that_stay_do_not_notice_others_being_removed() -> None:
    """While metrics are removed, no reader misses one that stays, no record of it is lost, and all may be cleared."""
    assert alone(remove_and_clear) == {"missing": 0, "same": True, "values": [600], "left": 0}


class CountingHandler(logging.Handler):
    """Counts log records in a metric, as applications do."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.registry = registry
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Count, while this handler is locked as it always is here."""
        if record.name == "application":
            self.entered.set()
            self.go_on.wait(5)
        self.registry.counter("log.records", {"logger": record.name}).increment()


def log_and_count() -> int:
    """Exceed the limit of tag sets while another thread is in a logging handler that makes a metric."""
    registry = Registry(max_tag_sets=3)
    for number in range(3):
        registry.counter("limited", {"number": str(number)})
    handler = CountingHandler(registry)
    logging.getLogger().addHandler(handler)

    def log() -> None:
        logging.getLogger("application").error("It failed.")

    def exceed() -> None:
        handler.entered.wait()
        threading.Timer(0.2, handler.go_on.set).start()  # when this thread is at the handler's lock
        registry.counter("limited", {"number": "3"}).increment()

    in_threads(log, exceed)
    return sum(counted(metric) for metric in registry)


def test_a_logging_handler_may_count_what_is_logged() -> None:
    """The warning of too many tag sets is logged with no lock of the registry held, or a handler that counts hangs."""
    assert alone(log_and_count) == 3


def share_timings() -> Dict[str, Any]:
    """Let threads enter kept timings all the time, each with durations of its own."""
    sys.setswitchinterval(1e-6)
    own = threading.local()

    class OwnTime:
        """A clock that shows each thread its own time, which is far from that of the others."""

        def monotonic(self) -> float:
            return getattr(own, "now", 0.0)

        def time(self) -> float:
            return 0.0

        def wait(self, wakeup: Any, timeout: float) -> bool:
            return bool(wakeup.wait(timeout))

    registry = Registry(clock=OwnTime())
    timer = registry.timer("shared")
    timings = []
    for _ in range(200):
        timing = timer.time()
        with timing:
            timings.append(timing)
            timer.time()  # there is somebody in the last one, so this makes another

    def worker(number: int) -> Callable[[], None]:
        def work() -> None:
            own.now = number * 1e12
            unit = 8**number
            for timing in timings:
                for _ in range(20):
                    with timing:
                        own.now += 2 * unit
                        with timing:
                            own.now += 4 * unit
                        own.now += unit

        return work

    in_threads(*map(worker, range(THREADS)))
    durations = registry.snapshot().readings[0].state.durations.cumulative()
    return {"count": durations.count, "sum": durations.sum, "buckets": dict(durations.buckets.items())}


def test_each_thread_leaves_a_shared_timing_with_its_own_duration() -> None:
    """A timing that threads share, and enter again while they are in it, gives each the time that it was in it."""
    result = alone(share_timings)

    rounds = 200 * 20
    each = [unit * 8**number for number in range(THREADS) for unit in (4, 7)]
    assert result["buckets"] == {"0": 200, **{str(key_of(duration)): rounds for duration in each}}
    assert result["count"] == 200 + len(each) * rounds
    assert result["sum"] == sum(each) * rounds


def test_a_timing_that_is_handed_out_twice_times_both() -> None:
    """Two threads that have called `time()` before either has entered record a duration each."""
    registry = Registry()
    timer = registry.timer("handed.out")
    both_asked, both_inside = threading.Barrier(2), threading.Barrier(2)

    def work() -> None:
        timing = timer.time()
        both_asked.wait()
        with timing:
            both_inside.wait()

    in_threads(work, work)

    assert counted(timer) == 2
