"""When an aggregator ends or reloads: by signals, its parent, and its terminal."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Callable, Dict, Optional, Tuple

from tapes.reporting.wakeup import Wakeup

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The handled signals: the first two end the aggregator, the last one makes it reload."""

FAREWELL_TIMEOUT = 1.5
"""Seconds for which an aggregator that ends waits for the farewells of workers that end too."""

ORPHANED = 6.0
"""The same, if its parent is gone: workers may notice that only later."""

STOP = b"S"
"""The byte with which the parent of a forked aggregator stops it."""

_GRACE = 30.0  # the same, after a signal that most likely went to the workers as well
_FIRST = 10.0  # seconds that an aggregator waits for its first worker, at least
_HANG_UP = getattr(signal, "SIGHUP", None)


class Lifetime(ABC):
    """Says when an aggregator has to end or reload."""

    _reloading = False

    @abstractmethod
    def should_run(self) -> bool:
        """Whether it should go on."""

    @abstractmethod
    def is_orphaned(self) -> bool:
        """Whether the program that it belongs to is gone."""

    @abstractmethod
    def farewell_timeout(self) -> float:
        """Return for how many seconds it should wait for the workers at its end."""

    def should_reload(self) -> bool:
        """Whether it should reload its keys and config. True once for each request."""
        reloading, self._reloading = self._reloading, False
        return reloading

    def is_over(self) -> bool:
        """Whether nobody is there any more, so that what it held ends with it. By default never."""
        return False


class OwnLifetime(Lifetime):
    """The lifetime of an aggregator in this process.

    SIGINT and SIGTERM end it. So does SIGHUP if the terminal is gone; otherwise SIGHUP is a request to reload, from a
    supervisor or a person.
    """

    def __init__(self) -> None:
        self._stopping = Wakeup()
        self._terminal = _has_terminal()
        self._handlers: Dict[int, Any] = {}

    def stop(self) -> None:
        """End the aggregator. Thread-safe, also in a signal handler."""
        self._stopping.set()

    def should_run(self) -> bool:
        """Whether it should go on."""
        return not self._stopping.is_set()

    def is_orphaned(self) -> bool:
        """Whether the program that it belongs to is gone."""
        return False

    def farewell_timeout(self) -> float:
        """Return for how many seconds it should wait for the workers."""
        return FAREWELL_TIMEOUT

    def __enter__(self) -> OwnLifetime:
        """Handle signals, if in the main thread. Ignored ones stay ignored, as nohup and shells expect."""
        if threading.current_thread() is threading.main_thread():
            handled = [number for number in SIGNALS if not _is_ignored(number)]
            self._handlers = {number: signal.signal(number, self._handle) for number in handled}
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if number == _HANG_UP and not (self._terminal and not _has_terminal()):
            self._reloading = True
        else:
            self._stopping.set()


class ForkedLifetime(Lifetime):
    """The lifetime of an aggregator in a forked process, as seen from there.

    A signal to end mostly goes to a whole group of processes, from a terminal or a supervisor. The workers then finish
    their requests and publish once more, and the parent ends the aggregator or itself. So SIGINT and SIGHUP do not end
    it: a parent that survives them goes on. SIGTERM does.
    """

    def __init__(self, parent: int, stop_pipe: int) -> None:
        """`parent` is the pid of the parent, which writes STOP to the pipe that `stop_pipe` reads."""
        self._parent = parent
        self._stop_pipe = stop_pipe
        self._is_stopped = False
        self._signalled = -_GRACE
        self._terminated = False

    def should_run(self) -> bool:
        """Whether it should go on."""
        return not self._terminated and not self._stop_requested() and not self.is_orphaned()

    def is_orphaned(self) -> bool:
        """Whether the program that it belongs to is gone."""
        return os.getppid() != self._parent

    def farewell_timeout(self) -> float:
        """Return for how many seconds it should wait for the workers."""
        if self._stop_requested():
            return FAREWELL_TIMEOUT
        return _GRACE if time.monotonic() - self._signalled < _GRACE else ORPHANED

    def handle_signals(self) -> None:
        """Handle the signals above, remove handlers of the parent, and keep ignoring those that it ignores."""
        signal.set_wakeup_fd(-1)  # it was that of the parent's event loop
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        for number in SIGNALS:
            if not _is_ignored(number):
                signal.signal(number, self._handle)
        signal.signal(signal.SIGUSR1, self._handle_parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, signal.SIGUSR1))

    def _handle_parent(self, number: int, frame: object) -> None:
        """Treat the signal as STOP: the parent has lost its pipe if its program has closed all files."""
        self._is_stopped = True

    def _handle(self, number: int, frame: object) -> None:
        self._signalled = time.monotonic()
        self._terminated = self._terminated or number == signal.SIGTERM
        self._reloading = self._reloading or number == _HANG_UP

    def _stop_requested(self) -> bool:
        if not self._is_stopped and select.select([self._stop_pipe], [], [], 0.0)[0]:
            # An end of file is no STOP: it only means that nobody can write one any more.
            self._is_stopped = os.read(self._stop_pipe, 1) == STOP or self._is_stopped
        return self._is_stopped


class ResidentLifetime(Lifetime):
    """The lifetime of an aggregator that belongs to nobody: it ends when no worker has been there for some time.

    SIGTERM ends it too, and so does SIGINT; since workers mostly get these as well, it waits for their farewells.
    SIGHUP is a request to reload.
    """

    def __init__(
        self,
        linger: float,
        has_workers: Callable[[], bool],
        config: Optional[str],
        *,
        arrivals: Callable[[], int] = lambda: 0,
    ) -> None:
        """`linger` is how many seconds it stays without a worker. It reloads when the file `config` changes.

        It waits longer for the first one. `arrivals` returns how many there have been: one that has come and gone
        between two looks was there, too.
        """
        self._config = config
        self._version = version_of(config)
        self._linger = linger
        self._patience = max(linger, _FIRST)
        self._has_workers = has_workers
        self._arrivals = arrivals
        self._arrived = 0
        self._last = time.monotonic()
        self._terminated = False

    def should_run(self) -> bool:
        """Whether it should go on."""
        now = time.monotonic()
        before, self._arrived = self._arrived, self._arrivals()
        if self._has_workers() or self._arrived != before:
            self._last, self._patience = now, self._linger
        return not self._terminated and now - self._last < self._patience

    def begin(self) -> None:
        """Wait for the first worker from now on."""
        self._last = time.monotonic()

    def is_orphaned(self) -> bool:
        """Return False: it belongs to no program."""
        return False

    def farewell_timeout(self) -> float:
        """Return for how many seconds it should wait for the workers."""
        return _GRACE if self._terminated else FAREWELL_TIMEOUT

    def should_reload(self) -> bool:
        """Whether it should reload its keys and config."""
        version = version_of(self._config)
        if version is not None and version != self._version:
            self._reloading, self._version = True, version
        return super().should_reload()

    def is_over(self) -> bool:
        """Whether no worker has been there for as long as it stays."""
        return not self._terminated

    def handle_signals(self) -> None:
        """Handle the signals above."""
        for number in SIGNALS:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _handle(self, number: int, frame: object) -> None:
        if number == _HANG_UP:
            self._reloading = True
        else:
            self._terminated = True


def version_of(path: Optional[str]) -> Optional[Tuple[int, int, int]]:
    """Return numbers that change with the content of a file; None if there is none."""
    try:
        status = os.stat(path) if path is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal that is still open."""
    if os.name == "posix":
        with suppress(OSError):
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            return True
    return False
