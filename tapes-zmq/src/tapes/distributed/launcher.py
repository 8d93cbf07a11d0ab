"""Starts the aggregator of a configuration as a process of its own, from any process that publishes to it."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import sysconfig
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from tapes.distributed import files
from tapes.distributed.claims import is_held, named_holder
from tapes.distributed.processes import is_alive, is_child
from tapes.reporting.trouble import remedy

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
_ABANDONED = 60.0  # seconds after which whoever has begun a start is not waited for

MORE_PROCESSES = "Raise the limit of processes (ulimit -u), or run fewer."

LOCK = 3
"""The descriptor of the start's lock in the process that is started, which releases it when it works."""


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
        self._adopted: List[Tuple[int, int]] = []  # aggregators whose parent is this process, with their start times
        self.fault: Optional[str] = None
        """Why the last attempt failed; None after one that succeeded."""

    def attend(self, is_stopping: Callable[[], bool], *, at_once: bool = False) -> bool:
        """Start an aggregator if that is due, and nobody else has one or starts one. Return True if one was started.

        With `at_once` it is due however recent the last attempt was. Waits until it works, unless this process is
        stopping. Raises nothing.
        """
        self.reap()
        try:
            return (at_once or time.monotonic() >= self._next) and self._attend(is_stopping)
        except Exception as error:  # noqa: BLE001 -- for want of descriptors, say: it is logged, and tried again
            self._failed(str(error) or repr(error))
            return False

    def end(self, timeout: float) -> None:
        """End the aggregator, if it is one of this pid namespace, and wait until it has made its last reports."""
        holder = named_holder(self._place.lock)
        if holder is None or is_alive(*holder) is not True:
            return
        with suppress(OSError):
            os.kill(holder[0], signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while is_alive(*holder) is True and time.monotonic() < deadline:
            self._sleep(_TICK)

    def reap(self) -> None:
        """Reap what this has started, and an aggregator that became a child of this process, like one in a container.

        Its first process has to reap those whose parents have ended, and applications do not.
        """
        self._children = [pid for pid in self._children if not _reaped(pid)]
        holder = named_holder(self._place.lock)
        if holder is not None and holder not in self._adopted and is_child(*holder):
            self._adopted.append(holder)
        self._adopted = [each for each in self._adopted if not (is_child(*each) and _reaped(each[0]))]

    def _attend(self, is_stopping: Callable[[], bool]) -> bool:
        if is_held(self._place.lock):
            return False
        try:
            lock = start_lock(self._place.start)
        except OSError as error:
            self._failed(f"{error.filename or self._place.start}: {error.strerror}")
            return False
        if lock is None:
            return False  # another process is at it, or another thread
        try:
            if is_held(self._place.lock):
                release_start(lock, self._place.start)
                return False
            fault = self._spawned(lock, is_stopping)
            if fault is not None:
                release_start(lock, self._place.start)
        finally:
            os.close(lock)  # what was started has it too, and releases it when it works
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

    def _spawned(self, lock: int, is_stopping: Callable[[], bool]) -> Optional[str]:
        """Start the process, and return why it could not begin; None if it works, or this one did not wait for that."""
        content = json.dumps(self._order).encode() + b"\n"
        python = interpreter()
        if python is None:
            return f"no Python interpreter is found to run it: sys.executable is {sys.executable!r}, set it to one"
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
                        (os.POSIX_SPAWN_DUP2, answer_end, 2),  # what it complains of before it has a log
                        (os.POSIX_SPAWN_DUP2, lock, LOCK),
                    ],
                    setpgroup=0,  # from the beginning: whoever ends our process group means this program
                )
            except OSError as error:
                what_to_do = MORE_PROCESSES if error.errno == errno.EAGAIN else remedy(error)
                return f"{python} cannot be run: {error.strerror}. {what_to_do}"
            finally:
                os.close(order_end)
                os.close(answer_end)
            with suppress(BrokenPipeError):
                os.write(order, content)
            self._children.append(pid)
            fault = self._answer(answer, is_stopping)
            self.reap()
            return fault
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
        last = content.decode("utf-8", "replace").strip().rpartition("\n")[2]
        try:
            fault: Optional[str] = json.loads(last)["fault"]
        except (ValueError, KeyError, TypeError):
            return f"it ended before it was ready: {last or f'see {self._place.log}'}"
        return fault


def start_lock(path: str) -> Optional[int]:
    """Take the lock at `path` of whoever starts an aggregator, and return its descriptor; None if somebody has it.

    It goes to the process that is started. So no second one is started while that one is about to work, also if the
    process that has started it ends meanwhile. Raises OSError.
    """
    import fcntl  # missing on systems without ipc:// addresses

    while True:
        file = _moved(files.opened(path, os.O_RDWR | os.O_CREAT))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever releases it removes the file: make sure that we locked the file that others will find.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.lstat(path)):
                    os.utime(file)
                    return file
        except BlockingIOError:
            # A process that was forked at that moment may have inherited it: it would have it for ever.
            if time.time() - os.fstat(file).st_mtime < _ABANDONED:
                os.close(file)
                return None
            with suppress(FileNotFoundError):
                os.unlink(path)
        except OSError:
            os.close(file)
            raise
        os.close(file)


def release_start(lock: int, path: str) -> None:
    """Remove the file of a lock, before its descriptor is closed, unless another one has been made in its place."""
    with suppress(OSError):
        if os.path.samestat(os.fstat(lock), os.lstat(path)):
            os.unlink(path)


def _pipe() -> Tuple[int, int]:
    reading, writing = os.pipe()
    return _moved(reading), _moved(writing)


def _moved(descriptor: int) -> int:
    """Return a descriptor that is none of those that the new process gets: a daemon may have closed these here."""
    import fcntl

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOCK + 1)
    finally:
        os.close(descriptor)


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
