"""The process that an aggregator is forked into: how it begins, what its parent tells it, and how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any, Callable, ClassVar, Dict, Optional, Set

from tapes.distributed.fates import STOP, Fate, Forked
from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import ReporterError
from tapes.process import forking
from tapes.process.descriptors import identity

_READY = 30.0  # seconds in which it has to be ready
_MOMENT = 1.0  # seconds in which it ends if it is interrupted while it starts
_KILLED = 5.0  # seconds in which the system has to end a process that was killed

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
        self._stands_for = identity(self._tell)
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
            code = _live(serve, writable, Forked(self._parent, told))
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
                raise ReporterError(f"The aggregator was not ready within {_READY:g} s, and was ended: see its log.")
            read = os.read(self._readable, 65536)
            if not read:
                raise ReporterError("The aggregator has ended before it was ready: see what it has written.")
            content += read
        return content

    def _tell_to_stop(self) -> None:
        with suppress(OSError):  # it ends in this moment
            if identity(self._tell) == self._stands_for:
                os.write(self._tell, STOP)
            else:  # the program has closed all files, and it may be one of its own by now
                os.kill(self.pid, signal.SIGUSR1)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._reap(_KILLED)

    def _close(self) -> None:
        tell, self._tell = self._tell, -1
        if tell >= 0 and identity(tell) == self._stands_for:
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


def _live(serve: Serve, writable: int, child: Forked) -> int:
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
            tell(_told(error))
        return 1
    finally:
        _flush()
    return 0


def _told(error: Exception) -> Dict[str, Any]:
    """Return what the parent is told of an error that it raises."""
    if not isinstance(error, OSError) or error.errno is None:
        return {"message": str(error), "errno": None}
    where = "" if error.filename is None else f": {error.filename!r}"
    return {"message": f"{error.strerror}{where}", "errno": error.errno}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # there is none, or it is closed
            stream.flush()
