"""Snapshots: the readings of a registry at one moment."""

from __future__ import annotations

from tapes.kinds.kind import Statistics
from tapes.snapshot.snapshot import Reading, Readings, Snapshot

__all__ = ["Reading", "Readings", "Snapshot", "Statistics"]
