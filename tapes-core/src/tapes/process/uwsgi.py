"""The end of a worker of uWSGI by SIGINT or SIGTERM.

Where such a worker is busy with a request, uWSGI ends it in its own signal handler, without Python's exit handlers. It
sets this handler once the application is imported, and Python sees nothing of it. So a thread waits for it, and then
puts that of Python in its place, which reports signals to the thread by a pipe.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from os import kill  # not that of `raised`, which takes a signal that uWSGI handles for one that ends the process
from typing import Any, Callable, Dict, Optional

from tapes.process import forking, servers
from tapes.process.descriptors import Identity, identity

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK = 0.02  # seconds until the next look for the handlers of uWSGI, which come when the application is imported
_REQUEST = 2.0  # seconds that the request may take with which the worker is busy

_SIZE = 512  # bytes, more than `struct sigaction` has anywhere

_watch: Optional[_Watch] = None
_prepared_pid = 0


def prepare(stop: Callable[[], None]) -> None:
    """In a worker of uWSGI have `stop` called before a signal ends it. Does nothing elsewhere.

    A worker with one thread completes its request first, if that takes no longer than two seconds. Call it in the main
    thread.
    """
    global _prepared_pid, _watch
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or _prepared_pid == os.getpid() or threading.current_thread() is not threading.main_thread():
        return
    with suppress(Exception):  # a module of that name that is not the server's, or a system without such functions
        if uwsgi.worker_id() and not servers.has_own_loop(uwsgi.opt):
            _prepared_pid = os.getpid()
            watch = _Watch(stop, is_threaded=int(uwsgi.opt.get("threads") or 1) > 1)
            if watch.begin():
                _watch = watch
                forking.registries.add(watch)


class _Actions:
    """What the system does on signals: `struct sigaction`, whose first field is the handler on all systems."""

    def __init__(self) -> None:
        import ctypes

        self._buffer: Callable[[bytes, int], Any] = ctypes.create_string_buffer
        self._sigaction = ctypes.CDLL(None).sigaction
        self._length = ctypes.sizeof(ctypes.c_void_p)

    def read(self, number: int) -> bytes:
        """Return the action of a signal."""
        found = self._buffer(b"", _SIZE)
        if self._sigaction(number, None, found):
            raise OSError
        return bytes(found.raw)

    def write(self, number: int, action: bytes) -> None:
        """Set the action of a signal."""
        if self._sigaction(number, self._buffer(action, _SIZE), None):
            raise OSError

    def handler(self, action: bytes) -> bytes:
        """Return the handler in an action."""
        return action[: self._length]

    def with_handler(self, action: bytes, handler: bytes) -> bytes:
        """Return the action with another handler."""
        return handler + action[self._length :]


class _Watch:
    """Waits for the signals that end a worker."""

    def __init__(self, stop: Callable[[], None], *, is_threaded: bool) -> None:
        self._stop = stop
        self._is_threaded = is_threaded
        self._actions = _Actions()
        self._before: Dict[int, bytes] = {}  # before the worker has set its own
        self._of_python: Dict[int, bytes] = {}  # the handlers
        self._of_uwsgi: Dict[int, bytes] = {}
        self._ends: Dict[int, Optional[Identity]] = {}  # of the pipe

    def begin(self) -> bool:
        """Start the thread. Return False if the program has signals reported elsewhere."""
        actions = self._actions
        reading, writing = os.pipe()
        self._ends = {end: identity(end) for end in (reading, writing)}
        os.set_blocking(writing, False)
        taken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        if taken != -1:
            signal.set_wakeup_fd(taken)
            self._close()
            return False
        for number in map(int, _SIGNALS):
            self._before[number] = found = actions.read(number)
            signal.signal(number, _ignore)
            self._of_python[number] = actions.handler(actions.read(number))
            actions.write(number, found)
        threading.Thread(target=self._run, args=(reading,), name="tapes-uwsgi", daemon=True).start()
        return True

    def after_fork(self) -> None:
        """Leave the signals of a child of the worker to uWSGI. Called by `tapes.process.forking`."""
        if self._ends:
            signal.set_wakeup_fd(-1)
            self._give_back()
            self._close()

    def _run(self, reading: int) -> None:
        known = self._ends[reading]
        with suppress(OSError):
            while True:
                self._take_over()
                select.select([reading], [], [], _LOOK if len(self._of_uwsgi) < len(_SIGNALS) else None)
                if identity(reading) != known:  # the program has closed it
                    break
                if select.select([reading], [], [], 0.0)[0]:
                    came = next((number for number in os.read(reading, 512) if number in self._of_uwsgi), None)
                    if came is not None:
                        self._end(came)
        self._give_back()

    def _take_over(self) -> None:
        """Put the handler of Python in the place of each that uWSGI has set."""
        actions = self._actions
        for number in self._before:
            found = actions.read(number)
            if number not in self._of_uwsgi and actions.handler(found) != actions.handler(self._before[number]):
                self._of_uwsgi[number] = found
                actions.write(number, actions.with_handler(found, self._of_python[number]))

    def _give_back(self) -> None:
        for number, action in self._of_uwsgi.items():
            self._actions.write(number, action)

    def _end(self, number: int) -> None:
        if not self._is_threaded:
            kill(os.getpid(), signal.SIGHUP)  # ends it after this request, with its exit handlers
            time.sleep(_REQUEST)
        with suppress(BaseException):
            self._stop()
        self._give_back()
        kill(os.getpid(), number)

    def _close(self) -> None:
        for end, known in self._ends.items():
            if identity(end) == known:  # else the program has closed it, and the number may have been reused
                os.close(end)
        self._ends = {}


def _ignore(number: int, frame: object) -> None:
    """Do nothing: the thread learns of the signal by the pipe."""
