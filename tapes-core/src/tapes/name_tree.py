"""The tree of metric names, which finds collisions with statistics keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Type

from tapes.errors import NameCollisionError, quoted
from tapes.naming import OVERFLOW, tag_label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapes.instruments import Instrument
    from tapes.naming import Tags

__all__ = ["OVERFLOW", "NameTree", "Place"]

_OVERFLOW_LABEL = tag_label(OVERFLOW)


class Place:
    """A node of the tree: the metric of that name, if there is one, and the segments below it."""

    __slots__ = ("below", "kind", "labels")

    def __init__(self) -> None:
        self.kind: Optional[Type[Instrument]] = None
        """The class of the metric of this name; None if there is none."""
        self.labels: Dict[str, Tags] = {}
        """The tags of its series, by their labels, in the order of their creation; empty for a series without."""
        self.below: Dict[str, Place] = {}

    @property
    def tag_sets(self) -> int:
        """How many tag sets the name has, not counting the overflow series."""
        return len(self.labels) - ("" in self.labels) - (_OVERFLOW_LABEL in self.labels)


class NameTree:
    """Names by their segments. The cost of each operation depends only on the length of its name. Not thread-safe."""

    def __init__(self, metrics: Iterable[Instrument] = ()) -> None:
        self._root = Place()
        for metric in metrics:
            self.add(type(metric), metric.name, metric.tags)

    def at(self, name: str) -> Optional[Place]:
        """Return the place of `name`; None if there is neither a metric of that name nor one below it."""
        place: Optional[Place] = self._root
        for segment in name.split("."):
            place = place.below.get(segment)  # type: ignore[union-attr]  # None ends the loop
            if place is None:
                return None
        return place

    def kind(self, name: str) -> Optional[Type[Instrument]]:
        """Return the class of the metric of this name; None if there is none."""
        place = self.at(name)
        return None if place is None else place.kind

    def add(self, kind: Type[Instrument], name: str, tags: Tags) -> None:
        """Add a series. Idempotent."""
        place = self._root
        for segment in name.split("."):
            below = place.below.get(segment)
            if below is None:
                below = place.below[segment] = Place()
            place = below
        place.kind = kind
        place.labels[tag_label(tags)] = tags

    def remove(self, name: str, tags: Tags) -> None:
        """Remove a series, and all places that are then empty."""
        path: List[Tuple[Place, str]] = []
        place = self._root
        for segment in name.split("."):
            below = place.below.get(segment)
            if below is None:
                return
            path.append((place, segment))
            place = below
        place.labels.pop(tag_label(tags), None)
        if not place.labels:
            place.kind = None
        for above, segment in reversed(path):
            if place.kind is not None or place.below:
                return
            above.below.pop(segment, None)
            place = above

    def check(self, kind: Type[Instrument], name: str, tags: Tags) -> None:
        """Raise NameCollisionError if a new series would collide with others in the tree of statistics."""
        place: Optional[Place] = self._root
        segments = name.split(".")
        for number, segment in enumerate(segments):
            if place is None:
                return
            above = place.kind
            if above is not None and (segment in above.kind.keys or segment in place.labels):
                raise NameCollisionError(
                    f"{quoted(name)} cannot be a metric, because {'.'.join(segments[:number])!r} is a {above.__name__} "
                    f"and {quoted(segment)} is one of its own keys: choose another name."
                )
            place = place.below.get(segment)
        if place is None:
            return
        for key in (*kind.kind.keys, tag_label(tags)):
            if key in place.below:
                raise NameCollisionError(
                    f"{quoted(name)} cannot be a {kind.__name__}, because {quoted(key)} is one of its keys "
                    f"and there are metrics under {quoted(f'{name}.{key}')}: choose another name."
                )
