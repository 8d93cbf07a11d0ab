"""Encodes the names of series for StatsD and its backends. Pure functions.

Letters, digits, `_`, `-` and `.` pass through Graphite, collectd and Datadog unchanged. The original StatsD drops most
other characters, which could merge two series, and some characters end the name. So each of them is written as its code
point: a space as `_0x20_`. A `_` before `0x` is written as `_0x5f_`, to tell it from such a code point. Different texts
stay different.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable, Dict, Literal, NamedTuple

from tapes.naming import tag_label

if TYPE_CHECKING:
    from typing import Match, Pattern

    from tapes.naming import Tags

TagStyle = Literal["name", "datadog"]
"""How tags are written: as segments of the name, or as in DogStatsD."""

_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]|_(?=0x)")
_IN_SEGMENT = re.compile(r"[^A-Za-z0-9_-]|_(?=0x)")
_IN_TAG_KEY = re.compile(r"[^A-Za-z0-9_./-]|_(?=0x)")
_IN_TAG_VALUE = re.compile(r"[^A-Za-z0-9_./:-]|_(?=0x)")

_CLASH = "_0x_"  # no text is ever encoded like this


class SeriesName(NamedTuple):
    """The name of a series: two parts of a line."""

    path: str
    """The part before the statistic, like `shop.orders.item_book`."""
    suffix: str
    """The end of the line: the tags in the style of DogStatsD, like `|#item:book`, or nothing."""


def safe_name(name: str) -> str:
    """Return a dotted name, with each character that StatsD cannot read as its code point."""
    return _safe(_IN_NAME, name)


def named(name: str, tags: Tags) -> SeriesName:
    """Append the tags to the name: `shop.orders` with `item=book` is `shop.orders.item_book`."""
    segments = [_safe(_IN_SEGMENT, f"{key}_{value}") for key, value in tags]
    return SeriesName(".".join([safe_name(name), *segments]), "")


def tagged(name: str, tags: Tags) -> SeriesName:
    """Put the tags into the suffix, as DogStatsD does: `|#item:book,colour:red`."""
    pairs = [f"{_safe(_IN_TAG_KEY, key)}:{_safe(_IN_TAG_VALUE, value)}" for key, value in tags]
    return SeriesName(safe_name(name), f"|#{','.join(pairs)}" if pairs else "")


STYLES: Dict[TagStyle, Callable[[str, Tags], SeriesName]] = {"name": named, "datadog": tagged}
"""The function of each style, which makes a series name from a name and tags."""


def distinguished(series: SeriesName, tags: Tags) -> SeriesName:
    """Return another name for a series whose name is taken.

    Tags in names can clash: `a` with `b=c` looks like `a.b_c`, and `b_c=d` like `b=c_d`.
    """
    return series._replace(path=f"{series.path}{_CLASH}{_safe(_IN_SEGMENT, tag_label(tags))}")


def _safe(unsafe: Pattern[str], text: str) -> str:
    return unsafe.sub(_code_point, text)


def _code_point(character: Match[str]) -> str:
    return f"_0x{ord(character[0]):x}_"
