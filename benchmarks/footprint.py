"""What importing costs in time, and what an instrument costs in memory."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as PrometheusHistogram

from tapes.registry import Registry

INSTRUMENTS = 1_000


def import_milliseconds(modules: list[str], runs: int) -> dict[str, float]:
    """Return how much longer an interpreter takes that imports each module; the fastest of `runs`, in turns."""
    commands = {"": "pass", **{module: f"import {module}" for module in modules}}
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(runs):
        for module, code in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-I", "-c", code], check=True)
            best[module] = min(best[module], time.perf_counter() - started)
    bare = best.pop("")
    return {module: (seconds - bare) * 1e3 for module, seconds in best.items()}


def bytes_each() -> dict[str, float]:
    """Return what one instrument takes, unused and after its first value has been recorded and read."""
    theirs, ours = CollectorRegistry(), Registry()

    def prometheus_histogram(number: int) -> None:
        PrometheusHistogram(f"histogram_{number}", "-", registry=theirs)

    def histogram(number: int) -> None:
        ours.histogram(f"histogram_{number}")

    def timer(number: int) -> None:
        ours.timer(f"timer_{number}")

    def used_histogram(number: int) -> None:
        ours.histogram(f"used_histogram_{number}").update(0.25)

    def used_timer(number: int) -> None:
        ours.timer(f"used_timer_{number}").update(0.25)

    return {
        "prometheus": _each(prometheus_histogram, lambda: None),
        "histogram": _each(histogram, lambda: None),
        "timer": _each(timer, lambda: None),
        "used histogram": _each(used_histogram, ours.get_stats),
        "used timer": _each(used_timer, ours.get_stats),
    }


def _each(make: Callable[[int], None], finish: Callable[[], object]) -> float:
    make(-1)  # what is made only once, with the first
    finish()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(INSTRUMENTS):
            make(number)
        finish()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / INSTRUMENTS
    finally:
        tracemalloc.stop()
