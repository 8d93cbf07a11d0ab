"""No record of a buffer is lost or counted twice, and none waits for ever, however many threads record and read."""

from __future__ import annotations

import sys
import time
from typing import Any, Dict, List

import pytest

from tapes.recording.core import Core
from tests.concurrency.alone import alone
from tests.concurrency.together import in_threads
from tests.recording import cores
from tests.recording.cores import COUNTING, Subject

THREADS = 8


def record_only(core: str, kind: str) -> int:
    """Do nothing but record, in all threads. Return how many records were waiting to be folded at most."""
    subject = Subject(cores.named(core), kind, time.perf_counter)
    values = [number * 1.5 + 0.25 for number in range(1_000)]
    recorders_left = [None] * THREADS
    deepest = 0

    def recorder() -> None:
        for _ in range(40):
            for value in values:
                subject.record(value)
        recorders_left.pop()

    def watcher() -> None:
        nonlocal deepest
        while recorders_left:
            deepest = max(deepest, subject.backlog())
            time.sleep(0.0005)

    in_threads(watcher, *[recorder] * THREADS)
    return deepest


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_threads_that_do_nothing_but_record_do_not_fill_the_memory(core: Core, kind: str) -> None:
    """Where eight threads record faster than the one that folds can fold, what waits is bounded nonetheless."""
    assert alone(record_only, core.name, kind) < 120_000


def hammer_in_haste(core: str, kind: str) -> Dict[str, Any]:
    """Record from two threads while others read, with ticks and slices that end every few records.

    Return the count in the end, and which readings were smaller than one before.
    """
    sys.setswitchinterval(1e-6)
    subject = Subject(cores.named(core), kind, lambda: time.perf_counter() * 14_400)  # four hours a second
    recorders_left = [None] * 2
    gone_back: List[str] = []

    def recorder() -> None:
        for _ in range(50_000):
            subject.record(1)
        recorders_left.pop()

    def reader() -> None:
        seen = 0
        while recorders_left:
            count = subject.count()
            if count < seen:
                gone_back.append(f"{seen} {count}")
            seen = count

    in_threads(reader, reader, recorder, recorder)
    return {"count": subject.count(), "gone back": gone_back}


@pytest.mark.parametrize("kind", COUNTING)
def test_nothing_is_lost_where_ticks_and_slices_end(core: Core, kind: str) -> None:
    """A reader that folds while a recorder is about to, at the end of a tick, costs no record."""
    assert alone(hammer_in_haste, core.name, kind) == {"count": 100_000, "gone back": []}
