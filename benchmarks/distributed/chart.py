"""Curves as a picture. Pure functions.

The picture has no background, and its colours can be told from a light page and from a dark one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

INK = "#7a8088"
COLOURS = ("#e0701a", "#2f81f7", "#2da44e")

_WIDTH, _HEIGHT = 300, 200  # of the area of one panel between its axes
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 28, 64, 50
_STEPS = 4  # of an axis, about
_ROUNDING = 1e-9
_LEAST = 0.0001  # of what is said in digits


class Curve(NamedTuple):
    """Values of one thing, at the same places as those of the others in its panel."""

    name: str
    values: Sequence[float]


class Panel(NamedTuple):
    """A pair of axes with the curves between them. Both axes begin at zero."""

    title: str
    unit: str
    curves: Sequence[Curve]


def chart(title: str, places: Sequence[float], below: str, panels: Sequence[Panel]) -> str:
    """Return the SVG of some panels side by side, which all have the same `places` along the axis described by `below`.

    Curves of the same name have the same colour, and each says its last value at its end.
    """
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    colours = dict(zip(names, COLOURS))
    step = _LEFT + _WIDTH + _RIGHT
    width, height = step * len(panels), _TOP + _HEIGHT + _BOTTOM
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    text = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {text}>',
        f"<title>{escape(title)}</title>",
        *_legend(names, colours),
    ]
    for number, panel in enumerate(panels):
        parts += [
            f'<g transform="translate({number * step + _LEFT} {_TOP})">',
            *_panel(panel, places, below, colours),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def ticks(most: float) -> list[float]:
    """Return round numbers from zero to the first that is not below `most`, about four steps apart."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(most / _STEPS))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * _STEPS >= most * (1 - _ROUNDING))
    return [index * step for index in range(math.ceil(most / step - _ROUNDING) + 1)]


def _legend(names: Sequence[str], colours: dict[str, str]) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        across = _LEFT + number * 240
        parts.append(f'<rect x="{across}" y="9" width="18" height="9" fill="{colours[name]}"/>')
        parts.append(f'<text x="{across + 26}" y="18">{escape(name)}</text>')
    return parts


def _panel(panel: Panel, places: Sequence[float], below: str, colours: dict[str, str]) -> list[str]:
    along = ticks(max(places))
    up = ticks(max(value for curve in panel.curves for value in curve.values))

    def x(place: float) -> str:
        return f"{place / along[-1] * _WIDTH:.1f}"

    def y(value: float) -> str:
        return f"{_HEIGHT - value / up[-1] * _HEIGHT:.1f}"

    parts = [f'<text y="-14" font-weight="bold">{escape(panel.title)}, {escape(panel.unit)}</text>']
    for value in up:
        parts += [
            f'<path d="M0 {y(value)}H{_WIDTH}" stroke="{INK}" stroke-opacity="0.3"/>',
            f'<text x="-8" y="{y(value)}" dy="4" text-anchor="end">{value:,g}</text>',
        ]
    parts += [f'<text x="{x(place)}" y="{_HEIGHT + 18}" text-anchor="middle">{place:,g}</text>' for place in along]
    parts.append(f'<text x="{_WIDTH / 2:g}" y="{_HEIGHT + 38}" text-anchor="middle">{escape(below)}</text>')
    for curve in panel.curves:
        colour = colours[curve.name]
        points = [(x(place), y(value)) for place, value in zip(places, curve.values)]
        path = "L".join(f"{across} {down}" for across, down in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"/>' for across, down in points]
        across, down = points[-1]
        last = escape(_short(curve.values[-1]))
        parts.append(f'<text x="{across}" y="{down}" dy="-8" text-anchor="end" fill="{colour}">{last}</text>')
    return parts


def _short(value: float) -> str:
    if 0 < value < _LEAST:
        return f"< {_LEAST}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
