"""Floats to draw examples from: of all sizes, and many near the edges of buckets and of ranges of them."""

from __future__ import annotations

import sys

from hypothesis import strategies as st

from tapes.state.buckets import LARGEST_NARROW, SMALLEST_NARROW

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NEAR_AN_EDGE = st.builds(
    lambda edge, ulps, sign: sign * edge * (1 + ulps * sys.float_info.epsilon),
    st.sampled_from([SMALLEST_NARROW, LARGEST_NARROW, 2.0**-127, 2.0**127, 1.0, 2.0**-1022, 1 + 1 / 64]),
    st.integers(-(1 << 30), 1 << 30),
    st.sampled_from([1, -1]),
)
SINGLES = st.floats(allow_nan=False, allow_infinity=False, width=32)
ANY = st.one_of(FINITE, NEAR_AN_EDGE, SINGLES)
