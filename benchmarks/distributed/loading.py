"""What many busy workers cost the aggregator, and each of them itself."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.distributed.address import aggregator
from benchmarks.distributed.child import Child
from benchmarks.distributed.feeder import SENT
from benchmarks.distributed.results import Load, Worker
from benchmarks.distributed.workload import EVENTS, SERIES, WORKERS
from tapes.state.histogram import SLOT

PHASE = 0.7
"""Where in a slot the load begins: late, so that its distributions are large and a new slot begins meanwhile."""

_FEEDERS = 2
_PREPARING = 60.0  # seconds
_PATIENCE = 30.0


def load(flushes: int, different: int) -> Load:
    """Return what 32 workers with 1,000 active timers cost. So many `different` ones have values of their own."""
    with ExitStack() as stack:
        feeders = [stack.enter_context(Child("feeder")) for _ in range(_FEEDERS)]
        # About when it will have been made. It does no harm if it is sent somewhat later than it says.
        first = time.monotonic() + _PREPARING
        first -= (first - PHASE * SLOT) % SLOT
        for number, feeder in enumerate(feeders):
            feeder.send("prepare", list(range(different))[number::_FEEDERS], SERIES, EVENTS, flushes + 1, first)
        sizes = [sum(sizes) * WORKERS // different for sizes in zip(*[feeder.receive() for feeder in feeders])]
        address, asked = stack.enter_context(aggregator())
        for feeder in feeders:
            feeder.ask("connect", address, WORKERS // different)
        (anew,), _ = _seen(feeders, asked, [0])
        before = asked.ask("usage")
        lags, reads = _seen(feeders, asked, list(range(1, flushes + 1)))
        after = asked.ask("usage")
        with Child("ours") as tapes:
            worker = Worker(*tapes.ask("publishing", address, SERIES, EVENTS, max(flushes // 4, 2)))
    return Load(
        flushes=flushes,
        different=different,
        processor=(after["processor"] - before["processor"]) / flushes,
        lags=lags,
        read=sorted(reads)[len(reads) // 2],
        anew=anew,
        received=sum(sizes[1:]) / flushes,
        memory=after["memory"],
        most=after["most"],
        worker=worker,
    )


def _seen(feeders: list[Child], asked: Child, flushes: list[int]) -> tuple[list[float], list[float]]:
    """Let flushes be sent, one a second, and return how long it takes until each is read, and the reads themselves.

    They are sent when they are due, whether or not the aggregator keeps up.
    """
    start = time.monotonic() + 0.5
    for number, flush in enumerate(flushes):
        for feeder in feeders:
            feeder.send("send", flush, start + number)
    seen, reads = [], []
    for number, flush in enumerate(flushes):
        time.sleep(max(start + number - time.monotonic(), 0))
        asked.ask("until", SENT, WORKERS * (flush + 1), _PATIENCE)
        reads.append(asked.ask("read", 1))
        seen.append(time.monotonic())
    sent = [min(feeder.receive() for feeder in feeders) for _ in flushes]
    return [after - before for before, after in zip(sent, seen)], reads
