"""Workers and aggregators without processes: registries whose frames are handed over by the test."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable, List, Optional, Tuple

from tapes.clock import Waitable
from tapes.distributed import processes, state_format
from tapes.distributed.frames import ENDING, LEAVING
from tapes.distributed.publishing import Publisher
from tapes.distributed.records import Hello
from tapes.distributed.unified import UnifiedRegistry
from tapes.distributed.workers import Worker
from tapes.registry import Registry
from tapes.testing import ManualClock

HERE = processes.machine()

# No process of this machine is judged by whether it lives, unless a test says so.
ELSEWHERE = "the processes of a test"

NAMES = {"counter": "orders", "gauge": "level", "meter": "hits", "histogram": "spread", "timer": "time"}
"""What metrics of each kind are called by `record_all`."""

KINDS = tuple(NAMES)
KEPT = ("counter", "meter", "histogram", "timer")
"""The kinds that are kept: gauges are told by who lives."""


class OtherClock:
    """The clock of another machine: its monotonic time began at another moment, and its time of day may be wrong."""

    def __init__(self, clock: ManualClock, ahead: float, *, wrong: float = 0.0) -> None:
        """Go by `clock`, with the monotonic time `ahead` seconds ahead, and the time of day `wrong` by so many."""
        self._clock = clock
        self._ahead = ahead
        self._wrong = wrong

    def monotonic(self) -> float:
        """Return the seconds since another moment."""
        return self._clock.monotonic() + self._ahead

    def time(self) -> float:
        """Return the time of day, as it is there."""
        return self._clock.time() + self._wrong

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Wait by the clock that this one goes by."""
        return self._clock.wait(wakeup, timeout)


AnyClock = Any  # a ManualClock or an OtherClock


class Simulated:
    """A worker: a registry and the book of what its aggregator knows."""

    def __init__(
        self,
        clock: AnyClock,
        pid: int = 1,
        *,
        registry: Optional[Registry] = None,
        host: str = "here",
        machine: str = HERE,
        processes: str = ELSEWHERE,
        settles: bool = True,
        interval: float = 1.0,
        started: int = 1,
        identity: Optional[bytes] = None,
    ) -> None:
        """Record by `clock`; or publish `registry`, that of an aggregator if it does not settle."""
        self.registry = Registry(clock=clock) if registry is None else registry
        self.hello = Hello(host, machine, processes, pid, started, interval, settles)
        self.publisher = Publisher(self.hello, identity)
        self.publisher.begin()

    def frames(self, flags: int = 0) -> List[bytes]:
        """Return what it would send now, as if all of it were sent."""
        return list(self.publisher.flush(self.registry, flags))

    def tell(self, *aggregators: UnifiedRegistry, flags: int = 0) -> List[bytes]:
        """Send what has changed, and return it."""
        frames = self.frames(flags)
        for aggregator in aggregators:
            apply(aggregator, frames)
        return frames

    @property
    def identity(self) -> bytes:
        """By which an aggregator knows it."""
        return self.publisher.worker


class Asking(UnifiedRegistry):
    """An aggregator whose words reach the workers at once."""

    def __init__(self, clock: AnyClock, workers: Iterable[Simulated] = (), **options: Any) -> None:
        super().__init__(clock=clock, **options)
        self.known: Dict[bytes, Simulated] = {}
        self.asked: List[Simulated] = []
        """Who was told to begin anew."""
        self.confirmed: List[Simulated] = []
        """Who was told that all is known."""
        self.ask = self._ask_at_once
        self.confirm = self._confirm_at_once
        self.dismiss = self.dismiss_at_once
        for worker in workers:
            self.introduce(worker)

    def introduce(self, worker: Simulated) -> Simulated:
        """Let this worker hear of what is said."""
        self.known[worker.identity] = worker
        return worker

    def _ask_at_once(self, worker: Worker) -> None:
        simulated = self.known[worker.identity]
        self.asked.append(simulated)
        simulated.publisher.begin()

    def dismiss_at_once(self, identity: bytes, position: Tuple[int, int]) -> None:
        """Let a worker hear that it was taken to be gone, if it has not become another one already."""
        simulated = self.known[identity]
        if simulated.identity == identity:
            simulated.publisher.begin_as_another(position)
            self.introduce(simulated)

    def _confirm_at_once(self, worker: Worker) -> None:
        self.confirmed.append(self.known[worker.identity])


class Bench:
    """Workers, and their aggregator."""

    def __init__(self, *pids: int, host: str = "here", **options: Any) -> None:
        """Begin with workers of these pids, and with an aggregator of these options."""
        self.clock = ManualClock(1000.0)
        self.workers: List[Simulated] = []
        self.aggregator = Asking(self.clock, **options)
        for pid in pids:
            self.employ(pid, host=host)

    def employ(self, pid: int = 1, clock: Optional[AnyClock] = None, **what: Any) -> Simulated:
        """Add a worker, which goes by the clock here unless it has another one."""
        worker = Simulated(self.clock if clock is None else clock, pid, **what)
        self.workers.append(worker)
        return self.aggregator.introduce(worker)

    def tell(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told."""
        for number in numbers or range(len(self.workers)):
            self.workers[number].tell(self.aggregator, flags=flags)

    def work(self, seconds: int, *, telling: bool = True) -> None:
        """Record to all kinds in all workers, and tell it, for some time."""
        for second in range(seconds):
            for number, worker in enumerate(self.workers):
                record(worker, "counter", 1 << 60, "orders", {"of": "shop"})
                worker.registry.counter("balance").decrement(0.5)
                record(worker, "meter", number + 1, "hits")
                record(worker, "gauge", second, "level")
                record(worker, "histogram", 1.5 ** ((second + number) % 20) - 3, "spread")
                record(worker, "timer", 0.001 * (number + 1), "time")
            if telling:
                self.tell()
            self.clock.advance(1)
        self.aggregator.tidy()

    def begin(self) -> None:
        """Let all workers begin anew."""
        for worker in self.workers:
            worker.publisher.begin()

    def restart(self) -> Asking:
        """Let another aggregator take the place of this one, with what it has kept, and return this one."""
        before, self.aggregator = self.aggregator, restarted(self.aggregator)
        return before

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which nothing is heard."""
        self.clock.advance(seconds)
        self.aggregator.tidy()

    def end(self, *numbers: int) -> None:
        """Let workers end in good order, and be merged for good."""
        self.tell(*numbers, flags=LEAVING | ENDING)
        self.pass_time(3)

    def give_up(self, number: int) -> None:
        """Let the aggregator take a worker to be gone."""
        self.aggregator.retire(self.aggregator.workers[self.workers[number].identity])

    @property
    def stats(self) -> Any:
        """What is shown."""
        return self.aggregator.get_stats()

    @property
    def figures(self) -> Any:
        """What the aggregator shows about itself."""
        return self.aggregator.get_stats().tapes.aggregator


def above(host: Asking, pid: int = 1) -> Tuple[Simulated, Asking]:
    """Return what an aggregator publishes as, and an aggregator that it publishes to."""
    up = Simulated(host.clock, pid, registry=host, settles=False)
    return up, Asking(host.clock, [up])


def restarted(aggregator: Asking, *, clock: Optional[AnyClock] = None, goes_on: bool = False, **options: Any) -> Asking:
    """Return another aggregator that begins with what this one has kept, and hears the same workers."""
    other = Asking(aggregator.clock if clock is None else clock, **options)
    other.known = aggregator.known
    state_format.fill(other, state_format.decode(state_format.encode(aggregator)), goes_on=goes_on)
    return other


def record(worker: Simulated, kind: str, value: float = 1, name: Optional[str] = None, tags: Any = None) -> None:
    """Record a value to a metric, which is called as its kind unless told otherwise."""
    method = {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update")
    getattr(getattr(worker.registry, kind)(name or kind, tags=tags), method)(value)


def record_all(worker: Simulated, value: float = 1) -> None:
    """Record a value to metrics of all kinds."""
    for kind, name in NAMES.items():
        record(worker, kind, value, name)


def apply(aggregator: UnifiedRegistry, frames: Iterable[bytes]) -> None:
    """Hand frames to an aggregator."""
    for frame in frames:
        aggregator.apply(frame)


def told(aggregator: UnifiedRegistry) -> Dict[str, float]:
    """Return what an aggregator counts about what it was told."""
    stats = aggregator.get_stats().tapes.aggregator
    return {key: stats[key].value for key in ("messages", "bad_frames", "gaps")}


def stats_of(registry: Registry) -> Dict[str, Any]:
    """Return the statistics of a registry without those that an aggregator has about itself."""
    stats: Dict[str, Any] = registry.get_stats().to_dict()
    tapes = stats.get("tapes", {})
    tapes.pop("aggregator", None)
    if not tapes:
        stats.pop("tapes", None)
    return stats


def metric_of(registry: Registry, name: str) -> Any:
    """Return the only metric of this name."""
    (metric,) = [metric for metric in registry if metric.name == name]
    return metric


def in_window(registry: Registry, name: str, now: float) -> int:
    """Return how many values there are in the window of a histogram or timer."""
    state = metric_of(registry, name).read(now)
    return int(getattr(state, "durations", state).window(now).count)


def buckets_of(registry: Registry, now: float) -> Dict[Tuple[str, Any], Dict[int, int]]:
    """Return the counts by bucket since the start, of each series that has any."""
    found = {}
    for metric in registry:
        state = metric.read(now)
        state = getattr(state, "durations", state)
        if hasattr(state, "cumulative"):
            found[metric.name, metric.tags] = dict(state.cumulative().buckets.items())
    return found


def assert_alike(one: Any, other: Any, path: str = "") -> None:
    """Check that two trees of statistics are the same: ints and None exactly, floats to rounding."""
    if isinstance(one, dict):
        assert isinstance(other, dict), path
        assert one.keys() == other.keys(), path
        for key in one:
            assert_alike(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, float) or isinstance(other, float):
        assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9), f"{path}: {one} is not {other}"
    else:
        assert one == other, path
