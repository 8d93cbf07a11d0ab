"""Quantiles beside the exact ones of the same values."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Callable, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.kinds.histogram import FRACTIONS
from tapes.recording import distribution_of
from tapes.state.buckets import key_of
from tapes.state.distribution import EMPTY, Distribution, unpacked
from tapes.state.quantiles import quantiles

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

SHAPES: Dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda r: r.random(),
    "lognormal": lambda r: r.lognormvariate(0.0, 2.0),
    "bimodal": lambda r: r.gauss(0.01, 0.001) if r.random() < 0.7 else r.gauss(3.0, 0.1),
    "constant": lambda r: 0.1,
    "heavy tail": lambda r: r.paretovariate(0.5),
    "negative": lambda r: -r.expovariate(3.0),
    "mixed sign with zeros": lambda r: r.choice([0.0, -0.0, r.gauss(0.0, 5.0)]),
    "integers": lambda r: r.randint(-5, 1000),
    "from 1e-9 to 1e9": lambda r: 10.0 ** r.uniform(-9, 9),
    "beyond single precision": lambda r: r.choice([-1, 1]) * 10.0 ** r.uniform(-300, 300),
    "subnormal": lambda r: 5e-324 * r.randint(0, 1 << 40),
    "huge integers": lambda r: r.choice([-1, 1]) * r.getrandbits(1000),
    "zero": lambda r: r.choice([0.0, -0.0]),
    "around the edges of single precision": lambda r: r.choice([2.0**-126, 3.4e38]) * r.uniform(0.9, 1.1),
}


def exact(values: List[float], fraction: float) -> float:
    """Return the nearest-rank quantile, computed without rounding."""
    return sorted(values)[max(0, math.ceil(Fraction(str(fraction)) * len(values)) - 1)]


def check(found: Distribution, values: List[float]) -> None:
    """Compare extremes and quantiles with the exact ones."""
    assert found.count == len(values)
    assert (found.minimum, found.maximum) == (float(min(values)), float(max(values)))
    for fraction, quantile in zip(FRACTIONS, quantiles(found, FRACTIONS)):
        wanted = exact(values, fraction)
        assert abs(quantile - wanted) <= abs(wanted) * 0.01, (fraction, quantile, wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 100, 5000])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_of_one_state(shape: str, count: int) -> None:
    """Every quantile is within 1 % of the exact one, and the extremes are exact, whatever the values are."""
    source = random.Random(f"{shape} {count}")
    values = [SHAPES[shape](source) for _ in range(count)]

    check(distribution_of(values, EMPTY), values)


@pytest.mark.parametrize("parts", [2, 7, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_of_merged_states(shape: str, parts: int) -> None:
    """Quantiles merged over any number of parts, empty and packed ones among them, are as good as those of one."""
    source = random.Random(f"{shape} of {parts}")
    values: List[float] = []
    merged = EMPTY
    for number in range(parts):
        share = [SHAPES[shape](source) for _ in range(0 if number == 1 else source.choice([1, 5, 20, 100]))]
        part = distribution_of(share, EMPTY) if share else EMPTY
        merged = merged.merge(unpacked(part.packed()) if number % 2 else part)
        values += share

    check(merged, values)


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_of_many_folds(shape: str) -> None:
    """Values that are taken in batch by batch are summarised as if they had come at once."""
    source = random.Random(shape)
    values: List[float] = []
    found = EMPTY
    for size in (1, 7, 8, 2048, 3, 500, 2049):
        batch = [SHAPES[shape](source) for _ in range(size)]
        found = distribution_of(batch, found)
        values += batch

    check(found, values)


@LAW
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_quantiles_of_anything(values: List[float]) -> None:
    """There are no values for which the promise does not hold."""
    check(distribution_of(values, EMPTY), values)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 19, 20, 21, 49, 50, 51, 100, 999, 1000, 1001, 2000, 5000, 9973])
def test_the_rank_of_a_quantile_is_exact(count: int) -> None:
    """q999 of 1000 values is the 999th, although 0.999 is no binary fraction; so for every fraction."""
    # Each value has a bucket of its own.
    values = [2.0 ** (number // 64 - 60) * (1 + number % 64 / 64) for number in range(count)]

    found = quantiles(distribution_of(values, EMPTY), FRACTIONS)

    assert [key_of(quantile) for quantile in found] == [key_of(exact(values, fraction)) for fraction in FRACTIONS]


def test_quantiles_of_nothing() -> None:
    """There is nothing, so all of them are 0."""
    assert quantiles(EMPTY, FRACTIONS) == [0.0] * 6


def test_quantiles_of_one_value_are_that_value() -> None:
    """Being clamped to the extremes, they are exact."""
    assert quantiles(distribution_of([0.3], EMPTY), FRACTIONS) == [0.3] * 6


def test_quantiles_ascend() -> None:
    """A larger fraction never has a smaller quantile."""
    source = random.Random("ascending")
    found = distribution_of([source.gauss(0, 1e3) for _ in range(999)], EMPTY)
    fractions = [number / 1000 for number in range(1, 1001)]

    assert quantiles(found, fractions) == sorted(quantiles(found, fractions))
