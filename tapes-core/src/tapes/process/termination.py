"""SIGTERM without a handler of the program: make the last reports, then end the process."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional

from tapes.process import forker, forking, shutdown
from tapes.process.descriptors import Identity, identity
from tapes.process.shutdown import EXIT_TIMEOUT, alive, stop_all

if TYPE_CHECKING:
    from types import FrameType

    from tapes.process.shutdown import Runner


class _End:
    """The end of this process by a signal."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.over = False
        """True once the last reports were made, or their time is up."""
        self.stopped: List[Runner] = [
            reporter for run, reporter in list(alive.items()) if run.pid == self.pid and not run.is_stopping
        ]


_AGAIN = 0.1  # seconds until an unhandled signal is sent again

_left_alone = False
_end: Optional[_End] = None


def leave_alone() -> None:
    """Stop handling SIGTERM in this process and its children from now on."""
    global _left_alone
    _left_alone = True


def prepare() -> None:
    """Handle SIGTERM, if it has its default action: make the last reports, then end the process.

    Does nothing outside the main thread, where no handler can be set, and in uWSGI, which makes its processes exit. A
    handler that the program sets later replaces this one. A forked child inherits it.
    """
    if _left_alone or "uwsgi" in sys.modules or threading.current_thread() is not threading.main_thread():
        return
    with suppress(ValueError):  # a greenlet of another thread believes that it is in the main thread
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _handle)


@contextmanager
def prepare_end(number: int) -> Iterator[None]:
    """Make the last reports, if this process is about to raise a signal that ends it.

    That is one with its default action, or SIGTERM where `prepare` handles it. Then it has its default action again, so
    the process ends where it raises the signal. If it does not end, everything goes on as before.
    """
    if signal.getsignal(number) is not _handle or _survives():
        with prepare_default_end(number):
            yield
        return
    try:
        signal.signal(number, _handle)
    except ValueError:  # not the main thread, in which the handler will make the last reports
        yield
        os.kill(os.getpid(), number)  # one that is raised here would not interrupt what the main thread waits for
        return
    with _last_reports():
        signal.signal(number, signal.SIG_DFL)
        try:
            yield
        finally:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _handle)


@contextmanager
def prepare_default_end(number: int) -> Iterator[None]:
    """Make the last reports, if this process is about to send itself a signal whose default action ends it.

    It does not end if the signal is blocked, as where a thread waits for it by `signal.sigwait`, or handled without
    Python's knowledge, as by `faulthandler.register`. Then the reporters go on.
    """
    if not _left_alone and signal.getsignal(number) is signal.SIG_DFL and not _survives():
        with _last_reports():
            yield
    else:
        yield


@contextmanager
def _last_reports() -> Iterator[None]:
    """Stop all reporters. Those that were running start again if the process does not end within."""
    stopped = [] if shutdown.is_ending() else _End().stopped
    _stop_quietly()
    try:
        yield
    finally:
        _go_on(stopped)


def _go_on(stopped: List[Runner]) -> None:
    """Start the reporters again that were stopped for an end that did not come."""
    if not stopped:
        return
    shutdown.has_survived()
    for reporter in stopped:
        with suppress(Exception):  # for example, its port was taken meanwhile
            reporter.start()


def _survives() -> bool:
    """Whether this is process 1 of a container, to which a signal does nothing by default."""
    return os.getpid() == 1


def _stop_quietly() -> None:
    with suppress(BaseException):  # from Ctrl-C, for example
        stop_all()


def prepare_child() -> None:
    """Do the same in a child of `multiprocessing`, and make sure that the handler runs.

    A signal that arrives just as the main thread begins to wait, for the next task for example, is handled only after
    that wait, which may never end. Then a parent that terminates the child and joins it hangs; and a pool sends its
    signals at exactly such moments. So a thread learns of each signal through a pipe, and sends the signal again.
    """
    prepare()
    patched = "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules  # a greenlet's read would block all
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
    """The pipe that reports signals (`set_wakeup_fd`), this process's or inherited."""

    writing = -1

    def __init__(self) -> None:
        self.ends: Dict[int, Optional[Identity]] = {}

    def after_fork(self) -> None:
        """Stop reporting signals of this process to the parent. Called by `tapes.process.forking`."""
        if self.writing >= 0:
            with suppress(ValueError):
                taken = signal.set_wakeup_fd(-1)
                if taken != self.writing:
                    signal.set_wakeup_fd(taken)
        self.close()

    def close(self) -> None:
        """Close both ends of the pipe, if open."""
        for end, known in self.ends.items():
            if identity(end) == known:  # else the program has closed it, and the number may have been reused
                os.close(end)
        self.ends = {}
        self.writing = -1


_pipe = _Pipe()
forking.registries.add(_pipe)


class _Late:
    """What becomes of a process that is forked by one that is ending."""

    def after_fork(self) -> None:
        """End it, like its parent. Called by `tapes.process.forking`.

        The main thread of the parent goes on while the last reports are made. By default it would not have come as far
        as this fork, for example to replace a child that got the same signal. Nobody would end this process. What
        another thread forks may be for a last report.
        """
        global _end
        end, _end = _end, None
        if end is None or end.pid == 1 or not forker.was_main() or forking.is_without_metrics():
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


_late = _Late()
forking.registries.add(_late)


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
                os.kill(pid, signal.SIGKILL)  # the main thread never returns from its current call
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            time.sleep(_AGAIN)


def _handle(number: int, _: Optional[FrameType]) -> None:
    """Make the last reports in a thread, then take the signal's default action. A second signal changes nothing.

    The main thread goes on meanwhile: it may hold a lock or a fold that the reports wait for, and its event loop may
    have to make some of them.
    """
    global _end
    end = _end
    if end is None or end.pid != os.getpid():
        end = _end = _End()
        try:
            # Not Thread.start(), which waits: if gevent has made the thread a greenlet, the hub must not wait.
            _thread.start_new_thread(_finish, (number, end))
        except RuntimeError:  # no new threads while the interpreter exits
            _stop_quietly()
            end.over = True
    if end.over:
        _do_default(number, end)


def _finish(number: int, end: _End) -> None:
    _stop_quietly()
    end.over = True
    deadline = time.monotonic() + EXIT_TIMEOUT
    while _end is end and signal.getsignal(number) is _handle:
        # The main thread may be in code that is not Python, which the default action would have ended at once.
        os.kill(end.pid, number if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(_AGAIN)


def _do_default(number: int, end: _End) -> None:
    global _end
    signal.signal(number, signal.SIG_DFL)
    os.kill(end.pid, number)
    # Only process 1 of a container gets here: by default the signal does nothing to it.
    _end = None
    signal.signal(number, _handle)
    _go_on(end.stopped)
