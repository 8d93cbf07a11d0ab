"""A record counts in the process that has made it, also where no hook tells a buffer that it was forked."""

from __future__ import annotations

import os
import sys
from typing import List

import pytest

from tapes.recording.core import Core
from tapes.testing import ManualClock
from tests.concurrency.alone import alone, forked
from tests.concurrency.together import in_threads
from tests.recording import cores
from tests.recording.cores import COUNTING, KINDS, Subject

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_that_is_restarted_begins_at_zero(core: Core, kind: str) -> None:
    """What had been folded and what had not is gone, and what is recorded from then on counts."""
    clock = ManualClock(1000.0)
    subject = Subject(core, kind, clock.monotonic)
    empty = subject.count()
    subject.record_twice()

    subject.buffer.restart()

    assert subject.count() == empty
    subject.record(1)
    assert subject.count() == 1


def fork_without_hooks(core: str, kind: str) -> List[int]:
    """Fork where no hook is called, as a C extension may. Return what parent and child count."""
    subject = Subject(cores.named(core), kind, ManualClock(1000.0).monotonic)
    for _ in range(100):
        subject.record(1)
    assert subject.count() == 100, "this folds what came before the fork"

    def work() -> int:
        for _ in range(5_000):
            subject.record(1)
        return int(subject.count())

    child = forked(work)
    subject.record(1)
    return [subject.count(), child]


@pytest.mark.parametrize("kind", COUNTING)
def test_a_fork_that_calls_no_hooks_is_noticed_by_the_pid(core: Core, kind: str) -> None:
    """Where no hook runs, the child does not count again what the parent had folded, and loses nothing of its own."""
    assert alone(fork_without_hooks, core.name, kind) == [101, 5_000]


def adopt_in_threads(core: str) -> List[int]:
    """Fork where no hook is called, and let threads be the first to record and read in the child."""
    sys.setswitchinterval(1e-6)
    wrong = []
    for _ in range(60):
        subject = Subject(cores.named(core), "counter", ManualClock().monotonic)
        subject.record(0)

        def work(subject: Subject = subject) -> int:
            def recorder() -> None:
                for _ in range(10):
                    subject.record(1)
                    subject.count()

            in_threads(*[recorder] * 4)
            return int(subject.count())

        count = forked(work)
        if count != 40:
            wrong.append(count)
    return wrong


def test_threads_that_notice_a_fork_together_lose_nothing(core: Core) -> None:
    """Where no hook runs, one of the threads begins anew, once, and what the others record in that moment is kept."""
    assert alone(adopt_in_threads, core.name) == []
