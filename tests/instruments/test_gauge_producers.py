"""Gauges that ask a producer, and producers that fail."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import math
import signal
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Iterator, List

import pytest

from tapes.errors import InvalidTypeError, InvalidValueError
from tapes.registry import Registry
from tapes.testing import ManualClock


class Broken:
    """Something that raises an error, and cannot even be printed."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise RuntimeError("broken")

    def get(self) -> float:
        """Fail."""
        raise self.error


@pytest.fixture
def registry() -> Registry:
    """Return a registry with a counter, which has to be reported whatever the gauges do."""
    registry = Registry(clock=ManualClock())
    registry.counter("other").increment(3)
    return registry


def value_of(registry: Registry) -> Any:
    """Return what is reported of the gauge, with everything else being as it should."""
    stats = json.loads(json.dumps(registry.get_stats(), allow_nan=False))
    assert stats["other"] == {"value": 3}
    return stats["g"]["value"]


@pytest.mark.parametrize(
    ("produced", "value"),
    [(3, 3), (2.5, 2.5), (True, 1), (-0.0, 0.0), (2**70, 2**70), (Fraction(1, 4), 0.25), (Decimal("0.5"), 0.5)],
)
def test_what_is_produced_is_the_value(registry: Registry, produced: Any, value: Any) -> None:
    """Whatever is a number is shown as an int or a float."""
    registry.gauge("g", lambda: produced)

    assert value_of(registry) == value


def test_a_producer_is_asked_at_each_reading(registry: Registry) -> None:
    """And not in between."""
    numbers = iter(range(100))
    registry.gauge("g", lambda: next(numbers))

    assert [value_of(registry), value_of(registry), value_of(registry)] == [0, 1, 2]


NONSENSE = [None, "3", b"3", math.nan, math.inf, [1], {}, object(), 1j, Decimal("NaN"), Broken(KeyError())]


@pytest.mark.parametrize("produced", NONSENSE, ids=[str(number) for number in range(len(NONSENSE))])
def test_nonsense_is_no_value(registry: Registry, caplog: pytest.LogCaptureFixture, produced: Any) -> None:
    """What is no finite number is reported as null, which costs nothing else, and is logged."""
    registry.gauge("g", lambda: produced)

    assert value_of(registry) is None
    assert value_of(registry) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "error", [ValueError("x"), ZeroDivisionError(), StopIteration(), RecursionError(), MemoryError()]
)
def test_a_raising_producer_costs_its_own_value(
    registry: Registry, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Whatever it raises, even if its owner cannot be printed: the rest is reported."""
    registry.gauge("g", Broken(error).get)

    assert value_of(registry) is None
    assert len(caplog.records) == 1


class Timeout(BaseException):
    """What gevent raises at the end of a time limit is no Exception either."""


class GreenletExit(BaseException):
    """That by which gevent ends a greenlet."""


MAKE = {
    "gauge": lambda registry, producer: registry.gauge("g", producer),
    "counter": lambda registry, producer: registry.counter("g", producer=producer),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, GreenletExit])
def test_what_is_meant_for_the_program_is_let_through(
    registry: Registry, error: type[BaseException], make: Callable[..., object]
) -> None:
    """Ctrl-C and the end of a task are not the metric's to keep."""

    def raising() -> float:
        raise error

    make(registry, raising)

    with pytest.raises(error):
        registry.get_stats()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("error", [SystemExit(3), Timeout()], ids=repr)
def test_what_is_no_exception_costs_its_own_value(
    registry: Registry, error: BaseException, make: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    """With one log line a streak."""

    def raising() -> float:
        raise error

    make(registry, raising)
    registry.counter("served").increment()

    assert [registry.get_stats().served.value for _ in range(2)] == [1, 1]
    assert not value_of(registry)
    assert len(caplog.records) == 1


def _exit(*_: object) -> None:
    raise SystemExit(4)


class _Handler:
    def __call__(self, *_: object) -> None:
        raise Timeout


@pytest.mark.parametrize(
    ("handler", "error"), [(_exit, SystemExit), (functools.partial(_exit), SystemExit), (_Handler(), Timeout)]
)
def test_what_a_signal_handler_raises_is_let_through(
    registry: Registry, handler: Callable[..., None], error: type[BaseException]
) -> None:
    """Although it comes out of the producer that is asked at that moment: the program means to end."""

    def asked() -> float:
        signal.raise_signal(signal.SIGTERM)
        return 1.0

    registry.gauge("g", asked)
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(error):
            registry.get_stats()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_streak_of_failures_is_logged_once(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """The first failure in a row is told with its traceback, and so is the end of the row, and the next row."""
    caplog.set_level(logging.INFO)
    outcomes: Iterator[Any] = iter([1, None, ValueError("down"), "x", 4, 5, ValueError("again"), 6])

    def produce() -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    registry.gauge("g", produce)

    values = [value_of(registry) for _ in range(8)]

    assert values == [1, None, None, None, 4, 5, None, 6]
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "tapes.registry",
            "WARNING",
            (
                f"The gauge 'g' cannot be read, its producer {produce!r} returned None, which is no finite number: "
                "it is reported as null."
            ),
        ),
        ("tapes.registry", "INFO", "The gauge 'g' works again after 3 failures."),
        (
            "tapes.registry",
            "WARNING",
            f"The gauge 'g' cannot be read, its producer {produce!r} raised: it is reported as null.",
        ),
        ("tapes.registry", "INFO", "The gauge 'g' works again after 1 failure."),
    ]
    assert caplog.records[0].exc_info is None
    assert caplog.records[2].exc_info is not None
    assert "again" in str(caplog.records[2].exc_info[1])


def test_streaks_of_two_gauges_are_apart(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Each gauge has a row of failures of its own."""
    registry.gauge("g", lambda: None)
    registry.gauge("h", lambda: None)
    registry.get_stats()
    registry.get_stats()

    assert [record.getMessage()[:14] for record in caplog.records] == ["The gauge 'g' ", "The gauge 'h' "]


def test_a_producer_may_use_the_registry(registry: Registry) -> None:
    """It is called with no lock held: it may read and make metrics."""

    def produce() -> float:
        registry.counter("made.meanwhile").increment()
        return float(registry.counter("other").read(0.0).value)

    registry.gauge("g", produce)

    assert value_of(registry) == 3.0
    assert registry.get_stats().made.meanwhile.value == 2


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (lambda gauge: gauge.set(1), "set(), increment() and decrement()"),
        (lambda gauge: gauge.increment(), "set(), increment() and decrement()"),
        (lambda gauge: gauge.decrement(2), "set(), increment() and decrement()"),
        (lambda gauge: gauge.track_in_progress(), "track_in_progress()"),
    ],
)
def test_a_gauge_with_a_producer_is_not_set(registry: Registry, record: Any, what: str) -> None:
    """There would be two values."""
    gauge = registry.gauge("g", dict)

    with pytest.raises(InvalidTypeError) as caught:
        record(gauge)

    assert str(caught.value) == (
        f"The gauge 'g' has the producer {dict!r}, so {what} cannot be used: make a gauge without a producer."
    )


@pytest.mark.parametrize("method", ["set", "increment", "decrement"])
def test_what_is_no_number_is_refused_before_a_producer_is_mentioned(registry: Registry, method: str) -> None:
    """The value is the mistake that is nearer, and stays one when the producer is gone."""
    gauge = registry.gauge("g", dict)

    with pytest.raises(InvalidTypeError, match="takes a finite number"):
        getattr(gauge, method)("x")


def test_the_same_gauge_again(registry: Registry) -> None:
    """With the same producer, and without, it is the same gauge."""

    def produce() -> float:
        return 1.0

    gauge = registry.gauge("g", produce)

    assert registry.gauge("g", produce) is gauge
    assert registry.gauge("g") is gauge
    assert registry.gauge("g", tags={}) is gauge


def warnings(caplog: pytest.LogCaptureFixture) -> List[str]:
    """Return what was logged."""
    assert {(record.name, record.levelname) for record in caplog.records} <= {("tapes.registry", "WARNING")}
    return [record.getMessage() for record in caplog.records]


def test_the_newest_producer_is_asked(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Modules are reloaded, cells run again and objects made twice. It is logged once for each name."""
    gauge = registry.gauge("g", first := lambda: 1)

    assert registry.gauge("g", second := lambda: 2) is gauge
    assert value_of(registry) == 2
    for produced in (3, 4):
        assert registry.gauge("g", lambda produced=produced: produced) is gauge  # type: ignore[misc]  # no way to tell
    assert value_of(registry) == 4
    assert gauge.producer is not first
    assert warnings(caplog) == [
        (
            f"The gauge 'g' has a new producer: {second!r} is called from now on, instead of {first!r}. If you need "
            "both, give them different tags."
        )
    ]


def test_each_name_is_logged_by_itself(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Once, for as long as it is there; gauges that are told apart by tags, as the warning says, are not logged."""
    for pool in ("a", "b", "a"):
        registry.remove(pool)
        registry.gauge("g", dict, {"pool": pool})
        registry.gauge(pool, dict)
        registry.gauge(pool, list)

    assert [message[:13] for message in warnings(caplog)] == ["The gauge 'a'", "The gauge 'b'", "The gauge 'a'"]


def test_the_same_method_of_the_same_object_is_one_producer(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """And that of another object is another, even where the two are equal; the one before is let go of."""

    class Pool(list):  # type: ignore[type-arg]  # equal to others, as lists are
        def size(self) -> int:
            return 3

    pool, other = Pool(), Pool()
    gauge = registry.gauge("g", pool.size)
    registry.gauge("g", pool.size)
    assert warnings(caplog) == []
    registry.gauge("g", other.size)
    producer: Any = gauge.producer

    assert producer.__self__ is other
    assert len(warnings(caplog)) == 1


def test_a_producer_that_cannot_be_compared(registry: Registry) -> None:
    """Objects whose comparison raises or is no bool, as that of arrays, are told apart by what they are."""

    class Odd:
        __hash__ = None  # type: ignore[assignment]  # on purpose

        def __eq__(self, other: object) -> bool:
            raise ValueError

        def __call__(self) -> float:
            return 5.0

    registry.gauge("g", Odd())
    registry.gauge("g", Odd())

    assert value_of(registry) == 5.0


def test_a_gauge_that_gets_a_producer(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """It is asked from then on. Who has asked for the gauge without one goes on undisturbed."""
    gauge = registry.gauge("g")
    registry.gauge("g", lambda: 7)
    assert warnings(caplog) == []
    with gauge.track_in_progress():
        gauge.set(3)
        gauge.increment()
        assert value_of(registry) == 7

    assert value_of(registry) == 7


def test_a_gauge_that_was_set_gets_a_producer(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Not even a scope that is entered in that moment raises, and it is logged that what is set is not shown."""
    gauge = registry.gauge("g")
    scope = gauge.track_in_progress()
    with scope:
        registry.gauge("g", producer := lambda: 7)
    with scope:
        pass

    assert value_of(registry) == 7
    assert warnings(caplog) == [
        (
            f"The gauge 'g' was set by the program and has a producer now: {producer!r} is called from now on, and "
            "values that are set are not reported. If you need both, give them different tags."
        )
    ]


def test_the_series_of_an_overflow_can_be_set(registry: Registry) -> None:
    """What it is depends on how many tags there are already: nobody who sets a gauge of their own is to feel that."""
    limited = Registry(max_tag_sets=1)
    limited.gauge("g", dict, {"user": "0"})
    limited.gauge("g", lambda: 1, {"user": "1"})

    limited.gauge("g", tags={"user": "2"}).set(5)

    assert limited.get_stats().g["overflow=true"].value == 1


def test_whoever_publishes_asks_the_producer_too(registry: Registry) -> None:
    """There is nothing to fold: what is committed is of this moment."""
    values = iter([1, 2, 3])
    gauge = registry.gauge("g", lambda: next(values))

    states = [gauge.state(gauge.committed(now)) for now in (5.0, 7.5, 9.0)]

    assert [(state.last, state.last_at) for state in states] == [(1, 5.0), (2, 7.5), (3, 9.0)]


@pytest.mark.parametrize("producer", [3, "x", {"k": "v"}, 0, ""])
def test_a_producer_can_be_called(registry: Registry, producer: Any) -> None:
    """What cannot is refused, and no gauge is made."""
    with pytest.raises(InvalidTypeError) as caught:
        registry.gauge("g", producer)

    assert str(caught.value) == (
        "The producer of the gauge 'g' is called without arguments for the value, "
        f"but {producer!r} ({type(producer).__name__}) cannot be called: give a function, or use set()."
    )
    assert "g" not in registry.get_stats()


@pytest.mark.parametrize("merge", ["average", "", None, 3, "SUM"])
def test_a_way_to_merge_that_there_is_not(registry: Registry, merge: Any) -> None:
    """There are five, and no gauge is made with another."""
    with pytest.raises(InvalidValueError) as caught:
        registry.gauge("g", merge=merge)

    assert str(caught.value) == f"The gauge 'g' cannot be merged by {merge!r}: use one of sum, min, max, mean, last."
    assert "g" not in registry.get_stats()


def test_the_first_way_to_merge_stays(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """It need not be repeated, and is given by whoever gives one first."""
    gauge = registry.gauge("g")
    registry.gauge("g", merge="max")

    assert registry.gauge("g") is registry.gauge("g", merge="max") is registry.gauge("g", merge="sum") is gauge
    assert gauge.merge == "max"
    assert warnings(caplog) == []
    for _ in range(2):
        assert registry.gauge("g", merge="min") is gauge
    assert gauge.merge == "max"
    assert warnings(caplog) == [
        (
            "The gauge 'g' is merged by 'max', not by 'min': the first value stays. If you need both, give them "
            "different tags."
        )
    ]
