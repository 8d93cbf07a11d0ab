"""Classic buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.registry import Registry
from tapes.reporting.prometheus.buckets import ANYTHING, SECONDS, Bounds
from tapes.state.distribution import EMPTY

VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-20, 20),
    st.sampled_from([0.0, 0.005, 0.25, 1.0, 2.5, 10.0, 10.0 + 2**-6]),
)


@pytest.mark.parametrize("bounds", [SECONDS, ANYTHING, Bounds([-2.5, -1, 0, 1])], ids=["seconds", "any", "negative"])
@given(values=st.lists(VALUES, max_size=30))
def test_a_bucket_has_all_up_to_its_bound_and_none_from_a_step_beyond(bounds: Bounds, values: list[float]) -> None:
    """Of any values, also those of other processes."""
    registry = Registry()
    histogram = registry.histogram("values")
    for value in values:
        histogram.update(value)
    (reading,) = registry.snapshot().readings

    counts = bounds.counts(histogram.kind.distribution(reading.state))

    assert counts[-1] == len(values)
    for text, count in zip(bounds.texts[:-1], counts):
        bound = float(text)
        beyond = max(bound * (1 + 1 / 64), bound * (1 - 1 / 64))
        below = sum(value < beyond if bound > 0 else value <= beyond for value in values)
        assert sum(value <= bound for value in values) <= count <= below
    assert counts == sorted(counts)


def test_no_values() -> None:
    """All buckets are empty."""
    assert Bounds([1, 2]).counts(EMPTY) == [0, 0, 0]
    assert Bounds([1, 2]).texts == ("1.0", "2.0", "+Inf")
