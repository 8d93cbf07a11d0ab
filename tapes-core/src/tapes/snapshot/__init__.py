"""What a registry looks like at one moment: the views that readers take of cumulative state."""

from __future__ import annotations

from tapes.kinds.kind import Statistics
from tapes.snapshot.snapshot import Reading, Readings, Snapshot

__all__ = ["Reading", "Readings", "Snapshot", "Statistics"]
