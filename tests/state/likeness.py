"""Whether two views of states are the same."""

from __future__ import annotations

import math
from typing import Any


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same: floats to rounding, and all else exactly, the order of keys included."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
    return bool(one == other)
