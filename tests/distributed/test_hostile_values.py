"""Hostile workers that send well-formed frames with values of all sorts, beside a healthy one whose numbers stay exact.

A few seeds are run with the other tests. To look for longer, run others; what fails is called after its seed:

    SEEDS=5:2000 python -m pytest tests/distributed/test_hostile_values.py
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections import Counter
from itertools import chain
from typing import Any, Dict, List

import pytest

from tapes.distributed import processes, state_format
from tapes.distributed.frames import END, ENDING, LEAVING
from tapes.distributed.workers import Worker
from tapes.encoding.json import JsonFormat
from tapes.registry import Registry
from tapes.reporting.statsd.deliveries import Deliveries
from tapes.reporting.statsd.lines import counters, gauges, names
from tapes.state.buckets import key_of
from tapes.state.gauge import MERGES
from tapes.testing import ManualClock
from tests.distributed import forging
from tests.distributed.simulated import (
    ELSEWHERE,
    HERE,
    KEPT,
    KINDS,
    Asking,
    OtherClock,
    Simulated,
    assert_alike,
    record,
    restarted,
    told,
)

LARGEST = sys.float_info.max
SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "0:5").split(":")]
STEPS = 400
"""How many frames of hostile workers a seed sends."""

SMALL = (0.0, -0.0, 1.0, -1.0, 0.1, 5e-324, -5e-324, 1e-39, 1e39)
FLOATS = (*SMALL, 1e300, -1e300, LARGEST, -LARGEST, math.inf, -math.inf, math.nan)
WHOLE = (0, 1, -1, 2, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63)
HUGE = (1 << 64, -(1 << 64), int(LARGEST), -int(LARGEST), 1 << 1024, 1 << 3000)
GREAT = (int(LARGEST), LARGEST, 1 << 63, (1 << 64) + 1, 1e300, 5e-324, 0.1, 0)
GREAT_VALUES = (0.0, -1.0, 1e300, -1e300, 1e-300, 1e39, 5e-324, LARGEST, -LARGEST)
PLAIN = ("a", "a.b", "value", "a.value", "count", "a.count")
TEXTS = (*PLAIN, "", ".", "a..b", "\ud800", "é" * 600, "a" * 1024, "a" * 1025)
TAGS = ((("k", "v"),), (("overflow", "true"),), (("k", ""),), (("b", "1"), ("a", "2")), (("", "v"),))


class Hostile:
    """A worker that says whatever comes to its mind, most of it nearly right."""

    def __init__(self, source: random.Random, clock: ManualClock) -> None:
        self._random = source
        self._clock = clock
        self._begin_again()

    def _begin_again(self) -> None:
        """Be another worker."""
        source = self._random
        self.identity = source.randbytes(16)
        self._machine = source.choice([HERE, HERE, "other", "strange"])
        self._ahead = 0.0 if self._machine == HERE else source.choice([0.0, 500.0, -500.0, 1e6])
        self._wild = source.choice([0.0, 0.02, 0.1, 0.4])
        """How often a value is another one than it should be."""
        self._great = source.choice([0.0, 0.1, 0.5])
        """How often one that it may have is as large or as small as can be."""
        self._settles = source.random() < 0.7
        self.session = self.sequence = 0
        self._kinds: Dict[int, str] = {}
        self.is_asked = False
        """Whether it has been asked to begin anew."""

    def _or(self, value: Any, *others: Any) -> Any:
        """Return `value`, or now and then one of others."""
        return self._random.choice(others) if self._random.random() < self._wild else value

    def _great_or(self, value: Any, *great: Any) -> Any:
        """Return `value`, or quite often something great that is as well possible."""
        return self._random.choice(great) if self._random.random() < self._great else value

    def _now(self) -> float:
        """Return the time by its clock."""
        return self._clock.monotonic() + self._ahead

    def _about_now(self) -> float:
        """Return the time by its clock, or another one."""
        now = self._now()
        return float(self._or(now, now + 9.0, now + 100.0, now - 100.0, now + 1e5, now - 1e5, now - 1e9, *FLOATS))

    def frame(self) -> bytes:
        """Return the next frame."""
        source = self._random
        if source.random() < 0.02:
            self._begin_again()
        content: List[bytes] = []
        if not self.session or source.random() < (0.8 if self.is_asked else 0.03):
            self.is_asked = False
            self.session += 1
            self.sequence = 0
            self._kinds = {}
            content.append(self._hello())
        content += [self._series() for _ in range(source.randrange(6))]
        for place, kind in list(self._kinds.items()):
            if source.random() < 0.6:
                content.append(getattr(self, f"_{self._or(kind, *KINDS)}")(place))
        if self._kinds and source.random() < 0.05:
            content.append(forging.removed(place := source.choice([*self._kinds, 99])))
            self._kinds.pop(place, None)
        flags, at, session, sequence = END, self._now(), self.session, self.sequence
        if source.random() < 0.1:
            flags = self._or(END, 0, 8, END | LEAVING, END | LEAVING | ENDING)
            at = self._or(at, at + 100.0, at + 1e5, at - 1e5, *FLOATS)
            session = self._or(self.session, 0, self.session + 1, (1 << 64) - 1)
            sequence = self._or(self.sequence, 0, self.sequence + 1, (1 << 32) - 1)
        sent = forging.frame(self.identity, *content, time=at, session=session, sequence=sequence, flags=flags)
        self.sequence += 1
        return sent

    def _hello(self) -> bytes:
        return forging.hello(
            pid=self._or(self._random.randrange(1, 5), 0, (1 << 31) - 1, 1 << 31, (1 << 32) - 1),
            started=self._or(1, 0, (1 << 64) - 1),
            interval=self._or(1.0, 1e-300, 1e9, *FLOATS),
            settles=self._or(int(self._settles), 0, 1, 2),
            host=self._or("here", "", "\n", "h" * 1024, "\ud800"),
            machine=self._or(self._machine, "", "m" * 2000),
            processes=self._or(self._random.choice([ELSEWHERE, processes.processes()]), "", "p" * 2000),
        )

    def _series(self) -> bytes:
        source = self._random
        kind = source.choice(KINDS)
        place = source.randrange(12)
        if self._or(place in self._kinds, False):
            place = max(self._kinds) + 1
        self._kinds[place] = kind
        name = self._or(
            f"shared.{self._or(kind, *KINDS)}", f"own.{source.randrange(40)}", "tapes.aggregator.lag", *TEXTS
        )
        tags = source.choice([(), (("k", str(source.randrange(30))),)])
        merge = source.choice(MERGES) if kind == "gauge" else "sum"
        return forging.series(kind, name, self._or(tags, (), *TAGS), place=place, merge=self._or(merge, *MERGES))

    def _number(self, value: Any) -> Any:
        return self._or(value, *FLOATS, *WHOLE, *HUGE)

    def _float(self, value: float) -> float:
        return float(self._or(value, *FLOATS))

    def _counter(self, place: int) -> bytes:
        one, other = [self._number(self._great_or(self._random.randrange(100), *GREAT)) for _ in range(2)]
        return forging.counter(one, other, place=place)

    def _gauge(self, place: int) -> bytes:
        value = self._great_or(self._random.choice([1, 2.5, -3]), *GREAT, *[-great for great in GREAT])
        return forging.gauge(
            self._or(1, 0, 2, (1 << 32) - 1), self._about_now(), *[self._number(value) for _ in range(4)], place=place
        )

    def _events(self) -> List[Any]:
        count = self._great_or(self._random.randrange(1, 1000), 1 << 53)
        tick = math.floor(self._now()) // 5
        far = (tick + 1, tick + 3, tick - 10, tick - 100_000, 0, -1, (1 << 63) - 1, -(1 << 63))
        rates = [self._float(self._great_or(0.5, LARGEST, 1e300, 5e-324)) for _ in range(3)]
        return [count, self._great_or(self._random.randrange(count), count), self._or(tick, *far), rates]

    def _meter(self, place: int) -> bytes:
        count, current, tick, rates = self._events()
        if self._great_or(False, True):
            count = self._random.choice([int(LARGEST), LARGEST, 1 << 64])
        return forging.meter(self._number(count), self._number(current), tick, rates, place=place)

    def _parts(self) -> List[bytes]:
        now = self._now()
        slot = (math.ceil(now / 50) - 1) * 50.0
        starts = sorted({slot - 50.0 * self._random.randrange(8) for _ in range(self._random.randrange(4))})
        if self._or(False, True):
            starts = [self._float(start) for start in starts]
        if self._or(False, True):
            many = [now - 400 + step for step in range(self._random.choice([200, 256, 300]))]
            return [forging.part(start, start) for start in many]
        return [self._part(start, min(now, start + 50.0)) for start in starts]

    def _part(self, start: float, end: float) -> bytes:
        source = self._random
        values = [self._great_or(source.lognormvariate(0, 2), *GREAT_VALUES) for _ in range(source.randrange(1, 6))]
        buckets: Dict[int, int] = {}
        for value in values:
            buckets[key_of(value)] = buckets.get(key_of(value), 0) + self._great_or(
                1, 255, 256, 70_000, 1 << 32, 1 << 52
            )
        count = sum(buckets.values())
        total = min(max(math.fsum(value / 16 for value in values) * 16, -LARGEST), LARGEST)
        lanes, low, width = b"", 0, 1
        if source.random() < 0.5 and all(0 < key < 0x8000 for key in buckets) and max(buckets.values()) < 1 << 32:
            low = min(buckets)
            width = 1 if max(buckets.values()) < 256 else 4
            counts = [buckets.get(key, 0) for key in range(low, max(buckets) + 2, 2)]
            lanes, buckets = b"".join(each.to_bytes(width, "little") for each in counts), {}
        return forging.part(
            self._float(start),
            self._float(end),
            count=self._or(count, 0, count + 1, (1 << 64) - 1),
            total=self._float(self._great_or(total, LARGEST, -LARGEST)),
            deviations=self._float(self._great_or(1.0, 0.0, LARGEST, 5e-324)),
            minimum=self._float(min(values)),
            maximum=self._float(max(values)),
            low=self._or(low, low + 2, low + 1, 0x7FFE),
            lanes=self._or(lanes, lanes + b"\0" * width, lanes + b"\1" * width),
            width=self._or(width, 0, 1, 2, 3, 4),
            pairs=list(buckets.items()),
        )

    def _shape(self) -> Any:
        parts = self._parts()
        flags = self._or(1, 0, 2, 3, 4)
        if flags & 2:
            parts.insert(0, self._part(0.0, 0.0))
        now = self._now()
        return parts, flags, self._or(forging.NEVER, now - 300, now - 50, now, now + 5, now + 500, *FLOATS)

    def _histogram(self, place: int) -> bytes:
        parts, flags, through = self._shape()
        return forging.histogram(*parts, flags=flags, through=through, place=place)

    def _timer(self, place: int) -> bytes:
        parts, flags, through = self._shape()
        count, current, tick, rates = self._events()
        large = (1 << 53, (1 << 53) + 1, (1 << 64) - 1)
        return forging.timer(
            self._or(count, *large), self._or(current, *large), tick, rates, *parts,
            flags=flags, through=through, place=place,
        )  # fmt: skip


class Scene:
    """An aggregator with healthy and hostile workers, and the one above it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock(self.random.choice([0.0, 1000.0, 1e6]))
        self.healthy = Simulated(self.clock, 77)
        self.remote = Simulated(OtherClock(self.clock, 12_345.0), 78, machine="other")
        self.hostile = [Hostile(self.random, self.clock) for _ in range(4)]
        self.options: Dict[str, Any] = {"by_worker": self.random.random() < 0.3}
        self.is_limited = self.random.random() < 0.4
        if self.is_limited:
            self.options.update(max_series=40, max_tag_sets=5)
        self.aggregator = self._aggregator()
        self.deliveries = Deliveries()
        self.top = Asking(self.clock)
        self.up = self._upward()
        self.counted: Counter[str] = Counter()
        """What aggregators have counted that were restarted."""

    def _aggregator(self) -> Asking:
        made = Asking(self.clock, [self.healthy, self.remote], **self.options)
        made.ask = self._ask
        made.confirm = lambda worker: None
        made.dismiss = lambda identity, position: None
        return made

    def _ask(self, worker: Worker) -> None:
        """Let a worker hear that it is to begin anew."""
        for hostile in self.hostile:
            if hostile.identity == worker.identity:
                hostile.is_asked = True
        for healthy in (self.healthy, self.remote):
            assert healthy.identity != worker.identity

    def _upward(self) -> Simulated:
        up = Simulated(self.clock, 5, registry=self.aggregator, settles=False, identity=b"u" * 16)
        self.top.introduce(up)
        return up

    def run(self, steps: int) -> None:
        """Send so many hostile frames, with looks at everything in between."""
        for step in range(steps):
            self.aggregator.apply(self.random.choice(self.hostile).frame())
            chance = self.random.random()
            if chance < 0.3:
                self.clock.advance(self.random.choice([0.1, 1.0, 5.0, 20.0]))
            if chance < 0.15:
                self.record()
            if chance < 0.08 or step == steps - 1:
                self.look()
            if chance < 0.01:
                self.restart()

    def record(self) -> None:
        """Let the healthy workers record, and tell it."""
        for worker, name in ((self.healthy, "healthy"), (self.remote, "remote")):
            for kind in ("counter", "gauge", "meter"):
                record(worker, kind, self.random.randrange(1, 100), f"{name}.{kind}")
            for kind in ("histogram", "timer"):
                record(worker, kind, self.random.lognormvariate(0, 2), f"{name}.{kind}")
            worker.tell(self.aggregator)

    def look(self) -> None:
        """See that everything can be read, and that healthy workers are exact: here, one level up, in what is kept."""
        self.record()
        self.aggregator.tidy()
        self.top.tidy()
        self.up.tell(self.top)
        self.assert_page(self.aggregator)
        self.assert_page(self.top)
        assert told(self.top)["bad_frames"] == 0
        kept = restarted(self.aggregator)
        shown, healthy, remote = (each.get_stats() for each in (kept, self.healthy.registry, self.remote.registry))
        for key in KEPT:
            assert_alike(shown.healthy[key], healthy.healthy[key], key)
            assert shown.remote[key].get("count") == remote.remote[key].get("count")
        assert len(kept) > 5

    def assert_page(self, registry: Registry) -> None:
        """Check a page, as JSON and as StatsD, with all series on it."""
        snapshot = registry.snapshot()
        assert len(snapshot.readings) == len(registry)
        page = json.loads(JsonFormat().encode(snapshot), parse_constant=_refuse)
        for key, wanted in self.healthy.registry.get_stats().healthy.items():
            if self.is_limited and key == "gauge":
                continue  # gauges are not kept, so after a restart others may have had its place
            shown = {statistic: page["healthy"][key][statistic] for statistic in wanted}  # and those of workers
            assert_alike(shown, wanted.to_dict(), key)
        for key, wanted in self.remote.registry.get_stats().remote.items():
            if self.is_limited and key == "gauge":
                continue
            for statistic in ("value", "count"):
                assert page["remote"][key].get(statistic) == wanted.get(statistic)
        named = names(snapshot, "", "name")
        changes = self.deliveries.changes(snapshot.readings)
        for line in chain.from_iterable([*counters(changes, named), *gauges(snapshot, named)]):
            assert "nan" not in line
            assert "inf" not in line

    def restart(self) -> None:
        """Let another aggregator take the place of this one, with what it has kept."""
        self.counted.update(told(self.aggregator))
        content = state_format.encode(self.aggregator)
        self.aggregator = self._aggregator()
        state_format.fill(self.aggregator, state_format.decode(content))
        self.up = self._upward()
        for worker in (self.healthy, self.remote):
            worker.publisher.begin()
            worker.tell(self.aggregator)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@pytest.mark.parametrize("seed", range(*SEEDS))
def test_nothing_that_a_worker_says_does_any_harm(seed: int) -> None:
    """No exception, no page and no line without its numbers, and the workers beside it are exact."""
    scene = Scene(seed)
    scene.record()
    scene.run(STEPS)

    counted = scene.counted + Counter(told(scene.aggregator))
    assert 0 < counted["bad_frames"] < counted["messages"], "Neither all of it nor nothing was refused."
