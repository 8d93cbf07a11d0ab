"""Readings and the snapshot that holds them: what encoders are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Union

if TYPE_CHECKING:
    from tapes.naming import Tags

Statistics = Dict[str, Optional[Union[int, float]]]
"""The statistics of one series by key, in the order in which they are shown. None where there is no value."""


class Reading:
    """One series of one metric at one moment. Immutable."""

    __slots__ = ("kind", "name", "origin", "state", "statistics", "tags")

    def __init__(
        self, name: str, tags: Tags, kind: str, statistics: Statistics, state: Any, origin: object = None
    ) -> None:
        self.name = name
        """The dotted name."""
        self.tags = tags
        """Pairs of key and value, sorted by key; empty for a series without tags."""
        self.kind = kind
        """`counter`, `gauge`, `meter`, `histogram` or `timer`."""
        self.statistics = statistics
        """What the metric's keys in `get_stats()` hold."""
        self.state = state
        """The cumulative state that the statistics were taken from (`tapes.state`), for those who want differences or
        buckets."""
        self.origin = origin
        """What it is a reading of: the same object each time, and another one once the metric was removed and made
        again, so that a state is not compared with one that began elsewhere."""

    def __copy__(self) -> Reading:
        return self

    def __deepcopy__(self, memo: object) -> Reading:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        # In another process it is a reading of nothing that is there.
        return Reading, (self.name, self.tags, self.kind, self.statistics, self.state)

    def __repr__(self) -> str:
        return f"<Reading of the {self.kind} {self.name!r}: {self.statistics}>"


class Snapshot:
    """All series of a registry at one moment. Immutable."""

    __slots__ = ("readings", "taken_at")

    def __init__(self, taken_at: float, readings: Tuple[Reading, ...]) -> None:
        self.taken_at = taken_at
        """When it was taken, in seconds since the epoch."""
        self.readings = readings
        """In the order in which the metrics were made."""

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.readings)} series>"
