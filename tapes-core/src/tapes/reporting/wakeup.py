"""Something that happens once, and can be waited for."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Optional


class Wakeup:
    """An event that may be set from anywhere, signal handlers and finalizers included.

    `threading.Event` may not: it takes a lock that the thread which the handler has interrupted may be holding, and
    then waits for itself for ever. Here nothing is held by whoever sets it: it is a flag, and a gate that opens.
    """

    __slots__ = ("_gate", "_happened")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._happened = False

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def set(self) -> None:
        """Let it happen: everybody who waits goes on. Setting it again changes nothing."""
        self._happened = True
        self._open()

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Block for at most `timeout` seconds of real time (for ever by default); True if it has happened."""
        if not self._happened:
            seconds = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
            if self._gate.acquire(timeout=seconds):
                self._open()  # for the next one who waits
        return self._happened

    def _open(self) -> None:
        with suppress(RuntimeError):  # it is open already: set twice, or at the moment when somebody walks through
            self._gate.release()
