"""A worker whose aggregator is not there for long takes no more memory for it, and loses nothing."""

from __future__ import annotations

import contextlib
import gc
import time
import tracemalloc
from typing import Any, Dict, Iterator, List

import pytest

from tapes.distributed.reporter import ZmqReporter
from tapes.errors import ReporterError
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.distributed.faults.events import Events, Picture
from tests.distributed.faults.processes import Site
from tests.servers.processes import until

HOUR = 3600
INTERVAL = 10
OLD, NEW = 1_000_000, 7
"""Values of the first 50 minutes, and of the last ten."""


def total(series: Dict[str, Any]) -> int:
    """Return how many values all series of a metric have."""
    return sum(each["count"] for each in series.values())


@pytest.fixture
def traced() -> Iterator[None]:
    """Take note of all memory that Python gives out."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_an_hour_without_an_aggregator(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after it was killed a worker has the memory of after twenty minutes, and the next one is told all."""
    monkeypatch.setattr("tapes.distributed.link._STALLED", 0.0)  # this clock is not turned by hand
    clock = ManualClock(time.perf_counter() - HOUR)  # so that the aggregator has the same time at the end
    registry = Registry(clock=clock)
    events, phases = Events(registry), registry.histogram("phases")
    events.begin(0)
    tagged = [registry.timer("tagged", {"place": str(place)}) for place in range(50)]
    aggregator = site.aggregator()
    reporter = ZmqReporter(INTERVAL, aggregator.address, registry)

    def report() -> None:
        with contextlib.suppress(ReporterError):  # that there is no aggregator
            reporter.report()

    def await_picture(expected: Picture, last: int = 0) -> None:
        def seen() -> bool:
            report()
            stats = aggregator.stats()
            return (Picture.of(stats), total(stats.get("tagged", {}))) == (expected, last)

        until(seen, "the aggregator has what was recorded")

    aggregator.start()
    events.record(1)
    await_picture(Picture.after([(0, 1)]))
    aggregator.kill()

    memory: List[int] = []
    for second in range(HOUR):
        events.record(2)
        phases.update(OLD if second < 50 * 60 else NEW)
        tagged[second % len(tagged)].update(second % 17)
        if second % INTERVAL == 0:
            report()
        clock.advance(1)
        if second in (HOUR // 3, HOUR - 1):
            gc.collect()
            memory.append(tracemalloc.get_traced_memory()[0])
    aggregator.start()
    await_picture(Picture.after([(0, events.total)]), last=HOUR)
    stats = aggregator.stats()
    reporter.close()

    assert memory[1] - memory[0] < 128 << 10
    assert (stats["phases"]["count"], stats["phases"]["sum"]) == (HOUR, 50 * 60 * OLD + 10 * 60 * NEW)
    assert (stats["phases"]["min"], stats["phases"]["max"], stats["phases"]["mean"]) == (NEW, NEW, NEW)
    assert len(stats["tagged"]) == len(tagged)
