"""Counts by bucket as dicts, however they are held."""

from __future__ import annotations

from typing import Dict, List

from tapes.state.counts import Buckets


def as_dict(buckets: Buckets) -> Dict[int, int]:
    """Return the counts, and check that none is told twice and none is empty."""
    pairs = list(buckets.items())
    assert len(dict(pairs)) == len(pairs)
    assert all(count for _, count in pairs)
    return dict(pairs)


def added(many: List[Buckets]) -> Dict[int, int]:
    """Add counts one by one."""
    total: Dict[int, int] = {}
    for buckets in many:
        for key, count in buckets.items():
            total[key] = total.get(key, 0) + count
    return total
