"""What a registry looks like at one moment: the views that readers take of cumulative state."""

from __future__ import annotations

from tapes.snapshot.snapshot import Reading, Readings, Snapshot, Statistics

__all__ = ["Reading", "Readings", "Snapshot", "Statistics"]
