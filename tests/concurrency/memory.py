"""How much memory Python has allocated. What imports this is skipped where that is not told."""

from __future__ import annotations

import gc

import pytest

tracemalloc = pytest.importorskip("tracemalloc", reason="this interpreter does not tell what it has allocated")


def traced() -> int:
    """Return how many bytes Python has allocated since tracemalloc was started."""
    gc.collect()
    return int(tracemalloc.get_traced_memory()[0])
