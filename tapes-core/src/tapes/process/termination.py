"""SIGTERM, where nobody handles it: the last reports are made before it ends the process."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Dict, List, Optional

from tapes.process import forking
from tapes.process.descriptors import Identity, identity
from tapes.process.ending import EXIT_TIMEOUT, alive, stop_all

if TYPE_CHECKING:
    from types import FrameType

    from tapes.process.ending import Runner


class _End:
    """The end of this process by a signal."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.over = False
        """Whether the last reports have been made, or have had their time."""
        self.stopped: List[Runner] = [
            reporter for run, reporter in list(alive.items()) if run.pid == self.pid and not run.is_stopping
        ]


_AGAIN = 0.1  # seconds until a signal is sent again that has not been handled

_left_alone = False
_end: Optional[_End] = None


def leave_alone() -> None:
    """Do nothing about SIGTERM in this process and its children, from here on."""
    global _left_alone
    _left_alone = True


def prepare() -> None:
    """Have SIGTERM make the last reports before it ends this process, if it has its default action.

    Does nothing on another thread than the main one, where no handler can be set, and in uWSGI, which makes its
    processes exit. A handler that the program sets later takes the place of this one, and a forked child inherits it.
    """
    if _left_alone or "uwsgi" in sys.modules or threading.current_thread() is not threading.main_thread():
        return
    with suppress(ValueError):  # greenlets of other threads take themselves for the main one
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _handle)


def prepare_child() -> None:
    """Do the same in a child of `multiprocessing`, and see to it that the handler is called.

    A signal that comes just when the main thread begins to wait, for the next task for instance, is handled when that
    wait is over, which may be never: then whoever terminates the child and waits for its end hangs. A pool sends its
    signals in these very moments. The system tells of each signal through a pipe; a thread listens to it, and sends the
    signal again.
    """
    prepare()
    patched = "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules  # a greenlet that reads stops all
    if patched or not hasattr(signal, "pthread_kill") or signal.getsignal(signal.SIGTERM) is not _handle:
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    taken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if taken not in (-1, _pipe.writing):
        signal.set_wakeup_fd(taken)
        os.close(reading)
        os.close(writing)
        return
    _pipe.close()
    _pipe.ends = {end: identity(end) for end in (reading, writing)}
    _pipe.writing = writing
    threading.Thread(target=_listen, args=(reading, os.getpid()), name="tapes-sigterm", daemon=True).start()


class _Pipe:
    """What signals are told through in this process, or were in the one that it was forked from."""

    writing = -1

    def __init__(self) -> None:
        self.ends: Dict[int, Optional[Identity]] = {}

    def after_fork(self) -> None:
        """Tell the parent nothing of the signals of this process. Called by `tapes.process.forking`."""
        if self.writing >= 0:
            with suppress(ValueError):
                taken = signal.set_wakeup_fd(-1)
                if taken != self.writing:
                    signal.set_wakeup_fd(taken)
        self.close()

    def close(self) -> None:
        """Close what is open."""
        for end, known in self.ends.items():
            if identity(end) == known:  # and not another's by now
                os.close(end)
        self.ends = {}
        self.writing = -1


_pipe = _Pipe()
forking.registries.add(_pipe)


def _listen(reading: int, pid: int) -> None:
    with suppress(OSError):
        known = identity(reading)
        while signal.SIGTERM not in os.read(reading, 512):
            if identity(reading) != known:
                return
        deadline = time.monotonic() + EXIT_TIMEOUT
        while signal.getsignal(signal.SIGTERM) is _handle and (_end is None or _end.pid != pid):
            if time.monotonic() > deadline:
                stop_all()
                os.kill(pid, signal.SIGKILL)  # the main thread never comes back from what it is doing
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            time.sleep(_AGAIN)


def _handle(number: int, _: Optional[FrameType]) -> None:
    """Have the last reports made, and do by default what the signal does when they are.

    By a thread: the main thread goes on meanwhile, since it may hold what the reports wait for, a lock or a fold, and
    since an event loop of its own may have to make some of them. A second signal changes nothing.
    """
    global _end
    end = _end
    if end is None or end.pid != os.getpid():
        end = _end = _End()
        try:
            # It waits for nothing, as Thread.start() does: where gevent has made it a greenlet, its hub may not wait.
            _thread.start_new_thread(_finish, (number, end))
        except RuntimeError:  # there are no more threads when the interpreter exits
            with suppress(BaseException):  # by Ctrl-C for instance
                stop_all()
            end.over = True
    if end.over:
        _do_default(number, end)


def _finish(number: int, end: _End) -> None:
    with suppress(BaseException):
        stop_all()
    end.over = True
    deadline = time.monotonic() + EXIT_TIMEOUT
    while _end is end and signal.getsignal(number) is _handle:
        # The main thread may be busy with something that is not Python: then it would have been ended there.
        os.kill(end.pid, number if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(_AGAIN)


def _do_default(number: int, end: _End) -> None:
    global _end
    signal.signal(number, signal.SIG_DFL)
    os.kill(end.pid, number)
    # Process 1 of a container is still there: by default the signal does nothing to it.
    _end = None
    signal.signal(number, _handle)
    for reporter in end.stopped:
        with suppress(Exception):  # its port has been taken meanwhile
            reporter.start()
