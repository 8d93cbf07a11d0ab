"""The workers that are gone, of which a frame may still come."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, List, Optional, Set, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapes.distributed.workers import Position

_REMEMBERED = 100_000


class Departed:
    """What was known of each when it was merged for good."""

    def __init__(self) -> None:
        self._positions: OrderedDict[bytes, Position] = OrderedDict()
        self._ended: Set[bytes] = set()  # those of them that never speak again, as far as is known

    def position_of(self, worker: bytes) -> Optional[Position]:
        """Return what was known of a worker; None if it is not known to be gone."""
        return self._positions.get(worker)

    def end(self, worker: bytes) -> None:
        """Take note that one of them has ended."""
        self._ended.add(worker)

    def remember(self, workers: Iterable[Tuple[bytes, Position]]) -> None:
        """Take note of workers that are gone: what may still come of them from before a position is known already."""
        for identity, position in workers:
            self._positions[identity] = position
        while len(self._positions) > _REMEMBERED:
            identity, _ = self._positions.popitem(last=False)
            self._ended.discard(identity)

    def to_remember(self, most: int) -> List[Tuple[bytes, Position]]:
        """Return workers that are gone, and what is known of each: all that may speak again, as their end is not known.

        And, of the others, those among the last `most`: a frame of theirs may come late.
        """
        late = len(self._positions) - most
        return [
            each for place, each in enumerate(self._positions.items()) if place >= late or each[0] not in self._ended
        ]
