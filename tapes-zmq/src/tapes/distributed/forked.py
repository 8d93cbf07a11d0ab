"""The forked process of an aggregator: its start, its stop by the parent, and its end."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any, Callable, ClassVar, Dict, Optional, Set

from tapes.distributed.lifetime import STOP, ForkedLifetime, Lifetime
from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import ReporterError
from tapes.process import forking
from tapes.process.descriptors import identity

_READY = 30.0  # seconds in which it has to be ready
_MOMENT = 1.0  # seconds in which it has to end if the start is interrupted
_KILLED = 5.0  # seconds to wait for the end of a killed process

Serve = Callable[[Callable[[], None], Lifetime], object]
"""Runs the aggregator until its lifetime ends it. Calls the function once it works or stands by."""


class ForkedProcess:
    """A forked process that runs `serve`, as seen from its parent."""

    pids: ClassVar[Set[int]] = set()
    """The pids of all that this program has forked."""

    def __init__(self, serve: Serve) -> None:
        """Fork the process, which calls `serve`."""
        self._parent = os.getpid()
        self._status: Optional[int] = None
        self._readable, writable = os.pipe()
        stop_reader, self._stop_pipe = os.pipe()
        self._stands_for = identity(self._stop_pipe)
        _flush()  # or the child would write the parent's buffered output again
        self.pid = forking.fork_without_metrics()
        if self.pid:
            self.pids.add(self.pid)
            os.close(writable)
            os.close(stop_reader)
            return
        code = 1
        try:
            os.close(self._readable)
            os.close(self._stop_pipe)
            code = _run_child(serve, writable, ForkedLifetime(self._parent, stop_reader))
        finally:
            os._exit(code)

    @property
    def running(self) -> bool:
        """Whether the process has not ended. False in a fork of the parent, which does not own the child."""
        return os.getpid() == self._parent and not self._has_ended()

    def wait_until_ready(self) -> None:
        """Wait until it works or stands by. Raises the error that kept it from that."""
        try:
            content = self._read_outcome()
        except BaseException:
            # It has reported nothing yet, so a kill loses nothing and is not logged. First let it remove its files.
            self._request_stop()
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
        """Stop it, and kill it if that takes longer than `timeout` seconds."""
        if os.getpid() != self._parent:
            return
        if self.running:
            self._request_stop()
            if not self._reap(timeout):
                self._kill()
                import logging

                logging.getLogger(LOGGER_NAME).warning(
                    "%s did not stop within %g s and was killed: its last reports may be lost.", name, timeout
                )
        self._close()

    def _read_outcome(self) -> bytes:
        deadline = time.monotonic() + _READY
        content = b""
        while not content.endswith(b"\n"):
            if not select.select([self._readable], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise ReporterError(f"The aggregator was not ready within {_READY:g} s, and was ended: see its log.")
            read = os.read(self._readable, 65536)
            if not read:
                raise ReporterError("The aggregator ended before it was ready: see its output.")
            content += read
        return content

    def _request_stop(self) -> None:
        with suppress(OSError):  # it may be ending right now
            if identity(self._stop_pipe) == self._stands_for:
                os.write(self._stop_pipe, STOP)
            else:  # the program has closed all files, and the descriptor may be one of its own by now
                os.kill(self.pid, signal.SIGUSR1)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._reap(_KILLED)

    def _close(self) -> None:
        pipe, self._stop_pipe = self._stop_pipe, -1
        if pipe >= 0 and identity(pipe) == self._stands_for:
            os.close(pipe)

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
            except ChildProcessError:  # a server that reaps all its children has reaped this one too
                self._status = -1
            else:
                if pid:
                    self._status = status
        return self._status is not None


def _run_child(serve: Serve, writable: int, child: ForkedLifetime) -> int:
    """Run in the forked process, and return its exit code."""
    child.handle_signals()
    has_reported = False

    def report(error: Optional[Dict[str, Any]]) -> None:
        nonlocal has_reported
        if has_reported:
            return
        has_reported = True
        with suppress(OSError):  # the parent may be gone
            os.write(writable, json.dumps(error).encode() + b"\n")
        os.close(writable)

    try:
        serve(lambda: report(None), child)
    except Exception as error:
        if has_reported:
            import logging

            logging.getLogger(LOGGER_NAME).exception("The aggregator has ended.")
        else:
            report(_as_data(error))
        return 1
    finally:
        _flush()
    return 0


def _as_data(error: Exception) -> Dict[str, Any]:
    """Return the error as JSON data, for the parent to raise."""
    if not isinstance(error, OSError) or error.errno is None:
        return {"message": str(error), "errno": None}
    where = "" if error.filename is None else f": {error.filename!r}"
    return {"message": f"{error.strerror}{where}", "errno": error.errno}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the stream may be None or closed
            stream.flush()
