"""Starts the aggregator of a configuration as a process of its own, from any process that publishes to it."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from tapes.distributed.claims import FileLock, is_held
from tapes.errors import ReporterError

if sys.platform != "win32":
    # Those of `os` may be gevent's, which fail in a thread that is no greenlet.
    from posix import posix_spawn, waitpid

if TYPE_CHECKING:
    from tapes.distributed.rendezvous import Rendezvous

_READY = 20.0  # seconds in which the process has to say that it works, or why it cannot
_TICK = 0.01
# Without the working directory, in which a module may have any name.
_PROGRAM = (
    "import sys; sys.path[:] = filter(None, sys.path); from tapes.distributed.resident import main; sys.exit(main())"
)

_AGAIN = (1.0, 30.0)  # seconds until the next attempt after one that failed, at first and at most


class Launcher:
    """Starts an aggregator when there is none, one process at a time. For the thread of one reporter."""

    def __init__(self, place: Rendezvous, order: Dict[str, Any], sleep: Callable[[float], None]) -> None:
        """`order` is the request to `tapes.distributed.resident`, which works at `place`."""
        self._place = place
        self._order = order
        self._sleep = sleep
        self._next = 0.0
        self._pause = _AGAIN[0]
        self._children: List[int] = []  # processes that may have ended, and were not waited for
        self.fault: Optional[str] = None
        """Why the last attempt failed; None after one that succeeded."""

    def attend(self, is_stopping: Callable[[], bool]) -> bool:
        """Start an aggregator if that is due, and nobody else has one or starts one. Return True if one was started.

        Waits until it works, unless this process is stopping. Raises nothing.
        """
        self._children = [pid for pid in self._children if not _reaped(pid)]
        try:
            return self._attend(is_stopping)
        except Exception as error:  # noqa: BLE001 -- for want of descriptors, say: it is logged, and tried again
            self._failed(str(error) or repr(error))
            return False

    def _attend(self, is_stopping: Callable[[], bool]) -> bool:
        if time.monotonic() < self._next or is_held(self._place.lock):
            return False
        try:
            lock = FileLock(self._place.start, "")
        except ReporterError:
            return False  # another process is at it, or another thread
        except OSError as error:
            self._failed(f"{error.filename or self._place.start}: {error.strerror}")
            return False
        try:
            if is_held(self._place.lock):
                return False
            fault = self._start(is_stopping)
        finally:
            lock.release()
        if fault is None:
            self.fault = None
            self._pause, self._next = _AGAIN[0], time.monotonic() + _AGAIN[0]
            return True
        self._failed(fault)
        return False

    def _failed(self, fault: str) -> None:
        self.fault = fault
        self._next = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _AGAIN[1])

    def _start(self, is_stopping: Callable[[], bool]) -> Optional[str]:
        """Start the process, and return why it could not begin; None if it works, or this one did not wait for that."""
        content = json.dumps(self._order).encode() + b"\n"
        python = interpreter()
        if python is None:
            return "no Python interpreter is found to run it"
        order_end, order = _pipe()
        answer, answer_end = _pipe()
        try:
            try:
                pid = posix_spawn(
                    python,
                    [python, "-c", _PROGRAM],
                    _environment(),
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, order_end, 0),
                        (os.POSIX_SPAWN_DUP2, answer_end, 1),
                    ],
                )
            except OSError as error:
                return f"{python} cannot be run: {error.strerror}"
            finally:
                os.close(order_end)
                os.close(answer_end)
            with suppress(BrokenPipeError):
                os.write(order, content)
            self._children.append(pid)
            return self._answer(answer, is_stopping)
        finally:
            os.close(order)
            os.close(answer)

    def _answer(self, answer: int, is_stopping: Callable[[], bool]) -> Optional[str]:
        deadline = time.monotonic() + _READY
        os.set_blocking(answer, False)
        content = b""
        while time.monotonic() < deadline:
            if is_stopping():
                return None
            with suppress(BlockingIOError):
                read = os.read(answer, 65536)
                content += read
                if not read:
                    break
            self._sleep(_TICK)
        else:
            return f"it did not begin within {_READY:g} s"
        try:
            fault: Optional[str] = json.loads(content)["fault"]
        except (ValueError, KeyError):
            return "it ended before it was ready: see its log"
        return fault


def _pipe() -> Tuple[int, int]:
    """Return the ends of a pipe. Neither is a standard stream, as it could be where a daemon has closed these."""
    import fcntl  # missing on systems without ipc:// addresses

    found = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in found]
    for end in found:
        os.close(end)
    return moved[0], moved[1]


def interpreter() -> Optional[str]:
    """Return the path of the Python that runs this program. Servers that embed Python give their own as it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found: List[Tuple[str, ...]] = [
        (sys.executable or "",),
        (sys.prefix, "bin", "python"),
        (sys.prefix, "bin", version),
        (sys.base_prefix, "bin", version),
        (sysconfig.get_config_var("BINDIR") or "", version),
    ]
    for parts in found:
        path = os.path.join(*parts)
        name = os.path.basename(path)
        if name.startswith(("python", "pypy")) and os.access(path, os.X_OK):
            return path
    return None


def _environment() -> Dict[str, str]:
    """Return the environment of the process: it imports from where this one does."""
    path = [os.path.abspath(entry) for entry in sys.path if entry]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _reaped(pid: int) -> bool:
    try:
        return waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # the program reaps all of its children
        return True
