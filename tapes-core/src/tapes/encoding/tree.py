"""The tree that `get_stats()` returns, and its outline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Sequence

import addict

from tapes.errors import quoted
from tapes.naming import tag_label

if TYPE_CHECKING:
    from tapes.snapshot import Reading, Snapshot

OWN = ""
"""The key of a series whose node in an outline also has children. It differs from all segments, which are not empty."""


class MetricStats(addict.Dict):  # type: ignore[misc]  # addict has no types
    """The statistics of a metric, and the nodes below its name. A missing key is an error, not an empty dict."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError as error:
            raise AttributeError(*error.args) from None

    def __missing__(self, key: object) -> Any:
        raise KeyError(_unknown(self, key))

    def to_dict(self) -> Dict[str, Any]:
        """Return the same as plain dicts."""
        plain: Dict[str, Any] = addict.Dict(self).to_dict()
        return plain


def _unknown(stats: MetricStats, key: object) -> str:
    known = [str(name) for name in stats]
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"There is no {quoted(key)} in the statistics of a metric that has {', '.join(known[:_MOST_NAMED])}{more}."


_MOST_NAMED = 20  # the most names that an error lists, more than any kind has statistics


def tree(snapshot: Snapshot) -> Any:
    """Return the readings of `snapshot` as an `addict.Dict` tree, by the segments of their names.

    A tagged series is the child `"k=v,k2=v2"` of the node of its name. The nodes of metrics are `MetricStats`.
    """
    root = addict.Dict()
    for reading in snapshot.readings:
        node = root
        for key in path_of(reading):
            child = node.get(key)
            if child is None:
                child = addict.Dict()
                dict.__setitem__(node, key, child)
            node = child
        object.__setattr__(node, "__class__", MetricStats)  # the node may exist already, above another metric
        dict.update(node, reading.statistics)  # not addict's update, which would inspect each number
    return root


def outline(readings: Sequence[Reading]) -> Dict[str, Any]:
    """Return the same tree as plain dicts, in which the index of a series in `readings` stands for its whole subtree.

    So there are dicts only for nodes that several series share. Many thousands of new dicts would make CPython look for
    garbage among all objects of the program.
    """
    root: Dict[str, Any] = {}
    for place, reading in enumerate(readings):
        path = path_of(reading)
        node, depth = root, 0
        while True:
            key = path[depth] if depth < len(path) else OWN
            child = node.get(key)
            if child is None or key == OWN:
                node[key] = place
                break
            depth += 1
            if not isinstance(child, dict):  # the node belonged to a single series so far
                below = path_of(readings[child])[depth:]
                child = node[key] = {below[0] if below else OWN: child}
            node = child
    return root


def path_of(reading: Reading) -> List[str]:
    """Return the path of keys to a series."""
    path = reading.name.split(".")
    if reading.tags:
        path.append(tag_label(reading.tags))
    return path
