"""The descriptors of an aggregator: enough for its pages, files and reports, however many strangers connect."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import List

_SPARE = 16  # descriptors that are kept for the rest of the process
_RESERVE = 256  # descriptors that are not for connections, at most, or a quarter of those that there may be
_CALM = 2  # times the reserve, which have to be free before more connections are let in

_MANY = 1 << 20  # where there is no limit


class Descriptors:
    """Knows whether there are too few descriptors left, and gives back some that were kept for that case.

    0MQ accepts connections for as long as there are descriptors. When there are none it tries again without end or,
    at an ipc:// address, ends the process.
    """

    def __init__(self) -> None:
        self.limit = _raised_limit()
        """How many there may be."""
        self._reserve = min(_RESERVE, self.limit // 4)
        self._spare: List[int] = []
        self.keep()

    def are_short(self) -> bool:
        """Whether so few are left that no more connections must be let in."""
        return self._free() < self._reserve

    def are_plenty(self) -> bool:
        """Whether connections can be let in again."""
        return self._free() > self._reserve * _CALM

    def give_back(self) -> None:
        """Let others have those that were kept."""
        while self._spare:
            os.close(self._spare.pop())

    def keep(self) -> None:
        """Keep some, as at the beginning."""
        with suppress(OSError):
            while len(self._spare) < _SPARE:
                self._spare.append(os.open(os.devnull, os.O_RDONLY))

    def _free(self) -> int:
        """Return how many are left: a new one has the lowest number that is free. What is above it is not looked at."""
        try:
            lowest = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return 0
        os.close(lowest)
        return self.limit - lowest


def _raised_limit() -> int:
    """Return how many descriptors this process may have, after it was allowed as many as it can be."""
    try:
        import resource
    except ImportError:  # on Windows
        return _MANY
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # where the system has another limit besides
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return _MANY if soft == resource.RLIM_INFINITY else int(soft)
