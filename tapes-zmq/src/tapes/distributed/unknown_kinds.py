"""Series of kinds that an aggregator does not know: kept as bytes, for one in its place that does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Tuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_SERIES = 1000
"""How many of them are kept."""

MOST_BYTES = 1 << 20
"""How long the records and states of all of them are together."""

NOBODY = b""
"""Whose share it is that nobody has any more."""


class UnknownShare(NamedTuple):
    """What a worker had told of such a series."""

    worker: bytes
    """The identity of the worker."""
    number: int
    """As in the file."""
    state: bytes


class _Series:
    """What is known of one series."""

    __slots__ = ("merged", "shares")

    def __init__(self) -> None:
        self.merged: List[bytes] = []
        self.shares: List[UnknownShare] = []


class UnknownKinds:
    """Series of kinds that are not known here, by their records. Nothing of them is shown."""

    def __init__(self) -> None:
        self._series: Dict[bytes, _Series] = {}
        self._size = 0

    def keep(self, record: bytes, merged: bytes, shares: Sequence[UnknownShare]) -> bool:
        """Keep a series as it was read, and return whether there is room for it."""
        size = len(record) + len(merged) + sum([len(share.state) for share in shares])
        is_new = record not in self._series
        if self._size + size > MOST_BYTES or (is_new and len(self._series) >= MOST_SERIES):
            return False
        self._size += size
        series = self._series.setdefault(record, _Series())
        series.merged.append(merged)
        series.shares += shares
        return True

    def entries(self, places: Mapping[bytes, int]) -> Iterator[Tuple[bytes, bytes, List[Tuple[int, int, bytes]]]]:
        """Yield what is to be written: a record, a merged state, and the shares of workers, which have these places.

        Nothing can be merged without its kind. So what workers told that are gone is an entry of its own, of the same
        series, and whoever knows the kind merges these entries.
        """
        for record, series in self._series.items():
            first, *others = series.merged
            there = [(places[who], number, state) for who, number, state in series.shares if who in places]
            yield record, first, there
            gone = [share.state for share in series.shares if share.worker not in places]
            for state in (*others, *gone):
                yield record, state, []
