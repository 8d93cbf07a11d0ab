"""Families as text: the format 0.0.4 of Prometheus, and OpenMetrics 1.0. Pure functions.

Specifications: Prometheus, Exposition formats; OpenMetrics 1.0.0.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Iterable, Iterator

from tapes.reporting.prometheus.families import COUNTER

if TYPE_CHECKING:
    from tapes.reporting.prometheus.buckets import Bounds
    from tapes.reporting.prometheus.families import Family, Labels
    from tapes.state.distribution import Distribution

_AT_ONCE = 1_000  # lines

_IN_VALUES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_HELP_OF_OPENMETRICS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def text(families: Iterable[Family], *, openmetrics: bool) -> bytes:
    """Return families in one of both formats."""
    lines = _lines(families, openmetrics)
    # In batches: to free all lines at once would keep every other thread from running.
    return b"".join(iter(lambda: "".join(islice(lines, _AT_ONCE)).encode("utf-8"), b""))


def _lines(families: Iterable[Family], openmetrics: bool) -> Iterator[str]:
    for family in families:
        yield _head(family, openmetrics)
        name = f"{family.name}_total" if family.type == COUNTER else family.name
        series = zip(map(written, family.labels), family.values)
        if family.bounds is not None:
            for labels, distribution in series:
                # A sum that may fall is none for OpenMetrics.
                has_sum = not openmetrics or distribution.minimum >= 0
                yield _histogram(name, labels, distribution, family.bounds, has_sum)
        else:
            for labels, value in series:
                yield f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n"
    if openmetrics:
        yield "# EOF\n"


def _head(family: Family, openmetrics: bool) -> str:
    name = f"{family.name}_total" if family.type == COUNTER and not openmetrics else family.name
    description = family.description.encode("utf-8", "backslashreplace").decode("utf-8")
    description = description.translate(_IN_HELP_OF_OPENMETRICS if openmetrics else _IN_HELP)
    unit = f"# UNIT {name} {family.unit}\n" if openmetrics and family.unit else ""
    return f"# HELP {name} {description}\n# TYPE {name} {family.type.lower()}\n{unit}"


def written(labels: Labels) -> str:
    """Return labels as they stand between braces."""
    return ",".join([f'{name}="{value.translate(_IN_VALUES)}"' for name, value in labels])


def _histogram(name: str, labels: str, distribution: Distribution, bounds: Bounds, has_sum: bool) -> str:
    before = f"{name}_bucket{{{labels},le=" if labels else f"{name}_bucket{{le="
    counts = bounds.counts(distribution)
    lines = [f'{before}"{bound}"}} {count}\n' for bound, count in zip(bounds.texts, counts)]
    braces = f"{{{labels}}}" if labels else ""
    if has_sum:
        lines.append(f"{name}_sum{braces} {distribution.sum}\n{name}_count{braces} {distribution.count}\n")
    return "".join(lines)
