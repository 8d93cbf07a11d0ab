"""The tree of metric names, which finds collisions with statistics keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Type

from tapes.errors import NameCollisionError, quoted
from tapes.naming import OVERFLOW, tag_label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapes.instruments import Instrument
    from tapes.naming import Tags

__all__ = ["OVERFLOW", "NameTree", "Node"]

_OVERFLOW_LABEL = tag_label(OVERFLOW)


class Node:
    """A node of the tree: the metric of that name, if there is one, and the segments below it."""

    __slots__ = ("children", "kind", "labels")

    def __init__(self) -> None:
        self.kind: Optional[Type[Instrument]] = None
        """The class of the metric of this name; None if there is none."""
        self.labels: Dict[str, Tags] = {}
        """The tags of its series, by their labels, in the order of their creation; empty for a series without."""
        self.children: Dict[str, Node] = {}

    @property
    def tag_sets(self) -> int:
        """How many tag sets the name has, not counting the overflow series."""
        return len(self.labels) - ("" in self.labels) - (_OVERFLOW_LABEL in self.labels)


class NameTree:
    """Names by their segments. The cost of each operation depends only on the length of its name. Not thread-safe."""

    def __init__(self, metrics: Iterable[Instrument] = ()) -> None:
        self._root = Node()
        for metric in metrics:
            self.add(type(metric), metric.name, metric.tags)

    def at(self, name: str) -> Optional[Node]:
        """Return the place of `name`; None if there is neither a metric of that name nor one below it."""
        node: Optional[Node] = self._root
        for segment in name.split("."):
            node = node.children.get(segment)  # type: ignore[union-attr]  # None ends the loop
            if node is None:
                return None
        return node

    def kind(self, name: str) -> Optional[Type[Instrument]]:
        """Return the class of the metric of this name; None if there is none."""
        node = self.at(name)
        return None if node is None else node.kind

    def add(self, kind: Type[Instrument], name: str, tags: Tags) -> None:
        """Add a series. Idempotent."""
        node = self._root
        for segment in name.split("."):
            below = node.children.get(segment)
            if below is None:
                below = node.children[segment] = Node()
            node = below
        node.kind = kind
        node.labels[tag_label(tags)] = tags

    def remove(self, name: str, tags: Tags) -> None:
        """Remove a series, and all places that are then empty."""
        path: List[Tuple[Node, str]] = []
        node = self._root
        for segment in name.split("."):
            below = node.children.get(segment)
            if below is None:
                return
            path.append((node, segment))
            node = below
        node.labels.pop(tag_label(tags), None)
        if not node.labels:
            node.kind = None
        for above, segment in reversed(path):
            if node.kind is not None or node.children:
                return
            above.children.pop(segment, None)
            node = above

    def check(self, kind: Type[Instrument], name: str, tags: Tags) -> None:
        """Raise NameCollisionError if a new series would collide with others in the tree of statistics."""
        node: Optional[Node] = self._root
        segments = name.split(".")
        for number, segment in enumerate(segments):
            if node is None:
                return
            above = node.kind
            if above is not None and (segment in above.kind.keys or segment in node.labels):
                raise NameCollisionError(
                    f"{quoted(name)} cannot be a metric, because {'.'.join(segments[:number])!r} is a {above.__name__} "
                    f"and {quoted(segment)} is one of its own keys: choose another name."
                )
            node = node.children.get(segment)
        if node is None:
            return
        for key in (*kind.kind.keys, tag_label(tags)):
            if key in node.children:
                raise NameCollisionError(
                    f"{quoted(name)} cannot be a {kind.__name__}, because {quoted(key)} is one of its keys "
                    f"and there are metrics under {quoted(f'{name}.{key}')}: choose another name."
                )
