"""Text for terminals."""

from __future__ import annotations

import pytest

from tapes.commands.layout import columns, duration, number, printable, series_table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (12, "12"),
        (12.0, "12"),
        (-3, "-3"),
        (123456789, "123456789"),
        (1234.5678, "1234.6"),
        (0.123456, "0.1235"),
        (1.5e300, "1.5e+300"),
        (1e-9, "1e-09"),
        (float("1e16"), "1e+16"),
        ("a\x1b[2Jb", "a?[2Jb"),
    ],
)
def test_numbers_are_short(value: object, shown: str) -> None:
    """Integers are whole, fractions have four digits, and nothing steers the terminal."""
    assert number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.9, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90000, "1 d 1 h")],
)
def test_durations_have_two_units(seconds: float, shown: str) -> None:
    """The largest ones."""
    assert duration(seconds) == shown


def test_columns_are_aligned() -> None:
    """The last one is as wide as it is."""
    assert columns([("A", "LONG", "C"), ("abc", "d", "e f")]) == "A    LONG  C\nabc  d     e f"


WIDE = """\
NAME            N     q
a               1   0.5
much.too.long  22  0.25"""

NARROW = """\
NAME      N     q
a         1   0.5
much.too.long
         22  0.25"""


@pytest.mark.parametrize(("width", "shown"), [(80, WIDE), (23, WIDE), (17, NARROW)])
def test_names_that_are_too_long_have_their_own_lines(width: int, shown: str) -> None:
    """Where there is room, all is in columns."""
    rows = [("a", "1", "0.5"), ("much.too.long", "22", "0.25")]

    assert "\n".join(series_table(("NAME", "N", "q"), rows, width)) == shown


def test_what_could_steer_a_terminal_is_replaced() -> None:
    """Names and tags come from other processes."""
    assert printable("a\x1b]0;x\x07\u202eb\u00e9") == "a?]0;x??b\u00e9"
