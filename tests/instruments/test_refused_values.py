"""What cannot be recorded is refused at the call, and leaves no trace."""

from __future__ import annotations

import json
import math
from array import array
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Dict, Tuple

import pytest

from tapes.errors import InvalidTypeError, InvalidValueError, MetricError
from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock
from tests.instruments.bench import Bench

RECORDING: Dict[str, Callable[[Registry], Callable[[Any], Any]]] = {
    "Counter.increment": lambda registry: registry.counter("m").increment,
    "Counter.decrement": lambda registry: registry.counter("m").decrement,
    "Gauge.set": lambda registry: registry.gauge("m").set,
    "Gauge.increment": lambda registry: registry.gauge("m").increment,
    "Gauge.decrement": lambda registry: registry.gauge("m").decrement,
    "Meter.mark": lambda registry: registry.meter("m").mark,
    "Histogram.update": lambda registry: registry.histogram("m").update,
    "Timer.update": lambda registry: registry.timer("m").update,
}


class Elementwise:
    """Computes and compares as an array does: with other arrays as results, which are neither true nor false."""

    def __mul__(self, other: object) -> Elementwise:
        return self

    __rmul__ = __sub__ = __neg__ = __mul__

    def __ge__(self, other: object) -> Elementwise:
        return self

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array with more than one element is ambiguous.")


class Quantity:
    """A number with a unit, which is no plain number: it computes, but there is no float of it."""

    def __mul__(self, other: object) -> float:
        return 0.0

    def __neg__(self) -> Quantity:
        return self

    __abs__ = __neg__

    def __ge__(self, other: object) -> bool:
        return True

    __le__ = __ge__

    def __lt__(self, other: object) -> bool:
        return False

    __gt__ = __lt__

    def __int__(self) -> int:
        raise TypeError("a quantity is no int")

    def __float__(self) -> float:
        raise TypeError("a quantity is no float")

    def __repr__(self) -> str:
        return "3 metres"


class Unfloatable(Quantity):
    """The same without a word about floats."""

    __float__ = None  # type: ignore[assignment]  # on purpose


class SaysNaN(Quantity):
    """Something that turns out to be no number when it is looked at closely."""

    def __float__(self) -> float:
        return math.nan


class Raises(Quantity):
    """Something that breaks in a way of its own when it is looked at closely."""

    def __float__(self) -> float:
        raise AttributeError("no such unit")


class Pretends:
    """Something that says that it is a float, as stand-ins of tests do."""

    @property  # type: ignore[misc]  # on purpose
    def __class__(self) -> Any:
        return float


class Subclass(float):
    """A float of another class."""


NOT_FINITE = [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Subclass("nan")]

NO_NUMBERS: Tuple[Any, ...] = (
    *(None, "3", b"3", "", [1.0], (), {}, {1}, object(), float, lambda: 1),
    *(1j, complex(1, 0), array("d", [1.0]), array("d", [1.0, 2.0])),
    *(Elementwise(), Quantity(), Unfloatable(), SaysNaN(), Raises(), Pretends()),
)


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE], ids=lambda value: repr(value).partition(" at 0x")[0])
@pytest.mark.parametrize("recording", RECORDING)
def test_what_is_no_number_is_refused(recording: str, value: Any) -> None:
    """Nothing but finite numbers is taken, and what was refused is nowhere to be seen. Of NaN it is a ValueError."""
    clock = ManualClock()
    registry = Registry(clock=clock)
    record = RECORDING[recording](registry)
    before = json.dumps(registry.get_stats())

    with pytest.raises(MetricError) as caught:
        record(value)

    assert type(caught.value) is InvalidValueError or not any(value is each for each in NOT_FINITE)
    assert isinstance(caught.value, (ValueError, TypeError))
    clock.advance(10)
    assert json.dumps(registry.get_stats()) == before
    record(4)
    assert json.dumps(registry.get_stats(), allow_nan=False) != before


@pytest.mark.parametrize("value", [-1, -0.5, 1.5, 1e-9, Fraction(1, 2), Decimal("0.5"), 2**63, 10**400])
def test_a_meter_takes_whole_events_only(value: Any) -> None:
    """Neither a part of an event nor less than none is an event."""
    meter = Registry(clock=ManualClock()).meter("m")

    with pytest.raises(MetricError):
        meter.mark(value)

    assert meter.read(0.0).count == 0


@pytest.mark.parametrize("recording", [name for name in RECORDING if name != "Timer.update"])
def test_a_timedelta_is_for_timers_only(recording: str) -> None:
    """Other kinds have no unit."""
    with pytest.raises(InvalidTypeError):
        RECORDING[recording](Registry())(timedelta(seconds=1))


def test_refusals_between_records() -> None:
    """Among thousands of good values, none is lost on account of a bad one."""
    clock = ManualClock()
    histogram = Registry(clock=clock).histogram("m")
    for number in range(5000):
        histogram.update(1.0)
        with pytest.raises(MetricError):
            histogram.update([math.nan, "x", None, Elementwise()][number % 4])  # type: ignore[arg-type]  # on purpose

    statistics = Reading.of(histogram, 0.0).statistics

    assert (statistics["count"], statistics["sum"], statistics["q999"]) == (5000, 5000.0, 1.0)


@pytest.mark.parametrize(
    ("recording", "value", "says"),
    [
        ("Counter.increment", "3", "a finite number, not '3' (str): convert it with int() or float()."),
        ("Counter.decrement", None, "a finite number, not None (NoneType): convert it with int() or float()."),
        ("Gauge.set", math.nan, "a finite number, not nan: check the value, or leave it out."),
        ("Histogram.update", -math.inf, "a finite number, not -inf: check the value, or leave it out."),
        ("Histogram.update", Decimal("NaN"), "a finite number, not Decimal('NaN'): check the value, or leave it out."),
        (
            "Timer.update",
            "1s",
            "a finite number of seconds or a timedelta, not '1s' (str): convert it with int() or float().",
        ),
        ("Meter.mark", -1, "a number of events, an int from 0 to 2**63, not -1: check the value, or leave it out."),
    ],
)
def test_messages_name_the_metric_and_the_value(recording: str, value: Any, says: str) -> None:
    """Whoever reads the error knows which metric was given what."""
    with pytest.raises(MetricError) as caught:
        RECORDING[recording](Registry())(value)

    assert str(caught.value) == f"'m' takes {says}"


@pytest.mark.parametrize("types", [(1,), ("ValueError",), ((ValueError, KeyError),), (ValueError(),), (int,), (None,)])
def test_exceptions_to_mark_are_classes_of_exceptions(types: Any) -> None:
    """What could never be raised is told at once."""
    meter = Registry().meter("m")

    with pytest.raises(InvalidTypeError) as caught:
        meter.mark_exceptions(*types)

    assert str(caught.value) == (
        f"mark_exceptions() of 'm' takes exception classes, not {types[0]!r}: as a decorator it needs its parentheses, "
        "as in @metric.mark_exceptions()."
    )


@pytest.mark.parametrize(
    ("method", "decorate"),
    [
        ("time", lambda registry: registry.timer("m").time),
        ("track_in_progress", lambda registry: registry.gauge("m").track_in_progress),
        ("mark_exceptions", lambda registry: registry.meter("m").mark_exceptions),
    ],
)
def test_a_decorator_without_its_parentheses(method: str, decorate: Callable[[Registry], Any]) -> None:
    """It says at once what is missing, and does not wait for a call of what it made of the function."""
    with pytest.raises(InvalidTypeError, match=rf"^{method}\(\) of 'm' takes .*@metric\.{method}\(\)\.$"):

        @decorate(Registry())  # type: ignore[untyped-decorator]
        def function() -> None: ...


def test_a_scope_decorates_what_can_be_called() -> None:
    """A value is no function."""
    with pytest.raises(InvalidTypeError) as caught:
        Registry().timer("m").time()(3)  # type: ignore[type-var]  # on purpose

    assert str(caught.value) == ("<Timing for the timer 'm'> decorates functions, not 3 (int): put it below @property.")


def test_a_scope_goes_below_a_property(bench: Bench) -> None:
    """A property cannot be called."""
    for scope in bench.scopes():
        with pytest.raises(InvalidTypeError, match="put it below @property"):
            scope(property(lambda self: None))
