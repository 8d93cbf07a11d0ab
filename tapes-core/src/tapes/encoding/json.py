"""The tree of statistics as JSON: the format named `json`, and the lines of a log."""

from __future__ import annotations

import json
from datetime import datetime, timezone
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
        return _encoded(arrange(snapshot, dict))


REPORT = "tapes.report"
"""The key of a line's own facts. No metric can have it: there is no dot in a segment of a name."""


def encode_line(snapshot: Snapshot, *, host: str, pid: int) -> bytes:
    """Write `snapshot` as one line of a log that several processes of several hosts write to.

    It is the tree that `get_stats()` shows, with the key `tapes.report` besides: the time in UTC, the host and the pid.
    """
    taken_at = datetime.fromtimestamp(snapshot.taken_at, timezone.utc).isoformat(timespec="milliseconds")
    facts = {"time": taken_at.replace("+00:00", "Z"), "host": host, "pid": pid}
    return _encoded({REPORT: facts, **arrange(snapshot, dict)}) + b"\n"


def _encoded(tree: Dict[str, Any]) -> bytes:
    return "".join(_parts(tree)).encode("ascii")


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
