"""Whatever is a real number is made the exact Python number when it is recorded, in every kind."""

from __future__ import annotations

import enum
import json
import logging
import math
import sys
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Dict, List

import pytest

from tapes.errors import InvalidTypeError, MetricError
from tapes.registry import Registry
from tapes.testing import ManualClock

LARGEST = sys.float_info.max


class Level(enum.IntEnum):
    """Ints with names."""

    HIGH = 3


class Celsius(float):
    """A float that does everything in another way, or not at all."""

    def __add__(self, other: object) -> float:
        raise RuntimeError("add degrees to degrees only")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __lt__ = __gt__ = __le__ = __add__  # type: ignore[assignment]  # on purpose

    def __float__(self) -> float:
        return 0.0


class Ticks(int):
    """The same of an int."""

    def __add__(self, other: object) -> int:
        raise RuntimeError("add ticks to ticks only")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __lt__ = __gt__ = __le__ = __add__  # type: ignore[assignment]  # on purpose

    def __int__(self) -> int:
        return 0

    __index__ = __int__

    def __float__(self) -> float:
        return 0.0


ALIKE: List[Any] = [3, 3.0, Level.HIGH, Celsius(3.0), Ticks(3), Decimal(3), Decimal("3.0"), Fraction(6, 2)]


def recorders(registry: Registry, value: Any) -> Dict[str, Callable[[], Any]]:
    """Return a call for each way to record `value`, by the name of the metric that it goes to."""
    registry.gauge("produced", lambda: value)
    return {
        "added": lambda: registry.counter("added").increment(value),
        "taken": lambda: registry.counter("taken").decrement(value),
        "set": lambda: registry.gauge("set").set(value),
        "risen": lambda: registry.gauge("risen").increment(value),
        "fallen": lambda: registry.gauge("fallen").decrement(value),
        "marked": lambda: registry.meter("marked").mark(value),
        "updated": lambda: registry.histogram("updated").update(value),
        "timed": lambda: registry.timer("timed").update(value),
    }


def recorded(value: Any, times: int = 1) -> Dict[str, Any]:
    """Return all statistics of a registry to which `value` was recorded in each way, so many times."""
    registry = Registry(clock=ManualClock())
    for record in recorders(registry, value).values():
        for _ in range(times):
            record()
    return shown(registry)


def shown(registry: Registry) -> Dict[str, Any]:
    """Return all statistics, by way of JSON."""
    stats: Dict[str, Any] = json.loads(json.dumps(registry.get_stats(), allow_nan=False))
    return stats


@pytest.mark.parametrize("value", ALIKE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("times", [1, 20])
def test_every_type_of_number_is_recorded_alike(value: Any, times: int) -> None:
    """Three is three, whatever type it is of and whatever methods that overrides."""
    assert recorded(value, times) == recorded(3, times)


def test_every_scalar_of_numpy_is_recorded_alike() -> None:
    """What arrays hand out is as good as any other number."""
    numpy = pytest.importorskip("numpy")
    expected = recorded(3)

    for code in "bBhHiIlLqQefdg":
        assert recorded(numpy.dtype(code).type(3)) == expected, code


@pytest.mark.parametrize("code", "bBhHiIlLqQefd")
def test_sums_of_numpy_scalars_do_not_run_over(code: str) -> None:
    """Thousands of the largest values of a small type make the sum that ints and floats would make."""
    numpy = pytest.importorskip("numpy")
    scalar = numpy.dtype(code).type
    largest = numpy.iinfo(scalar).max if code not in "efd" else scalar(60_000)
    registry = Registry(clock=ManualClock())
    for _ in range(3000):
        registry.histogram("h").update(scalar(largest))
        registry.timer("t").update(scalar(largest))
        registry.counter("c").increment(scalar(largest))
        registry.gauge("g").increment(scalar(largest))
    stats = shown(registry)

    total = 3000 * int(largest)
    assert stats["h"]["sum"] == stats["t"]["sum"] == pytest.approx(float(total), rel=1e-12)
    assert stats["h"]["mean"] == stats["h"]["max"] == float(largest)
    assert stats["h"]["stddev"] == 0.0
    assert stats["c"]["value"] == stats["g"]["value"] == total


def test_the_booleans_of_python_and_numpy_count_as_one() -> None:
    """True is one event."""
    numpy = pytest.importorskip("numpy")
    for value in (True, numpy.bool_(True)):
        stats = recorded(value)

        assert (stats["added"]["value"], stats["marked"]["count"], stats["updated"]["sum"]) == (1, 1, 1.0)
        assert stats["produced"]["value"] == 1


@pytest.mark.parametrize("value", [2**53 + 1, Decimal(2**53 + 1), Fraction(2**53 + 1), 2**1000 + 1, Decimal(2**90 + 1)])
def test_whole_numbers_stay_exact(registry: Registry, value: Any) -> None:
    """Also those that a float could not tell from their neighbours."""
    registry.counter("c").increment(value)
    registry.gauge("g").set(value)

    assert registry.get_stats().c.value == registry.get_stats().g.value == int(value)


@pytest.mark.parametrize(
    "value",
    [10**400, 10**5000, Decimal("1e400"), Decimal("1e999999"), Fraction(10**400, 3)],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_beyond_all_floats_is_the_largest(value: Any, sign: int) -> None:
    """It is a number, so it is recorded, as large as numbers get."""
    registry = Registry(clock=ManualClock())
    registry.counter("c").increment(value * sign)
    registry.gauge("g").set(value * sign)
    registry.gauge("p", lambda: value * sign)
    registry.histogram("h").update(value * sign)
    for _ in range(20):
        registry.histogram("many").update(1)
    registry.histogram("many").update(value * sign)
    stats = shown(registry)

    assert stats["c"]["value"] == stats["g"]["value"] == stats["p"]["value"] == sign * LARGEST
    assert stats["h"]["sum"] == stats["h"]["max"] == stats["h"]["q50"] == sign * LARGEST
    assert (stats["many"]["q50"], stats["many"]["count"]) == (pytest.approx(1, rel=0.01), 21)


def test_what_is_beyond_in_numpy_is_the_largest() -> None:
    """A long double may be larger than any float, without being infinite."""
    numpy = pytest.importorskip("numpy")
    value = numpy.longdouble("1e4000")
    if not numpy.isfinite(value):
        pytest.skip("long doubles are doubles here")
    gauge = Registry(clock=ManualClock()).gauge("g")
    gauge.set(value)

    assert gauge.read(0.0).last == LARGEST
    with pytest.raises(MetricError):
        gauge.set(numpy.longdouble("inf"))


@pytest.mark.parametrize(
    "make",
    [
        lambda numpy: numpy.array(3),
        lambda numpy: numpy.array(3.0),
        lambda numpy: numpy.array([3]),
        lambda numpy: numpy.array([[3.0]]),
        lambda numpy: numpy.array([1.0, 2.0]),
        lambda numpy: numpy.array([], dtype=float),
        lambda numpy: numpy.ma.masked,
        lambda numpy: numpy.str_("3"),
        lambda numpy: numpy.complex64(3),
        lambda numpy: numpy.timedelta64(3, "s"),
        lambda numpy: numpy.datetime64("2026-01-01"),
    ],
)
def test_arrays_and_what_has_a_unit_are_refused(make: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """At the call, by every kind, although arrays of one element convert to numbers; of a producer it is no value."""
    value = make(pytest.importorskip("numpy"))
    registry = Registry(clock=ManualClock())
    for name, record in recorders(registry, value).items():
        with pytest.raises(InvalidTypeError, match=f"^'{name}' takes .*convert it with int"):
            record()

    assert shown(registry)["produced"]["value"] is None
    assert "which is no finite number" in caplog.text


class Timedelta(timedelta):
    """A duration that knows more than microseconds, as that of pandas does."""

    def total_seconds(self) -> float:
        """Return one nanosecond more than others would."""
        return super().total_seconds() + 1e-9


def test_durations_of_every_type() -> None:
    """A subclass of timedelta says itself how many seconds it is."""
    registry = Registry(clock=ManualClock())
    for duration in (timedelta(seconds=1), Timedelta(seconds=2), Fraction(1, 2), Decimal("0.5")):
        registry.timer("t").update(duration)

    assert registry.get_stats().t.sum == pytest.approx(4.000000001, abs=1e-12)


@pytest.mark.parametrize(
    "duration",
    [-1, -0.5, -1e-300, -(10**400), Decimal(-1), Fraction(-1, 3), timedelta(seconds=-1)],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("others", [0, 20])
def test_durations_below_zero_are_zero(duration: Any, others: int, caplog: pytest.LogCaptureFixture) -> None:
    """A clock that is set back costs one duration and one line in the log, however often it happens."""
    registry = Registry(clock=ManualClock())
    timer = registry.timer("t")
    for _ in range(others):
        timer.update(2.0)
    timer.update(duration)
    first = shown(registry)["t"]
    timer.update(duration)
    second = shown(registry)["t"]

    assert (first["count"], first["sum"], first["min"]) == (others + 1, 2.0 * others, 0.0)
    assert (second["count"], second["sum"], second["min"]) == (others + 2, 2.0 * others, 0.0)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "The timer 't' was given 1 duration below zero, recorded as zero. Further ones are not logged. Measure with a "
        "clock that is never set back, like time.monotonic()."
    )


class SetBack(ManualClock):
    """A clock that somebody sets back."""

    def monotonic(self) -> float:
        """Return the time as it was set."""
        return super().monotonic() + self.offset

    offset = 0.0


def test_a_block_over_which_the_clock_is_set_back(caplog: pytest.LogCaptureFixture) -> None:
    """A block took no less than no time."""
    clock = SetBack()
    registry = Registry(clock=clock)
    clock.advance(100)
    with caplog.at_level(logging.WARNING), registry.timer("t").time():
        clock.offset = -1.0
    stats = shown(registry)["t"]

    assert (stats["count"], stats["sum"], stats["min"]) == (1, 0.0, 0.0)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_a_value_that_changes_after_it_was_recorded(kind: str) -> None:
    """Nothing that can change is kept."""
    numpy = pytest.importorskip("numpy")
    array = numpy.array([3.0, 4.0])
    registry = Registry(clock=ManualClock())
    metric: Any = getattr(registry, kind)("m")
    for value in array:
        metric.update(value)
    array[:] = math.nan

    assert shown(registry)["m"]["sum"] == 7.0
