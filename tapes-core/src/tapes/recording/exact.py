"""What counts as a number, and the exact Python number that it is."""

from __future__ import annotations

import sys
from math import inf
from operator import index
from typing import Any, Optional

from tapes.state.numbers import saturated


def is_number(value: object) -> bool:
    """Whether `value` is of a type of real numbers.

    Those are the types that say so by `numbers.Real`, as numpy's scalars do, and Decimal. Arrays are none, whatever
    they hold: some of one element convert to numbers, and compute element by element.
    """
    kind = type(value)
    if issubclass(kind, (int, float)) or _is_a("Real", kind):
        return kind.__name__ != "timedelta64"  # an int to numpy, but with a unit
    if _is_a("Number", kind):
        return not _is_a("Complex", kind)  # Decimal
    return kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")


def exact(value: object) -> Optional[float]:
    """Return `value` as an int or a float of Python itself, None if it is no finite real number.

    Whatever is whole stays exact, other numbers become the nearest float. What is beyond the largest float is that
    (see `tapes.state.numbers`). Subclasses are taken for what they hold, whatever methods they override.
    """
    kind: Any = type(value)
    try:
        if issubclass(kind, int):
            number: float = int.__add__(value, 0)  # type: ignore[operator]  # as was just seen
        elif issubclass(kind, float):
            number = float.__float__(value)  # type: ignore[arg-type]  # as was just seen
        elif is_number(value):
            number = _converted(value)
        else:
            return None
    except Exception:  # noqa: BLE001  whatever the methods of a foreign number raise
        return None
    return saturated(number) if number - number == 0 else None


def _is_a(name: str, kind: type) -> bool:
    """Whether a type says that it is one of these of the module `numbers`.

    To say so, it had to import the module. So nothing is imported here, where a signal handler may record, or a thread
    that is forked away in the middle.
    """
    abstract = getattr(sys.modules.get("numbers"), name, None)
    return abstract is not None and issubclass(kind, abstract)


def _converted(value: Any) -> float:
    if _is_a("Integral", type(value)):
        return int(index(value))
    try:
        number = float(value)
    except OverflowError:  # a Fraction
        return saturated(-inf if value < 0 else inf)
    if number == value or number != number:
        return number
    if number in (inf, -inf):
        return saturated(number)  # a finite number, beyond floats
    whole = int(value)
    return whole if whole == value else number
