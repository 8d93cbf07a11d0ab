"""The operations of both libraries, side by side, and the floors that nothing written in Python gets below."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Histogram as PrometheusHistogram

from benchmarks.timing import Statement
from tapes.instruments import Instrument
from tapes.registry import Registry


class Pair(NamedTuple):
    """One operation in both libraries, and which part of the cost of prometheus_client tapes may have."""

    operation: str
    prometheus: Statement
    tapes: Statement
    target: float


def pairs(registry: Callable[[], Registry] = Registry, owner: str = "our") -> list[Pair]:
    """Return the operations to compare. Those of tapes are done in what `registry` returns for each of them."""
    theirs = CollectorRegistry()
    counter = PrometheusCounter("counter", "-", registry=theirs)
    histogram = PrometheusHistogram("histogram", "-", registry=theirs)
    timer = PrometheusHistogram("timer", "-", registry=theirs)
    tagged = PrometheusCounter("tagged", "-", ["method", "route"], registry=theirs)
    tags = 'tags={"method": "GET", "route": "/items"}'
    return [
        Pair(
            "counter increment",
            Statement("their counter", "counter.inc()", {"counter": counter}),
            _ours(registry(), f"{owner} counter", "counter.increment()", Registry.counter),
            1 / 4,
        ),
        Pair(
            "histogram update, folding included",
            Statement("their histogram", "histogram.observe(value)", {"histogram": histogram}),
            _ours(registry(), f"{owner} histogram", "histogram.update(value)", Registry.histogram),
            1 / 3.5,
        ),
        Pair(
            "`with timer.time(): pass`",
            Statement("their timer", "with timer.time(): pass", {"timer": timer}),
            _ours(registry(), f"{owner} timer", "with timer.time(): pass", Registry.timer),
            1 / 2.5,
        ),
        Pair(
            "lookup with two tags + increment",
            Statement("their lookup", 'tagged.labels("GET", "/items").inc()', {"tagged": tagged}),
            _ours(registry(), f"{owner} lookup", f'registry.counter("tagged", {tags}).increment()', Registry.counter),
            1 / 1.5,
        ),
    ]


def _ours(registry: Registry, name: str, code: str, make: Callable[[Registry, str], Instrument]) -> Statement:
    instrument = make(registry, f"measured.{make.__name__}")
    needs = {"registry": registry, make.__name__: instrument}
    # Reading folds what is still in the buffer, and makes all statistics besides: tapes pays for both in each round.
    return Statement(name, code, needs, finish="registry.get_stats()")


class _Nothing:
    def call(self) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _Appending:
    def __init__(self) -> None:
        self.items: list[float] = []

    def append(self, value: float) -> None:
        self.items.append(value)


def floors() -> list[Statement]:
    """Return what the operations are made of."""
    appending = _Appending()
    return [
        Statement("an empty call", "call()", {"call": lambda: None}),
        Statement(
            "`list.append` in a method",
            "append(value)",
            {"append": appending.append, "appending": appending},
            "appending.items.clear()",
        ),
        Statement("`with lock: pass`", "with lock: pass", {"lock": threading.Lock()}),
        Statement("an empty `with`", "with nothing: pass", {"nothing": _Nothing()}),
        Statement("a clock read (a timer needs two)", "now()", {"now": time.perf_counter}),
        Statement("`os.getpid()`", "getpid()", {"getpid": os.getpid}),
    ]
