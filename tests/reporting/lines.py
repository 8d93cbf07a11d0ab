"""What stands in the lines that stream reporters write."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from tapes.encoding.json import REPORT


def statistics(text: str) -> List[Dict[str, Any]]:
    """Return the statistics of each line of `text`, without the facts of the line itself, which have to be there."""
    trees = [json.loads(line) for line in text.splitlines()]
    for tree in trees:
        assert set(tree.pop(REPORT)) == {"time", "host", "pid"}
    return trees
