"""The memory of a buffer does not follow the number of its records."""

from __future__ import annotations

import random
import time
from typing import Dict, List

import pytest

from tapes.recording.core import Core
from tapes.testing import ManualClock
from tests.concurrency.alone import alone
from tests.concurrency.memory import traced, tracemalloc
from tests.recording import cores
from tests.recording.cores import KINDS, Subject

MANY = 60_000


def unread(core: str, kind: str) -> Dict[str, float]:
    """Record very often to a buffer that nobody reads. Return its count, and the most memory that it took."""
    subject = Subject(cores.named(core), kind, time.perf_counter)
    record = subject.record
    tracemalloc.start()
    tracemalloc.reset_peak()
    if kind in ("counter", "meter"):
        for _ in range(MANY):
            record(1)
    else:
        for number in range(MANY):
            record(number * 0.001 + 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"recorded": subject.count(), "peak": peak}


@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_that_nobody_reads_does_not_grow(core: Core, kind: str) -> None:
    """Hundreds of thousands of records to a metric that no reporter reads are folded as they come."""
    result = alone(unread, core.name, kind)

    assert result["recorded"] == ((MANY - 1) * 0.001 + 0.5 if kind == "gauge" else MANY)
    assert result["peak"] < 500_000  # the records alone would take four times as much


def wide(core: str) -> List[float]:
    """Record values over 60 powers of ten. Return the memory of it after each third."""
    draw = random.Random(1)
    subject = Subject(cores.named(core), "histogram", ManualClock().monotonic)  # they are all of one slice
    tracemalloc.start()
    sizes: List[float] = []
    for _ in range(3):
        for _ in range(50_000):
            subject.record(draw.choice((-1, 1)) * 10 ** draw.uniform(-30, 30))
        subject.count()
        sizes.append(traced())
    return sizes


def test_an_active_histogram_is_bounded_by_its_buckets(core: Core) -> None:
    """Even values over 60 powers of ten, of both signs, fill a bounded number of buckets, then no more memory."""
    _, before, end = alone(wide, core.name)

    # 2 signs, 200 powers of two, 64 buckets to each, some 100 bytes for each as they fill.
    assert end < 3_000_000
    assert end < before * 1.2
