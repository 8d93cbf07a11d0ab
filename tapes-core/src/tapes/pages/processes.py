"""What each process has for itself."""

from __future__ import annotations

import os
from typing import Callable, Dict, Generic, TypeVar

Thing = TypeVar("Thing")


class PerProcess(Generic[Thing]):
    """Something that is made anew in a forked process, where the threads of its parent do not exist. Thread-safe."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        """Make it with `make`, when a process first asks for it."""
        self._make = make
        self._made: Dict[int, Thing] = {}  # `setdefault` is atomic, so no lock is held over a fork

    def __call__(self) -> Thing:
        """Return that of this process."""
        pid = os.getpid()
        found = self._made.get(pid)
        if found is None:
            found = self._made.setdefault(pid, self._make())
            for other in list(self._made):
                if other != pid:
                    self._made.pop(other, None)
        return found
