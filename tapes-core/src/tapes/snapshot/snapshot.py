"""Readings and the snapshot that holds them: what encoders are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Tuple, Union

if TYPE_CHECKING:
    from tapes.naming import Tags

Statistics = Dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in the order in which they are shown. None where there is no value."""


class Reading(NamedTuple):
    """One series of one metric at one moment."""

    name: str
    """The dotted name."""
    tags: Tags
    """Pairs of key and value, sorted by key; empty for a series without tags."""
    kind: str
    """`counter`, `gauge`, `meter`, `histogram` or `timer`."""
    statistics: Statistics
    """What the metric's keys in `get_stats()` hold."""
    state: Any
    """The cumulative state that the statistics were taken from (`tapes.state`), for those who want differences or
    buckets. None for a gauge with a producer."""


class Snapshot(NamedTuple):
    """All series of a registry at one moment. Immutable."""

    taken_at: float
    """When it was taken, in seconds since the epoch."""
    readings: Tuple[Reading, ...]
    """In the order in which the metrics were made."""
