"""The tree of statistics as JSON: the format named `json`, and the lines of a log."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Sequence

from tapes.encoding.tree import OWN, outline, path_of

if TYPE_CHECKING:
    from tapes.snapshot import Reading, Snapshot


class JsonFormat:
    """One JSON document a snapshot, on a single line, in ASCII.

    It is written series by series: one call of `json.dumps` for all of it would keep every other thread, an event loop
    for instance, from running until it is done, which takes 130 ms for 10,000 timers.
    """

    media_type = "application/json"

    def encode(self, snapshot: Snapshot) -> bytes:
        """Write `snapshot` as `get_stats()` shows it."""
        return _encoded(snapshot.readings)


REPORT = "tapes.report"
"""The key of a line's own facts. No metric can have it: there is no dot in a segment of a name."""


def encode_line(snapshot: Snapshot, *, host: str, pid: int) -> bytes:
    """Write `snapshot` as one line of a log that several processes of several hosts write to.

    It is the tree that `get_stats()` shows, with the key `tapes.report` besides: the time in UTC, the host and the pid.
    """
    taken_at = datetime.fromtimestamp(snapshot.taken_at, timezone.utc).isoformat(timespec="milliseconds")
    facts = {"time": taken_at.replace("+00:00", "Z"), "host": host, "pid": pid}
    return _encoded(snapshot.readings, facts) + b"\n"


def _encoded(readings: Sequence[Reading], facts: Optional[Dict[str, Any]] = None) -> bytes:
    parts = _parts(readings, outline(readings), facts)
    # To let go of all parts at once would keep every other thread from running.
    return b"".join(iter(lambda: "".join(islice(parts, _AT_ONCE)).encode("ascii"), b""))


_AT_ONCE = 1_000

_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _parts(readings: Sequence[Reading], root: Dict[str, Any], facts: Optional[Dict[str, Any]]) -> Iterator[str]:
    """Yield the document in parts. Levels are kept in a list: a deep tree needs no deep stack."""
    levels = [iter(root.items())]
    separator = "{"
    if facts is not None:
        yield f"{{{_ENCODER.encode(REPORT)}:{_ENCODER.encode(facts)}"
        separator = ","
    while levels:
        for key, child in levels[-1]:
            if key == OWN:
                yield f"{separator}{_ENCODER.encode(readings[child].statistics)[1:-1]}"
            elif isinstance(child, dict):
                yield f"{separator}{_ENCODER.encode(key)}:"
                levels.append(iter(child.items()))
                separator = "{"
                break
            else:
                reading = readings[child]
                below = path_of(reading)[len(levels) :]
                yield f"{separator}{_ENCODER.encode(key)}:"
                yield from (f"{{{_ENCODER.encode(each)}:" for each in below)
                yield _ENCODER.encode(reading.statistics) + "}" * len(below)
            separator = ","
        else:
            levels.pop()
            yield "{}" if separator == "{" else "}"
            separator = ","
