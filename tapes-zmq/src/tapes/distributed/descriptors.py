"""File descriptors of an aggregator: keeps enough for its pages, files and reports, whoever connects."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import List

_SPARE = 16  # descriptors held back for the rest of the process
_RESERVE = 256  # descriptors that connections may not use, or a quarter of the limit if that is less
_CALM = 2  # connections are accepted again when this many times the reserve is free

_MANY = 1 << 20  # the limit assumed where there is none


class Descriptors:
    """Watches how many descriptors are left, and holds some back for when there are too few.

    0MQ accepts connections as long as there are descriptors. When they run out it retries without end or, at an
    `ipc://` address, aborts the process.
    """

    def __init__(self) -> None:
        self.limit = _raised_limit()
        """How many descriptors the process may have."""
        self._reserve = min(_RESERVE, self.limit // 4)
        self._spare: List[int] = []
        self.keep()

    def are_short(self) -> bool:
        """Whether so few are left that no more connections may be accepted."""
        return self._free() < self._reserve

    def are_plenty(self) -> bool:
        """Whether connections can be accepted again."""
        return self._free() > self._reserve * _CALM

    def give_back(self) -> None:
        """Release the descriptors held back."""
        while self._spare:
            os.close(self._spare.pop())

    def keep(self) -> None:
        """Hold back descriptors again, as at the start."""
        with suppress(OSError):
            while len(self._spare) < _SPARE:
                self._spare.append(os.open(os.devnull, os.O_RDONLY))

    def _free(self) -> int:
        """Return about how many are left: all above a new descriptor, which gets the lowest free number."""
        try:
            lowest = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return 0
        os.close(lowest)
        return self.limit - lowest


def _raised_limit() -> int:
    """Raise the descriptor limit of this process as far as allowed, and return it."""
    try:
        import resource
    except ImportError:  # on Windows
        return _MANY
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # the system may have another, lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return _MANY if soft == resource.RLIM_INFINITY else int(soft)
