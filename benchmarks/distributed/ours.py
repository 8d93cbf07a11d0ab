"""The workers of tapes, forked from a process of their own as those of the other library are."""

from __future__ import annotations

import os
import time
from functools import partial

from benchmarks.distributed.child import answer
from benchmarks.distributed.forked import ended, forked
from benchmarks.distributed.process import resident
from benchmarks.distributed.workload import SMALL, latencies, names
from benchmarks.operations import pairs
from benchmarks.timing import nanoseconds
from tapes.distributed.registry import DistributedRegistry
from tapes.registry import Registry

_AT_ONCE = 4
"""Workers that live at the same time, of the thousands that do not live long."""

_live: dict[int, int] = {}
"""The workers that wait to be told something, and where."""


def operations(address: str, rounds: int) -> list[dict[str, float]]:
    """Return what the operations cost in nanoseconds: in a local registry, and in one that is connected."""
    local, connected = Registry(), DistributedRegistry(address)
    connected.connect()
    both = [
        {pair.operation: pair.tapes for pair in pairs(lambda: local, "local")},
        {pair.operation: pair.tapes for pair in pairs(lambda: connected, "connected")},
    ]
    costs = nanoseconds([statement for statements in both for statement in statements.values()], rounds)
    connected.close()
    return [{operation: costs[each.name] for operation, each in statements.items()} for statements in both]


def histograms(address: str, workers: int, number: int, values: int) -> None:
    """Let workers record `values` values to each of their histograms, publish them and stay."""
    for worker in range(workers):
        reading, writing = os.pipe()
        pid = forked(partial(_stay, address, worker, number, values, reading, writing))
        os.close(reading)
        _live[pid] = writing


def again() -> None:
    """Let all that stay record one more value to each of their histograms."""
    for writing in _live.values():
        os.write(writing, b"\0")


def leave() -> None:
    """Let all that stay end."""
    for writing in _live.values():
        os.close(writing)
    for pid in _live:
        ended(pid)
    _live.clear()


def short_lived(address: str, workers: int) -> None:
    """Let workers record a little and end, each with a last report."""

    def work() -> None:
        registry = DistributedRegistry(address)
        registry.connect()
        for name in names("counter", SMALL["counter"]):
            registry.counter(name).increment()
        for name in names("histogram", SMALL["histogram"]):
            registry.histogram(name).update(0.05)
        for name in names("gauge", SMALL["gauge"]):
            registry.gauge(name).set(1)
        registry.close()

    running: list[int] = []
    for _ in range(workers):
        if len(running) >= _AT_ONCE:
            ended(running.pop(0))
        running.append(forked(work))
    for pid in running:
        ended(pid)


def publishing(address: str, timers: int, events: int, seconds: int) -> list[float]:
    """Return what one worker takes while it records to all of its timers, each second: for recording, which one thread
    does, for publishing, which is the processor time of all others, and how many bytes of memory more.
    """
    registry = DistributedRegistry(address)
    observed = latencies(0)
    measured = [registry.timer(name) for name in names("timer", timers)]
    for timer in measured:
        for value in observed[:events]:
            timer.update(value)
    registry.snapshot()
    before = resident(os.getpid())
    registry.connect()
    parts = 10
    began = time.monotonic()
    processor = recording = 0.0
    for second in range(seconds + 1):
        if second == 1:  # the first has connected and sent everything
            processor, recording = time.process_time(), time.thread_time()
        for part in range(parts):
            for number in range(part, timers, parts):
                update = measured[number].update
                for value in observed[:events]:
                    update(value)
            time.sleep(max(began + second + (part + 1) / parts - time.monotonic(), 0))
    processor, recording = time.process_time() - processor, time.thread_time() - recording
    after = resident(os.getpid())
    registry.close()
    return [recording / seconds, (processor - recording) / seconds, after - before]


def _stay(address: str, worker: int, number: int, values: int, reading: int, writing: int) -> None:
    os.close(writing)
    for other in _live.values():
        os.close(other)
    registry = DistributedRegistry(address)
    observed = latencies(worker)
    recorded = [registry.histogram(name) for name in names("histogram", number)]
    for histogram in recorded:
        for value in observed[:values]:
            histogram.update(value)
    registry.connect()
    while os.read(reading, 1):
        for histogram in recorded:
            histogram.update(observed[0])
    registry.close()


if __name__ == "__main__":
    answer(
        {
            "operations": operations,
            "histograms": histograms,
            "again": again,
            "leave": leave,
            "short_lived": short_lived,
            "publishing": publishing,
        }
    )
