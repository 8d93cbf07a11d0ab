"""The tree of statistics as JSON: the format `json`, and the lines of a log."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Sequence

from tapes.encoding.tree import OWN, outline, path_of

if TYPE_CHECKING:
    from tapes.snapshot import Reading, Snapshot


class JsonFormat:
    """Encodes a snapshot as one JSON document, on a single line, in ASCII.

    It encodes series by series: one call of `json.dumps` for everything would keep other threads, like an event loop,
    from running for 130 ms with 10,000 timers.
    """

    media_type = "application/json"

    def encode(self, snapshot: Snapshot) -> bytes:
        """Encode `snapshot` as the tree of `get_stats()`."""
        return _encoded(snapshot.readings)


REPORT = "tapes.report"
"""The key of facts about the report itself. No metric collides with it, since segments contain no dot."""


def encode_line(snapshot: Snapshot, *, host: str, pid: int) -> bytes:
    """Encode `snapshot` as one line of a log that several processes of several hosts may share.

    It is the tree of `get_stats()` with the additional key `tapes.report`: the time in UTC, the host and the pid.
    """
    taken_at = datetime.fromtimestamp(snapshot.taken_at, timezone.utc).isoformat(timespec="milliseconds")
    facts = {"time": taken_at.replace("+00:00", "Z"), "host": host, "pid": pid}
    return _encoded(snapshot.readings, facts) + b"\n"


def _encoded(readings: Sequence[Reading], facts: Optional[Dict[str, Any]] = None) -> bytes:
    parts = _parts(readings, outline(readings), facts)
    # Join the parts in batches: to free all of them at once would keep every other thread from running.
    return b"".join(iter(lambda: "".join(islice(parts, _AT_ONCE)).encode("ascii"), b""))


_AT_ONCE = 1_000

_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _parts(readings: Sequence[Reading], root: Dict[str, Any], facts: Optional[Dict[str, Any]]) -> Iterator[str]:
    """Yield the document in parts. It keeps levels in a list, so a deep tree needs no deep stack."""
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
