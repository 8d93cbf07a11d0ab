"""The process that an aggregator is forked into: how it begins, what its parent tells it, and how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any, Callable, ClassVar, Dict, Optional, Protocol, Set

from tapes import forking
from tapes.distributed.unified import LOGGER_NAME
from tapes.errors import ReporterError

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks for the end."""

PARTING = 1.5
"""Seconds for which an aggregator that ends waits for the last words of workers that end too."""

ORPHANED = 6.0
"""Seconds for which one does so whose parent is gone, which workers may notice as well."""

_GRACE = 30.0  # seconds for which it does so after a signal that has gone to them as well, most likely
_READY = 30.0  # seconds in which it has to be ready
_MOMENT = 1.0  # seconds in which it ends if it is interrupted while it starts
_KILLED = 5.0  # seconds in which the system has to end a process that was killed

_STOP = b"S"


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


Serve = Callable[[Callable[[], None], Fate], None]
"""Serves until it is not wanted any more. Calls what it is given when it works, or stands by."""


class ForkedProcess:
    """A forked process that serves, as its parent sees it."""

    pids: ClassVar[Set[int]] = set()
    """All that this program has forked."""

    def __init__(self, serve: Serve) -> None:
        """Fork it. It serves by `serve`."""
        self._parent = os.getpid()
        self._status: Optional[int] = None
        self._readable, writable = os.pipe()
        told, self._tell = os.pipe()
        _flush()  # what is buffered is the parent's to write
        self.pid = forking.fork_apart()
        if self.pid:
            self.pids.add(self.pid)
            os.close(writable)
            os.close(told)
            return
        code = 1
        try:
            os.close(self._readable)
            os.close(self._tell)
            code = _live(serve, writable, _Child(self._parent, told))
        finally:
            os._exit(code)

    @property
    def running(self) -> bool:
        """Whether the process has not ended. Of a fork of the parent it is none of its business."""
        return os.getpid() == self._parent and not self._has_ended()

    def wait_until_ready(self) -> None:
        """Wait until it works. Raises what kept it from working."""
        try:
            content = self._first_words()
        except BaseException:
            # It has reported nothing yet, so nobody need know. It removes what it has made if it can.
            self._tell_to_stop()
            if not self._reap(_MOMENT):
                self._kill()
            self._close()
            raise
        finally:
            os.close(self._readable)
        error = json.loads(content)
        if error:
            self._reap(_KILLED)
            self._close()
            if error["errno"] is not None:
                raise OSError(error["errno"], error["message"])
            raise ReporterError(error["message"])

    def stop(self, timeout: float, name: str) -> None:
        """Tell it to end, and kill it if it takes longer than `timeout` seconds."""
        if os.getpid() != self._parent:
            return
        if self.running:
            self._tell_to_stop()
            if not self._reap(timeout):
                self._kill()
                import logging

                logging.getLogger(LOGGER_NAME).warning(
                    "%s has not stopped within %g s and was killed: its last reports may be lost.", name, timeout
                )
        self._close()

    def _first_words(self) -> bytes:
        deadline = time.monotonic() + _READY
        content = b""
        while not content.endswith(b"\n"):
            if not select.select([self._readable], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise ReporterError(f"The aggregator was not ready within {_READY:g} s, and was ended.")
            read = os.read(self._readable, 65536)
            if not read:
                raise ReporterError("The aggregator has ended before it was ready: see what it has written.")
            content += read
        return content

    def _tell_to_stop(self) -> None:
        with suppress(OSError):  # it ends in this moment
            os.write(self._tell, _STOP)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._reap(_KILLED)

    def _close(self) -> None:
        tell, self._tell = self._tell, -1
        if tell >= 0:
            os.close(tell)

    def _reap(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._has_ended():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def _has_ended(self) -> bool:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # a server that waits for its own children has waited for this one too
                self._status = -1
            else:
                if pid:
                    self._status = status
        return self._status is not None


class _Child:
    """The same process, as it sees itself.

    A signal that asks for the end mostly goes to a whole group of processes, from a terminal or from a supervisor. Then
    the workers still answer whom they are serving, and tell their last after that, and the parent ends the aggregator,
    or ends itself. From SIGINT nothing else follows: a parent that does not end because of it goes on.
    """

    def __init__(self, parent: int, told: int) -> None:
        self._parent = parent
        self._told = told
        self._is_told = False
        self._signalled = False
        self._terminated = False

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
        return _GRACE if self._signalled else ORPHANED

    def handle_signals(self) -> None:
        """Handle what asks for the end, and leave nothing to handlers of the parent."""
        signal.set_wakeup_fd(-1)  # that of the parent's event loop
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        for number in SIGNALS:
            signal.signal(number, self._heed)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _heed(self, number: int, frame: object) -> None:
        self._signalled = True
        self._terminated = self._terminated or number == signal.SIGTERM

    def _is_told_to_stop(self) -> bool:
        if not self._is_told and select.select([self._told], [], [], 0.0)[0]:
            # At its end nobody is left who could say it, which is no word.
            self._is_told = os.read(self._told, 1) == _STOP
        return self._is_told


def _live(serve: Serve, writable: int, child: _Child) -> int:
    """Be the process, and return the exit code."""
    child.handle_signals()
    told = False

    def tell(error: Optional[Dict[str, Any]]) -> None:
        nonlocal told
        if told:
            return
        told = True
        with suppress(OSError):  # the parent has gone
            os.write(writable, json.dumps(error).encode() + b"\n")
        os.close(writable)

    try:
        serve(lambda: tell(None), child)
    except Exception as error:
        if told:
            import logging

            logging.getLogger(LOGGER_NAME).exception("The aggregator has ended.")
        else:
            tell({"message": str(error), "errno": error.errno if isinstance(error, OSError) else None})
        return 1
    finally:
        _flush()
    return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # there is none, or it is closed
            stream.flush()
