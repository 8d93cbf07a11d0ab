"""Reading thousands of series is no reason to look for garbage, for which CPython stops the whole program."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
from itertools import chain
from threading import get_ident
from typing import Callable, Dict, List

import pytest

from tapes.encoding.json import JsonFormat
from tapes.registry import Registry
from tapes.reporting.statsd.lines import gauges, names
from tapes.snapshot import Readings
from tapes.testing import ManualClock

SERIES = 2000

pytestmark = pytest.mark.usefixtures("only_new_objects")


def page(registry: Registry) -> int:
    """Make a page."""
    return len(JsonFormat().encode(registry.snapshot()))


def lines(registry: Registry) -> int:
    """Write the lines for a StatsD."""
    snapshot = registry.snapshot()
    return sum(map(len, chain.from_iterable(gauges(snapshot, names(snapshot, "shop.", "name")))))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="Others look for garbage in other ways.")
@pytest.mark.parametrize("kind", ["counter", "meter", "histogram", "timer"])
@pytest.mark.parametrize("read", [page, lines])
def test_a_read_gives_no_cause_to_look_for_garbage(kind: str, read: Callable[[Registry], int]) -> None:
    """However many series there are, and though all of them have changed."""
    registry = Registry(clock=ManualClock(1000.0))
    record = {"counter": "increment", "meter": "mark"}.get(kind, "update")
    metrics = [getattr(registry, kind)(f"shop.route{number}.{kind}") for number in range(SERIES)]
    here = get_ident()
    looks: List[int] = []

    def look(phase: str, info: Dict[str, int]) -> None:
        if phase == "start" and get_ident() == here:
            looks.append(info["generation"])

    for _ in range(3):
        for metric in metrics:
            getattr(metric, record)(1)
        gc.collect()
        gc.callbacks.append(look)
        looks.clear()
        read(registry)
        gc.callbacks.remove(look)

    assert len(looks) <= 8
    assert set(looks) <= {0}


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="Others look for garbage in other ways.")
@pytest.mark.parametrize("kind", ["counter", "meter", "histogram", "timer"])
def test_a_snapshot_that_is_held_is_nothing_to_look_through(kind: str) -> None:
    """Also after somebody has looked at all statistics: no reading is kept, and no dict."""
    registry = Registry(clock=ManualClock(1000.0))
    record = {"counter": "increment", "meter": "mark"}.get(kind, "update")
    for number in range(SERIES):
        getattr(getattr(registry, kind)(f"shop.route{number}.{kind}"), record)(1)
    registry.get_stats()
    gc.collect()
    before = len(gc.get_objects())

    snapshot = registry.snapshot()
    looked = sum(len(reading.statistics) for reading in snapshot.readings)
    gc.collect()

    assert looked >= SERIES
    assert len(gc.get_objects()) - before < SERIES / 10


def test_readings_are_a_sequence() -> None:
    """They can be counted, taken by place or in part, from the end too, gone through again, copied and pickled."""
    registry = Registry()
    for number in range(5):
        registry.counter(f"counter.{number}").increment(number)
        registry.timer(f"timer.{number}").update(number)
    readings = registry.snapshot().readings

    assert isinstance(readings, Readings)
    assert len(readings) == 10
    assert [reading.name for reading in readings] == [metric.name for metric in registry]
    assert readings[2].statistics == {"value": 1}
    assert readings[-1].statistics["max"] == 4.0
    assert [reading.kind for reading in readings[3:6]] == ["timer", "counter", "timer"]
    assert [reading.origin for reading in copy.deepcopy(readings)] == list(registry)
    sent = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(readings))))
    assert [each.statistics for each in sent] == [each.statistics for each in readings]
    assert [repr(each.state) for each in sent] == [repr(each.state) for each in readings]
    assert sent[2].state.increments == 1
    assert sent[-1].state.durations.sum == 4.0
    with pytest.raises(IndexError):
        readings[10]
