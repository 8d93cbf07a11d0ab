"""Numbers that are no ints or floats, in a program that has not imported `numbers` yet."""

from __future__ import annotations

from tests.conftest import RunScript

SCRIPT = """
import sys
import tapes

class Twice(int):
    pass

counter = tapes.counter("counted")

def attempt(value):
    try:
        counter.increment(value)
    except Exception as error:
        print(type(error).__name__)
    else:
        print(counter.read(0).value)

for value in (Twice(2), float("nan"), 1j, "1", None):
    attempt(value)
print("numbers" in sys.modules)

from decimal import Decimal
from fractions import Fraction

for value in (Decimal("0.5"), Fraction(1, 4), Decimal("nan"), 1j):
    attempt(value)
"""


def test_what_is_a_number_is_told_without_an_import(run_script: RunScript) -> None:
    """Who records in a signal handler, or in a thread that is forked away, imports nothing. Types that come count."""
    done = run_script(SCRIPT)

    invalid = ["InvalidValueError", "InvalidTypeError", "InvalidTypeError", "InvalidTypeError"]
    assert (done.stderr, done.stdout.split()) == (
        "",
        ["2", *invalid, "False", "2.5", "2.75", "InvalidValueError", "InvalidTypeError"],
    )
