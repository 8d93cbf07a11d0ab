"""Objects of which each process has its own."""

from __future__ import annotations

import os
from typing import Callable, Dict, Generic, TypeVar

Thing = TypeVar("Thing")


class PerProcess(Generic[Thing]):
    """An object that each forked process makes again, because the parent's threads do not exist there. Thread-safe."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        """Make the object with `make` on the first access in a process."""
        self._make = make
        self._made: Dict[int, Thing] = {}  # `setdefault` is atomic, so no lock is held over a fork

    def __call__(self) -> Thing:
        """Return the object of this process."""
        pid = os.getpid()
        found = self._made.get(pid)
        if found is None:
            found = self._made.setdefault(pid, self._make())
            for other in list(self._made):
                if other != pid:
                    self._made.pop(other, None)
        return found
