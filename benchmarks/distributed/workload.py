"""What the workers of both libraries have and do."""

from __future__ import annotations

import random
from collections.abc import Sequence

WORKERS = 32
SERIES = 1_000
"""How many timers or histograms each of them has."""

EVENTS = 10
"""How often a second each timer records."""

LATENCIES = 1_024


def latencies(worker: int) -> Sequence[float]:
    """Return durations in seconds as a web application has them, other ones for each worker."""
    source = random.Random(worker)
    return [source.lognormvariate(-2.5, 0.8) for _ in range(LATENCIES)]


def names(kind: str, number: int) -> list[str]:
    """Return the names of some metrics, as both libraries can have them."""
    return [f"{kind}_{index}" for index in range(number)]


SMALL = {"counter": 10, "histogram": 20, "gauge": 2}
"""How many metrics of each kind a worker has of which thousands are started and end."""
