"""prometheus_client in its multiprocess mode, in a process of its own: an environment variable that is read when it is
imported chooses that mode.

What a worker does is done in forked children, each of which leaves its files behind, as it does when it ends.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from benchmarks.distributed.child import answer
from benchmarks.distributed.forked import ended, forked
from benchmarks.distributed.process import most_resident
from benchmarks.distributed.workload import SMALL, latencies, names
from benchmarks.operations import pairs
from benchmarks.timing import nanoseconds

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def operations(rounds: int) -> dict[str, float]:
    """Return what the operations cost in nanoseconds."""
    statements = {pair.operation: pair.prometheus for pair in pairs()}
    costs = nanoseconds(list(statements.values()), rounds)
    return {operation: costs[statement.name] for operation, statement in statements.items()}


def histograms(workers: int, number: int, values: int) -> None:
    """Let workers record `values` values to each of their histograms."""

    def work(worker: int) -> None:
        observed = latencies(worker)
        registry = CollectorRegistry()
        for name in names("histogram", number):
            histogram = Histogram(name, "-", registry=registry)
            for value in observed[:values]:
                histogram.observe(value)

    for worker in range(workers):
        ended(forked(partial(work, worker)))


def short_lived(workers: int) -> None:
    """Let workers record a little and end, and say so to the library as it asks for."""

    def work() -> None:
        registry = CollectorRegistry()
        for name in names("counter", SMALL["counter"]):
            Counter(name, "-", registry=registry).inc()
        for name in names("histogram", SMALL["histogram"]):
            Histogram(name, "-", registry=registry).observe(0.05)
        for name in names("gauge", SMALL["gauge"]):
            Gauge(name, "-", registry=registry, multiprocess_mode="livesum").set(1)

    for _ in range(workers):
        pid = forked(work)
        ended(pid)
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # has no types there


def read(rounds: int) -> dict[str, float]:
    """Return how many seconds of processor time it takes to read all files into one picture, the least of `rounds`, and
    what is counted, and how much memory is in use.
    """
    best, counted = float("inf"), 0.0
    for _ in range(rounds):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # has no types there
        started = time.thread_time()
        metrics = list(registry.collect())
        best = min(best, time.thread_time() - started)
        counted = sum(
            sample.value
            for metric in metrics
            for sample in metric.samples
            if sample.name.endswith("_count") or metric.type == "counter"
        )
    return {"seconds": best, "counted": counted, "most": most_resident(os.getpid())}


def files() -> dict[str, int]:
    """Return how many files there are, how long they are, and what they take of the disk."""
    about = [entry.stat() for entry in Path(os.environ[FOLDER]).iterdir()]
    return {
        "files": len(about),
        "length": sum(each.st_size for each in about),
        "disk": sum(each.st_blocks * 512 for each in about),
    }


if __name__ == "__main__":
    answer(
        {"operations": operations, "histograms": histograms, "short_lived": short_lived, "read": read, "files": files}
    )
