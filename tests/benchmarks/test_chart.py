"""The picture of the benchmarks."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.distributed.chart import COLOURS, Curve, Panel, chart, ticks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (4, [0, 1, 2, 3, 4]),
        (2_000, [0, 500, 1_000, 1_500, 2_000]),
        (2_001, [0, 1_000, 2_000, 3_000]),
        (262.1, [0, 100, 200, 300]),
        (0.0071, [0, 0.002, 0.004, 0.006, 0.008]),
    ],
)
def test_ticks_are_round_and_reach_as_far_as_the_values(most: float, expected: list[float]) -> None:
    """An axis has some four round numbers, the last of which is not below the largest value."""
    assert ticks(most) == pytest.approx(expected)


def test_curves_lie_between_the_axes_at_their_values() -> None:
    """A curve goes through its values, measured from the lower left corner of its panel, and says its last one."""
    picture = ElementTree.fromstring(
        chart("both", [0, 50, 100], "workers", [Panel("read", "s", [Curve("a", [0, 1, 4]), Curve("b", [0, 0, 0])])])
    )

    curves = [path.get("d") for path in picture.iter(f"{SVG}path") if path.get("fill") == "none"]
    assert curves == ["M0.0 200.0L150.0 150.0L300.0 0.0", "M0.0 200.0L150.0 200.0L300.0 200.0"]
    said = [text.text for text in picture.iter(f"{SVG}text") if text.get("fill") in COLOURS]
    assert said == ["4", "0"]


def test_what_is_written_in_a_picture_is_escaped() -> None:
    """Names may hold any character; the picture is well-formed."""
    picture = ElementTree.fromstring(chart("a < b & c", [1], "<x>", [Panel("t & u", "<s>", [Curve("<n>", [1])])]))

    assert picture[0].text == "a < b & c"
    assert {"<x>", "t & u, <s>", "<n>"} <= {text.text for text in picture.iter(f"{SVG}text")}


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (0.000006, "< 0.0001"), (0.00082, "0.00082"), (31.46, "31.5"), (262_144, "262,144")]
)
def test_values_are_said_in_plain_digits(value: float, said: str) -> None:
    """No value is written with an exponent, however small or large it is."""
    picture = ElementTree.fromstring(chart("t", [1], "x", [Panel("read", "s", [Curve("a", [value])])]))

    assert said in [text.text for text in picture.iter(f"{SVG}text") if text.get("fill") in COLOURS]
