"""The public API as type checkers see it. Nothing in here is run."""

from __future__ import annotations

import abc
import time
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, AsyncIterator, ClassVar, Iterator, List, Type

from typing_extensions import assert_type

import tapes
from tapes.facts import Facts
from tapes.instruments import Counter, Gauge, Histogram, Instrument, Meter, Timer
from tapes.snapshot import Reading, Snapshot, Statistics

registry = tapes.Registry(max_tag_sets=10)

assert_type(tapes.counter("a"), Counter)
assert_type(tapes.gauge("a"), Gauge)
assert_type(tapes.histogram("a", {"k": "v"}), Histogram)
assert_type(tapes.meter("a", tags={"k": "v"}), Meter)
assert_type(registry.timer("a"), Timer)
assert_type(registry.gauge("a", lambda: 3, {"k": "v"}, merge="max"), Gauge)
assert_type(tapes.counter("a", description="What it counts."), Counter)
assert_type(tapes.counter("a", {"k": "v"}, producer=time.process_time, unit="s"), Counter)
assert_type(tapes.gauge("a", description="What it is.", unit="bytes"), Gauge)
assert_type(registry.histogram("a", {"k": "v"}, unit="bytes"), Histogram)
assert_type(registry.meter("a", unit=None), Meter)
assert_type(registry.timer("a", description=None), Timer)
assert_type(registry.facts("a"), Facts)
assert_type(registry.rollup("a"), List[Reading])
assert_type(registry.rollup("a", by=("route", "method"))[0].statistics, Statistics)
assert_type(registry.rollup("a", {"route"}), List[Reading])
assert_type(registry.snapshot().readings[0].facts.unit, str)
assert_type(registry.snapshot(), Snapshot)
assert_type(registry.snapshot().readings[0], Reading)
assert_type(next(iter(registry)), Instrument)
assert_type(registry.remove("a", {"k": "v"}), bool)
assert_type(len(registry), int)
assert_type(tapes.__version__, str)

tapes.counter("a").increment()
tapes.counter("a").increment(0.5)
tapes.counter("a").increment("1")  # type: ignore[arg-type]  # no number
tapes.counter("a").decrement(2)
tapes.counter("a").mark()  # type: ignore[attr-defined]  # of a meter
tapes.gauge("a").set(None)  # type: ignore[arg-type]  # no number
tapes.meter("a").mark(3)
tapes.meter("a").mark(0.5)  # type: ignore[arg-type]  # half an event
tapes.meter("a").mark_exceptions(ValueError, KeyError)
tapes.meter("a").mark_exceptions(3)  # type: ignore[arg-type]  # no exception
tapes.histogram("a").update(timedelta(1))  # type: ignore[arg-type]  # no unit
tapes.timer("a").update(timedelta(1))
tapes.timer("a").update(0.5)
tapes.counter("a").increment(Decimal("0.5"))
tapes.gauge("a").set(Fraction(1, 2))
tapes.meter("a").mark(True)
tapes.histogram("a").update(Fraction(1, 2))
tapes.timer("a").update(Decimal("0.5"))
tapes.histogram("a").update(1j)  # type: ignore[arg-type]  # no real number
tapes.timer("a").time(print)  # type: ignore[arg-type]  # without parentheses
tapes.gauge("a").track_in_progress(print)  # type: ignore[arg-type]  # without parentheses
tapes.counter(3)  # type: ignore[arg-type]  # no name
tapes.counter("a", {"k": 1})  # type: ignore[dict-item]  # no str
tapes.counter("a", ["k"])  # type: ignore[arg-type]  # no mapping
registry.rollup("a", by=3)  # type: ignore[arg-type]  # no keys
tapes.counter("a", producer=3)  # type: ignore[arg-type]  # no function
tapes.timer("a", producer=time.time)  # type: ignore[call-arg]  # of counters and gauges
tapes.counter("a", description=3)  # type: ignore[arg-type]  # no str
tapes.meter("a", descripton="What it is.")  # type: ignore[call-arg]  # misspelt
tapes.timer("a", None, "What it is.")  # type: ignore[call-arg]  # for keywords only
tapes.gauge("a", 3)  # type: ignore[arg-type]  # no producer

if TYPE_CHECKING:
    Metered = abc.ABCMeta
else:
    Metered = tapes.metered_meta(
        [("latency", "http.{}.latency", tapes.timer), ("errors", "http.{}.errors", tapes.meter)], base=abc.ABCMeta
    )


class Handler(metaclass=Metered):
    """A class whose metrics type checkers know."""

    latency: ClassVar[Timer]
    errors: ClassVar[Meter]

    @abc.abstractmethod
    def get(self) -> str:
        """Answer."""


class Cart(Handler):
    """A class with metrics of its own."""

    @property
    def route(self) -> str:
        """Use a metric by the instance."""
        assert_type(self.latency, Timer)
        return self.errors.name

    def get(self) -> str:
        """Answer."""
        with self.latency.time():
            return "cart"


assert_type(Cart.latency, Timer)
assert_type(Cart().errors, Meter)
Cart.sizes  # type: ignore[attr-defined]  # no such metric  # noqa: B018
Handler()  # type: ignore[abstract]  # as the base says


class Bare(metaclass=tapes.metered_meta([])):  # type: ignore[metaclass]  # no type checker takes a call for one
    """What the form above is for."""


metaclass = tapes.metered_meta([("latency", "http.{}.latency", tapes.timer)], base=abc.ABCMeta)
assert_type(metaclass, Type[type])
tapes.metered_meta([("latency", "http.{}.latency")])  # type: ignore[list-item]  # no factory


@tapes.timer("a").time()
def function(a: int, *, b: str = "") -> str:
    """Keep its type when it is decorated."""
    return b * a


@tapes.gauge("a").track_in_progress()
async def coroutine(a: int) -> str:
    """Likewise."""
    return str(a)


@tapes.meter("a").mark_exceptions(KeyError)
def generator(a: int) -> Iterator[str]:
    """Likewise."""
    yield str(a)


@tapes.timer("a").time()
async def async_generator(a: int) -> AsyncIterator[str]:
    """Likewise."""
    yield str(a)


class Shop:
    """A method keeps its type, too."""

    @tapes.timer("a").time()
    def sell(self, article: str) -> int:
        """Likewise."""
        return len(article)

    @property
    @tapes.timer("a").time()
    def open(self) -> bool:
        """Likewise."""
        return True


async def used() -> None:
    """Use them all."""
    assert_type(function(1, b="x"), str)
    function("1")  # type: ignore[arg-type]  # as of the function itself
    assert_type(await coroutine(1), str)
    assert_type(generator(1), Iterator[str])
    assert_type(async_generator(1), AsyncIterator[str])
    assert_type(Shop().sell("x"), int)
    assert_type(Shop().open, bool)
    with tapes.timer("a").time(), tapes.gauge("a").track_in_progress(), tapes.meter("a").mark_exceptions():
        pass
    tapes.timer("a").time()(3)  # type: ignore[type-var]  # no function
