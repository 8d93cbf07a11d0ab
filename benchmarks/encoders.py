"""What it costs to read many metrics: for an encoder that writes statistics, and for one that reads only states."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.report import Encoders
from benchmarks.reporting import filled
from tapes.encoding import Format
from tapes.encoding.json import JsonFormat
from tapes.snapshot import Snapshot


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

    def page(form: Format) -> Callable[[], bytes]:
        return lambda: form.encode(registry.snapshot())

    work: dict[str, Callable[[], object]] = {
        "snapshot": registry.snapshot,
        "json": page(JsonFormat()),
        "states": page(Totals()),
    }
    best = dict.fromkeys(work, float("inf"))
    for _ in range(runs):
        for name, job in work.items():
            started = time.process_time()
            job()
            best[name] = min(best[name], time.process_time() - started)
    return Encoders(**best)
