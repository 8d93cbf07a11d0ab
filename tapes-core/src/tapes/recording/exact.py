"""Which values count as numbers, and their conversion to plain Python numbers."""

from __future__ import annotations

import sys
from math import inf
from operator import index
from typing import Any, Optional

from tapes.state.numbers import saturated


def is_number(value: object) -> bool:
    """Return whether `value` has a type of real numbers.

    These are the types registered as `numbers.Real`, like numpy's scalars, and Decimal. An array is not a number,
    whatever it holds: one with a single element may convert to a number, yet it computes element by element.
    """
    kind = type(value)
    if issubclass(kind, (int, float)) or _is_a("Real", kind):
        return kind.__name__ != "timedelta64"  # an int to numpy, but with a unit
    if _is_a("Number", kind):
        return not _is_a("Complex", kind)  # Decimal
    return kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")


def exact(value: object) -> Optional[float]:
    """Return `value` as a plain int or float; None if it is not a finite real number.

    Whole numbers stay exact, others become the nearest float. Numbers beyond the largest float become that one (see
    `tapes.state.numbers`). A subclass of int or float counts as the number it holds, whatever methods it overrides.
    """
    kind: Any = type(value)
    try:
        if issubclass(kind, int):
            number: float = int.__add__(value, 0)  # type: ignore[operator]  # the type was just checked
        elif issubclass(kind, float):
            number = float.__float__(value)  # type: ignore[arg-type]  # the type was just checked
        elif is_number(value):
            number = _converted(value)
        else:
            return None
    except Exception:  # noqa: BLE001  a foreign number's methods may raise anything
        return None
    return saturated(number) if number - number == 0 else None


def _is_a(name: str, kind: type) -> bool:
    """Return whether `kind` is a subclass of this class of the module `numbers`.

    A type that is one has imported the module. So this imports nothing, which matters when a signal handler records,
    or when a fork comes in the middle.
    """
    abstract = getattr(sys.modules.get("numbers"), name, None)
    return abstract is not None and issubclass(kind, abstract)


def _converted(value: Any) -> float:
    if _is_a("Integral", type(value)):
        return int(index(value))
    try:
        number = float(value)
    except OverflowError:  # from a Fraction
        return saturated(-inf if value < 0 else inf)
    if number == value or number != number:
        return number
    if number in (inf, -inf):
        return saturated(number)  # the value is finite, but beyond the range of floats
    whole = int(value)
    return whole if whole == value else number
