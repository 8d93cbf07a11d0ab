"""What it costs to read many metrics: for an encoder that writes statistics, and for those that read only states."""

from __future__ import annotations

import time
from collections.abc import Callable

import prometheus_client

from benchmarks.report import Encoders
from benchmarks.reporting import TIMERS, filled
from tapes.encoding import Format
from tapes.encoding.json import JsonFormat
from tapes.reporting.otlp.encoding import request
from tapes.reporting.prometheus import PrometheusFormat
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.protobuf import protobuf
from tapes.snapshot import Snapshot

EACH = 10
"""How often each histogram of the other library has been updated."""


class Totals:
    """A format that reads only states, as one that writes cumulative buckets does: how often each timer was updated."""

    media_type = "text/plain"

    def encode(self, snapshot: Snapshot) -> bytes:
        """Write one line a series."""
        lines = [f"{reading.name} {reading.state.durations.count}\n" for reading in snapshot.readings]
        return "".join(lines).encode()


def encoders(runs: int) -> Encoders:
    """Return what a snapshot of 10,000 timers costs with the work of an encoder; the least of `runs`, in turns."""
    registry = filled()
    theirs = filled_by_the_other()

    def page(form: Format) -> Callable[[], bytes]:
        return lambda: form.encode(registry.snapshot())

    work: dict[str, Callable[[], object]] = {
        "snapshot": registry.snapshot,
        "json": page(JsonFormat()),
        "states": page(Totals()),
        "text": page(PrometheusFormat()),
        "native": lambda: protobuf(named_families(registry.snapshot())),
        "otlp": lambda: request(registry.snapshot(), {}, lambda reading: 0),
        "theirs": lambda: prometheus_client.generate_latest(theirs),
    }
    best = dict.fromkeys(work, float("inf"))
    for _ in range(runs):
        for name, job in work.items():
            started = time.process_time()
            job()
            best[name] = min(best[name], time.process_time() - started)
    return Encoders(**best)


def filled_by_the_other() -> prometheus_client.CollectorRegistry:
    """Return a registry of prometheus_client with as many histograms."""
    registry = prometheus_client.CollectorRegistry()
    for number in range(TIMERS):
        histogram = prometheus_client.Histogram(f"benchmark_{number % 100}_{number}", "-", registry=registry)
        for value in range(EACH):
            histogram.observe(0.01 * value)
    return registry
