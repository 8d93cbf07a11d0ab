"""Retired workers, from which a late frame may still come."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, List, Optional, Set, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapes.distributed.workers import Position

_REMEMBERED = 100_000


class Retired:
    """The position up to which each retired worker was known."""

    def __init__(self) -> None:
        self._positions: OrderedDict[bytes, Position] = OrderedDict()
        self._ended: Set[bytes] = set()  # those whose processes are known to have ended

    def position_of(self, worker: bytes) -> Optional[Position]:
        """Return the position up to which a retired worker is known; None if it is not retired."""
        return self._positions.get(worker)

    def end(self, worker: bytes) -> None:
        """Note that the process of a retired worker has ended."""
        self._ended.add(worker)

    def remember(self, workers: Iterable[Tuple[bytes, Position]]) -> None:
        """Remember retired workers, each with the position before which its frames are known."""
        for identity, position in workers:
            self._positions[identity] = position
        while len(self._positions) > _REMEMBERED:
            identity, _ = self._positions.popitem(last=False)
            self._ended.discard(identity)

    def to_remember(self, most: int) -> List[Tuple[bytes, Position]]:
        """Return the retired workers whose end is not known, which may publish again, with their positions.

        Also those of the others that are among the last `most`: a late frame of theirs may come.
        """
        late = len(self._positions) - most
        return [
            each for place, each in enumerate(self._positions.items()) if place >= late or each[0] not in self._ended
        ]
