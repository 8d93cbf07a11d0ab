"""Children that are forked to do something else."""

from __future__ import annotations

import os
import threading
from typing import Callable, List

import pytest

from tapes.process import forking
from tapes.registry import Registry
from tests.concurrency.alone import alone, in_child
from tests.conftest import Until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def tell(writing: int, registry: Registry, *reporters: object) -> int:
    """In a child: say what a counter shows, and which reporters run."""
    running = "".join("+" if getattr(reporter, "running", False) else "-" for reporter in reporters)
    os.write(writing, f"{registry.get_stats().orders.value}{running} ".encode())
    return 0


def fork_to(act: Callable[[], int], fork: Callable[[], int] = os.fork) -> None:
    """Do something in a child, and wait until it has been done."""
    pid = fork()
    if not pid:
        in_child(act)
    assert os.waitpid(pid, 0)[1] == 0


def fork_apart_and_not() -> List[str]:
    """Fork apart, then as usual, then apart and as usual from there. Return what the children have to say."""
    from tapes.testing import MemoryReporter

    registry = Registry()
    orders = registry.counter("orders")
    orders.increment(5)
    reporter, stopped = MemoryReporter(3600, registry), MemoryReporter(3600, registry)
    reporter.start()
    reading, writing = os.pipe()

    def say() -> int:
        return tell(writing, registry, reporter, stopped)

    def start_and_fork() -> int:
        reporter.start()
        orders.increment(3)
        fork_to(say)
        assert not forking.is_without_metrics()
        return say()

    fork_to(say, forking.fork_without_metrics)
    fork_to(say)
    fork_to(start_and_fork, forking.fork_without_metrics)
    say()
    assert not forking.is_without_metrics()
    reporter.stop()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read().split()


def test_reporters_do_not_go_on_in_a_child_that_is_apart() -> None:
    """Registries begin at zero there as in any child. What the child starts itself goes on in its own children."""
    assert alone(fork_apart_and_not) == ["0--", "0+-", "0+-", "3+-", "5+-"]


def test_it_is_told_by_the_thread(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """While one thread is in the middle of such a fork, a fork in any other is one as usual."""
    begun, go_on = threading.Event(), threading.Event()
    seen: List[bool] = []

    def fork() -> int:
        seen.append(forking.is_without_metrics())
        begun.set()
        assert go_on.wait(30)
        return 1

    monkeypatch.setattr(os, "fork", fork)
    thread = threading.Thread(target=forking.fork_without_metrics)
    thread.start()
    until(begun.is_set)
    seen.append(forking.is_without_metrics())
    go_on.set()
    thread.join()

    assert [*seen, forking.is_without_metrics()] == [True, False, False]


def test_a_fork_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised, and the next fork is one as usual."""

    def fork() -> int:
        assert forking.is_without_metrics()
        raise OSError("no more processes")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fork", fork)
        with pytest.raises(OSError, match="no more processes"):
            forking.fork_without_metrics()

    assert not forking.is_without_metrics()
