"""An event is counted by exactly one process, however and whenever the program forks."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from types import ModuleType
from typing import Any, Callable, Dict, List

import pytest

from tapes.registry import Registry
from tests.concurrency.alone import alone, forked
from tests.concurrency.kinds import KINDS, counted, recording

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

THREADS = 8
FORKS = 60


def fork_under_fire() -> Dict[str, List[int]]:
    """Fork while threads record to all kinds of metrics. Return how far the counts of all processes are off."""
    sys.setswitchinterval(1e-4)
    registry = Registry()
    metrics = [getattr(registry, kind)(kind) for kind in KINDS]
    records = [recording(metric) for metric in metrics]
    made = [[0] * len(KINDS) for _ in range(THREADS)]
    parent = os.getpid()
    stopping = threading.Event()

    def recorder(number: int) -> None:
        while not stopping.is_set():
            for kind, record in enumerate(records):
                for _ in range(50):
                    record(1)
                made[number][kind] += 50
            registry.counter(f"made{made[number][0] % 1000}")  # holds the registry's lock at some of the forks
            time.sleep(0.0005)

    def work(turn: int) -> int:
        # As many of a kind as could not be told from anything that was inherited.
        for kind, record in enumerate(records):
            for _ in range(3_000 if turn % 20 == 0 else turn % 7 + 1):
                record(1)
            if registry.get_stats() and counted(metrics[kind]) != (3_000 if turn % 20 == 0 else turn % 7 + 1):
                return kind + 1
        registry.timer("new.in.the.child").update(1)
        registry.remove("new.in.the.child")
        return 0

    threads = [threading.Thread(target=recorder, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    wrong = [forked(lambda turn=turn: work(turn)) for turn in range(FORKS)]  # type: ignore[misc]
    stopping.set()
    for thread in threads:
        thread.join()
    assert os.getpid() == parent
    off = [counted(metric) - sum(column) for metric, column in zip(metrics, zip(*made))]
    return {"off in the parent": off, "kinds wrong in a child": [kind for kind in wrong if kind]}


def test_every_event_is_counted_by_one_process_under_fire() -> None:
    """While eight threads record, 60 children each begin at zero, hang nowhere, and take nothing from the parent."""
    assert alone(fork_under_fire) == {"off in the parent": [0, 0, 0, 0], "kinds wrong in a child": []}


def test_a_child_begins_at_zero_with_its_gauges_unset() -> None:
    """Counts, distributions and settable gauges are empty in it and in its child, and gauges with producers work."""
    registry = Registry()
    for kind in KINDS:
        recording(getattr(registry, kind)(kind))(5)
    registry.gauge("settable").set(3)
    registry.gauge("produced", lambda: 7)

    def is_empty() -> bool:
        stats = registry.get_stats()
        return (
            stats.counter.value == stats.meter.count == stats.histogram.count == stats.timer.count == 0
            and stats.histogram.max == stats.timer.sum == 0
            and stats.settable.value is None
            and stats.produced.value == 7
        )

    def child() -> int:
        found = is_empty()
        recording(registry.counter("counter"))(10)
        return int(found + 2 * forked(is_empty))

    assert forked(child) == 3
    assert registry.get_stats().settable.value == 3


def test_progress_that_began_before_a_fork_is_not_taken_back_in_the_child() -> None:
    """A block tracked since before the fork leaves the child's gauge alone; blocks entered in the child count."""
    registry = Registry()
    gauge = registry.gauge("in.progress")
    tracked = gauge.track_in_progress()
    lowest: List[Any] = []

    def work() -> int:
        tracked.__exit__(None, None, None)
        lowest.append(registry.get_stats()["in"].progress.value)
        with tracked, tracked:
            inside = registry.get_stats()["in"].progress.value
        return int(lowest == [None] and inside == 2 and registry.get_stats()["in"].progress.value == 0)

    with tracked:
        assert forked(work) == 1
        assert registry.get_stats()["in"].progress.value == 1
    assert registry.get_stats()["in"].progress.value == 0


def test_a_timing_that_began_before_a_fork_counts_in_the_parent_only() -> None:
    """Kept and idle timings, plain and shared ones, that are left in the child record nothing there."""
    registry = Registry()
    timer = registry.timer("timed")
    shared, kept = timer.time(), timer.time()

    def work() -> int:
        for timing in (kept, shared, shared):
            timing.__exit__(None, None, None)
        before = counted(timer)
        with timer.time(), kept:
            pass
        return before * 10 + counted(timer)

    with shared, shared, kept:
        assert forked(work) == 2
    assert counted(timer) == 3


def test_a_fork_while_the_registry_is_locked_leaves_the_child_a_fresh_lock() -> None:
    """A child that was forked while another thread was making a metric makes metrics all the same."""
    registry = Registry()
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with registry._catalogue.changing:
            locked.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()

    def work() -> int:
        registry.counter("made.in.the.child").increment()
        return int(registry.get_stats().made["in"].the.child.value)

    try:
        assert forked(work) == 1
    finally:
        done.set()
        holder.join()


def fork_in_uwsgi(hooks: bool) -> List[int]:
    """Fork as uWSGI does, with or without Python's own hooks. Return generation and count of the child."""
    registered: List[Callable[[], None]] = []
    decorators = ModuleType("uwsgidecorators")
    decorators.postfork = registered.append  # type: ignore[attr-defined]
    sys.modules.update(uwsgi=ModuleType("uwsgi"), uwsgidecorators=decorators)
    # What has been imported by now was imported outside of the server.
    for name in [name for name in sys.modules if name == "tapes" or name.startswith("tapes.")]:
        del sys.modules[name]
    import tapes

    registry = tapes.Registry()
    counter = registry.counter("requests")
    counter.increment(100)
    inside: Any = sys.modules["tapes.process.forking"]
    kept = inside.registries
    if not hooks:
        inside.registries = type(kept)()

    def work() -> int:
        inside.registries = kept
        if not hooks:
            inside.generation, inside._pid = 0, os.getppid()
        counter.increment()
        before = counted(counter)
        for _ in range(2):  # a second call, and one after Python's own hook, must not count again from zero
            for function in registered:
                function()
        if not hooks:
            counter.increment()
        return int(inside.generation) * 10_000 + before * 10 + counted(counter)

    result = forked(work)
    for function in registered:
        function()
    return [len(registered), result, counted(counter)]


@pytest.mark.parametrize("hooks", [True, False], ids=["hooks called", "no hooks"])
def test_inside_uwsgi_a_worker_begins_at_zero_once(hooks: bool) -> None:
    """`uwsgidecorators.postfork` is used inside uWSGI, does nothing in the master, and nothing twice in a worker."""
    registered, worker, master = alone(fork_in_uwsgi, hooks)

    assert registered == 1
    assert master == 100
    # Without hooks the worker has inherited 100 until postfork is called, and is at zero from then on.
    assert worker == (10_000 + 10 + 1 if hooks else 10_000 + 1010 + 1)


PROCESSES: Dict[str, Any] = {}


def record_in_process(queue: Any) -> None:
    """Record in a process of multiprocessing, to a registry that the parent uses too."""
    registry = PROCESSES.setdefault("registry", Registry())
    registry.counter("c").increment()
    registry.timer("t").update(1)
    registry.gauge("g").increment()
    stats = registry.get_stats()
    queue.put([stats.c.value, stats.t.count, stats.g.value])


def use_multiprocessing(method: str) -> List[List[int]]:
    """Record here and in processes of multiprocessing."""
    registry = PROCESSES["registry"] = Registry()
    registry.counter("c").increment(100)
    registry.timer("t").update(1)
    registry.gauge("g").set(5)
    context: Any = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    processes = [context.Process(target=record_in_process, args=(queue,)) for _ in range(2)]
    for process in processes:
        process.start()
    told = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    stats = registry.get_stats()
    return [*told, [stats.c.value, stats.t.count, stats.g.value]]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_count_for_themselves(method: str) -> None:
    """However multiprocessing starts them, its processes begin at zero and the parent keeps what it has."""
    assert alone(use_multiprocessing, method) == [[1, 1, 1], [1, 1, 1], [100, 1, 5]]
