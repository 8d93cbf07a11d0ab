"""The format named `json`: the tree of statistics as one JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List

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
        parts: List[str] = []
        _write(arrange(snapshot, dict), parts)
        return "".join(parts).encode("ascii")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _write(node: Dict[str, Any], parts: List[str]) -> None:
    if not any(isinstance(child, dict) for child in node.values()):
        parts.append(_ENCODER.encode(node))
        return
    separator = "{"
    for key, child in node.items():
        parts.append(f"{separator}{_ENCODER.encode(key)}:")
        if isinstance(child, dict):
            _write(child, parts)
        else:
            parts.append(_ENCODER.encode(child))
        separator = ","
    parts.append("}")
