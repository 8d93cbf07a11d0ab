"""Families: the series of a snapshot, grouped and named as Prometheus has them. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from tapes.foreign import has_to_pass
from tapes.kinds.kind import TOTAL, VALUE, kind_named
from tapes.naming import tag_label
from tapes.reporting.prometheus.buckets import ANYTHING, SECONDS, Bounds
from tapes.reporting.prometheus.names import (
    DISTINCT,
    distinguished,
    family_name,
    label_names,
    unit_name,
    with_suffix,
    without_suffix,
)

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags
    from tapes.snapshot import Reading, Snapshot
    from tapes.state.distribution import Distribution

COUNTER, GAUGE, HISTOGRAM = "COUNTER", "GAUGE", "HISTOGRAM"
"""The types of families, as metrics.proto of Prometheus names them."""

_SAMPLES = {
    COUNTER: ("", "_total", "_created"),
    GAUGE: ("",),
    HISTOGRAM: ("", "_bucket", "_count", "_sum", "_created"),
}
"""What is appended to the name of a family in the names of its samples, and of those that OpenMetrics reserves."""

Labels = Tuple[Tuple[str, str], ...]
"""Pairs of a label and its value, none of which is empty."""


class Family(NamedTuple):
    """All samples of one name, in one family of Prometheus."""

    name: str
    """The name without the suffixes of its samples."""
    type: str
    """`COUNTER`, `GAUGE` or `HISTOGRAM`."""
    description: str
    unit: str
    """The unit that the name ends in; "" if it ends in none."""
    bounds: Optional[Bounds]
    """The bounds of the buckets of a histogram."""
    labels: List[Labels]
    """The labels of each series."""
    values: List[Any]
    """The value of each series: a number, or the distribution of a histogram."""


class Problem(NamedTuple):
    """Why a metric is not shown, or not under its own name."""

    metric: str
    """The dotted name of the metric."""
    text: str
    """What is wrong, and what to do."""


class _Part(NamedTuple):
    """The values of some readings that make one family."""

    name: str
    type: str
    values: List[Optional[Union[float, Distribution]]]
    """One for each reading, None where there is none."""
    bounds: Optional[Bounds] = None


def families(snapshot: Snapshot) -> Tuple[List[Family], List[Problem]]:
    """Return the families of a snapshot, in the order of their first series, and what is wrong with some.

    A family keeps its name unless one of its samples has the name of a sample of an earlier one. A metric that its kind
    cannot show is left out.
    """
    found: List[Family] = []
    problems: List[Problem] = []
    taken: Dict[str, None] = {}
    for (dotted, kind), readings in _by_name(snapshot).items():
        labels: List[Labels] = []
        try:
            parts = list(_parts(family_name(dotted), kind, readings))
        except BaseException as error:  # a kind may be that of others
            if has_to_pass(error):
                raise
            problems.append(Problem(dotted, f"cannot be shown by its kind, {kind}: {error!r}. It is left out."))
            continue
        for part in parts:
            name = _free_name(part, dotted, kind, taken)
            if name != part.name:
                taken_by = f"is {name!r} for Prometheus, because another metric is {part.name!r} already"
                problems.append(Problem(dotted, f"{taken_by}: rename one of the two."))
            taken.update(dict.fromkeys(name + suffix for suffix in _SAMPLES[part.type]))
            labels = labels or _labels([reading.tags for reading in readings])
            present = [place for place, value in enumerate(part.values) if value is not None]
            facts = readings[0].facts
            found.append(
                Family(
                    *(name, part.type, facts.description or dotted),
                    unit_name(facts.unit or kind.unit, name),
                    part.bounds,
                    [labels[place] for place in present],
                    [part.values[place] for place in present],
                )
            )
    return [family for family in found if family.labels], problems


def _by_name(snapshot: Snapshot) -> Dict[Tuple[str, Kind], List[Reading]]:
    """Return the readings by name and kind. Those of a kind that this process does not know are left out."""
    groups: Dict[Tuple[str, Kind], List[Reading]] = {}
    for reading in snapshot.readings:
        kind = kind_named(reading.kind)
        if kind is not None:
            groups.setdefault((reading.name, kind), []).append(reading)
    return groups


def _parts(name: str, kind: Kind, readings: Sequence[Reading]) -> Iterator[_Part]:
    """Yield what the readings of one kind become."""
    if kind.adds_up:
        counts = [kind.counts(reading.state) for reading in readings]
        yield _Part(without_suffix(name, "_total"), COUNTER, [added for added, _ in counts])
        if any(taken for _, taken in counts):
            yield _Part(f"{name}_value", GAUGE, [reading.statistics["value"] for reading in readings])
        return
    if kind.is_distribution:
        timed = kind.unit == "s"
        name = with_suffix(name, "_seconds") if timed else name
        values = [kind.distribution(reading.state) for reading in readings]
        yield _Part(name, HISTOGRAM, [*values], SECONDS if timed else ANYTHING)
        return
    for key, role in kind.statistics:
        if role == TOTAL:
            values_of_key = [reading.statistics[key] for reading in readings]
            yield _Part(without_suffix(name, "_total"), COUNTER, [*values_of_key])
        elif role == VALUE:
            values_of_key = [reading.statistics[key] for reading in readings]
            yield _Part(name if key == "value" else f"{name}_{key}", GAUGE, [*values_of_key])


def _free_name(part: _Part, dotted: str, kind: Kind, taken: Dict[str, None]) -> str:
    name = part.name
    while any(name + suffix in taken for suffix in _SAMPLES[part.type]):
        name = distinguished(name, dotted, kind)
    return name


def _labels(series: Sequence[Tags]) -> List[Labels]:
    """Return the labels of each series of a family. They differ, whatever the tags are.

    Prometheus does not tell an empty label from none. Of series that would be the same for it, the one whose tags are
    labels as they are keeps its labels. All others get one more, `DISTINCT`.
    """
    names = label_names({key for tags in series for key, _ in tags})
    found = [tuple([(names[key], _text(value)) for key, value in tags if value]) for tags in series]
    places: Dict[Labels, int] = {}
    for labels in map(_sorted, found):
        places[labels] = places.get(labels, 0) + 1
    return [
        labels if labels == tags or places[_sorted(labels)] == 1 else (*labels, (DISTINCT, _text(tag_label(tags))))
        for labels, tags in zip(found, series)
    ]


def _sorted(labels: Labels) -> Labels:
    return tuple(sorted(labels))


def _text(value: str) -> str:
    """Return a value of a tag as UTF-8 can hold it: lone surrogates, as in file names, become their codes."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
