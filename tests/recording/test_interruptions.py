"""Recording and reading in the middle of recording and reading, of one buffer."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Dict, List

import pytest

from tapes.recording.core import Core
from tapes.testing import ManualClock
from tests.concurrency.alone import alone
from tests.concurrency.interruption import at_every_point
from tests.recording import cores
from tests.recording.cores import COUNTING, Subject

TICK = 6.0
"""Seconds after which meters and timers begin a new tick, and histograms fold what is older."""

FEW = 3

STEP = 2
"""Between two changes of what others see there are at least two instructions: to interrupt at one of them is enough."""


class Interrupted(BaseException):
    """What a signal handler raises to end what the program is at."""


def prepared(core: Core, kind: str, full: bool) -> Any:
    """Return a subject that folds at the next record, its clock, and how often it has recorded.

    It folds because it is full, or because a tick has passed.
    """
    clock = ManualClock(1.0)
    subject = Subject(core, kind, clock.monotonic)
    count = max(core.CAPACITY - 1, FEW) if full else FEW
    for _ in range(count):
        subject.record(1)
    if full:
        assert subject.backlog() in (0, count), "it was full before"
    clock.advance(TICK)
    return subject, clock, count


@pytest.mark.parametrize("full", [True, False], ids=["full", "after a tick"])
@pytest.mark.parametrize("kind", COUNTING)
def test_a_read_or_a_record_at_any_point_of_recording_loses_nothing(core: Core, kind: str, full: bool) -> None:
    """Whatever instruction of a record or its fold a reader and another record interrupt, the count is exact."""
    faults: List[str] = []

    def interrupt() -> None:
        subject.record(1)
        seen = subject.count()
        if seen - before not in (1, 2):
            faults.append(f"{seen} seen in the middle of {before + 1} and one more")

    for interruption in at_every_point(interrupt, STEP):
        subject, _, before = prepared(core, kind, full)
        with interruption:
            subject.record(1)
        subject.record(1)
        expected = before + (3 if interruption.happened else 2)
        if subject.count() != expected:
            faults.append(f"{subject.count()} and not {expected} after {interruption.where}")

    assert faults == []


@pytest.mark.parametrize("kind", COUNTING)
def test_a_record_at_any_point_of_reading_loses_nothing(core: Core, kind: str) -> None:
    """Whatever instruction of a read is interrupted by records and another reader, the count is exact."""
    counts = set()

    def interrupt() -> None:
        subject.record_twice()

    for interruption in at_every_point(interrupt, STEP):
        subject, clock, before = prepared(core, kind, False)
        with interruption:
            subject.buffer.read(clock.monotonic())
        counts.add((interruption.happened, subject.count() - before))

    assert counts == {(True, 2), (False, 0)}


@pytest.mark.parametrize("full", [True, False], ids=["full", "after a tick"])
@pytest.mark.parametrize("kind", COUNTING)
def test_an_exception_at_any_point_of_recording_costs_at_most_that_record(core: Core, kind: str, full: bool) -> None:
    """Raised by a signal handler, it loses no other record, counts none twice, and the buffer goes on to be folded."""
    faults: List[str] = []

    def interrupt() -> None:
        raise Interrupted

    for interruption in at_every_point(interrupt, STEP):
        subject, clock, before = prepared(core, kind, full)
        try:
            with interruption:
                subject.record(1)
        except Interrupted:
            pass
        recorded = subject.count() - before
        if recorded not in ((0, 1) if interruption.happened else (1,)):
            faults.append(f"counted {recorded} after {interruption.where}")
        further = core.CAPACITY + 3
        for _ in range(further):
            subject.record(1)
        for _ in range(3):
            clock.advance(TICK)
            subject.record(1)
            further += 1
        if subject.backlog() >= max(core.CAPACITY, 1):
            faults.append(f"not folded any more after {interruption.where}")
        if subject.count() != before + recorded + further:
            faults.append(f"counted {subject.count()} in the end after {interruption.where}")

    assert faults == []


ENOUGH = 100
"""Signals that a storm has at least, however slow the machine is."""


def storm(core: str, kind: str, seconds: float) -> Dict[str, Any]:
    """Record, with a signal handler that raises all the time. Return how the buffers have come through."""
    interruptions = 0

    def handler(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGALRM, handler)
    subjects = [Subject(cores.named(core), kind, time.perf_counter) for _ in range(20)]
    done = [0] * len(subjects)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or interruptions < ENOUGH:
        number = interruptions % len(subjects)
        record = subjects[number].record
        count = 0
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0003 + interruptions % 89 * 1e-6)
            while True:
                record(1)
                count += 1
        except Interrupted:
            interruptions += 1
        done[number] += count
    surplus = [subject.count() - count for subject, count in zip(subjects, done)]
    capacity = subjects[0].core.CAPACITY
    for subject in subjects:
        for _ in range(2 * capacity):
            subject.record(1)
        time.sleep(0.011)  # meters and timers look at their length only then
        for _ in range(3):
            subject.record(1)
    return {
        "lost": min(0, *surplus),
        # A record that was interrupted may have been made; it has not been noted here.
        "counted twice": max(0, max(surplus) - interruptions // len(subjects) - 1),
        "stuck": sum(subject.backlog() >= max(capacity, 1) for subject in subjects),
    }


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no interval timers here")
@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_a_storm_of_signals_that_raise_leaves_no_buffer_stuck(core: Core, kind: str) -> None:
    """However often a signal handler raises out of recording, each buffer is folded in the end and has lost nothing."""
    assert alone(storm, core.name, kind, 0.3) == {"lost": 0, "counted twice": 0, "stuck": 0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("kind", COUNTING)
def test_a_fork_at_any_point_of_a_fold_is_counted_in_the_parent_only(core: Core, kind: str) -> None:
    """A signal handler that forks in the middle of a fold leaves the child at zero, and the parent with everything."""
    assert alone(fork_everywhere, core.name, kind) == []


def fork_everywhere(core: str, kind: str) -> List[str]:
    """Fork at points of recording and folding; the children must find nothing of the parent's."""
    faults: List[str] = []
    children: List[int] = []

    def interrupt() -> None:
        children.append(os.fork())
        if not children[0]:
            subject.buffer.restart()

    for interruption in at_every_point(interrupt, step=5):
        children.clear()
        subject, _, before = prepared(cores.named(core), kind, True)

        parent = os.getpid()
        try:
            with interruption:
                subject.record(1)
            # The record that was interrupted may be made in the child too, where all of the program goes on as well.
            if os.getpid() != parent:
                subject.record(1)
                os._exit(0 if subject.count() in (1, 2) else 1)
        finally:
            if os.getpid() != parent:
                os._exit(2)
        if subject.count() != before + 1:
            faults.append(f"parent: {subject.count()} after {interruption.where}")
        if children and os.waitpid(children[0], 0)[1]:
            faults.append(f"child: not at zero after {interruption.where}")
    return faults
