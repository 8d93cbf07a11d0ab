"""How far the quantiles are from those of the values themselves."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Histogram

from tapes.registry import Registry

QUANTILES = {"q50": 0.5, "q75": 0.75, "q95": 0.95, "q98": 0.98, "q99": 0.99, "q999": 0.999}

# Latencies in seconds, nearly all of them between 5 ms and 10 s, which the default buckets of prometheus_client cover.
SHAPES: Mapping[str, Callable[[random.Random], float]] = {
    "uniform": lambda source: source.uniform(0.01, 2.0),
    "lognormal": lambda source: source.lognormvariate(-2.5, 0.8),
    "exponential": lambda source: 0.005 + source.expovariate(5.0),
    "two peaks": lambda source: abs(source.gauss(*((0.02, 0.002) if source.random() < 0.8 else (1.2, 0.1)))),
    "heavy tail": lambda source: 0.01 * source.paretovariate(1.5),
}


def worst_errors(count: int) -> tuple[float, float]:
    """Return the worst relative error of any quantile of any shape: of prometheus_client, and of tapes."""
    theirs, ours = 0.0, 0.0
    for name, shape in SHAPES.items():
        source = random.Random(name)
        values = sorted(shape(source) for _ in range(count))
        found_by_prometheus, found_by_tapes = _prometheus(values), _tapes(values)
        for key, quantile in QUANTILES.items():
            exact = values[math.ceil(quantile * count) - 1]
            theirs = max(theirs, abs(found_by_prometheus[key] / exact - 1))
            ours = max(ours, abs(found_by_tapes[key] / exact - 1))
    return theirs, ours


def _tapes(values: Sequence[float]) -> Mapping[str, float]:
    registry = Registry()
    histogram = registry.histogram("accuracy")
    for value in values:
        histogram.update(value)
    found: Mapping[str, float] = registry.get_stats().accuracy
    return found


def _prometheus(values: Sequence[float]) -> Mapping[str, float]:
    histogram = Histogram("accuracy", "-", registry=CollectorRegistry())
    for value in values:
        histogram.observe(value)
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for metric in histogram.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket")
    ]
    return {key: _interpolated(buckets, quantile) for key, quantile in QUANTILES.items()}


def _interpolated(buckets: Sequence[tuple[float, float]], quantile: float) -> float:
    """Find a quantile in cumulative buckets as Prometheus does: linearly within the bucket, and within the last finite
    one for all that lies above it.
    """
    rank = quantile * buckets[-1][1]
    lower_bound, below = 0.0, 0.0
    for bound, up_to in buckets:
        if up_to >= rank:
            if math.isinf(bound):
                return lower_bound
            return lower_bound + (bound - lower_bound) * (rank - below) / (up_to - below)
        lower_bound, below = bound, up_to
    return lower_bound
