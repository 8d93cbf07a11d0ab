"""The format named `json`: the tree of statistics as one JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tapes.encoding.tree import tree

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot


class JsonFormat:
    """One JSON document a snapshot, on a single line, in ASCII."""

    media_type = "application/json"

    def encode(self, snapshot: Snapshot) -> bytes:
        """Write `snapshot` as `get_stats()` shows it."""
        return json.dumps(tree(snapshot), allow_nan=False, separators=(",", ":")).encode("ascii")
