"""Many values are counted into the buckets that each of them belongs into."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from typing import List

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.recording.core import Core
from tapes.state.buckets import LARGEST_NARROW, SMALLEST_NARROW, key_of
from tapes.state.distribution import EMPTY
from tests.state.floats import ANY

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=150)


@pytest.mark.parametrize("repetitions", [1, 8, 2500])
@LAW
@given(value=ANY)
@example(value=math.nextafter(SMALLEST_NARROW, 0.0))
@example(value=SMALLEST_NARROW * (1 - 2.0**-30))
@example(value=SMALLEST_NARROW)
@example(value=LARGEST_NARROW)
@example(value=math.nextafter(LARGEST_NARROW, math.inf))
@example(value=3.4e38)
@example(value=-3.4e38)
@example(value=3.4028235677973366e38)
@example(value=1e39)
@example(value=-0.0)
@example(value=2.0**-149)
@example(value=sys.float_info.max)
def test_counting_in_bulk_finds_the_same_bucket(core: Core, repetitions: int, value: float) -> None:
    """A value counted with many others falls into the bucket that it falls into alone."""
    found = core.distribution_of([value] * repetitions, EMPTY)

    assert dict(found.buckets.items()) == {key_of(value): repetitions}


@LAW
@given(st.lists(ANY, min_size=8, max_size=60))
def test_counting_in_bulk_counts_each_value_once(core: Core, values: List[float]) -> None:
    """Values of all sizes and signs together are counted into the same buckets as one by one."""
    assert dict(core.distribution_of(values, EMPTY).buckets.items()) == Counter(map(key_of, values))


def test_both_zeros_share_a_bucket(core: Core) -> None:
    """0.0 and -0.0 are the same value."""
    assert key_of(-0.0) == key_of(0.0) == 0
    assert dict(core.distribution_of([0.0, -0.0] * 8, EMPTY).buckets.items()) == {0: 16}


NEAR = [0.0, -0.0, 2.0**-140, 1.0, 1.0000001, 1.01, -1.0, 2.0**-127, 2.0**-126, 3.4e38, 1e300, 7]


@pytest.mark.parametrize("seed", range(40))
def test_batches_are_counted_as_all_values_together(core: Core, seed: int) -> None:
    """Whatever is new in a batch: an extreme in a known bucket or another, zero, a sign, beyond single floats."""
    some = random.Random(seed)
    ordinary = [some.lognormvariate(0, 1) for _ in range(30)]
    batches = [
        [some.choice(some.choice([ordinary, NEAR])) for _ in range(some.choice([1, 8, 40]))]
        if number % 2
        else [some.choice(ordinary) * some.choice([1.0, 1.0001, 0.9999]) for _ in range(some.choice([8, 40]))]
        for number in range(6)
    ]
    found = EMPTY
    for batch in batches:
        found = core.distribution_of(batch, found)
    values = [value for batch in batches for value in batch]

    assert dict(found.buckets.items()) == Counter(map(key_of, values))
    assert (found.count, found.minimum, found.maximum) == (len(values), min(values), max(values))


def test_what_is_nearly_zero_is_no_zero_after_one(core: Core) -> None:
    """Single precision makes zero of it, whose bucket is there already."""
    found = core.distribution_of([2.0**-150, 1.0] * 8, core.distribution_of([0.0, 1.0] * 8, EMPTY))

    assert dict(found.buckets.items()) == {0: 8, key_of(2.0**-150): 8, key_of(1.0): 16}
