"""What a flush is on the wire."""

from __future__ import annotations

from benchmarks.distributed.results import Flush
from benchmarks.distributed.setclock import SetClock
from benchmarks.distributed.workload import LATENCIES, SERIES, latencies, names
from tapes.distributed.publishing import Publisher, hello
from tapes.registry import Registry
from tapes.state.histogram import SLOT

_BEFORE = 250
"""What each timer has recorded in the slot before: ten values a second for half of it."""

_CASES = [(0, 10), (10, 10), (100, 10), (SERIES, 10), (SERIES, 100), (SERIES, 1_000), (SERIES, 10_000)]


def flushes(most_events: int) -> list[Flush]:
    """Return what flushes are, up to so many events of each timer."""
    return [Flush(changed, events, _size(changed, events)) for changed, events in _CASES if events <= most_events]


def _size(changed: int, events: int) -> int:
    """Return the bytes of a flush after some of the timers have recorded in the last second, and all before."""
    clock = SetClock(SLOT * 1_000 + SLOT / 2)
    registry = Registry(clock=clock)
    timers = [registry.timer(name) for name in names("timer", SERIES)]
    values = latencies(0)
    for number, timer in enumerate(timers):
        for position in range(_BEFORE):
            timer.update(values[(position + number) % LATENCIES])
    publisher = Publisher(hello(1.0, settles=True))
    publisher.begin()
    _bytes_of(publisher, registry)
    clock.now += 1
    for number, timer in enumerate(timers[:changed]):
        for position in range(events):
            timer.update(values[(_BEFORE + position + number) % LATENCIES])
    return _bytes_of(publisher, registry)


def _bytes_of(publisher: Publisher, registry: Registry) -> int:
    return sum(len(frame) for frame in publisher.flush(registry))
