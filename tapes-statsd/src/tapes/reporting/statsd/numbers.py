"""Encodes numbers for StatsD. Pure functions."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Iterable, List

_LARGEST = sys.float_info.max
_LARGEST_INT = int(_LARGEST)


def plain(value: float) -> str:
    """Return a number as a decimal without an exponent, which parses to exactly the same number.

    StatsD computes with doubles: a number beyond the largest double is written as the largest. Not for NaN.
    """
    if value == 0:
        return "0"  # not -0, whose sign would make it a decrement
    if isinstance(value, int):
        return f"{max(-_LARGEST_INT, min(_LARGEST_INT, value)):d}"
    text = repr(value)
    if "e" in text or "n" in text:
        return format(Decimal(max(-_LARGEST, min(_LARGEST, value))) if "n" in text else Decimal(text), "f")
    return text[:-2] if text.endswith(".0") else text


def plain_each(values: Iterable[float]) -> List[str]:
    """Return each number as `plain` does."""
    return [plain(value) for value in values]


def signed(value: float) -> str:
    """Return a number with its sign, for the change of a counter."""
    text = plain(value)
    return text if text.startswith("-") else f"+{text}"
