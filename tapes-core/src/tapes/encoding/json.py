"""The format named `json`: the tree of statistics as one JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, Iterator

from tapes.encoding.tree import arrange

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot


class JsonFormat:
    """One JSON document a snapshot, on a single line, in ASCII.

    It is written series by series: one call of `json.dumps` for all of it would keep every other thread, an event loop
    for instance, from running until it is done, which takes 130 ms for 10,000 timers.
    """

    media_type = "application/json"

    def encode(self, snapshot: Snapshot) -> bytes:
        """Write `snapshot` as `get_stats()` shows it."""
        return "".join(_parts(arrange(snapshot, dict))).encode("ascii")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _parts(root: Dict[str, Any]) -> Iterator[str]:
    """Yield the document in parts. Levels are kept in a list: a deep tree needs no deep stack."""
    levels = [iter(root.items())]
    separator = "{"
    while levels:
        for key, child in levels[-1]:
            yield f"{separator}{_ENCODER.encode(key)}:"
            if isinstance(child, dict) and any(isinstance(node, dict) for node in child.values()):
                levels.append(iter(child.items()))
                separator = "{"
                break
            yield _ENCODER.encode(child)
            separator = ","
        else:
            levels.pop()
            yield "{}" if separator == "{" else "}"
            separator = ","
