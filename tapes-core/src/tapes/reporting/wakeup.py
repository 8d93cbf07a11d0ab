"""An event that signal handlers may set."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Optional


class Wakeup:
    """An event that may be set from anywhere, signal handlers and finalizers included.

    `threading.Event` may not: its `set()` takes a lock that the interrupted thread may hold, and would deadlock. Here
    `set()` takes no lock: it sets a flag, and releases a lock that serves as a gate.
    """

    __slots__ = ("_gate", "_happened")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._happened = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._happened

    def set(self) -> None:
        """Set it, and wake all waiting threads. Idempotent."""
        self._happened = True
        self._open()

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Block for at most `timeout` seconds of real time, by default for ever. Return whether it is set."""
        if not self._happened:
            seconds = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
            if self._gate.acquire(timeout=seconds):
                self._open()  # for the next waiting thread
        return self._happened

    def _open(self) -> None:
        with suppress(RuntimeError):  # the gate is open already, by another `set()` or a thread that just passed it
            self._gate.release()
