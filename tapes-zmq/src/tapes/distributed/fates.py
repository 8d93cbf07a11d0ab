"""What becomes of an aggregator: what signals, its parent and its terminal say of that."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import suppress
from typing import Any, Dict, Protocol

from tapes.reporting.wakeup import Wakeup

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What is heeded: the first two ask for the end, the last one for a look at what has changed."""

PARTING = 1.5
"""Seconds for which an aggregator that ends waits for the last words of workers that end too."""

ORPHANED = 6.0
"""Seconds for which one does so whose parent is gone, which workers may notice as well."""

STOP = b"S"
"""What the parent of a forked one writes to have it stop."""

_GRACE = 30.0  # seconds for which it does so after a signal that has gone to them as well, most likely
_HANG_UP = getattr(signal, "SIGHUP", None)


class Fate(Protocol):
    """What becomes of an aggregator."""

    def wanted(self) -> bool:
        """Whether it is to go on."""
        ...

    def abandoned(self) -> bool:
        """Whether the program is gone that it belongs to."""
        ...

    def parting(self) -> float:
        """For how many seconds it is to wait for the workers, when it is not wanted any more."""
        ...

    def has_to_reload(self) -> bool:
        """Whether it is to look at its keys and its config again. True once for each time."""
        ...


class Here:
    """What becomes of one in this process.

    SIGINT and SIGTERM end it. So does SIGHUP if it means that the terminal has gone; otherwise it is the word of a
    supervisor, or of somebody who has changed keys or config.
    """

    def __init__(self) -> None:
        self._stopping = Wakeup()
        self._reloading = False
        self._terminal = _has_terminal()
        self._handlers: Dict[int, Any] = {}

    def stop(self) -> None:
        """Let it end. May be called from anywhere."""
        self._stopping.set()

    def wanted(self) -> bool:
        """Whether it is to go on."""
        return not self._stopping.is_set()

    def abandoned(self) -> bool:
        """Whether the program is gone that it belongs to."""
        return False

    def parting(self) -> float:
        """For how many seconds it is to wait for the workers."""
        return PARTING

    def has_to_reload(self) -> bool:
        """Whether it is to look at its keys and its config again."""
        reloading, self._reloading = self._reloading, False
        return reloading

    def __enter__(self) -> Here:
        """Handle signals, in the main thread. Those that are ignored stay ignored, as nohup and shells have it."""
        if threading.current_thread() is threading.main_thread():
            heeded = [number for number in SIGNALS if not _is_ignored(number)]
            self._handlers = {number: signal.signal(number, self._heed) for number in heeded}
        return self

    def __exit__(self, *_: object) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _heed(self, number: int, frame: object) -> None:
        if number == _HANG_UP and not (self._terminal and not _has_terminal()):
            self._reloading = True
        else:
            self._stopping.set()


class Forked:
    """What becomes of one in a forked process, as that sees it.

    A signal that asks for the end mostly goes to a whole group of processes, from a terminal or from a supervisor. Then
    the workers still answer whom they are serving, and tell their last after that, and the parent ends the aggregator,
    or ends itself. From SIGINT and SIGHUP nothing else follows: a parent that does not end because of it goes on.
    """

    def __init__(self, parent: int, told: int) -> None:
        """Belong to a parent that writes STOP to what is `told`."""
        self._parent = parent
        self._told = told
        self._is_told = False
        self._signalled = -_GRACE
        self._terminated = False
        self._reloading = False

    def wanted(self) -> bool:
        """Whether it is to go on."""
        return not self._terminated and not self._is_told_to_stop() and not self.abandoned()

    def abandoned(self) -> bool:
        """Whether the program is gone that it belongs to."""
        return os.getppid() != self._parent

    def parting(self) -> float:
        """For how many seconds it is to wait for the workers."""
        if self._is_told_to_stop():
            return PARTING
        return _GRACE if time.monotonic() - self._signalled < _GRACE else ORPHANED

    def has_to_reload(self) -> bool:
        """Whether it is to look at its keys again."""
        reloading, self._reloading = self._reloading, False
        return reloading

    def handle_signals(self) -> None:
        """Handle what asks for the end, leave nothing to handlers of the parent, and ignore what that ignores."""
        signal.set_wakeup_fd(-1)  # that of the parent's event loop
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        for number in SIGNALS:
            if not _is_ignored(number):
                signal.signal(number, self._heed)
        signal.signal(signal.SIGUSR1, self._heed_parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, signal.SIGUSR1))

    def _heed_parent(self, number: int, frame: object) -> None:
        """Take the signal for STOP: the parent has no pipe any more when its program has closed all files."""
        self._is_told = True

    def _heed(self, number: int, frame: object) -> None:
        self._signalled = time.monotonic()
        self._terminated = self._terminated or number == signal.SIGTERM
        self._reloading = self._reloading or number == _HANG_UP

    def _is_told_to_stop(self) -> bool:
        if not self._is_told and select.select([self._told], [], [], 0.0)[0]:
            # At its end nobody is left who could say it, which is no word.
            self._is_told = os.read(self._told, 1) == STOP or self._is_told
        return self._is_told


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal: one that was closed is none any more."""
    if os.name == "posix":
        with suppress(OSError):
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            return True
    return False
