"""A clock for what is made beforehand."""

from __future__ import annotations

import time

from tapes.clock import Waitable


class SetClock:
    """Shows the time that it is set to, of the same day and the same monotonic clock as that of the machine."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._epoch = time.time() - time.perf_counter()

    def monotonic(self) -> float:
        """Return what it is set to."""
        return self.now

    def time(self) -> float:
        """Return the time of day then."""
        return self.now + self._epoch

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Nobody waits for a time that is set."""
        raise NotImplementedError
