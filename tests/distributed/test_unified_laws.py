"""The law of the unified registry: it shows what one registry would show that had recorded everything itself.

Workers record at random, publish at random times, leave, die and are replaced. On the way to their aggregator frames
are lost, repeated, delayed and cut off in the middle of a flush. Now and then all that is still missing is told, and
the pictures are compared.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Set, Tuple

import pytest

from tapes.distributed import presence, processes, publishing
from tapes.distributed.frames import ENDING, LEAVING
from tapes.kinds.histogram import FRACTIONS
from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.state.buckets import key_of
from tapes.testing import ManualClock
from tests.distributed.simulated import (
    ELSEWHERE,
    HERE,
    AnyClock,
    Asking,
    OtherClock,
    Simulated,
    assert_alike,
    buckets_of,
    metric_of,
    told,
)

START = 1000.0
PERIOD = 440.0  # seconds of a cycle of traffic
QUIET = 70.0  # of which these, in the beginning, are without any
CYCLES = 2  # of more than seven minutes each
EXACT = 361.0  # into a cycle: the window cannot hold but what came after the quiet

ROUNDS = 4  # of telling, after which nothing is missing, whatever was lost before
ROUND = 2.125  # seconds; an aggregator repeats itself no sooner than after two

SPREADS = ("spread", "spread.tagged", "time")


class Pace(NamedTuple):
    """How much goes on."""

    records: float
    """The chance of a worker to record something in a step."""
    publishes: float
    """That of publishing what it has recorded."""


OFTEN = Pace(0.4, 0.3)
RARELY = Pace(0.1, 0.03)

HASTE = 4.0
"""Seconds of silence after which a worker is given up by an aggregator that is in too much of a hurry."""

PATIENCE = 40.0
"""Seconds after which a worker publishes whatever the chance: windows are right if it does so once a minute."""


class Events(Dict[str, List[Tuple[float, float]]]):
    """All that was recorded to histograms and timers, by name: the times, and the values."""

    def values(self, name: str, now: float, age: float) -> List[float]:  # type: ignore[override]
        """Return those that are younger than `age`."""
        return [value for time, value in self[name] if now - time < age]


def record(registry: Registry, source: random.Random) -> Tuple[str, float]:
    """Record something. Return the name and the value if it is one of a distribution, and no name otherwise."""
    kind = source.randrange(8)
    if kind == 0:
        registry.counter("orders").increment(source.choice([1, 1, 1, 7, 1 << 70]))
    elif kind == 1:
        registry.counter("balance").decrement(source.randrange(-1000, 1000))
    elif kind == 2:
        registry.counter("weight").increment(source.random())
    elif kind == 3:
        registry.meter("hits", {"page": source.choice("ab")}).mark(source.choice([1, 1, 1, 50]))
    elif kind == 4:
        value = source.choice([0.0, -0.0, 1.0, source.gauss(0, 10), -(10.0 ** source.uniform(-300, 300))])
        registry.histogram("spread").update(value)
        return "spread", value
    elif kind == 5:
        value = source.lognormvariate(0, 2)
        registry.histogram("spread.tagged", {"of": "lognormal"}).update(value)
        return "spread.tagged", value
    else:
        value = source.expovariate(20)
        registry.timer("time").update(value)
        return "time", value
    return "", 0.0


class Way:
    """The way from a worker to its aggregator."""

    def __init__(self, worker: Simulated, aggregator: Asking, source: random.Random) -> None:
        self.worker = worker
        self.aggregator = aggregator
        self._source = source
        self._delayed: List[bytes] = []
        self.published = -PATIENCE

    def publish(self) -> None:
        """Flush. Frames may be lost, repeated, delayed, or come after those that were sent later."""
        self.published = self.aggregator.clock.monotonic()
        flush = self.worker.publisher.flush(self.worker.registry)
        sent = []  # the worker hears what is said to it when it has sent all
        for frame in flush:
            chance = self._source.random()
            if chance < 0.03:
                flush.close()  # it could not be sent, and the worker knows
                break
            sent.append((frame, chance))
        for frame, chance in sent:
            if chance < 0.08:
                continue
            if chance < 0.15:
                self._delayed.append(frame)
                continue
            self.aggregator.apply(frame)
            if chance < 0.25:
                self._delayed.append(frame)
            if self._delayed and chance > 0.7:
                self.aggregator.apply(self._delayed.pop(self._source.randrange(len(self._delayed))))

    def publish_safely(self, flags: int = 0) -> None:
        """Deliver what was delayed, and flush."""
        while self._delayed:
            self.aggregator.apply(self._delayed.pop())
        self.worker.tell(self.aggregator, flags=flags)

    def has_told_all(self) -> bool:
        """Whether the aggregator knows all that has been recorded by now."""
        known = self.aggregator.workers.get(self.worker.identity)
        return known is not None and known.in_step and known.settled == self.worker.registry.clock.monotonic()


class World:
    """Workers, their aggregators, and one registry that records what all of them do."""

    def __init__(self, source: random.Random, dead: Set[int], pace: Pace) -> None:
        self.source = source
        self.dead = dead
        self.pace = pace
        self.clock = ManualClock(START)
        self.whole = Registry(clock=self.clock)
        self.events = Events({name: [] for name in SPREADS})
        self.top = Asking(self.clock)
        self.ways: List[Way] = []
        """From workers."""
        self.upper: List[Way] = []
        """From aggregators to the one above."""
        self.pids = iter(range(10**7, 2 * 10**7))
        self.shown: Dict[str, float] = {}

    def employ(self, clock: AnyClock, aggregator: Asking, machine: str) -> None:
        """Add a worker. Of every other one it can be seen whether it lives."""
        pid = next(self.pids)
        seen = processes.processes() if pid % 2 else ELSEWHERE
        worker = Simulated(clock, pid, machine=machine, processes=seen, host=machine)
        self.ways.append(Way(aggregator.introduce(worker), aggregator, self.source))

    def place(self, clock: AnyClock, machine: str) -> Asking:
        """Add an aggregator that publishes to the one on top. To itself its own machine is always this one."""
        aggregator = Asking(clock)
        worker = Simulated(clock, registry=aggregator, machine=machine, host=machine, settles=False)
        self.upper.append(Way(self.top.introduce(worker), self.top, self.source))
        return aggregator

    def run(self, until: float, *, busy: bool) -> None:
        """Let time pass, with things going on or not."""
        source = self.source
        while self.clock.monotonic() < until:
            for way in self.ways:
                if busy and source.random() < self.pace.records:
                    for _ in range(source.choice([1, 1, 1, 2, 5, 40])):
                        self._record(way.worker)
                overdue = way.aggregator.clock.monotonic() - way.published > PATIENCE
                if overdue or source.random() < self.pace.publishes:
                    way.publish()
            for way in self.upper:
                if source.random() < 0.4:
                    way.publish()
            if source.random() < 0.1:
                self.whole.snapshot()
                self._assert_monotone()
            if source.random() < 0.2:
                self._tidy()
            self.clock.advance(source.choice([0.125, 0.5, 1.0, 1.0, 2.5]))

    def replace(self) -> None:
        """Let a worker go, in good order or not, when all that it has recorded is known. Another one comes."""
        way = self.ways.pop(self.source.randrange(len(self.ways)))
        way.publish_safely()
        worker, aggregator = way.worker, way.aggregator
        if worker.hello.processes == ELSEWHERE:
            while worker not in aggregator.confirmed:
                way.publish_safely(LEAVING | ENDING)
                self.clock.advance(0.5)
        else:
            while not way.has_told_all():
                self.clock.advance(0.5)
                way.publish_safely()
            self.dead.add(worker.hello.pid)
        self.employ(worker.registry.clock, aggregator, worker.hello.machine)

    def tell_all(self) -> None:
        """Tell what is missing, until nothing can be."""
        for _ in range(ROUNDS):
            for way in (*self.ways, *self.upper):
                way.publish_safely()
            self.clock.advance(ROUND)
            self._tidy()
        for way in (*self.ways, *self.upper):
            way.publish_safely()

    def _record(self, worker: Simulated) -> None:
        state = self.source.getstate()
        record(worker.registry, self.source)
        self.source.setstate(state)
        name, value = record(self.whole, self.source)
        if name:
            self.events[name].append((self.clock.monotonic(), value))

    def _tidy(self) -> None:
        for aggregator in {way.aggregator for way in (*self.ways, *self.upper)}:
            aggregator.tidy()

    def _assert_monotone(self) -> None:
        """Check that nothing that only grows is shown to have become less."""
        for metric in self.top:
            if metric.name in ("orders", "hits", *SPREADS):
                statistics = Reading.of(metric, self.clock.monotonic()).statistics
                shown = statistics.get("count", statistics.get("value"))
                assert shown is not None
                key = repr(metric)
                assert shown >= self.shown.get(key, 0), key
                self.shown[key] = shown


Build = Callable[[World], None]


def other_hosts(world: World) -> None:
    """Workers here and on two other machines. Their clocks have ticks at the same times, but not slots."""
    for ahead, machine in ((0.0, HERE), (12345.0, "one"), (-635.0, "other")):
        clock = OtherClock(world.clock, ahead) if ahead else world.clock
        for _ in range(2):
            world.employ(clock, world.top, machine)


def hosts_then_site(world: World) -> None:
    """Two aggregators on machines of their own, and a third to which they publish, beside a worker of its own."""
    world.employ(world.clock, world.top, HERE)
    for ahead, machine in ((98765.0, "one"), (-345.0, "other")):
        clock = OtherClock(world.clock, ahead)
        aggregator = world.place(clock, machine)
        for _ in range(2):
            world.employ(clock, aggregator, HERE)  # as that aggregator sees it


def all_on_other_hosts(world: World) -> None:
    """An aggregator whose workers are on other machines, and which publishes to one on yet another."""
    aggregator = world.place(OtherClock(world.clock, 98765.0), "aggregator")
    for ahead, machine in ((5.0, "one"), (5.0, "one"), (-15.0, "other")):
        world.employ(OtherClock(world.clock, 98765.0 + ahead), aggregator, machine)


BUILDS: Dict[str, Build] = {
    build.__name__.replace("_", " "): build for build in (other_hosts, hosts_then_site, all_on_other_hosts)
}


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Set[int]:
    """Return the pids of workers that have died, in a world of small frames."""
    gone: Set[int] = set()
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: pid not in gone)
    monkeypatch.setattr(publishing, "FRAME", 600)
    return gone


@pytest.mark.parametrize("pace", [OFTEN, RARELY], ids=["often", "rarely"])
@pytest.mark.parametrize("build", BUILDS)
def test_it_shows_what_one_registry_would_show(build: str, pace: Pace, dead: Set[int]) -> None:
    """Counts and buckets exactly, sums to rounding, rates, windows and quantiles, for a quarter of an hour."""
    live_through_cycles(build, 1, pace, dead)


@pytest.mark.parametrize("pace", [OFTEN, RARELY], ids=["often", "rarely"])
@pytest.mark.parametrize("build", ["other hosts", "all on other hosts"])
def test_so_it_does_if_living_workers_are_given_up_again_and_again(
    build: str, pace: Pace, dead: Set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost or counted twice by workers that are taken to be gone after a silence of seconds, and go on."""
    for patience in ("_SILENT", "_SILENT_FAR"):
        monkeypatch.setattr(presence, patience, HASTE - presence.LEASE)
    dismissed: List[bytes] = []
    dismiss = Asking.dismiss_at_once

    def note(aggregator: Asking, identity: bytes, position: Tuple[int, int]) -> None:
        dismissed.append(identity)
        dismiss(aggregator, identity, position)

    monkeypatch.setattr(Asking, "dismiss_at_once", note)

    live_through_cycles(build, 0, pace, dead)

    assert len(dismissed) > 20


def live_through_cycles(build: str, seed: int, pace: Pace, dead: Set[int]) -> None:
    """Run a world, and compare what is shown when nothing is missing."""
    world = World(random.Random(f"{build} {seed}"), dead, pace)
    BUILDS[build](world)

    for cycle in range(CYCLES):
        start = START + cycle * PERIOD
        world.run(start + QUIET, busy=False)
        for until in (start + 150, start + 260):
            world.run(until, busy=True)
            world.replace()
        world.run(start + EXACT - 2.5, busy=True)
        world.clock.advance(start + EXACT - world.clock.monotonic())
        world.tell_all()
        assert world.clock.monotonic() - start <= 360 + 10
        assert_same_totals(world)
        assert_same_window(world)
        world.run(start + PERIOD, busy=True)
        world.tell_all()
        assert_same_totals(world)
        assert_window_within_bounds(world)

    faults = told(world.top)
    assert faults["bad_frames"] == 0
    assert faults["gaps"] > 0
    assert sum(aggregator.gone for aggregator in {way.aggregator for way in world.ways}) > 0
    world.clock.advance(400)
    assert_same_totals(world)


def statistics_of(registry: Registry, name: str, now: float) -> Dict[str, Any]:
    """Return the statistics of the one series of this name."""
    return dict(Reading.of(metric_of(registry, name), now).statistics)


def assert_same_totals(world: World) -> None:
    """Check all that is since the start, and the rates."""
    now = world.clock.monotonic()
    assert buckets_of(world.top, now) == buckets_of(world.whole, now)
    known = {(metric.name, metric.tags): metric for metric in world.top}
    for metric in world.whole:
        wanted = Reading.of(metric, now).statistics
        found = Reading.of(known[metric.name, metric.tags], now).statistics
        for key in ("value", "count", "m1", "m5", "m15"):
            if key in wanted:
                assert_alike(found[key], wanted[key], f"{metric!r}.{key}")
        if "sum" in wanted:
            magnitude = math.fsum(abs(value) for _, value in world.events[metric.name])
            assert math.isclose(found["sum"] or 0, wanted["sum"] or 0, rel_tol=0, abs_tol=1e-12 * magnitude)


def assert_same_window(world: World) -> None:
    """Check all that describes the window, where it is plain which values are in it."""
    now = world.clock.monotonic()
    for name in SPREADS:
        inside = world.events.values(name, now, 300)
        assert inside == world.events.values(name, now, 360)
        ordered = sorted(inside)
        for registry in (world.top, world.whole):
            found = statistics_of(registry, name, now)
            assert (found["min"], found["max"]) == (ordered[0], ordered[-1])
            assert math.isclose(
                found["mean"], statistics.fmean(inside), rel_tol=1e-9, abs_tol=1e-9 * max(map(abs, inside))
            )
            if max(map(abs, inside)) < 1e150:
                assert math.isclose(found["stddev"], statistics.pstdev(inside), rel_tol=1e-6)
            for key, fraction in zip(("q50", "q75", "q95", "q98", "q99", "q999"), FRACTIONS):
                exact = ordered[max(math.ceil(round(len(ordered) * fraction, 6)), 1) - 1]
                assert abs(found[key] - exact) <= 0.01 * abs(exact)


def assert_window_within_bounds(world: World) -> None:
    """Check that all values younger than five minutes are in the window, and none that is six minutes old."""
    now = world.clock.monotonic()
    for name in SPREADS:
        state = metric_of(world.top, name).read(now)
        window = getattr(state, "durations", state).window(now)
        young, all_ = (world.events.values(name, now, age) for age in (300, 360))
        least, most = counted(young), counted(all_)
        found = dict(window.buckets.items())
        assert window.count == sum(found.values())
        for key in most.keys() | found.keys():
            assert least.get(key, 0) <= found.get(key, 0) <= most.get(key, 0)
        assert min(all_) <= window.minimum <= min(young)


def counted(values: List[float]) -> Dict[int, int]:
    """Return how many values there are in each bucket."""
    return Counter(map(key_of, values))


def test_the_pictures_of_two_readers_of_a_worker_are_the_same() -> None:
    """A worker may publish to two aggregators, at different times: each has everything."""
    clock, source = ManualClock(START), random.Random("two")
    first = Simulated(clock)
    readers = [(worker, Asking(clock, [worker])) for worker in (first, Simulated(clock, registry=first.registry))]
    for _ in range(600):
        record(first.registry, source)
        for (worker, aggregator), chance in zip(readers, (0.5, 0.1)):
            if source.random() < chance:
                worker.tell(aggregator)
        clock.advance(source.random() * 3)

    now = clock.monotonic()
    wanted = statistics_of(first.registry, "time", now)
    for worker, aggregator in readers:
        worker.tell(aggregator)
        assert buckets_of(aggregator, now) == buckets_of(first.registry, now)
        found = statistics_of(aggregator, "time", now)
        for name in ("count", "m1", "sum", "q99", "min"):
            assert_alike(found[name], wanted[name])
