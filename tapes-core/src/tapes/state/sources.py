"""States from several sources, merged: what makes many processes one picture."""

from __future__ import annotations

from typing import Any, Dict, Hashable, Optional, Protocol, Tuple


class Mergeable(Protocol):
    """What every kind of state is."""

    def merge(self, other: Any) -> Any:
        """Return the state of both together. Commutative and associative."""
        ...


class Sources:
    """The newest cumulative state of one metric from each of its sources.

    Because states are cumulative, receiving one twice, or late, changes nothing; and what is lost on the way comes with
    the next. Not locked: it belongs to one thread.
    """

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: Dict[Hashable, Tuple[int, Mergeable]] = {}

    def receive(self, source: Hashable, sequence: int, state: Mergeable) -> bool:
        """Take in the `state` that `source` had when it counted `sequence`; False if it is not newer."""
        known = self._newest.get(source)
        if known is not None and sequence <= known[0]:
            return False
        self._newest[source] = (sequence, state)
        return True

    def total(self) -> Optional[Any]:
        """Return the merged state of all sources; None if there is none."""
        total: Optional[Mergeable] = None
        for _, state in self._newest.values():
            total = state if total is None else total.merge(state)
        return total
