"""The tree that `get_stats()` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from addict import Dict

from tapes.naming import tag_label

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot


def tree(snapshot: Snapshot) -> Any:
    """Arrange the readings of `snapshot` as an `addict.Dict` tree along the segments of their names.

    A tagged series is the child `"k=v,k2=v2"` of its name's node.
    """
    root = Dict()
    for reading in snapshot.readings:
        node = root
        for segment in reading.name.split("."):
            node = node[segment]
        if reading.tags:
            node = node[tag_label(reading.tags)]
        node.update(reading.statistics)
    return root
